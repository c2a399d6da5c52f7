import Tooltip from "@mui/material/Tooltip";
import Typography from "@mui/material/Typography";
import { useFreshness } from "../../api/live.ts";
import type { Part } from "../../live/freshness.ts";
import { describeFreshness, explainFreshness, toneOfFreshness } from "./describe-freshness.ts";

/** How current what a panel shows is, for its heading. It alone renders again as time goes by. */
export function PanelFreshness({ part }: { part: Part }) {
  const state = useFreshness(part);
  const { freshness } = state;
  const isCalm = freshness.kind === "live" || freshness.kind === "catching_up";
  return (
    <Tooltip title={explainFreshness(freshness)} describeChild>
      <Typography
        role="note"
        aria-label="Freshness"
        variant="caption"
        component="p"
        noWrap
        sx={{
          flex: "none",
          // Room for the longest of its texts, so that none of them moves anything.
          minWidth: "8.75em",
          color: isCalm ? "text.secondary" : `${toneOfFreshness(state)}.main`,
        }}
      >
        {describeFreshness(freshness)}
      </Typography>
    </Tooltip>
  );
}
