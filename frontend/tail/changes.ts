import type { Entity, Finding, Findings, Replica, Version, ViewV1 } from "#live";
import { matches } from "#live-select";

/** What is there, of what is watched. */
export interface Holdings {
  readonly entities: ReadonlyMap<string, Entity>;
  readonly findings: ReadonlyMap<string, Finding>;
}

/**
 * - `held`: it was there when we came.
 * - `appeared`: it was not among what is watched before.
 * - `changed`: it has another version.
 * - `removed`: it was deleted, has expired, or is not like what is watched any more.
 */
export type Kind = "held" | "appeared" | "changed" | "removed";

export type Value = string | number | readonly string[];
export type Values = Readonly<Record<string, Value | undefined>>;

/** What has become of an entity or insight. */
export interface Change {
  readonly kind: Kind;
  /** An entity type, or `insight`. */
  readonly type: string;
  /** Of the entity; of an insight, of the one that it is about. */
  readonly id: string;
  /** Undefined: nobody said. */
  readonly version: Version | undefined;
  /** Before and now: nothing before `held` and `appeared`, nothing now after `removed`. */
  readonly before: Values;
  readonly now: Values;
  /** When it was written; an insight: when it was found. ISO 8601; undefined of what was removed. */
  readonly at: string | undefined;
}

export const nothing: Holdings = { entities: new Map(), findings: new Map() };

/** Picks what matches a view: the client may hold more for a moment. */
export function holdingsOf(
  views: readonly ViewV1[],
  { entities }: Replica,
  { latest }: Findings,
): Holdings {
  return {
    entities: new Map(
      [...entities].filter(([, { type, attributes }]) => matches(views, type, attributes).matched),
    ),
    findings: new Map(
      latest
        .filter(({ attributes }) => matches(views, "insight", attributes).matched)
        .map((finding) => [finding.key, finding]),
    ),
  };
}

/** Of what is gone, the version at which it went. */
export type Removed = ReadonlyMap<string, { readonly version: Version }>;

/** What has changed between two times: those that are there, by type and id, and then what is gone. */
export function compareHoldings(before: Holdings, after: Holdings, removed: Removed): Change[] {
  return [
    ...compare(before.entities, after.entities, ofEntity, removed),
    ...compare(before.findings, after.findings, ofFinding, removed),
  ];
}

/** What is there, as a list of changes from nothing. */
export function listHoldings(holdings: Holdings): Change[] {
  return compareHoldings(nothing, holdings, new Map()).map((change) => ({
    ...change,
    kind: "held",
  }));
}

interface Facts {
  readonly type: string;
  readonly id: string;
  readonly version: Version;
  readonly values: Values;
  readonly at: string;
}

function ofEntity({ type, id, version, attributes, writtenAt }: Entity): Facts {
  return { type, id, version, values: attributes, at: writtenAt };
}

function ofFinding({ version, attributes }: Finding): Facts {
  const { timestamp, entity_id } = attributes;
  return { type: "insight", id: entity_id, version, values: { ...attributes }, at: timestamp };
}

function compare<T extends { readonly version: Version }>(
  before: ReadonlyMap<string, T>,
  after: ReadonlyMap<string, T>,
  factsOf: (item: T) => Facts,
  removed: Removed,
): Change[] {
  const changes: Change[] = [];
  for (const [key, item] of after) {
    const known = before.get(key);
    // Of the same version only more attributes may have come.
    if (known && isSame(known.version, item.version)) continue;
    const { values: now, ...facts } = factsOf(item);
    changes.push({
      ...facts,
      kind: known ? "changed" : "appeared",
      before: known ? factsOf(known).values : {},
      now,
    });
  }
  for (const [key, item] of before) {
    if (after.has(key)) continue;
    const { type, id, values } = factsOf(item);
    const version = removed.get(key)?.version;
    changes.push({ kind: "removed", type, id, version, before: values, now: {}, at: undefined });
  }
  return changes;
}

function isSame(a: Version, b: Version): boolean {
  return a.epoch === b.epoch && a.revision === b.revision;
}
