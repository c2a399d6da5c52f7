import Box from "@mui/material/Box";
import Chip from "@mui/material/Chip";
import Typography from "@mui/material/Typography";
import { visuallyHidden } from "@mui/utils";
import { useId } from "react";
import { useFreshness } from "../../api/live.ts";
import {
  describeFreshness,
  explainFreshness,
  nameFreshness,
  toneOfFreshness,
} from "./describe-freshness.ts";

/**
 * Says whether the page is live, and how current what is shown is. Of the latter, what can be read out is only
 * what it has become: an age would be read out each second.
 */
export function ConnectionStatus() {
  const state = useFreshness();
  const { freshness, isLive } = state;
  const tone = toneOfFreshness(state);
  const id = useId();
  return (
    <Box sx={{ display: "flex", alignItems: "center", gap: { xs: 1, sm: 1.75 }, minWidth: 0 }}>
      <Typography
        id={id}
        variant="body2"
        component="p"
        noWrap
        title={explainFreshness(freshness)}
        sx={{ color: "text.secondary", textAlign: "right" }}
      >
        {describeFreshness(freshness)}
      </Typography>
      <Box role="status" aria-label="Freshness" sx={visuallyHidden}>
        {nameFreshness(freshness)}
      </Box>
      <Box role="status" aria-label="Connection" aria-describedby={id}>
        <Chip
          size="small"
          label={isLive ? "Live" : "Disconnected"}
          icon={<Dot isBeating={tone === "success"} />}
          sx={{
            height: 28,
            px: 0.5,
            fontWeight: 600,
            fontSize: "0.8125rem",
            color: `${tone}.main`,
            bgcolor: "color-mix(in srgb, currentColor 11%, transparent)",
            "& .MuiChip-icon": { color: "inherit", ml: 0.75, mr: 0 },
            "& .MuiChip-label": { pl: 0.875, pr: 0.875 },
          }}
        />
      </Box>
    </Box>
  );
}

const beating = {
  "@media (prefers-reduced-motion: no-preference)": {
    animation: "beat 2.4s ease-out infinite",
    "@keyframes beat": {
      "0%": { boxShadow: "0 0 0 0 color-mix(in srgb, currentColor 45%, transparent)" },
      "70%, 100%": { boxShadow: "0 0 0 6px transparent" },
    },
  },
} as const;

function Dot({ isBeating }: { isBeating: boolean }) {
  return (
    <Box
      component="span"
      aria-hidden
      sx={{
        width: 8,
        height: 8,
        borderRadius: "50%",
        bgcolor: "currentColor",
        ...(isBeating && beating),
      }}
    />
  );
}
