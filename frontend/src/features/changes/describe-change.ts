import type { Change, Difference } from "../../live/replica.ts";
import { formatAttribute } from "../../ui/format.ts";

/** What an attribute is called in a sentence. */
const words: Readonly<Record<string, string>> = {
  health_score: "health",
  churn_risk_14d: "churn risk",
  segment: "segment",
  avg_rating: "rating",
  sessions_7d: "sessions 7 d",
  sessions_14d: "sessions 14 d",
  sessions_30d: "sessions 30 d",
  ib_calls_7d: "calls 7 d",
  ib_calls_14d: "calls 14 d",
  balance_status: "balance",
  demand_score: "demand",
  supply_score: "supply",
  available_tutors: "tutors",
  active_students: "students",
};
/** What people look for first. */
const weight = new Map(Object.keys(words).map((name, index) => [name, index]));

/** One attribute's step from one value to another. */
export interface Step {
  readonly name: string;
  readonly what: string;
  readonly from: string;
  readonly to: string;
}

export interface Description {
  /** What happened, where no step tells it. */
  readonly text: string | undefined;
  /** The weightiest steps first. */
  readonly steps: readonly Step[];
}

export function describeChange({ kind, differences }: Change): Description {
  if (kind === "removed") return { text: "removed", steps: [] };
  if (kind === "appeared") return { text: "first seen", steps: [] };
  if (differences.length === 0) return { text: "written, nothing else changed", steps: [] };
  const rank = ({ name }: Difference) => weight.get(name) ?? weight.size;
  const steps = differences
    .toSorted((a, b) => rank(a) - rank(b))
    .map(({ name, from, to }) => ({
      name,
      what: words[name] ?? name.replaceAll("_", " "),
      from: formatAttribute(name, from),
      to: formatAttribute(name, to),
    }))
    // Two values that read the same would be a riddle.
    .filter(({ from, to }) => from !== to);
  return { text: steps.length === 0 ? "changed by less than is shown" : undefined, steps };
}
