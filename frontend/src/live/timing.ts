/** When a session does what. All times are in milliseconds. */
export const timing = {
  /** A socket that has not opened after this long is given up. */
  openTimeout: 10_000,
  /** A sync of which nothing was heard for this long is unanswered. */
  answerTimeout: 5_000,
  /** So many unanswered ones in a row, and the socket is replaced. */
  toleratedMisses: 2,
  /**
   * After this long on a new socket a second sync is sent: a change that was on its way while the
   * server took note of the first may have passed it by.
   */
  followUp: 5_000,
  /** A sync is sent when nothing was heard for this long, */
  quiet: { minimum: 15_000, spread: 10_000 },
  /** and when none was sent for this long. */
  regular: { minimum: 50_000, spread: 10_000 },
  /** A page that has heard nothing for this long says that it is stale. */
  silence: 30_000,
  /** Between two syncs that something outside gives cause for. */
  pause: 1_000,
  /** What all pages are told at once, they do within this time. */
  spread: 2_000,
  /** Where the server asks for another try and does not say when. */
  retry: 5_000,
  /** No connection of the gateway lasts longer than two hours: it is left before. */
  lifetime: { minimum: 105 * 60_000, spread: 10 * 60_000 },
  /** The part of the time given by RECONNECT in which to leave, so that some is left to arrive. */
  leaveShare: 0.8,
} as const;

/** Some moment of a range. `random` is in [0, 1). */
export function within(range: { minimum: number; spread: number }, random: number): number {
  return range.minimum + range.spread * random;
}
