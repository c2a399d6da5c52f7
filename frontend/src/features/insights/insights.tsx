import Box from "@mui/material/Box";
import ToggleButton from "@mui/material/ToggleButton";
import ToggleButtonGroup from "@mui/material/ToggleButtonGroup";
import Tooltip from "@mui/material/Tooltip";
import Typography from "@mui/material/Typography";
import { insightAttributes } from "@contracts/zz_attributes.ts";
import { memo, useState, type ReactNode } from "react";
import { useInsights, useTime } from "../../api/live.ts";
import type { Finding } from "../../live/findings.ts";
import { formatAgo, formatChoice, formatInstant, formatScore } from "../../ui/format.ts";
import { Panel } from "../../ui/panel.tsx";
import { bandOf, bands, countBands, paletteOf, titleOf, type Band } from "./bands.ts";
import { CriticalNotice } from "./critical-notice.tsx";

/** So many are in the page at a time; the others are counted. */
const shownLimit = 60;

export interface InsightsProps {
  /** All of them were here at least once. */
  readonly isComplete: boolean;
  /** Says how current they are. */
  readonly freshness: ReactNode;
}

/** What was found about entities in the last day, the newest first. */
export function Insights({ isComplete, freshness }: InsightsProps) {
  const findings = useInsights();
  const [band, setBand] = useState<Band | null>(null);
  const chosen = band ? findings.filter((finding) => bandOf(finding) === band) : findings;
  const shown = chosen.slice(0, shownLimit);
  return (
    <Panel
      component="section"
      aria-labelledby="insights-title"
      sx={{ display: "flex", flexDirection: "column", minHeight: 0 }}
    >
      <Box
        sx={{
          flex: "none",
          display: "flex",
          flexWrap: "wrap",
          alignItems: "center",
          justifyContent: "space-between",
          columnGap: 0.5,
          minHeight: 48,
          px: 2.25,
          py: 0.75,
          borderBottom: 1,
          borderColor: "divider",
        }}
      >
        <div>
          <Typography id="insights-title" variant="h2">
            Insights
          </Typography>
          {freshness}
        </div>
        <BandFilter counts={countBands(findings)} band={band} onChange={setBand} />
      </Box>
      <Box
        sx={{ flex: "1 1 0", minHeight: 200, overflow: "auto", scrollbarWidth: "thin" }}
        tabIndex={0}
        role="group"
        aria-labelledby="insights-title"
      >
        {shown.length === 0 ? (
          <Typography variant="body2" sx={{ p: 2.25, color: "text.secondary" }}>
            {band && findings.length > 0
              ? `None of these is ${band}.`
              : isComplete
                ? "None in the last day."
                : "None has come yet."}
          </Typography>
        ) : (
          <Box component="ol" sx={{ listStyle: "none", m: 0, p: 0 }}>
            {shown.map((finding) => (
              <FindingItem key={finding.key} finding={finding} />
            ))}
          </Box>
        )}
        {chosen.length > shown.length && (
          <Typography variant="caption" component="p" sx={{ p: 1.5, color: "text.secondary" }}>
            {chosen.length - shown.length} older ones are not listed.
          </Typography>
        )}
      </Box>
      <CriticalNotice findings={findings} />
    </Panel>
  );
}

interface BandFilterProps {
  readonly counts: Readonly<Record<Band, number>>;
  readonly band: Band | null;
  readonly onChange: (band: Band | null) => void;
}

function BandFilter({ counts, band, onChange }: BandFilterProps) {
  return (
    <ToggleButtonGroup
      exclusive
      size="small"
      value={band}
      aria-label="Show only one band of risk"
      onChange={(_, chosen: Band | null) => {
        onChange(chosen);
      }}
    >
      {bands.map((each) => (
        <ToggleButton
          key={each}
          value={each}
          aria-label={`${each}, ${counts[each]}`}
          title={`Only ${each}`}
          sx={{
            px: 0.75,
            py: 0.25,
            gap: 0.5,
            minWidth: 44,
            textTransform: "none",
            fontWeight: 600,
          }}
        >
          <Dot band={each} />
          {counts[each]}
        </ToggleButton>
      ))}
    </ToggleButtonGroup>
  );
}

function Dot({ band }: { band: Band }) {
  return (
    <Box
      component="span"
      aria-hidden
      sx={{
        flex: "none",
        width: 8,
        height: 8,
        borderRadius: "50%",
        bgcolor: `${paletteOf[band]}.main`,
      }}
    />
  );
}

const FindingItem = memo(function FindingItem({ finding }: { finding: Finding }) {
  const { attributes } = finding;
  const band = bandOf(finding);
  const [first, ...others] = attributes.recommendations ?? [];
  return (
    <Box
      component="li"
      sx={{
        px: 2.25,
        py: 1.25,
        borderBottom: "1px solid color-mix(in srgb, var(--mui-palette-divider) 65%, transparent)",
        boxShadow: `inset 3px 0 0 var(--mui-palette-${paletteOf[band]}-main)`,
      }}
    >
      <Box sx={{ display: "flex", alignItems: "baseline", gap: 1 }}>
        <Typography variant="body2" noWrap sx={{ flex: 1, minWidth: 0, fontWeight: 600 }}>
          {titleOf(finding)}
        </Typography>
        <Age finding={finding} />
      </Box>
      <Box sx={{ display: "flex", alignItems: "baseline", gap: 1 }}>
        <Typography variant="body2" noWrap sx={{ flex: 1, minWidth: 0 }}>
          {attributes.entity_id}
          {attributes.entity_type && (
            <Box component="span" sx={{ color: "text.secondary" }}>
              {" "}
              · {attributes.entity_type}
            </Box>
          )}
        </Typography>
        <Tooltip title={`${insightAttributes.risk_score.meaning}.`}>
          <Typography
            variant="caption"
            sx={{ flex: "none", fontWeight: 600, color: `${paletteOf[band]}.main` }}
          >
            {formatChoice(attributes.risk_band)} {formatScore(attributes.risk_score)}
          </Typography>
        </Tooltip>
      </Box>
      {attributes.explanation && (
        <Typography variant="body2" sx={{ color: "text.secondary", textWrap: "pretty" }}>
          {attributes.explanation}
        </Typography>
      )}
      {first && (
        <Typography variant="body2" sx={{ textWrap: "pretty" }}>
          → {first}
          {others.length > 0 && (
            <Box component="span" title={others.join("\n")} sx={{ color: "text.secondary" }}>
              {" "}
              · {others.length} more
            </Box>
          )}
        </Typography>
      )}
    </Box>
  );
});

/** It alone renders again as time goes by. */
function Age({ finding: { foundAt, attributes } }: { finding: Finding }) {
  const now = useTime();
  const by = attributes.model_used ? ` by ${attributes.model_used}` : "";
  return (
    <Typography
      variant="caption"
      title={`Found ${formatInstant(attributes.timestamp)}${by}`}
      sx={{ flex: "none", color: "text.secondary" }}
    >
      {formatAgo(Math.max(0, now - foundAt))}
    </Typography>
  );
}
