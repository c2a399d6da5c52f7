import type { Replica } from "../../live/replica.ts";

export interface Summary {
  readonly students: number;
  /** Over the students whose health is known; undefined where none is. */
  readonly averageHealth: number | undefined;
  /** Students whose segment is `at_risk`. */
  readonly atRisk: number;
  /** Students whose segment is `churned`: lost, so no longer at risk. */
  readonly churned: number;
  /** Over the students: a session with a tutor, in a subject, is counted once. */
  readonly sessions30d: number;
  /** Entities of any type. */
  readonly entities: number;
}

export function summarise({ entities }: Replica): Summary {
  let students = 0;
  let scored = 0;
  let health = 0;
  let atRisk = 0;
  let churned = 0;
  let sessions30d = 0;
  for (const { type, attributes } of entities.values()) {
    if (type !== "student") continue;
    students += 1;
    const score = attributes["health_score"];
    if (typeof score === "number") {
      scored += 1;
      health += score;
    }
    if (attributes["segment"] === "at_risk") atRisk += 1;
    if (attributes["segment"] === "churned") churned += 1;
    const sessions = attributes["sessions_30d"];
    if (typeof sessions === "number") sessions30d += sessions;
  }
  return {
    students,
    averageHealth: scored > 0 ? health / scored : undefined,
    atRisk,
    churned,
    sessions30d,
    entities: entities.size,
  };
}
