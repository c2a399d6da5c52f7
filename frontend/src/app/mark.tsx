import Box from "@mui/material/Box";
import { Icon } from "../ui/icon.tsx";

/** The dashboard's mark. It decorates. */
export function Mark({ size }: { size: number }) {
  return (
    <Box
      sx={{
        display: "grid",
        placeItems: "center",
        flex: "none",
        width: size,
        height: size,
        borderRadius: 1,
        color: "primary.contrastText",
        bgcolor: "primary.main",
      }}
    >
      <Icon name="pulse" size={Math.round(size * 0.6)} />
    </Box>
  );
}
