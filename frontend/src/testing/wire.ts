import { digest, entityDigestKey, insightDigestKey } from "@contracts/digest.ts";
import type { EntityType, Version } from "@contracts/zz_types.ts";
import type { Batch } from "../live/merge.ts";
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

/** Updates that are no answer to anything, as those of the first message. */
export function batch<U>(...updates: readonly U[]): Batch<U>[] {
  return [{ updates, origin: { message: 1, asked: undefined } }];
}

/** A frame as the server sends it. */
export function frame(...updates: readonly (Upsert | Remove)[]): string {
  return encode("METRIC_UPDATE", { data: updates.map(wireUpdate) });
}

/** The answer to a sync whose digest was right. */
export function synced(syncId: number): string {
  return encode("SYNCED", { sync_id: syncId });
}

export interface SnapshotPart {
  readonly part?: number;
  readonly parts?: number;
  readonly entities?: readonly (Upsert | Remove)[];
  readonly insights?: readonly InsightUpdate[];
  readonly covers?: readonly number[];
  /** In the last part; unless told otherwise, of what a snapshot of one part names. */
  readonly sum?: string;
}

const unknownSum = "0".repeat(32);

function digestOf(
  entities: readonly (Upsert | Remove)[],
  insights: readonly InsightUpdate[],
): string {
  return digest([
    ...entities.map(({ type, id, version: held }) => ({
      key: entityDigestKey(type, id),
      version: held,
    })),
    ...insights.map(({ key, version: held }) => ({ key, version: held })),
  ]);
}

/** A part of the answer to a sync; unless told otherwise, the only one. */
export function snapshot(
  syncId: number,
  { part = 1, parts = 1, entities = [], insights = [], covers, sum }: SnapshotPart = {},
): string {
  return encode("SNAPSHOT", {
    sync_id: syncId,
    part,
    parts,
    entities: entities.map(wireUpdate),
    insights: insights.map(wireInsight),
    ...(covers && { covers }),
    ...(part === parts && {
      digest: sum ?? (parts === 1 ? digestOf(entities, insights) : unknownSum),
    }),
  });
}

/** A page of the HTTP API: of entities, or of insights. */
export function pageOf(
  updates: readonly (Upsert | Remove | InsightUpdate)[],
  next?: string,
  timestamp = writtenAt,
): object {
  const data = updates.map((update) =>
    "type" in update ? wireUpdate(update) : wireInsight(update),
  );
  return { version: 1, timestamp, data, ...(next !== undefined && { next }) };
}

/** Any frame as the server sends it. */
export function encode(type: string, content: object = {}, timestamp = writtenAt): string {
  return JSON.stringify({ type, version: 1, timestamp, ...content });
}

function wireUpdate({ type, id, writtenAt: written_at, ...rest }: Upsert | Remove): object {
  return { entity_type: type, entity_id: id, written_at, ...rest };
}

function wireInsight({ key, writtenAt: written_at, ...rest }: InsightUpdate): object {
  const [pk, sk] = key.replace(/^insight\//, "").split("\t");
  return { insight_id: { pk, sk }, written_at, ...rest };
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
    key: insightDigestKey(`insight#${student}`, timestamp),
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
  return encode("INSIGHT_CREATED", { data: updates.map(wireInsight) });
}
