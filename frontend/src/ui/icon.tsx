import Box from "@mui/material/Box";

const paths = {
  pulse: "M2.5 12.5h4.2l2.6-6.5 4.2 12 2.6-7 1.3 2h4.1",
  search: "M10.5 17a6.5 6.5 0 1 1 0-13 6.5 6.5 0 0 1 0 13Zm4.8-1.7 5.2 5.2",
  ascending: "m6 14 6-6 6 6",
  descending: "m6 10 6 6 6-6",
  arrow: "M4 12h15m-6-6 6 6-6 6",
  plug: "M9 3v5m6-5v5M6.5 8h11v3.5a5.5 5.5 0 0 1-11 0V8ZM12 17v4",
} as const;

export type IconName = keyof typeof paths;

/** Decorates; it says nothing that the text beside it does not. */
export function Icon({ name, size = 18 }: { name: IconName; size?: number }) {
  return (
    <Box
      component="svg"
      aria-hidden
      viewBox="0 0 24 24"
      sx={{ width: size, height: size, flex: "none", display: "block" }}
      fill="none"
      stroke="currentColor"
      strokeWidth={2}
      strokeLinecap="round"
      strokeLinejoin="round"
    >
      <path d={paths[name]} />
    </Box>
  );
}
