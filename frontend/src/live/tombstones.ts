import type { Version } from "@contracts/zz_types.ts";

export interface Tombstone {
  readonly version: Version;
  /** Unix milliseconds, by this machine's clock. */
  readonly buriedAt: number;
  /** The number of the message that said so. */
  readonly message: number;
}

/** What was removed, so that a late update does not bring it back. Oldest first. */
export type Tombstones = ReadonlyMap<string, Tombstone>;

/** How long something removed is remembered, in milliseconds. */
export const tombstoneLifetime = 24 * 60 * 60 * 1000;
/** Beyond this many the oldest tombstones are forgotten early: memory is bounded. */
export const tombstoneLimit = 50_000;

/** Copies tombstones when they first change. */
export class TombstoneDraft {
  readonly #base: Tombstones;
  readonly #now: number;
  #copy: Map<string, Tombstone> | undefined;

  /** `now` is in unix milliseconds. */
  constructor(base: Tombstones, now: number) {
    this.#base = base;
    this.#now = now;
  }

  get(key: string): Tombstone | undefined {
    return (this.#copy ?? this.#base).get(key);
  }

  bury(key: string, version: Version, message: number): void {
    this.#copy ??= new Map(this.#base);
    // Deleted first, so that the map stays in order of burial.
    this.#copy.delete(key);
    this.#copy.set(key, { version, buriedAt: this.#now, message });
  }

  unearth(key: string): void {
    if (!(this.#copy ?? this.#base).has(key)) return;
    this.#copy ??= new Map(this.#base);
    this.#copy.delete(key);
  }

  finish(): Tombstones {
    if (!this.#copy) return this.#base;
    for (const [key, { buriedAt }] of this.#copy) {
      const isOld = this.#now - buriedAt > tombstoneLifetime;
      if (!isOld && this.#copy.size <= tombstoneLimit) break;
      this.#copy.delete(key);
    }
    return this.#copy;
  }
}
