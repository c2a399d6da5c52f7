import type { EntityType, Version } from "@contracts/zz_types.ts";
import type {
  Attributes,
  InsightAttributes,
  InsightUpdate,
  Remove,
  Upsert,
} from "../live/read-frame.ts";

const writtenAt = "2026-11-22T10:00:00.000Z";

export function version(revision: number, epoch = 1): Version {
  return { epoch, revision };
}

export function upsert(
  id: string,
  revision: number,
  attributes: Attributes = {},
  type: EntityType = "student",
): Upsert {
  return { operation: "UPSERT", type, id, version: version(revision), writtenAt, attributes };
}

export function remove(id: string, revision: number, type: EntityType = "student"): Remove {
  return {
    operation: "REMOVE",
    type,
    id,
    version: version(revision),
    writtenAt,
    reason: "DELETED",
  };
}

/** A frame as the server sends it. */
export function frame(...updates: readonly (Upsert | Remove)[]): string {
  return JSON.stringify({
    type: "METRIC_UPDATE",
    version: 1,
    timestamp: writtenAt,
    data: updates.map(({ type, id, writtenAt: written_at, ...rest }) => ({
      entity_type: type,
      entity_id: id,
      written_at,
      ...rest,
    })),
  });
}

/** An insight about a student, found in that second after ten. */
export function finding(
  student: string,
  revision: number,
  attributes: Partial<InsightAttributes> = {},
  second = 0,
): InsightUpdate & { operation: "UPSERT" } {
  const timestamp = new Date(Date.parse(writtenAt) + second * 1000).toISOString();
  return {
    operation: "UPSERT",
    key: `insight#${student}/${timestamp}`,
    version: version(revision),
    writtenAt,
    attributes: {
      entity_id: student,
      entity_type: "student",
      prediction_type: "low_health_score",
      risk_score: 84,
      risk_band: "critical",
      explanation: `Health of ${student} is low.`,
      recommendations: ["Call today"],
      timestamp,
      ...attributes,
    },
  };
}

/** The same insight is gone. */
export function lost(student: string, revision: number, second = 0): InsightUpdate {
  const { key } = finding(student, revision, {}, second);
  return {
    operation: "REMOVE",
    key,
    version: version(revision),
    writtenAt,
    reason: "EXPIRED",
  };
}

/** A frame of insights as the server sends it. */
export function insightFrame(...updates: readonly InsightUpdate[]): string {
  return JSON.stringify({
    type: "INSIGHT_CREATED",
    version: 1,
    timestamp: writtenAt,
    data: updates.map(({ key, writtenAt: written_at, ...rest }) => {
      const [pk, sk] = key.split("/");
      return { insight_id: { pk, sk }, written_at, ...rest };
    }),
  });
}
