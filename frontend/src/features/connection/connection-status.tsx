import Box from "@mui/material/Box";
import Chip from "@mui/material/Chip";
import Typography from "@mui/material/Typography";
import { useMetrics } from "../../api/live.ts";
import type { Replica } from "../../live/replica.ts";
import { formatAgo, formatClock } from "../../ui/format.ts";
import { useNow } from "../../ui/use-now.ts";

/** Says whether updates can arrive, and when the last one did. */
export function ConnectionStatus({ isConnected }: { isConnected: boolean }) {
  const tone = isConnected ? "success" : "error";
  return (
    <Box sx={{ display: "flex", alignItems: "center", gap: { xs: 1, sm: 1.75 }, minWidth: 0 }}>
      <LastUpdate />
      <Box role="status" aria-label="Connection">
        <Chip
          size="small"
          label={isConnected ? "Live" : "Disconnected"}
          icon={<Dot isBeating={isConnected} />}
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

const lastUpdate = ({ lastAppliedAt }: Replica) => ({ at: lastAppliedAt });

function LastUpdate() {
  const { at } = useMetrics(lastUpdate);
  const now = useNow();
  return (
    <Typography
      variant="body2"
      component="p"
      noWrap
      sx={{ color: "text.secondary", textAlign: "right" }}
      title={at === undefined ? undefined : `Arrived at ${formatClock(at)}`}
    >
      <Box component="span" sx={{ display: { xs: "none", sm: "inline" } }}>
        {at === undefined ? "No update yet" : "Last update "}
      </Box>
      {at !== undefined && formatAgo(Math.max(0, now - at))}
    </Typography>
  );
}
