/** Identifies a pending timer. Each clock makes its own kind and only reads its own. */
export type Timer = unknown;

/**
 * Time, as the live core sees it. `now` is in milliseconds, starts anywhere and never goes back;
 * it measures durations and is not a date.
 */
export interface Clock {
  now(): number;
  setTimeout(run: () => void, milliseconds: number): Timer;
  clearTimeout(timer: Timer): void;
}

/** The wall clock may be put right by so much at a time, in milliseconds; more than that was a sleep. */
const correction = 5_000;

/**
 * Measures time by a clock that never goes back but may stand still while the machine sleeps, and adds how
 * far the wall clock jumped ahead meanwhile. Where somebody only put that forward, too much time seems to
 * have passed, and what is shown is checked once more than it must be.
 */
export function countSleep(steady: () => number, wall: () => number): () => number {
  let slept = 0;
  let lead = wall() - steady();
  return () => {
    const now = steady();
    const jump = wall() - now - lead;
    lead += jump;
    if (jump > correction) slept += jump;
    return now + slept;
  };
}

/** The time of the machine, with the timers of the page or program. */
export const systemClock: Clock = {
  now: countSleep(
    () => performance.now(),
    () => Date.now(),
  ),
  setTimeout: (run, milliseconds) => globalThis.setTimeout(run, milliseconds),
  clearTimeout: (timer) => {
    globalThis.clearTimeout(timer as ReturnType<typeof globalThis.setTimeout>);
  },
};
