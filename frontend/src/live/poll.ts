import { backoffDelay } from "./backoff.ts";
import type { Failure } from "./live-api.ts";
import type { Moment } from "./link.ts";
import { within, type Timing } from "./timing.ts";

/**
 * Polling over HTTP, as a session sees it: what a page does where sockets do not get through. It is a
 * value. Moments are in milliseconds, by the session's clock.
 */
export interface Poll {
  readonly timing: Timing;
  /** The one that is not answered yet. */
  readonly pending: PendingPoll | undefined;
  readonly sentAt: number;
  readonly nextAt: number;
  /** How many in a row have failed. */
  readonly failures: number;
  /** When the last one was answered; undefined: none yet. */
  readonly answeredAt: number | undefined;
  /** None was answered for so long that nobody can say what is right. */
  readonly isSilent: boolean;
}

export interface PendingPoll {
  readonly id: number;
  /** How many messages had come when it was sent. */
  readonly asked: number;
  readonly answerBy: number;
}

export function beginPolling(timing: Timing): Poll {
  return {
    timing,
    pending: undefined,
    sentAt: -Infinity,
    nextAt: Infinity,
    failures: 0,
    answeredAt: undefined,
    isSilent: false,
  };
}

/** When something is to be done about it, at the latest. */
export function pollDeadline({ pending, nextAt, answeredAt, isSilent, timing }: Poll): number {
  const silentAt = answeredAt === undefined || isSilent ? Infinity : answeredAt + timing.silence;
  return Math.min(pending?.answerBy ?? nextAt, silentAt);
}

/** A poll was sent. `asked` is how many messages had come. */
export function askPoll(poll: Poll, id: number, asked: number, at: number): Poll {
  const pending = { id, asked, answerBy: at + poll.timing.pollTimeout };
  return { ...poll, pending, sentAt: at, nextAt: Infinity };
}

/** A page of it has come: the next may take as long. */
export function pagedPoll(poll: Poll, at: number): Poll {
  const { pending, sentAt, timing } = poll;
  if (!pending) return poll;
  const answerBy = Math.min(at + timing.pollTimeout, sentAt + timing.pollLimit);
  return { ...poll, pending: { ...pending, answerBy } };
}

export function answeredPoll(poll: Poll, at: number): Poll {
  const { sentAt, timing } = poll;
  return {
    ...poll,
    pending: undefined,
    nextAt: Math.max(sentAt + timing.poll, at + timing.pause),
    failures: 0,
    answeredAt: at,
    isSilent: false,
  };
}

/** It failed, or was not answered in time. What fails is asked ever less often. */
export function failedPoll(poll: Poll, failure: Failure | undefined, { at, random }: Moment): Poll {
  const { sentAt, timing, failures } = poll;
  const wait =
    failure?.kind === "forbidden"
      ? within(timing.denied, random)
      : Math.max(backoffDelay(failures, random, timing.backoff), failure?.retryAfterMs ?? 0);
  return {
    ...poll,
    pending: undefined,
    nextAt: Math.max(sentAt + timing.poll, at + wait),
    failures: failures + 1,
  };
}

/** What is asked is out of date, or would be answered now: it is asked soon, and not what was asked before. */
export function pollAnew(poll: Poll, at: number): Poll {
  const nextAt = Math.max(at, poll.sentAt + poll.timing.pause);
  return { ...poll, pending: undefined, nextAt: Math.min(poll.nextAt, nextAt) };
}
