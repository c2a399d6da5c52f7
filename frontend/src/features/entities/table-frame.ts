import { keyframes } from "@emotion/react";
import { styled } from "@mui/material/styles";

const flash = `
  from { background-color: color-mix(in srgb, var(--mui-palette-primary-main) 28%, transparent); }
`;
// The same twice: an element that flashes again is given the other one.
const flashOdd = keyframes(flash);
const flashEven = keyframes(flash + " ");

/** Scrolls in both directions under a heading that stays; one class dresses all rows and cells. */
export const TableFrame = styled("div")(({ theme }) => {
  const { palette } = theme.vars;
  const tag = (name: string, color: string) => ({
    [`& [data-tag=${name}]`]: {
      color,
      background: `color-mix(in srgb, ${color} 11%, transparent)`,
    },
  });
  return {
    position: "relative",
    flex: "1 1 0",
    minHeight: 0,
    overflow: "auto",
    overscrollBehaviorX: "contain",
    scrollbarWidth: "thin",
    scrollbarColor: `${palette.divider} transparent`,
    "& table": {
      width: "100%",
      tableLayout: "fixed",
      borderCollapse: "separate",
      borderSpacing: 0,
      fontSize: "0.8125rem",
    },
    "& th, & td": {
      height: 38,
      padding: "0 10px",
      textAlign: "left",
      whiteSpace: "nowrap",
      overflow: "hidden",
      textOverflow: "ellipsis",
      borderBottom: `1px solid color-mix(in srgb, ${palette.divider} 65%, transparent)`,
    },
    "& th:first-of-type": {
      position: "sticky",
      left: 0,
      zIndex: 1,
      paddingLeft: 18,
      background: palette.background.paper,
    },
    "& tr > :last-child": { paddingRight: 18 },
    "& tbody th": { fontWeight: 550, color: palette.text.primary },
    "& tbody tr:hover > *": {
      background: `color-mix(in srgb, ${palette.text.primary} 4%, ${palette.background.paper})`,
    },
    "& thead th": {
      position: "sticky",
      top: 0,
      zIndex: 2,
      height: 48,
      overflow: "visible",
      color: palette.text.secondary,
      fontWeight: 500,
      background: palette.background.paper,
      borderBottom: `1px solid ${palette.divider}`,
    },
    "& thead th:first-of-type": { zIndex: 3 },
    "& [data-numeric]": { textAlign: "right" },
    "& [data-none]": { color: palette.text.secondary, opacity: 0.85 },
    "& td[data-column=type], & td[data-column=last_updated]": { color: palette.text.secondary },
    "& [data-health]": {
      display: "grid",
      gridTemplateColumns: "minmax(0, 1fr) 4.5ch",
      alignItems: "center",
      gap: 8,
    },
    "& [data-tag]": {
      display: "inline-block",
      padding: "1px 9px",
      borderRadius: 999,
      fontSize: "0.75rem",
      fontWeight: 550,
      lineHeight: "20px",
    },
    ...tag("good", palette.success.main),
    ...tag("calm", palette.info.main),
    ...tag("watch", palette.warning.main),
    ...tag("bad", palette.error.main),
    "& [data-flash=odd]": { animation: `${flashOdd} 1.5s ease-out` },
    "& [data-flash=even]": { animation: `${flashEven} 1.5s ease-out` },
    "@media (prefers-reduced-motion: reduce)": { "& [data-flash]": { animation: "none" } },
  };
});
