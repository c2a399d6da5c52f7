import { digestSlice } from "@contracts/digest.ts";
import { compareVersions } from "@contracts/version.ts";
import type { UpdateOperation, Version } from "@contracts/zz_types.ts";
import type { Tombstone } from "./tombstones.ts";

/** Where an update comes from. Messages are counted from 1, over all sockets of the page. */
export interface Origin {
  /** The number of the message that carries it. */
  readonly message: number;
  /**
   * Of a snapshot: how many messages had come when its sync was sent, or 0 where it answers none that
   * still counts. Undefined: it is no snapshot, but a change.
   */
  readonly asked: number | undefined;
}

/** What a complete snapshot says of what it does not name. */
export interface Census {
  /** The keys of all entities, or of all insights, that it names. */
  readonly named: ReadonlySet<string>;
  /** The slices of which it says everything; undefined: all. */
  readonly covers?: ReadonlySet<number> | undefined;
  /** How many messages had come when its sync was sent. */
  readonly asked: number;
  /** The number of the message that completed it. */
  readonly message: number;
}

/**
 * Whether something held is still there, by a snapshot that says `isNamed` of it. A slice that it does not
 * cover holds what the digest summed up; for anything else nobody vouches.
 */
export function isKept(
  { covers, asked }: Census,
  isNamed: boolean,
  held: { readonly digestKey: string; readonly message: number; readonly isSummed: boolean },
): boolean {
  if (isNamed || held.message > asked) return true;
  return held.isSummed && covers !== undefined && !covers.has(digestSlice(held.digestKey));
}

export interface Batch<U> {
  readonly updates: readonly U[];
  readonly origin: Origin;
}

/**
 * - `newer`: it takes the place of what is held.
 * - `same`: it is the state that is held, perhaps with other attributes of it.
 * - `older`: it changes nothing.
 */
export type Verdict = "newer" | "same" | "older";

/**
 * Decides by versions what becomes of an update, whatever order updates come in and however often.
 *
 * What was removed stays removed against its own version, which a duplicate may bring late. But it may
 * have been removed because it left what the page watches, and the page may watch it again: so the
 * answer to a sync that was sent after the removal brings it back.
 */
export function judge(
  { operation, version }: { readonly operation: UpdateOperation; readonly version: Version },
  { asked }: Origin,
  held: { readonly version: Version } | undefined,
  tombstone: Tombstone | undefined,
): Verdict {
  const known = held ?? tombstone;
  if (!known) return "newer";
  const order = compareVersions(version, known.version);
  if (order !== 0) return order > 0 ? "newer" : "older";
  if (operation === "REMOVE") return "older";
  if (held) return "same";
  return asked !== undefined && tombstone && asked >= tombstone.message ? "newer" : "older";
}

/**
 * The attributes of one state, of which two updates may each show a part. What is held stands: it is
 * the same object if the update adds nothing.
 */
export function unite<A extends object>(held: A, update: A): A {
  const isComplete = Object.keys(update).every((name) => name in held);
  return isComplete ? held : { ...update, ...held };
}
