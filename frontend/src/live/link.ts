import { backoffDelay } from "./backoff.ts";
import type { Refusal } from "./read-frame.ts";
import { within, type Timing } from "./timing.ts";

/** The instant at which something happens, by the clock of the session, and a number drawn for it in [0, 1). */
export interface Moment {
  readonly at: number;
  readonly random: number;
}

/** A sync that was sent and is not answered yet. */
export interface Pending {
  readonly syncId: number;
  /** How many messages had come when it was sent. */
  readonly asked: number;
  readonly answerBy: number;
  /** How long each part of the answer may take. */
  readonly patience: number;
  /** The parts of its snapshot that have come, by number: the keys of what each names. */
  readonly parts: ReadonlyMap<number, Part>;
  /** How many there are; 0 before the first has come. */
  readonly total: number;
}

export interface Part {
  readonly entities: readonly string[];
  readonly insights: readonly string[];
  readonly digest: string | undefined;
  readonly isWhole: boolean;
  /** All in it is known here: whoever holds it, and nothing newer, has the same digest. */
  readonly isExact: boolean;
}

/**
 * One socket, as a session sees it. It is a value. Moments are in milliseconds, by the session's clock;
 * Infinity is never.
 */
export interface Link {
  readonly id: number;
  readonly timing: Timing;
  readonly isOpen: boolean;
  /** When it was asked for; once it is open: when it opened, or somebody came back to it. */
  readonly since: number;
  readonly heardAt: number;
  /** When a sync was answered, or a part of its answer came; before that: when it opened. */
  readonly answeredAt: number;
  /** A sync was answered on it. */
  readonly isSynced: boolean;
  /**
   * A sync was not answered, or refused, or nothing was heard, or answered, for so long that nobody can call it
   * live; and no sync was answered since.
   */
  readonly isDoubtful: boolean;
  /** How many syncs in a row were not answered. */
  readonly misses: number;
  readonly lastSyncId: number;
  readonly sentAt: number;
  readonly pending: Pending | undefined;
  /** Reasons to send a sync, and when each of them is one. */
  readonly wishedAt: number;
  readonly followUpAt: number;
  readonly quietAt: number;
  readonly regularAt: number;
  /** No sync is sent earlier. */
  readonly notBefore: number;
  /** The key of views that the server refused: they are not sent again before `askAgainAt`. */
  readonly refused: string | undefined;
  readonly askAgainAt: number;
  /** What was held after a snapshot was not what that said: the next sync is to ask for everything, or one did. */
  readonly repair: "due" | "done" | undefined;
  /** When to move to another socket: because this one will end, */
  readonly leaveAt: number;
  /** or because it does not answer. */
  readonly replaceAt: number;
}

export function opening(id: number, at: number, timing: Timing): Link {
  return {
    id,
    timing,
    isOpen: false,
    since: at,
    heardAt: at,
    answeredAt: at,
    isSynced: false,
    isDoubtful: false,
    misses: 0,
    lastSyncId: 0,
    sentAt: -Infinity,
    pending: undefined,
    wishedAt: Infinity,
    followUpAt: Infinity,
    quietAt: Infinity,
    regularAt: Infinity,
    notBefore: -Infinity,
    refused: undefined,
    askAgainAt: Infinity,
    repair: undefined,
    leaveAt: Infinity,
    replaceAt: Infinity,
  };
}

export function open(link: Link, { at, random }: Moment): Link {
  const { timing } = link;
  return {
    ...hear(link, { at, random }),
    isOpen: true,
    since: at,
    answeredAt: at,
    wishedAt: at,
    followUpAt: at + timing.followUp,
    leaveAt: at + within(timing.lifetime, random),
  };
}

/** Something was heard. */
export function hear(link: Link, { at, random }: Moment): Link {
  return { ...link, heardAt: at, quietAt: at + within(link.timing.quiet, random) };
}

/** From when on nobody can call it live, unless something is heard, or answered, before. */
export function doubtAt({ timing, heardAt, answeredAt }: Link): number {
  const { minimum, spread } = timing.regular;
  return Math.min(heardAt + timing.silence, answeredAt + minimum + spread + timing.answerTimeout);
}

/** It was silent for too long, and no timer has seen it: a machine slept, or a page was frozen. */
export function hasMissedSilence(
  { heardAt, isDoubtful, pending, timing }: Link,
  at: number,
): boolean {
  const isOverdue = pending !== undefined && at > pending.answerBy;
  return at >= heardAt + timing.silence && (!isDoubtful || isOverdue);
}

/** Whatever is heard on it: what it has missed comes only with an answer to what is asked from now on. */
export function doubt(link: Link): Link {
  return { ...link, isDoubtful: true };
}

/** When the next sync is to be sent, if `views` is the key of what to watch. None is sent while one is pending. */
export function syncDueAt(link: Link, views: string): number {
  if (!link.isOpen || link.pending) return Infinity;
  if (link.refused === views) return link.askAgainAt;
  const { wishedAt, followUpAt, quietAt, regularAt, notBefore } = link;
  return Math.max(notBefore, Math.min(wishedAt, followUpAt, quietAt, regularAt));
}

/** When something is to be done about this link, at the latest. */
export function deadline(link: Link, views: string): number {
  const { timing } = link;
  if (!link.isOpen) return link.since + timing.openTimeout;
  return Math.min(
    link.pending?.answerBy ?? Infinity,
    link.isDoubtful ? Infinity : doubtAt(link),
    syncDueAt(link, views),
  );
}

/** A sync was sent. `asked` is how many messages had come. */
export function ask(link: Link, asked: number, { at, random }: Moment): Link {
  const syncId = link.lastSyncId + 1;
  const { answerTimeout: patience, regular } = link.timing;
  return {
    ...link,
    lastSyncId: syncId,
    sentAt: at,
    pending: { syncId, asked, answerBy: at + patience, patience, parts: new Map(), total: 0 },
    refused: undefined,
    repair: link.repair && "done",
    wishedAt: Infinity,
    followUpAt: at >= link.followUpAt ? Infinity : link.followUpAt,
    regularAt: at + within(regular, random),
  };
}

/** Wishes for a sync at that moment, or when the pending one is answered. */
export function wish(link: Link, at: number): Link {
  return { ...link, wishedAt: Math.min(link.wishedAt, earliest(link, at)) };
}

function earliest({ sentAt, timing }: Link, at: number): number {
  return Math.max(at, sentAt + timing.pause);
}

/** Wishes for a sync, and for another socket if no answer comes soon. */
export function hurry(link: Link, at: number, views: string): Link {
  if (!link.isOpen || link.refused === views) return link;
  const replaceAt = Math.max(link.notBefore, earliest(link, at)) + link.timing.haste;
  return { ...wish(link, at), since: at, replaceAt: Math.min(link.replaceAt, replaceAt) };
}

/** After a snapshot something else was held than that said: everything is asked for, but only once. */
export function differed(link: Link, at: number): Link {
  return link.repair ? link : { ...wish(link, at), repair: "due" };
}

/** Other views: what was asked for the ones before is of no interest any more. */
export function askAnew(link: Link, at: number): Link {
  return { ...link, pending: undefined, wishedAt: at };
}

export function answered(link: Link, at: number): Link {
  return {
    ...link,
    answeredAt: at,
    isSynced: true,
    isDoubtful: false,
    misses: 0,
    pending: undefined,
    replaceAt: Infinity,
  };
}

/** The answer to the pending sync could not be read. Another comes in the usual rhythm. */
export function unread(link: Link): Link {
  return { ...doubt(link), pending: undefined, replaceAt: Infinity };
}

/** The pending sync was not answered in time. The first time it is repeated at once, then ever less often. */
export function missed(link: Link, { at, random }: Moment): Link {
  const { timing } = link;
  const misses = link.misses + 1;
  const excess = misses - timing.toleratedMisses;
  return {
    ...link,
    isDoubtful: true,
    misses,
    pending: undefined,
    wishedAt: excess < 0 ? at : at + backoffDelay(excess, random, timing.backoff),
    // It is quiet because nobody answers: that is no reason to ask more often.
    quietAt: Infinity,
    followUpAt: Infinity,
    replaceAt: excess < 0 ? link.replaceAt : Math.min(link.replaceAt, at),
  };
}

/** The server refused the pending sync, of the views with that key. */
export function refused(link: Link, refusal: Refusal, views: string, moment: Moment): Link {
  const { at, random } = moment;
  const { timing } = link;
  // It answers, if not as one would wish: another socket would hear the same.
  const rest = { ...link, pending: undefined, replaceAt: Infinity };
  switch (refusal.code) {
    case "RATE_LIMITED":
    case "UNAVAILABLE": {
      const notBefore = at + (refusal.retryAfterMs ?? timing.retry) + random * timing.spread;
      const isDoubtful = link.isDoubtful || refusal.code === "UNAVAILABLE";
      return { ...rest, isDoubtful, notBefore, wishedAt: notBefore };
    }
    case "SUPERSEDED": {
      // Nobody tells how far ahead the server is; doubling reaches any number soon.
      const lastSyncId = Math.min(2 * link.lastSyncId, Number.MAX_SAFE_INTEGER - 1);
      return { ...rest, lastSyncId, wishedAt: at + random * timing.spread };
    }
    default:
      return {
        ...rest,
        isDoubtful: true,
        refused: views,
        askAgainAt: at + within(timing.refusal, random),
      };
  }
}

/** A snapshot's part has come for the pending sync. A part that came before changes nothing. */
export function collect(
  pending: Pending,
  { number, total, part }: { readonly number: number; readonly total: number; readonly part: Part },
  at: number,
): Pending {
  // Parts of another count are of another snapshot: the two do not add up.
  const known = pending.total === total ? pending.parts : new Map<number, Part>();
  const parts = known.has(number) ? known : new Map([...known, [number, part]]);
  return { ...pending, parts, total, answerBy: at + pending.patience };
}
