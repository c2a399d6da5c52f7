import Box from "@mui/material/Box";
import Tooltip from "@mui/material/Tooltip";
import Typography from "@mui/material/Typography";
import { useId, type ReactNode } from "react";
import { useMetrics } from "../../api/live.ts";
import { formatCount, formatScore, none } from "../../ui/format.ts";
import { Panel } from "../../ui/panel.tsx";
import { toneOfHealth } from "../../ui/tone.ts";
import { ToneBar } from "../../ui/tone-bar.tsx";
import { summarise, type Summary } from "./summarise.ts";

export interface SummaryCardsProps {
  /** All entities were here at least once. */
  readonly isComplete: boolean;
  /** Says how current they are. */
  readonly freshness: ReactNode;
}

/** The figures of all students. */
export function SummaryCards({ isComplete, freshness }: SummaryCardsProps) {
  const summary = useMetrics(summarise);
  const { students, averageHealth, atRisk, churned, sessions30d } = summary;
  const isEmpty = students === 0;
  const share = isEmpty ? 0 : atRisk / students;
  return (
    <Box component="section" aria-labelledby="summary-title">
      <Typography id="summary-title" variant="h2" sx={visuallyHidden}>
        Students at a glance
      </Typography>
      <Box
        sx={{
          display: "grid",
          gap: { xs: 1.25, sm: 2 },
          gridTemplateColumns: { xs: "repeat(2, minmax(0, 1fr))", md: "repeat(4, minmax(0, 1fr))" },
        }}
      >
        <Card
          label="Students"
          definition="Students in the marketplace, whatever their segment."
          value={isEmpty ? none : formatCount(students)}
          note={isEmpty ? "none yet" : "in all segments"}
        />
        <Card
          label="Average health"
          definition="Mean health score, 0 to 100, of the students whose score is known. Below 70 deserves a look, below 50 is critical."
          value={averageHealth === undefined ? none : formatScore(averageHealth)}
          note={
            averageHealth === undefined ? (
              "of 100"
            ) : (
              <ToneBar share={averageHealth / 100} tone={toneOfHealth(averageHealth)} />
            )
          }
        />
        <Card
          label="At risk"
          definition="Students in the segment “at risk”. Churned students are lost already and are counted beside it."
          value={isEmpty ? none : formatCount(atRisk)}
          note={
            isEmpty ? "students" : `${formatCount(share * 100)}% · ${formatCount(churned)} churned`
          }
        />
        <Card
          label="Sessions (30 days)"
          definition="Sum of the sessions of all students over the last 30 days. Tutors and subjects are left out, so no session counts twice."
          value={isEmpty ? none : formatCount(sessions30d)}
          note={isEmpty ? "students" : `${formatScore(sessions30d / students)} a student`}
        />
      </Box>
      <Box
        sx={{
          display: "flex",
          justifyContent: "space-between",
          gap: 1.5,
          mt: 1,
          px: 0.25,
          minHeight: { xs: 36, sm: 18 },
          textAlign: "right",
        }}
      >
        <Coverage summary={summary} isComplete={isComplete} />
        {freshness}
      </Box>
    </Box>
  );
}

interface CardProps {
  readonly label: string;
  readonly definition: string;
  readonly value: string;
  readonly note: ReactNode;
}

function Card({ label, definition, value, note }: CardProps) {
  const id = useId();
  return (
    <Tooltip title={definition} describeChild>
      <Panel
        role="group"
        aria-labelledby={id}
        tabIndex={0}
        sx={{ px: { xs: 1.75, sm: 2.25 }, py: { xs: 1.5, sm: 1.75 } }}
      >
        <Typography
          id={id}
          variant="body2"
          noWrap
          sx={{ color: "text.secondary", fontWeight: 500 }}
        >
          {label}
        </Typography>
        <Typography
          component="p"
          sx={{
            my: 0.25,
            fontSize: { xs: "1.625rem", sm: "2rem" },
            fontWeight: 600,
            lineHeight: 1.2,
            letterSpacing: "-0.025em",
            color: value === none ? "text.secondary" : "text.primary",
          }}
        >
          {value}
        </Typography>
        <Box
          sx={{
            display: "flex",
            alignItems: "center",
            height: 18,
            color: "text.secondary",
            fontSize: "0.75rem",
            whiteSpace: "nowrap",
          }}
        >
          {note}
        </Box>
      </Panel>
    </Tooltip>
  );
}

function Coverage({ summary, isComplete }: { summary: Summary; isComplete: boolean }) {
  const { entities } = summary;
  const counted = `${formatCount(entities)} ${entities === 1 ? "entity" : "entities"}`;
  const soFar = entities === 0 ? "Nothing has come yet." : `Computed from ${counted} so far.`;
  return (
    <Typography variant="caption" component="p" sx={{ color: "text.secondary", textAlign: "left" }}>
      {isComplete ? `Computed from the whole table: ${counted}.` : soFar}
    </Typography>
  );
}

const visuallyHidden = {
  position: "absolute",
  width: "1px",
  height: "1px",
  overflow: "hidden",
  clipPath: "inset(50%)",
  whiteSpace: "nowrap",
} as const;
