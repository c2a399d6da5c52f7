import { insightDigestKey } from "@contracts/digest.ts";
import {
  attributeKinds,
  entityTypes,
  insightKinds,
  requiredOfInsights,
  type AttributeKind,
} from "@contracts/zz_kinds.ts";
import type {
  EntityType,
  ErrorCode,
  Insight,
  Known,
  RemovalReason,
  Version,
} from "@contracts/zz_types.ts";
import { entityKey } from "./replica.ts";

/**
 * The frames with changes that are read here, as the server wants them named. Answers to what the
 * page asks need no name.
 */
export const contracts: readonly string[] = ["METRIC_UPDATE/1", "INSIGHT_CREATED/1"];

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

/** The public attributes of an insight; those that every insight has are there. */
export type InsightAttributes = Readonly<Insight>;

interface InsightUpdateBase {
  /** Names the insight, as in a digest: both parts of the key of its row. */
  readonly key: string;
  readonly version: Version;
  readonly writtenAt: string;
}

export type InsightUpdate =
  | (InsightUpdateBase & { readonly operation: "UPSERT"; readonly attributes: InsightAttributes })
  | (InsightUpdateBase & { readonly operation: "REMOVE"; readonly reason: Known<RemovalReason> });

/** Why a frame, or one update in it, was not applied. */
export type Rejection =
  | "not_text"
  | "not_json"
  | "not_a_frame"
  | "unknown_frame"
  | "unknown_version"
  | "unknown_update"
  | "malformed_update";

/** What a frame says of the connection itself. Updates that it carries stand beside it. */
export type Control =
  | {
      readonly type: "SNAPSHOT";
      readonly syncId: number;
      /** From 1 to `parts`. */
      readonly part: number;
      readonly parts: number;
      /** The slices of which the snapshot says everything; undefined: all. */
      readonly covers: readonly number[] | undefined;
      /** In its last part: of all that the views hold. */
      readonly digest: string | undefined;
      /** The key of all in it could be read: what it does not name is not in it. */
      readonly isWhole: boolean;
    }
  | { readonly type: "SYNCED"; readonly syncId: number }
  | { readonly type: "RESYNC" }
  /** `isRevoked`: because the permission of this connection has ended. */
  | { readonly type: "RECONNECT"; readonly withinMs: number; readonly isRevoked: boolean }
  | Refusal;

/** A command was refused. */
export interface Refusal {
  readonly type: "ERROR";
  readonly code: Known<ErrorCode>;
  /** Of the refused command, where the server could read it. */
  readonly syncId: number | undefined;
  /** Where in the command the fault is, and which rule it breaks. */
  readonly pointer: string | undefined;
  readonly rule: string | undefined;
  readonly retryAfterMs: number | undefined;
}

export interface FrameContent {
  readonly updates: readonly Update[];
  readonly insights: readonly InsightUpdate[];
  readonly control: Control | undefined;
  /** When the server made the frame, by its clock. Unix milliseconds. */
  readonly sentAt: number | undefined;
  /** One for each frame or update that was left out. */
  readonly rejections: readonly Rejection[];
  /** One for each update that was left out although it is of a known type: its key, if that could be read. */
  readonly unread: readonly (string | undefined)[];
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
  return readContent(frame);
}

/** Reads a message that is no text any more, in the same way. */
export function readContent(frame: unknown): FrameContent {
  if (!isRecord(frame) || typeof frame["type"] !== "string") return rejected("not_a_frame");
  const read = readers.get(frame["type"]);
  if (!read) return rejected("unknown_frame");
  if (frame["version"] !== 1) return rejected("unknown_version");
  const content = read(frame);
  return content
    ? { ...empty, sentAt: readTime(frame["timestamp"]), ...content }
    : rejected("not_a_frame");
}

const empty: FrameContent = {
  updates: [],
  insights: [],
  control: undefined,
  sentAt: undefined,
  rejections: [],
  unread: [],
};

function rejected(reason: Rejection): FrameContent {
  return { ...empty, rejections: [reason] };
}

type RawFrame = Readonly<Record<string, unknown>>;

type Reader = (frame: RawFrame) => Partial<FrameContent> | undefined;

/** Of each known frame, by type: what it holds, or nothing if it does not have the form that it must have. */
const readers: ReadonlyMap<string, Reader> = new Map(
  Object.entries<Reader>({
    METRIC_UPDATE: ({ data }) => {
      const { read: updates, ...rest } = readAll(data, readUpdate);
      return updates && { updates, ...rest };
    },
    INSIGHT_CREATED: ({ data }) => {
      const { read: insights, ...rest } = readAll(data, readInsight);
      return insights && { insights, ...rest };
    },
    SNAPSHOT: readSnapshot,
    SYNCED: ({ sync_id: syncId }) =>
      isOrdinal(syncId) ? { control: { type: "SYNCED", syncId } } : undefined,
    RESYNC: () => ({ control: { type: "RESYNC" } }),
    RECONNECT: ({ within_ms: withinMs, reason }) =>
      isCount(withinMs)
        ? { control: { type: "RECONNECT", withinMs, isRevoked: reason === "REVOKED" } }
        : undefined,
    ERROR: ({ code, sync_id, pointer, rule, retry_after_ms }) => {
      if (typeof code !== "string") return undefined;
      return {
        control: {
          type: "ERROR",
          code,
          syncId: only(isOrdinal, sync_id),
          pointer: only(isText, pointer),
          rule: only(isText, rule),
          retryAfterMs: only(isWait, retry_after_ms),
        },
      };
    },
  }),
);

function readSnapshot(frame: RawFrame): Partial<FrameContent> | undefined {
  const { sync_id: syncId, part, parts, covers, digest } = frame;
  const entities = readAll(frame["entities"], readUpdate);
  const insights = readAll(frame["insights"], readInsight);
  if (!isOrdinal(syncId) || !isOrdinal(part) || !isOrdinal(parts) || part > parts) return undefined;
  if (!entities.read || !insights.read) return undefined;
  if (covers !== undefined && !isListOf(covers, isCount)) return undefined;
  const unread = [...entities.unread, ...insights.unread];
  return {
    updates: entities.read,
    insights: insights.read,
    control: {
      type: "SNAPSHOT",
      syncId,
      part,
      parts,
      covers,
      digest: only(isText, digest),
      isWhole: isWhole(unread),
    },
    rejections: [...entities.rejections, ...insights.rejections],
    unread,
  };
}

/** What could not be read is named at least. */
export function isWhole(unread: FrameContent["unread"]): boolean {
  return !unread.includes(undefined);
}

/** Reads each item of a list, and leaves out what cannot be used; `read` is absent where there is no list. */
function readAll<T extends object>(
  list: unknown,
  readItem: (candidate: unknown) => T | Rejection,
): { read: T[] | undefined } & Pick<FrameContent, "rejections" | "unread"> {
  if (!Array.isArray(list)) return { read: undefined, rejections: [], unread: [] };
  const read: T[] = [];
  const rejections: Rejection[] = [];
  const unread: (string | undefined)[] = [];
  for (const candidate of list) {
    const item = readItem(candidate);
    if (typeof item !== "string") {
      read.push(item);
      continue;
    }
    rejections.push(item);
    const key = keyIn(candidate);
    if (key !== undefined || item === "malformed_update") unread.push(key);
  }
  return { read, rejections, unread };
}

/** The key of what an update of a known type is about, if that much of it can be read. */
function keyIn(candidate: unknown): string | undefined {
  if (!isRecord(candidate)) return undefined;
  const { entity_type: type, entity_id: id, insight_id: insight } = candidate;
  if (isName(type) && isEntityType(type) && isName(id)) return entityKey(type, id);
  if (!isRecord(insight)) return undefined;
  const { pk, sk } = insight;
  return isName(pk) && isName(sk) ? insightDigestKey(pk, sk) : undefined;
}

function readUpdate(candidate: unknown): Update | Rejection {
  if (!isRecord(candidate)) return "malformed_update";
  const { entity_type: type, entity_id: id } = candidate;
  if (typeof type !== "string") return "malformed_update";
  if (!isEntityType(type)) return "unknown_update";
  if (!isName(id)) return "malformed_update";
  const change = readChange(
    candidate,
    // No entity has an attribute of several texts.
    (attributes) => readKinds(attributeKinds[type], attributes) as Attributes | undefined,
  );
  return typeof change === "string" ? change : { type, id, ...change };
}

function readInsight(candidate: unknown): InsightUpdate | Rejection {
  const key = keyIn(candidate);
  if (key === undefined || !isRecord(candidate) || !candidate["insight_id"]) {
    return "malformed_update";
  }
  const change = readChange(candidate, readInsightAttributes);
  return typeof change === "string" ? change : { key, ...change };
}

type ChangeOf<A> = { readonly version: Version; readonly writtenAt: string } & (
  | { readonly operation: "UPSERT"; readonly attributes: A }
  | { readonly operation: "REMOVE"; readonly reason: Known<RemovalReason> }
);

/** What updates of entities and of insights have in common. */
function readChange<A>(
  candidate: Record<string, unknown>,
  read: (attributes: unknown) => A | undefined,
): ChangeOf<A> | Rejection {
  const { operation, written_at: writtenAt } = candidate;
  const version = readVersion(candidate["version"]);
  if (typeof operation !== "string" || typeof writtenAt !== "string" || !version) {
    return "malformed_update";
  }
  const base = { version, writtenAt };
  switch (operation) {
    case "UPSERT": {
      const attributes = read(candidate["attributes"]);
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

/** The attributes of an insight that the contract names, or nothing if it is no insight. */
function readInsightAttributes(candidate: unknown): InsightAttributes | undefined {
  const read = readKinds(insightKinds, candidate);
  const isWhole =
    read !== undefined &&
    requiredOfInsights.every((name) => name in read) &&
    readTime(read["timestamp"]) !== undefined;
  return isWhole ? (read as unknown as InsightAttributes) : undefined;
}

/** The attributes that the contract names, or nothing if one of them is of the wrong kind. */
function readKinds(
  kinds: Readonly<Record<string, AttributeKind>>,
  candidate: unknown,
): Record<string, unknown> | undefined {
  if (!isRecord(candidate)) return undefined;
  const read: Record<string, unknown> = {};
  for (const [name, kind] of Object.entries(kinds)) {
    const value = candidate[name];
    if (value === undefined) continue;
    if (!isOfKind(kind, value)) return undefined;
    read[name] = value;
  }
  return read;
}

function isOfKind(kind: AttributeKind, value: unknown): boolean {
  if (kind === "texts") return isListOf(value, isText);
  return typeof value === (kind === "integer" || kind === "number" ? "number" : "string");
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isEntityType(type: string): type is EntityType {
  return (entityTypes as readonly string[]).includes(type);
}

function readVersion(candidate: unknown): Version | undefined {
  if (!isRecord(candidate)) return undefined;
  const { epoch, revision } = candidate;
  return isCount(epoch) && isCount(revision) ? { epoch, revision } : undefined;
}

/** The value, if it is of that form. */
function only<T>(isOne: (value: unknown) => value is T, value: unknown): T | undefined {
  return isOne(value) ? value : undefined;
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}

function isName(value: unknown): value is string {
  return isText(value) && value !== "";
}

function isListOf<T>(value: unknown, isItem: (item: unknown) => item is T): value is T[] {
  return Array.isArray(value) && value.every(isItem);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** The contract allows the server to ask for an hour; see contracts/schemas/defs/retry-after.json. */
const longestWait = 3_600_000;

/** Milliseconds to wait for as the server has asked. */
export function isWait(value: unknown): value is number {
  return typeof value === "number" && value >= 0 && value <= longestWait;
}

function isOrdinal(value: unknown): value is number {
  return isCount(value) && value > 0;
}

/** An instant in unix milliseconds. */
function readTime(instant: unknown): number | undefined {
  const time = typeof instant === "string" ? Date.parse(instant) : NaN;
  return Number.isNaN(time) ? undefined : time;
}
