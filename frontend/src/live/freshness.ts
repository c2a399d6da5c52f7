import { doubtAt } from "./link.ts";
import type { FrameContent } from "./read-frame.ts";
import { check, observe, serverTime, unknownClock, type ServerClock } from "./server-clock.ts";
import { phaseOf, type Denial, type Effect, type Session } from "./session.ts";

/** What is known of how current the page is. */
export interface Knowledge {
  readonly clock: ServerClock;
  /** Each part of what is shown was right at this instant, by the server's clock. Unix milliseconds. */
  readonly asOf: Readonly<Record<Part, number | undefined>>;
}

/** What a panel shows. */
export type Part = "entities" | "insights";

export const noKnowledge: Knowledge = {
  clock: unknownClock,
  asOf: { entities: undefined, insights: undefined },
};

/**
 * - `live`: what is shown was right `age` milliseconds ago.
 * - `catching_up`: what is watched is on its way.
 * - `stale`: nobody can tell whether it is still right. It was at `since`, by the server's clock, in
 *   unix milliseconds; undefined: never.
 * - `offline`: nothing can arrive. `since` is as for `stale`.
 * - `polling`: no socket gets through; what is shown was right `age` milliseconds ago, and is asked for again
 *   every few seconds.
 * - `signed_out`, `forbidden`: nothing can arrive, because the server does not know who asks, or forbids it.
 */
export type Freshness =
  | { readonly kind: "live" | "polling"; readonly age: number }
  | { readonly kind: "catching_up" }
  | { readonly kind: "stale" | "offline" | Denial; readonly since: number | undefined };

/**
 * Takes notice of a frame that came at `now`. Only of a page that is live does an update say that it is
 * current: of another, changes before that one may be missing.
 */
export function notice(
  { clock, asOf }: Knowledge,
  { updates, insights, sentAt }: FrameContent,
  session: Session,
  now: number,
): Knowledge {
  if (sentAt === undefined) return { clock, asOf };
  const observed = observe(clock, sentAt, now);
  if (phaseOf(session) !== "live") return { clock: observed, asOf };
  const newest = (some: readonly { readonly writtenAt: string }[]) =>
    some
      .map(({ writtenAt }) => Date.parse(writtenAt))
      // Writers have clocks of their own; none of them saw the future.
      .filter((at) => at <= sentAt)
      .reduce((a, b) => Math.max(a, b), -Infinity);
  return {
    clock: observed,
    asOf: {
      entities: later(asOf.entities, newest(updates)),
      insights: later(asOf.insights, newest(insights)),
    },
  };
}

/** The server has confirmed what is held: its answer came at `now`. */
export function confirm(
  { clock, asOf: { entities, insights } }: Knowledge,
  { asOf: at, askedAt }: Omit<Extract<Effect, { do: "confirm" }>, "do">,
  now: number,
): Knowledge {
  if (at === undefined) return { clock, asOf: { entities, insights } };
  return {
    clock: check(clock, at, askedAt, now),
    asOf: { entities: later(entities, at), insights: later(insights, at) },
  };
}

/** Of one part, or of the page, which is as fresh as its freshest part. `now` is by the clock of the session. */
export function freshnessOf(
  session: Session,
  { clock, asOf: known }: Knowledge,
  now: number,
  part?: Part,
): Freshness {
  const asOf = part ? known[part] : later(known.entities, known.insights ?? -Infinity);
  switch (phaseOf(session)) {
    case "syncing":
      return isSilent(session, now) ? { kind: "stale", since: asOf } : { kind: "catching_up" };
    case "connecting":
      if (session.denial) return { kind: session.denial, since: asOf };
      return session.failures === 0 && session.unanswered === 0 && asOf === undefined
        ? { kind: "catching_up" }
        : { kind: "offline", since: asOf };
    case "live":
      return isSilent(session, now)
        ? { kind: "stale", since: asOf }
        : { kind: "live", age: ageOf(session.links[0]?.heardAt, clock, asOf, now) };
    case "polling": {
      const answeredAt = session.poll?.answeredAt ?? -Infinity;
      return now - answeredAt >= session.timing.silence
        ? { kind: "stale", since: asOf }
        : { kind: "polling", age: ageOf(answeredAt, clock, asOf, now) };
    }
    case "degraded":
      return { kind: "stale", since: asOf };
    case "stopped":
    case "offline":
      return { kind: session.denial ?? "offline", since: asOf };
  }
}

function ageOf(
  heardAt: number | undefined,
  clock: ServerClock,
  asOf: number | undefined,
  now: number,
): number {
  const time = serverTime(clock, now);
  // A server that does not tell the time was at least heard.
  if (time === undefined || asOf === undefined) return now - (heardAt ?? now);
  return Math.max(0, time - asOf);
}

/** Nothing was heard, or answered, for so long that nobody can call it live; also where timers are late. */
function isSilent({ links: [current] }: Session, now: number): boolean {
  return current !== undefined && now >= doubtAt(current);
}

function later(a: number | undefined, b: number): number | undefined {
  if (b === -Infinity) return a;
  return a === undefined ? b : Math.max(a, b);
}
