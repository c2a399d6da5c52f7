/**
 * What is known of the server's clock beside ours. A frame is never received before it was made, so each
 * gives a lower bound of how far the server's clock is ahead: the highest bound comes from the frame that
 * was fastest, and is used. Bounds are forgotten after five to ten minutes, because clocks drift.
 */
export interface ServerClock {
  /** Highest bounds of this period and of the one before, in milliseconds; -Infinity: none yet. */
  readonly current: number;
  readonly previous: number;
  /** When this period began, by our clock. */
  readonly since: number;
}

export const unknownClock: ServerClock = { current: -Infinity, previous: -Infinity, since: 0 };

const period = 5 * 60_000;

/**
 * An answer can say that it was made so long before it was asked for, in milliseconds, and ours be right: a tab
 * may pass on what its leader was told two seconds before, and clocks drift a little. Less than what `clock.ts`
 * takes for a sleep.
 */
const tolerance = 4_000;

/** A frame that the server made at `sentAt`, by its clock, came at `now`, by ours. */
export function observe(clock: ServerClock, sentAt: number, now: number): ServerClock {
  const bound = sentAt - now;
  const age = now - clock.since;
  if (clock.current === -Infinity || age >= 2 * period) {
    return { current: bound, previous: -Infinity, since: now };
  }
  if (age >= period) return { current: bound, previous: clock.current, since: now };
  return bound > clock.current ? { ...clock, current: bound } : clock;
}

/**
 * To what was asked at `askedAt` an answer came at `now` that the server made at `sentAt`. It was not made
 * before it was asked for: where our bounds say so, our clock has jumped ahead, and they are forgotten.
 */
export function check(
  clock: ServerClock,
  sentAt: number,
  askedAt: number,
  now: number,
): ServerClock {
  const askedTime = serverTime(clock, askedAt) ?? -Infinity;
  return askedTime > sentAt + tolerance ? observe(unknownClock, sentAt, now) : clock;
}

/** The server's time at `now` by our clock, in unix milliseconds; undefined before the first frame. */
export function serverTime({ current, previous }: ServerClock, now: number): number | undefined {
  const bound = Math.max(current, previous);
  return bound === -Infinity ? undefined : now + bound;
}
