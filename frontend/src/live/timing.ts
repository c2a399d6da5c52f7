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
  /**
   * Whoever comes back, to the network, to the page or out of a sleep, gets an answer within this time, or
   * another socket is opened beside the one that may be dead.
   */
  haste: 1_000,
  /** A page that was live is called so while what it watches now is on its way, for no longer than this. */
  grace: 2_000,
  /** Between attempts to connect. */
  backoff: defaultBackoff,
  /**
   * Before the first attempt after a stable connection: a gateway that ends takes all pages' with it, and they
   * are not to come back all at once.
   */
  comeback: { minimum: 500, spread: 4_500 },
  /** Between attempts of a page that is signed out, or may not connect: it will hardly help, but it may. */
  denied: { minimum: 30_000, spread: 10_000 },
  /** Until views that the server has refused for good are asked for again: it may have learned, or let them in. */
  refusal: { minimum: 4 * 60_000, spread: 4 * 60_000 },
  /** So many sockets in a row on which no sync was answered, and sockets count as blocked: the page polls. */
  toleratedFailures: 3,
  /**
   * But one that was live waits for so long besides. While a gateway restarts every page loses three sockets within
   * seconds, and all would poll at once.
   */
  toleratedOutage: 30_000,
  /** Within this time pages that were live begin to poll: each would be told of the same outage. */
  pollSpread: 10_000,
  /** A page that has nothing to show for so long polls once, beside its first attempts to connect. */
  firstPaint: { minimum: 4_000, spread: 2_000 },
  /** From one poll to the next. */
  poll: 5_000,
  /** A poll of which no page has come for this long is given up, */
  pollTimeout: 20_000,
  /** and one that is not complete after this long: what its first page tells is of another time. */
  pollLimit: 10 * 60_000,
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
