import type { FrameContent } from "./read-frame.ts";
import { observe, serverTime, unknownClock, type ServerClock } from "./server-clock.ts";
import { phaseOf, type Session } from "./session.ts";
import { timing } from "./timing.ts";

/** What is known of how current the page is. */
export interface Knowledge {
  readonly clock: ServerClock;
  /** What is shown was right at this instant, by the server's clock. Unix milliseconds. */
  readonly asOf: number | undefined;
}

export const noKnowledge: Knowledge = { clock: unknownClock, asOf: undefined };

/**
 * - `live`: what is shown was right `age` milliseconds ago.
 * - `catching_up`: what is watched is on its way.
 * - `stale`: nobody can tell whether it is still right. It was at `since`, by the server's clock, in
 *   unix milliseconds; undefined: never.
 * - `offline`: nothing can arrive. `since` is as for `stale`.
 */
export type Freshness =
  | { readonly kind: "live"; readonly age: number }
  | { readonly kind: "catching_up" }
  | { readonly kind: "stale" | "offline"; readonly since: number | undefined };

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
  const writtenAt = [...updates, ...insights].map((update) => Date.parse(update.writtenAt));
  // Writers have clocks of their own; none of them saw the future.
  const newest = writtenAt.filter((at) => at <= sentAt).reduce((a, b) => Math.max(a, b), -Infinity);
  return { clock: observed, asOf: later(asOf, newest) };
}

/** The server confirmed at `asOf`, by its clock, that what is held is right. */
export function confirm(knowledge: Knowledge, asOf: number | undefined): Knowledge {
  return { ...knowledge, asOf: later(knowledge.asOf, asOf ?? -Infinity) };
}

/** `now` is by the clock of the session. */
export function freshnessOf(session: Session, { clock, asOf }: Knowledge, now: number): Freshness {
  switch (phaseOf(session)) {
    case "syncing":
      return isSilent(session, now) ? { kind: "stale", since: asOf } : { kind: "catching_up" };
    case "connecting":
      return session.failures === 0 && asOf === undefined
        ? { kind: "catching_up" }
        : { kind: "offline", since: asOf };
    case "live":
      return isSilent(session, now)
        ? { kind: "stale", since: asOf }
        : { kind: "live", age: ageOf(session, clock, asOf, now) };
    case "degraded":
      return { kind: "stale", since: asOf };
    case "stopped":
    case "offline":
      return { kind: "offline", since: asOf };
  }
}

function ageOf(
  { links: [current] }: Session,
  clock: ServerClock,
  asOf: number | undefined,
  now: number,
): number {
  const time = serverTime(clock, now);
  // A server that does not tell the time was at least heard.
  if (time === undefined || asOf === undefined) return now - (current?.heardAt ?? now);
  return Math.max(0, time - asOf);
}

/** Nothing was heard for so long that nobody can call it live; also where timers are late. */
export function isSilent({ links: [current] }: Session, now: number): boolean {
  return current !== undefined && now - current.heardAt >= timing.silence;
}

function later(a: number | undefined, b: number): number | undefined {
  if (b === -Infinity) return a;
  return a === undefined ? b : Math.max(a, b);
}
