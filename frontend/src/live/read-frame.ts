import { attributes as catalogue, entityTypes } from "@contracts/zz_attributes.ts";
import type { Attribute } from "@contracts/zz_attributes.ts";
import type { EntityType, Known, RemovalReason, Version } from "@contracts/zz_types.ts";

export type AttributeValue = string | number;

/** The public attributes of an entity, by their name on the wire. */
export type Attributes = Readonly<Record<string, AttributeValue>>;

interface UpdateBase {
  readonly type: EntityType;
  readonly id: string;
  readonly version: Version;
  /** When the row was written. It is shown and orders nothing. */
  readonly writtenAt: string;
}

export interface Upsert extends UpdateBase {
  readonly operation: "UPSERT";
  /** The whole public state: what it does not name, the entity does not have. */
  readonly attributes: Attributes;
}

export interface Remove extends UpdateBase {
  readonly operation: "REMOVE";
  readonly reason: Known<RemovalReason>;
}

export type Update = Upsert | Remove;

/** Why a frame, or one update in it, was not applied. */
export type Rejection =
  | "not_text"
  | "not_json"
  | "not_a_frame"
  | "unknown_frame"
  | "unknown_version"
  | "unknown_update"
  | "malformed_update";

export interface FrameContent {
  readonly updates: readonly Update[];
  /** One for each frame or update that was left out. */
  readonly rejections: readonly Rejection[];
}

/**
 * Reads one message from the server. It never throws: what cannot be used is named in `rejections`,
 * and a bad update does not take the good ones beside it along. Fields, frames, operations and
 * entity types that this program does not know are left out, so that a newer server can be read.
 */
export function readFrame(data: unknown): FrameContent {
  if (typeof data !== "string") return rejected("not_text");
  let frame: unknown;
  try {
    frame = JSON.parse(data);
  } catch {
    return rejected("not_json");
  }
  if (!isRecord(frame) || typeof frame["type"] !== "string") return rejected("not_a_frame");
  if (frame["type"] !== "METRIC_UPDATE") return rejected("unknown_frame");
  if (frame["version"] !== 1) return rejected("unknown_version");
  if (!Array.isArray(frame["data"])) return rejected("not_a_frame");

  const updates: Update[] = [];
  const rejections: Rejection[] = [];
  for (const candidate of frame["data"]) {
    const update = readUpdate(candidate);
    if (typeof update === "string") rejections.push(update);
    else updates.push(update);
  }
  return { updates, rejections };
}

function rejected(reason: Rejection): FrameContent {
  return { updates: [], rejections: [reason] };
}

function readUpdate(candidate: unknown): Update | Rejection {
  if (!isRecord(candidate)) return "malformed_update";
  const { entity_type: type, entity_id: id, operation, version, written_at: writtenAt } = candidate;
  if (typeof type !== "string" || typeof operation !== "string") return "malformed_update";
  if (!isEntityType(type)) return "unknown_update";
  if (typeof id !== "string" || id === "" || typeof writtenAt !== "string") {
    return "malformed_update";
  }
  if (!isVersion(version)) return "malformed_update";
  const base = { type, id, version, writtenAt };

  switch (operation) {
    case "UPSERT": {
      const attributes = readAttributes(type, candidate["attributes"]);
      return attributes ? { ...base, operation, attributes } : "malformed_update";
    }
    case "REMOVE": {
      const reason = candidate["reason"];
      return typeof reason === "string" ? { ...base, operation, reason } : "malformed_update";
    }
    default:
      return "unknown_update";
  }
}

/** The attributes that the contract names, or nothing if one of them is of the wrong kind. */
function readAttributes(type: EntityType, candidate: unknown): Attributes | undefined {
  if (!isRecord(candidate)) return undefined;
  const attributes: Record<string, AttributeValue> = {};
  for (const { name, kind } of Object.values<Attribute>(catalogue[type])) {
    const value = candidate[name];
    if (value === undefined) continue;
    const wanted = kind === "integer" || kind === "number" ? "number" : "string";
    if (!isValue(value) || typeof value !== wanted) return undefined;
    attributes[name] = value;
  }
  return attributes;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isValue(value: unknown): value is AttributeValue {
  return typeof value === "number" || typeof value === "string";
}

function isEntityType(type: string): type is EntityType {
  return (entityTypes as readonly string[]).includes(type);
}

function isVersion(value: unknown): value is Version & Record<string, unknown> {
  return isRecord(value) && isCount(value["epoch"]) && isCount(value["revision"]);
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
