/** How long to wait between attempts to connect. All times are in milliseconds. */
export interface BackoffLimits {
  /** No wait is shorter. */
  readonly minimum: number;
  /** No wait is longer. */
  readonly maximum: number;
  /** A connection that was open this long starts again from the shortest waits. */
  readonly stableAfter: number;
}

export const defaultBackoff: BackoffLimits = {
  minimum: 500,
  maximum: 30_000,
  stableAfter: 60_000,
};

/**
 * The wait before the next attempt, after `failures` (≥ 0) unsuccessful ones: anywhere between the
 * minimum and a ceiling that doubles with each failure. It is spread over the whole range, so that
 * clients which lost their connection at the same moment do not return at the same moment.
 * `random` is in [0, 1).
 */
export function backoffDelay(failures: number, random: number, limits: BackoffLimits): number {
  const ceiling = Math.min(limits.maximum, limits.minimum * 2 ** Math.min(failures + 1, 30));
  return limits.minimum + random * (ceiling - limits.minimum);
}
