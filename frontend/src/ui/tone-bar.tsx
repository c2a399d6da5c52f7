import { styled } from "@mui/material/styles";
import type { Tone } from "./tone.ts";

const Track = styled("span")(({ theme }) => ({
  display: "block",
  width: "100%",
  height: 4,
  borderRadius: 2,
  overflow: "hidden",
  background: theme.vars.palette.divider,
  "& > span": {
    display: "block",
    height: "100%",
    borderRadius: 2,
    transformOrigin: "left",
    transition: "transform 400ms ease-out",
  },
  "& > [data-tone=good]": { background: theme.vars.palette.success.main },
  "& > [data-tone=calm]": { background: theme.vars.palette.info.main },
  "& > [data-tone=watch]": { background: theme.vars.palette.warning.main },
  "& > [data-tone=bad]": { background: theme.vars.palette.error.main },
  "@media (prefers-reduced-motion: reduce)": { "& > span": { transition: "none" } },
}));

/** A share of 0 to 1 as a thin bar. It decorates a number that stands beside it. */
export function ToneBar({ share, tone }: { share: number; tone: Tone }) {
  return (
    <Track aria-hidden>
      <span data-tone={tone} style={{ transform: `scaleX(${Math.min(1, Math.max(0, share))})` }} />
    </Track>
  );
}
