import { defaultBackoff } from "./backoff.ts";

/** When a session does what, unless it is told otherwise. All times are in milliseconds. */
export const timing = {
  /** A socket that has not opened after this long, with the ticket that it needs, is given up. */
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
  /** Between attempts to connect. */
  backoff: defaultBackoff,
  /** Between attempts of a page that is signed out, or may not connect: it will hardly help, but it may. */
  denied: { minimum: 30_000, spread: 10_000 },
  /**
   * So many sockets in a row on which no sync was answered, and the page polls. Two are not enough: while a
   * gateway restarts every page loses two within seconds, and all would poll at once.
   */
  toleratedFailures: 3,
  /** From one poll to the next. */
  poll: 5_000,
  /** A poll that is not complete after this long is given up. */
  pollTimeout: 20_000,
};

/** `toleratedMisses`, `toleratedFailures` and `leaveShare` are no times. */
export type Timing = Readonly<typeof timing>;

/** Picks the settings out of a file that somebody wrote. What is not of the form above is left out. */
export function readTiming(candidate: unknown): Partial<Timing> {
  if (!isRecord(candidate)) return {};
  const known = Object.entries(timing).filter(([name, usual]) => fits(candidate[name], usual));
  return Object.fromEntries(known.map(([name]) => [name, candidate[name]]));
}

function fits(value: unknown, usual: unknown): boolean {
  if (isRecord(usual)) {
    return (
      isRecord(value) && Object.entries(usual).every(([name, part]) => fits(value[name], part))
    );
  }
  return typeof value === "number" && Number.isFinite(value) && value >= 0;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

/** Some moment of a range. `random` is in [0, 1). */
export function within(range: { minimum: number; spread: number }, random: number): number {
  return range.minimum + range.spread * random;
}
