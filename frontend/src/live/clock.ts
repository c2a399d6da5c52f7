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

export const systemClock: Clock = {
  now: () => performance.now(),
  setTimeout: (run, milliseconds) => globalThis.setTimeout(run, milliseconds),
  clearTimeout: (timer) => {
    globalThis.clearTimeout(timer as ReturnType<typeof globalThis.setTimeout>);
  },
};
