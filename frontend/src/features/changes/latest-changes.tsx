import Box from "@mui/material/Box";
import Typography from "@mui/material/Typography";
import { memo, type ReactNode } from "react";
import { useMetrics } from "../../api/live.ts";
import type { Change, Replica } from "../../live/replica.ts";
import { formatClock } from "../../ui/format.ts";
import { Panel } from "../../ui/panel.tsx";
import { describeChange } from "./describe-change.ts";

/** Pixels. */
const itemHeight = 58;

const recentChanges = (replica: Replica) => replica.recent;

/**
 * The latest updates in words, newest first, so that movement is seen wherever it happens. `freshness` says
 * how current they are: where nothing moves, nothing may be heard.
 */
export function LatestChanges({ freshness }: { freshness: ReactNode }) {
  const changes = useMetrics(recentChanges);
  return (
    <Panel
      component="section"
      aria-labelledby="changes-title"
      sx={{ display: "flex", flexDirection: "column", minHeight: 0 }}
    >
      <Box
        sx={{
          flex: "none",
          display: "flex",
          alignItems: "center",
          minHeight: 48,
          px: 2.25,
          py: 0.75,
          borderBottom: 1,
          borderColor: "divider",
        }}
      >
        <div>
          <Typography id="changes-title" variant="h2">
            Latest changes
          </Typography>
          {freshness}
        </div>
      </Box>
      <Box
        sx={{ flex: "1 1 0", minHeight: 280, overflow: "auto", scrollbarWidth: "thin" }}
        tabIndex={0}
        role="group"
        aria-labelledby="changes-title"
      >
        {changes.length === 0 ? (
          <Typography variant="body2" sx={{ p: 2.25, color: "text.secondary" }}>
            Each update is told here in words, the newest first.
          </Typography>
        ) : (
          <Box
            component="ol"
            sx={{
              position: "relative",
              listStyle: "none",
              m: 0,
              p: 0,
              height: changes.length * itemHeight,
            }}
          >
            {changes.map((change, index) => (
              <ChangeItem key={change.number} change={change} top={index * itemHeight} />
            ))}
          </Box>
        )}
      </Box>
    </Panel>
  );
}

interface ChangeItemProps {
  readonly change: Change;
  /** Pixels below the top of the list. */
  readonly top: number;
}

const ChangeItem = memo(function ChangeItem({ change, top }: ChangeItemProps) {
  const { text, steps } = describeChange(change);
  const [first, ...others] = steps;
  return (
    <Box
      component="li"
      // By a transform, so that an older change makes room without a new layout.
      style={{ transform: `translateY(${top}px)` }}
      sx={{
        position: "absolute",
        insetInline: 0,
        top: 0,
        px: 2.25,
        py: 1,
        height: itemHeight,
        borderBottom: "1px solid color-mix(in srgb, var(--mui-palette-divider) 65%, transparent)",
        "@media (prefers-reduced-motion: no-preference)": {
          animation: "arrive 320ms ease-out",
          "@keyframes arrive": { from: { opacity: 0.3 } },
        },
      }}
    >
      <Box sx={{ display: "flex", justifyContent: "space-between", gap: 1 }}>
        <Typography variant="body2" noWrap sx={{ fontWeight: 550 }}>
          {change.id}
        </Typography>{" "}
        <Typography variant="caption" sx={{ color: "text.secondary", flex: "none", order: 1 }}>
          {formatClock(change.receivedAt)}
        </Typography>
      </Box>
      <Typography
        variant="body2"
        component="p"
        noWrap
        sx={{ color: change.kind === "removed" ? "error.main" : "text.secondary" }}
      >
        {text}
        {first && (
          <>
            {first.what} {first.from} → <Strong>{first.to}</Strong>
          </>
        )}
        {others.length > 0 && (
          <span title={others.map(inWords).join("\n")}> · {others.length} more</span>
        )}
      </Typography>
    </Box>
  );
});

function Strong({ children }: { children: string }) {
  return (
    <Box component="span" sx={{ color: "text.primary", fontWeight: 600 }}>
      {children}
    </Box>
  );
}

function inWords({ what, from, to }: { what: string; from: string; to: string }): string {
  return `${what} ${from} → ${to}`;
}
