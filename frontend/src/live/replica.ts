import { entityTypes } from "@contracts/zz_attributes.ts";
import type { EntityType, Version } from "@contracts/zz_types.ts";
import { compareVersions } from "@contracts/version.ts";
import type { Attributes, AttributeValue, Rejection, Update, Upsert } from "./read-frame.ts";
import { TombstoneDraft, type Tombstones } from "./tombstones.ts";

/** Names an entity among all those of the tenant: its type, a slash, its id. */
export type EntityKey = string;

export interface Entity {
  readonly key: EntityKey;
  readonly type: EntityType;
  readonly id: string;
  readonly version: Version;
  readonly attributes: Attributes;
  readonly writtenAt: string;
  /** For each attribute that changed while we watched: the number of its latest change. */
  readonly changedIn: Readonly<Record<string, number>>;
}

export interface Difference {
  readonly name: string;
  readonly from: AttributeValue | undefined;
  readonly to: AttributeValue | undefined;
}

/** One applied update, for people to read. */
export interface Change {
  /** Counts the applied updates from 1. */
  readonly number: number;
  readonly key: EntityKey;
  readonly type: EntityType;
  readonly id: string;
  /** Unix milliseconds, by this machine's clock. */
  readonly receivedAt: number;
  /** `appeared`: we had not seen this entity before; that does not make it a new one. */
  readonly kind: "appeared" | "changed" | "removed";
  /** Of a `changed` entity, in the order of the contract; the writer's own clock is not among them. */
  readonly differences: readonly Difference[];
}

export interface Counters {
  /** Updates that changed what is shown. */
  readonly applied: number;
  /** Updates that were no newer than what we held. */
  readonly superseded: number;
  /** Frames and updates that could not be used, by reason. */
  readonly rejected: Readonly<Partial<Record<Rejection, number>>>;
}

/**
 * What this page knows of the tenant's entities. It is a value: applying an update makes a new one,
 * which shares with the old whatever did not change.
 */
export interface Replica {
  readonly entities: ReadonlyMap<EntityKey, Entity>;
  /** The keys of `entities` by type and id. A new array only when an entity appears or goes. */
  readonly order: readonly EntityKey[];
  /** Of removed entities, so that a late update does not bring one back. Oldest first. */
  readonly tombstones: Tombstones;
  /** The latest changes, newest first. */
  readonly recent: readonly Change[];
  readonly counters: Counters;
  /** When the first and the latest update were applied. Unix milliseconds, by this machine's clock. */
  readonly firstAppliedAt: number | undefined;
  readonly lastAppliedAt: number | undefined;
}

export const emptyReplica: Replica = {
  entities: new Map(),
  order: [],
  tombstones: new Map(),
  recent: [],
  counters: { applied: 0, superseded: 0, rejected: {} },
  firstAppliedAt: undefined,
  lastAppliedAt: undefined,
};

const recentLimit = 12;

export function entityKey(type: EntityType, id: string): EntityKey {
  return `${type}/${id}`;
}

/**
 * Applies updates. For each entity the highest version wins, whatever order they come in and however
 * often; one that is not higher than the version held, or buried, is counted and changes nothing
 * else. `now` is in unix milliseconds.
 */
export function applyUpdates(
  replica: Replica,
  updates: readonly Update[],
  rejections: readonly Rejection[],
  now: number,
): Replica {
  const draft = new Draft(replica, now);
  for (const update of updates) draft.apply(update);
  return draft.finish(rejections);
}

/** Copies each part of a replica when it first has to write to it. */
class Draft {
  readonly #base: Replica;
  readonly #now: number;
  readonly #tombstones: TombstoneDraft;
  #entities: Map<EntityKey, Entity> | undefined;
  #changes: Change[] = [];
  #superseded = 0;
  #reorder = false;

  constructor(base: Replica, now: number) {
    this.#base = base;
    this.#now = now;
    this.#tombstones = new TombstoneDraft(base.tombstones, now);
  }

  apply(update: Update): void {
    const key = entityKey(update.type, update.id);
    const entities = this.#entities ?? this.#base.entities;
    const held = entities.get(key);
    const heldVersion = held?.version ?? this.#tombstones.version(key);
    if (heldVersion && compareVersions(update.version, heldVersion) <= 0) {
      this.#superseded += 1;
      return;
    }
    if (update.operation === "REMOVE") this.#remove(key, update, held);
    else this.#upsert(key, update, held);
  }

  #upsert(key: EntityKey, update: Upsert, held: Entity | undefined): void {
    const differences = held ? compareAttributes(held.attributes, update.attributes) : [];
    const number = this.#record(key, update, held ? "changed" : "appeared", differences);
    const changedIn: Record<string, number> = { ...held?.changedIn };
    for (const { name } of differences) changedIn[name] = number;

    this.#entities ??= new Map(this.#base.entities);
    this.#entities.set(key, {
      key,
      type: update.type,
      id: update.id,
      version: update.version,
      attributes: update.attributes,
      writtenAt: update.writtenAt,
      changedIn,
    });
    if (held) return;
    this.#reorder = true;
    this.#tombstones.unearth(key);
  }

  #remove(key: EntityKey, update: Update, held: Entity | undefined): void {
    this.#tombstones.bury(key, update.version);
    this.#record(key, update, "removed", []);
    if (!held) return;
    this.#entities ??= new Map(this.#base.entities);
    this.#entities.delete(key);
    this.#reorder = true;
  }

  #record(
    key: EntityKey,
    { type, id }: Update,
    kind: Change["kind"],
    differences: readonly Difference[],
  ): number {
    const number = this.#base.counters.applied + this.#changes.length + 1;
    const visible = differences.filter(({ name }) => name !== "last_updated");
    this.#changes.push({
      number,
      key,
      type,
      id,
      receivedAt: this.#now,
      kind,
      differences: visible,
    });
    return number;
  }

  finish(rejections: readonly Rejection[]): Replica {
    const base = this.#base;
    const entities = this.#entities ?? base.entities;
    const applied = this.#changes.length;
    const counters = {
      applied: base.counters.applied + applied,
      superseded: base.counters.superseded + this.#superseded,
      rejected: countRejections(base.counters.rejected, rejections),
    };
    if (applied === 0) return { ...base, counters };
    return {
      entities,
      order: this.#reorder
        ? [...entities.values()].sort(byTypeAndId).map(({ key }) => key)
        : base.order,
      tombstones: this.#tombstones.finish(),
      recent: [...this.#changes.reverse(), ...base.recent].slice(0, recentLimit),
      counters,
      firstAppliedAt: base.firstAppliedAt ?? this.#now,
      lastAppliedAt: this.#now,
    };
  }
}

function compareAttributes(before: Attributes, after: Attributes): Difference[] {
  const names = new Set([...Object.keys(after), ...Object.keys(before)]);
  const differences: Difference[] = [];
  for (const name of names) {
    const from = before[name];
    const to = after[name];
    if (from !== to) differences.push({ name, from, to });
  }
  return differences;
}

function countRejections(
  before: Counters["rejected"],
  rejections: readonly Rejection[],
): Counters["rejected"] {
  if (rejections.length === 0) return before;
  const after = { ...before };
  for (const reason of rejections) after[reason] = (after[reason] ?? 0) + 1;
  return after;
}

const typeRank: ReadonlyMap<EntityType, number> = new Map(
  entityTypes.map((type, rank) => [type, rank]),
);
/** Orders ids as people do: stu_9 before stu_10. */
export const collator = new Intl.Collator("en", { numeric: true });

function byTypeAndId(a: Entity, b: Entity): number {
  return (typeRank.get(a.type) ?? 0) - (typeRank.get(b.type) ?? 0) || collator.compare(a.id, b.id);
}
