import { entityDigestKey } from "@contracts/digest.ts";
import { entityTypes } from "@contracts/zz_kinds.ts";
import type { EntityType, Version } from "@contracts/zz_types.ts";
import { isKept, judge, unite, type Batch, type Census, type Origin } from "./merge.ts";
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
  /** The number of the message that brought this version. */
  readonly message: number;
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
  /** Unix milliseconds, by the server's clock as it is known here. */
  readonly receivedAt: number;
  /** `appeared`: it was not among what is watched before; that does not make it a new one. */
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
}

export const emptyReplica: Replica = {
  entities: new Map(),
  order: [],
  tombstones: new Map(),
  recent: [],
  counters: { applied: 0, superseded: 0, rejected: {} },
};

const recentLimit = 12;

export function entityKey(type: EntityType, id: string): EntityKey {
  return `${type}/${id}`;
}

/**
 * Applies updates. For each entity the highest version wins, whatever order they come in and however
 * often; one that is not higher than the version held, or buried, is counted and changes nothing
 * else, but that attributes of the same version are united. `now` is in unix milliseconds.
 */
export function applyUpdates(
  replica: Replica,
  batches: readonly Batch<Update>[],
  rejections: readonly Rejection[],
  now: number,
): Replica {
  const draft = new Draft(replica, now);
  for (const { updates, origin } of batches) {
    for (const update of updates) draft.apply(update, origin);
  }
  return draft.finish(rejections);
}

/**
 * Drops the entities that a complete snapshot says are not there: `isKept` tells which stay. Of those it is told that they are gone for which `isWatched` holds; the others only left what
 * the page watches.
 */
export function retainEntities(
  replica: Replica,
  census: Census,
  isWatched: (entity: Entity) => boolean,
  now: number,
): Replica {
  const draft = new Draft(replica, now);
  for (const entity of replica.entities.values()) {
    const { key, type, id, message } = entity;
    const digestKey = entityDigestKey(type, id);
    const isTold = isWatched(entity);
    const held = { digestKey, message, isSummed: isTold };
    if (isKept(census, census.named.has(key), held)) continue;
    draft.drop(entity, census.message, isTold);
  }
  return draft.finish([]);
}

/** Copies each part of a replica when it first has to write to it. */
class Draft {
  readonly #base: Replica;
  readonly #now: number;
  readonly #tombstones: TombstoneDraft;
  #entities: Map<EntityKey, Entity> | undefined;
  #changes: Change[] = [];
  #applied = 0;
  #superseded = 0;
  #reorder = false;

  constructor(base: Replica, now: number) {
    this.#base = base;
    this.#now = now;
    this.#tombstones = new TombstoneDraft(base.tombstones, now);
  }

  apply(update: Update, origin: Origin): void {
    const key = entityKey(update.type, update.id);
    const held = (this.#entities ?? this.#base.entities).get(key);
    switch (judge(update, origin, held, this.#tombstones.get(key))) {
      case "newer":
        if (update.operation === "REMOVE") this.#remove(key, update, origin.message, held);
        else this.#upsert(key, update, origin, held);
        return;
      case "same":
        this.#superseded += 1;
        if (held && update.operation === "UPSERT") this.#complete(held, update.attributes);
        return;
      case "older":
        this.#superseded += 1;
    }
  }

  /** Forgets an entity at the version held. */
  drop(entity: Entity, message: number, isTold: boolean): void {
    this.#applied += 1;
    this.#tombstones.bury(entity.key, entity.version, message);
    this.#write().delete(entity.key);
    this.#reorder = true;
    if (isTold) this.#tell(entity.key, entity, "removed", []);
  }

  #upsert(key: EntityKey, update: Upsert, origin: Origin, held: Entity | undefined): void {
    this.#applied += 1;
    const { type, id, version, attributes, writtenAt } = update;
    const changedIn: Record<string, number> = { ...held?.changedIn };
    if (held) {
      const differences = compareAttributes(held.attributes, attributes);
      for (const { name } of differences) changedIn[name] = this.#number;
      this.#tell(key, update, "changed", differences);
    } else {
      this.#reorder = true;
      this.#tombstones.unearth(key);
      // What a snapshot shows was there before: nothing has changed.
      if (origin.asked === undefined) this.#tell(key, update, "appeared", []);
    }
    const { message } = origin;
    this.#write().set(key, { key, type, id, version, attributes, writtenAt, message, changedIn });
  }

  #complete(held: Entity, update: Attributes): void {
    const attributes = unite(held.attributes, update);
    if (attributes !== held.attributes) this.#write().set(held.key, { ...held, attributes });
  }

  #remove(key: EntityKey, update: Update, message: number, held: Entity | undefined): void {
    this.#applied += 1;
    this.#tombstones.bury(key, update.version, message);
    this.#tell(key, update, "removed", []);
    if (!held) return;
    this.#write().delete(key);
    this.#reorder = true;
  }

  #write(): Map<EntityKey, Entity> {
    this.#entities ??= new Map(this.#base.entities);
    return this.#entities;
  }

  /** That of the latest applied update. */
  get #number(): number {
    return this.#base.counters.applied + this.#applied;
  }

  #tell(
    key: EntityKey,
    { type, id }: Pick<Change, "type" | "id">,
    kind: Change["kind"],
    differences: readonly Difference[],
  ): void {
    const visible = differences.filter(({ name }) => name !== "last_updated");
    this.#changes.push({
      number: this.#number,
      key,
      type,
      id,
      receivedAt: this.#now,
      kind,
      differences: visible,
    });
  }

  finish(rejections: readonly Rejection[]): Replica {
    const base = this.#base;
    const counters = {
      applied: this.#number,
      superseded: base.counters.superseded + this.#superseded,
      rejected: countRejections(base.counters.rejected, rejections),
    };
    const entities = this.#entities ?? base.entities;
    const changes = this.#changes.toReversed();
    if (this.#applied === 0) return { ...base, entities, counters };
    return {
      entities,
      order: this.#reorder
        ? [...entities.values()].sort(byTypeAndId).map(({ key }) => key)
        : base.order,
      tombstones: this.#tombstones.finish(),
      recent: changes.length > 0 ? [...changes, ...base.recent].slice(0, recentLimit) : base.recent,
      counters,
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

/** Orders ids as people do: stu_9 before stu_10. */
export const collator = new Intl.Collator("en", { numeric: true });

function byTypeAndId(a: Entity, b: Entity): number {
  return entityTypes.indexOf(a.type) - entityTypes.indexOf(b.type) || collator.compare(a.id, b.id);
}
