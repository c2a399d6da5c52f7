import type { EntityType, Version } from "@contracts/zz_types.ts";
import type { Attributes, Remove, Upsert } from "../live/read-frame.ts";

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
