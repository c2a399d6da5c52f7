import type { ViewV1 } from "@contracts/zz_types.ts";
import { backoffDelay } from "./backoff.ts";
import type { Failure } from "./live-api.ts";
import {
  answered,
  ask,
  askAnew,
  collect,
  deadline,
  differed,
  doubt,
  doubtAt,
  hasMissedSilence,
  hear,
  hurry,
  missed,
  open,
  opening,
  refused,
  syncDueAt,
  unread,
  wish,
  type Link,
  type Moment,
  type Part,
} from "./link.ts";
import type { Census, Origin } from "./merge.ts";
import {
  answeredPoll,
  askPoll,
  beginPolling,
  failedPoll,
  pagedPoll,
  pollAnew,
  pollDeadline,
  type Poll,
} from "./poll.ts";
import type { FrameContent, Refusal } from "./read-frame.ts";
import { entityKey } from "./replica.ts";
import { timing as usualTiming, within, type Timing } from "./timing.ts";
import { everything, viewsKey } from "./watched-views.ts";

/**
 * The conversation of a page with its server: it keeps one socket open, asks on it for what the page
 * watches, repairs what was missed, and moves to another socket before the first ends. Where no socket
 * gets through, it polls. It is a value; `step` makes the next one, and says what is to be done. Nothing
 * here does anything.
 */
export interface Session {
  readonly timing: Timing;
  /** There is an API to poll. */
  readonly mayPoll: boolean;
  /** Each socket needs a ticket. To open one includes to fetch it. */
  readonly needsTicket: boolean;
  readonly isRunning: boolean;
  /** What is watched, and its key. */
  readonly views: readonly ViewV1[];
  readonly key: string;
  /** Since the views last changed a sync was answered: what is held is all of them, or was once. */
  readonly isComplete: boolean;
  /** At most two: the one in use, and the one that is to take its place as soon as it is synced. */
  readonly links: readonly Link[];
  readonly lastLink: number;
  /** Attempts to connect in a row that did not lead to a stable connection. */
  readonly failures: number;
  /** Sockets in a row on which no sync was answered, whether they opened or not. */
  readonly unanswered: number;
  /** No link is opened earlier, because one has failed; with no link, one is opened then. */
  readonly openAt: number;
  /** Nor earlier than this, whoever comes back: the server has said so. */
  readonly notBefore: number;
  /** When it was live last, over a socket. */
  readonly servedAt: number;
  /** If nothing is complete by then, it is polled for once, though a socket may still come. */
  readonly paintBy: number;
  /** Why the server gave no ticket when it was last asked. */
  readonly denial: Denial | undefined;
  /** The permission of this link, and of those before it, has ended; 0: of none. */
  readonly revoked: number;
  readonly poll: Poll | undefined;
  readonly lastPoll: number;
  /** How many messages have come, on all links. */
  readonly messages: number;
}

/** `signed_out`: the server does not know who asks. `forbidden`: who asks may not connect. */
export type Denial = Exclude<Failure["kind"], "unavailable">;

export const idle: Session = {
  timing: usualTiming,
  mayPoll: false,
  needsTicket: false,
  isRunning: false,
  views: [everything],
  key: viewsKey([everything]),
  isComplete: false,
  links: [],
  lastLink: 0,
  failures: 0,
  unanswered: 0,
  openAt: Infinity,
  notBefore: -Infinity,
  servedAt: -Infinity,
  paintBy: Infinity,
  denial: undefined,
  revoked: 0,
  poll: undefined,
  lastPoll: 0,
  messages: 0,
};

export type SessionEvent =
  | { readonly type: "started" | "stopped" }
  /** A deadline may have passed. */
  | { readonly type: "woken" }
  /**
   * The network came or went, or the page became visible: what is shown may be wrong. `mayConnect`: an
   * attempt to connect is worth while, and better than one that began before.
   */
  | { readonly type: "nudged"; readonly mayConnect: boolean }
  /** `views` is a result of `viewsToWatch`. */
  | { readonly type: "watched"; readonly views: readonly ViewV1[] }
  | { readonly type: "opened"; readonly link: number }
  /** `failure`: no ticket could be had, so there was no socket. */
  | { readonly type: "closed"; readonly link: number; readonly failure?: Failure }
  | { readonly type: "heard"; readonly link: number; readonly content: FrameContent }
  /** After a snapshot that is exact, what is held is something else. */
  | { readonly type: "differed"; readonly link: number }
  /** All that is watched has come. `isWhole`: the key of all that was sent could be read. */
  | {
      readonly type: "polled";
      readonly poll: number;
      readonly content: FrameContent;
      readonly isWhole: boolean;
    }
  /** A part of it has come. */
  | { readonly type: "paged" }
  | { readonly type: "unpolled"; readonly poll: number; readonly failure: Failure };

export type Effect =
  | { readonly do: "open" | "close"; readonly link: number }
  | {
      readonly do: "sync";
      readonly link: number;
      readonly syncId: number;
      readonly views: readonly ViewV1[];
      /** What is held may be summed up instead of sent again. */
      readonly mayDigest: boolean;
    }
  | { readonly do: "merge"; readonly content: FrameContent; readonly origin: Origin }
  /** A snapshot is complete: drop what it does not name and what last changed before it was asked for. */
  | {
      readonly do: "retain";
      /** 0: it was polled. */
      readonly link: number;
      readonly entities: Census;
      readonly insights: Census;
      readonly digest?: string | undefined;
      /** All in it is known here, and nothing else has come since: what is held then has that digest. */
      readonly isExact: boolean;
    }
  | { readonly do: "poll"; readonly poll: number; readonly views: readonly ViewV1[] }
  /** Give up what is polled. */
  | { readonly do: "unpoll" }
  /** Whoever looks at the page may not see what is held any more. */
  | { readonly do: "forget" }
  /** What is held is what the server holds, as of then by its clock. It was asked at `askedAt`, by ours. */
  | { readonly do: "confirm"; readonly asOf: number | undefined; readonly askedAt: number }
  /** The server refused a command for good; somebody should know. */
  | { readonly do: "report"; readonly refusal: Refusal };

export interface Step {
  readonly session: Session;
  /** To be done in this order. */
  readonly effects: readonly Effect[];
}

export function step(session: Session, event: SessionEvent, moment: Moment): Step {
  const turn = new Turn(session, moment);
  turn.notice();
  turn.take(event);
  turn.elapse();
  return turn.finish();
}

/** When `step` is to be called with `woken`, if nothing else happens before; Infinity: never. */
export function nextDeadline(session: Session): number {
  const { isRunning, links, openAt, poll, key } = session;
  if (!isRunning) return Infinity;
  const [current] = links;
  const pollAt = Math.min(
    poll ? pollDeadline(poll) : Infinity,
    isAsking(poll) ? Infinity : pollFrom(session),
  );
  if (!current) return Math.min(openAt, pollAt);
  const moveAt = links.length === 1 ? moveDueAt(current, session) : Infinity;
  return Math.min(moveAt, pollAt, ...links.map((link) => deadline(link, key)));
}

/** When a link is to be opened that will follow this one. */
function moveDueAt({ leaveAt, replaceAt }: Link, { openAt }: Session): number {
  return Math.max(openAt, Math.min(leaveAt, replaceAt));
}

/** It waits for an answer, or for the time to ask again. */
function isAsking(poll: Poll | undefined): boolean {
  return poll !== undefined && (poll.pending !== undefined || poll.nextAt < Infinity);
}

/** From when on to poll, as things are. */
function pollFrom(session: Session): number {
  const { mayPoll, denial, isComplete, paintBy, links, poll } = session;
  if (!mayPoll || denial || phaseOfLinks(session) === "live") return Infinity;
  // A snapshot that is on its way comes sooner than another; and what was polled for once was answered.
  const isWanted = !isComplete && !links[0]?.pending?.parts.size && !poll;
  return Math.min(blockedFrom(session), isWanted ? paintBy : Infinity);
}

/** From when on sockets count as blocked. */
function blockedFrom({ unanswered, servedAt, timing }: Session): number {
  return unanswered < timing.toleratedFailures ? Infinity : servedAt + timing.toleratedOutage;
}

/**
 * - `stopped`: not started, or stopped.
 * - `offline`: there is no socket; the next attempt has its time.
 * - `connecting`: a socket was asked for.
 * - `syncing`: it is open, and what is watched is still coming.
 * - `live`: what is shown is what the server holds.
 * - `degraded`: nobody can tell whether it is: the server does not answer, or refuses to.
 * - `polling`: no socket gets through; what is shown is what the server held when it was last polled.
 */
export type Phase =
  "stopped" | "offline" | "connecting" | "syncing" | "live" | "degraded" | "polling";

export function phaseOf(session: Session): Phase {
  const { isRunning, isComplete, poll } = session;
  if (!isRunning) return "stopped";
  const phase = phaseOfLinks(session);
  if (phase === "live" || poll?.answeredAt === undefined) return phase;
  if (poll.isSilent) return "degraded";
  return isComplete ? "polling" : "syncing";
}

function phaseOfLinks({ isComplete, links: [current] }: Session): Phase {
  if (!current) return "offline";
  if (!current.isOpen) return "connecting";
  if (current.isDoubtful) return "degraded";
  return current.isSynced && isComplete ? "live" : "syncing";
}

/** Messages can arrive. */
export function isConnected({ links }: Session): boolean {
  return links.some(({ isOpen }) => isOpen);
}

/** Makes one step; it is used up by `finish`. */
class Turn {
  readonly #moment: Moment;
  readonly #effects: Effect[] = [];
  #session: Session;

  constructor(session: Session, moment: Moment) {
    this.#session = session;
    this.#moment = moment;
  }

  finish(): Step {
    return { session: this.#session, effects: this.#effects };
  }

  /** Looks at what has become of the session since its last step. */
  notice(): void {
    if (phaseOfLinks(this.#session) === "live") this.#set({ servedAt: this.#at });
    // No timer is so late, but that of a machine that slept, or of a page that was frozen.
    const lateness = this.#at - nextDeadline(this.#session);
    if (lateness >= this.#session.timing.answerTimeout) this.#return();
  }

  take(event: SessionEvent): void {
    switch (event.type) {
      case "started":
        if (!this.#session.isRunning) this.#start();
        return;
      case "stopped":
        this.#close(() => true);
        this.#endPolling();
        this.#set({ isRunning: false });
        return;
      case "woken":
        return;
      case "nudged":
        if (event.mayConnect) this.#return();
        else this.#changeAll((link) => wish(link, this.#at));
        return;
      case "watched":
        this.#watch(event.views);
        return;
      case "opened":
        if (this.#link(event.link)) this.#set({ denial: undefined });
        this.#change(event.link, (link) => open(link, this.#moment));
        if (this.#session.paintBy === Infinity) this.#wantPaint();
        return;
      case "closed": {
        const link = this.#link(event.link);
        if (!link) return;
        // The ticket was good enough to try.
        if (!event.failure && !link.isOpen) this.#set({ denial: undefined });
        this.#lose(link, event.failure);
        return;
      }
      case "heard":
        this.#hear(event.link, event.content);
        return;
      case "differed":
        this.#change(event.link, (link) => differed(link, this.#at));
        return;
      case "polled":
        if (this.#isPending(event.poll)) this.#polled(event);
        return;
      case "paged":
        if (this.#session.poll) this.#set({ poll: pagedPoll(this.#session.poll, this.#at) });
        return;
      case "unpolled":
        if (this.#isPending(event.poll)) this.#unpolled(event.failure);
    }
  }

  /** Does all that is due. */
  elapse(): void {
    if (!this.#session.isRunning) return;
    const at = this.#at;
    const { timing } = this.#session;
    for (const link of this.#session.links) {
      if (!link.isOpen) {
        if (at >= link.since + timing.openTimeout) this.#giveUp(link);
        continue;
      }
      if (link.pending && at >= link.pending.answerBy) this.#miss(link);
      if (at >= doubtAt(link)) this.#change(link.id, doubt);
    }
    const { links, openAt } = this.#session;
    const [current] = links;
    if (!current) {
      if (at >= openAt) this.#open();
    } else if (links.length === 1 && at >= moveDueAt(current, this.#session)) {
      this.#open();
    }
    for (const link of this.#session.links) {
      if (at >= syncDueAt(link, this.#session.key)) this.#sync(link);
    }
    this.#poll();
  }

  #start(): void {
    this.#set({
      isRunning: true,
      failures: 0,
      unanswered: 0,
      denial: undefined,
      openAt: Math.max(this.#at, this.#session.notBefore),
    });
    this.#wantPaint();
  }

  /** From now on it is waited for something to show. */
  #wantPaint(): void {
    this.#set({ paintBy: this.#at + within(this.#session.timing.firstPaint, this.#random) });
  }

  #open(): void {
    const id = this.#session.lastLink + 1;
    this.#set({
      lastLink: id,
      links: [...this.#session.links, opening(id, this.#at, this.#session.timing)],
    });
    this.#do({ do: "open", link: id });
  }

  #sync(link: Link): void {
    const { messages, views, isComplete } = this.#session;
    const asking = ask(link, messages, this.#moment);
    this.#change(link.id, () => asking);
    this.#do({
      do: "sync",
      link: link.id,
      syncId: asking.lastSyncId,
      views,
      mayDigest: isComplete && link.repair !== "due",
    });
  }

  #watch(views: readonly ViewV1[]): void {
    const key = viewsKey(views);
    if (key === this.#session.key) return;
    this.#set({ views, key, isComplete: false });
    this.#wantPaint();
    this.#changeAll((link) => (link.isOpen ? askAnew(link, this.#at) : link));
    const { poll } = this.#session;
    if (!poll) return;
    if (poll.pending) this.#do({ do: "unpoll" });
    this.#set({ poll: pollAnew(poll, this.#at) });
  }

  /**
   * Somebody is back: an attempt is worth while at once, if the server has not said otherwise. One that began
   * before went another way, and may be dead; so may what is open.
   */
  #return(): void {
    const { notBefore, poll, timing, key } = this.#session;
    this.#set({ failures: 0, openAt: Math.max(this.#at, notBefore) });
    this.#close(
      ({ isOpen, since }) => !isOpen && this.#at >= Math.max(notBefore, since + timing.pause),
    );
    this.#changeAll((link) => hurry(link, this.#at, key));
    if (isAsking(poll) && poll && !poll.pending) this.#set({ poll: pollAnew(poll, this.#at) });
  }

  #hear(id: number, content: FrameContent): void {
    const link = this.#link(id);
    if (!link) return;
    const message = this.#session.messages + 1;
    this.#set({ messages: message });
    const wasFrozen = hasMissedSilence(link, this.#at);
    this.#change(id, (same) => hear(same, this.#moment));
    this.#read(link, content, message);
    // What was said meanwhile nobody knows; if this is an answer, it was given before.
    if (wasFrozen) this.#change(id, (same) => wish(doubt(same), this.#at));
  }

  #read(link: Link, content: FrameContent, message: number): void {
    const { id } = link;
    const { updates, insights, rejections, control } = content;
    if (updates.length + insights.length + rejections.length > 0) {
      const asked =
        control?.type !== "SNAPSHOT"
          ? undefined
          : control.syncId === link.pending?.syncId
            ? link.pending.asked
            : 0;
      this.#do({ do: "merge", content, origin: { message, asked } });
    }
    switch (control?.type) {
      case undefined:
        return;
      case "SYNCED":
        if (control.syncId === link.pending?.syncId) this.#complete(id, content.sentAt);
        return;
      case "SNAPSHOT":
        if (control.syncId === link.pending?.syncId) this.#collect(id, content, control);
        return;
      case "RESYNC":
        this.#change(id, (same) =>
          wish(same, this.#at + this.#random * this.#session.timing.spread),
        );
        return;
      case "RECONNECT": {
        const { timing, needsTicket } = this.#session;
        if (control.isRevoked && needsTicket) this.#set({ revoked: id });
        const leaveAt = this.#at + this.#random * control.withinMs * timing.leaveShare;
        this.#change(id, (same) => ({ ...same, leaveAt: Math.min(same.leaveAt, leaveAt) }));
        return;
      }
      case "ERROR":
        this.#refuse(id, control);
    }
  }

  #collect(
    id: number,
    content: FrameContent,
    snapshot: Extract<FrameContent["control"], { type: "SNAPSHOT" }>,
  ): void {
    const { part: number, parts: total, covers, digest } = snapshot;
    const isExact = content.rejections.length === 0;
    const part = { ...namedIn(content), digest, isWhole: snapshot.isWhole, isExact };
    const link = this.#link(id);
    if (!link?.pending) return;
    const pending = collect(link.pending, { number, total, part }, this.#at);
    this.#change(id, (same) => ({ ...same, pending, answeredAt: this.#at, replaceAt: Infinity }));
    if (pending.parts.size < total) return;
    const parts = [...pending.parts.values()];
    if (!parts.every((each) => each.isWhole)) {
      // Nobody knows what is not there: what is held stays, and nothing says that it is right.
      this.#change(id, unread);
      this.#endFollowing(id);
      return;
    }
    const named = {
      entities: parts.flatMap(({ entities }) => entities),
      insights: parts.flatMap(({ insights }) => insights),
    };
    const { asked } = pending;
    const isAlone = this.#session.messages - asked === total;
    this.#retain(asked, named, {
      link: id,
      covers: covers && new Set(covers),
      digest: parts.find((each) => each.digest !== undefined)?.digest,
      isExact: isAlone && parts.every((each) => each.isExact),
    });
    this.#complete(id, content.sentAt);
  }

  /** One that was to follow and is no better than the one in use is given up. */
  #endFollowing(id: number): void {
    const link = this.#link(id);
    if (link && this.#session.links[0]?.id !== id) this.#giveUp(link);
  }

  /** What was asked for when so many messages had come is complete, with the latest of them. */
  #retain(
    asked: number,
    named: Named,
    { covers, ...rest }: Pick<Census, "covers"> & Partial<Extract<Effect, { do: "retain" }>> = {},
  ): void {
    const census = (keys: readonly string[]): Census => ({
      named: new Set(keys),
      covers,
      asked,
      message: this.#session.messages,
    });
    const entities = census(named.entities);
    const insights = census(named.insights);
    this.#do({ do: "retain", link: 0, entities, insights, isExact: false, ...rest });
  }

  /** The pending sync of a link is answered. The link that is to follow takes over with it. */
  #complete(id: number, asOf: number | undefined): void {
    const askedAt = this.#link(id)?.sentAt ?? this.#at;
    this.#change(id, (link) => answered(link, this.#at));
    const { revoked } = this.#session;
    this.#set({ isComplete: true, unanswered: 0, revoked: id > revoked ? 0 : revoked });
    this.#do({ do: "confirm", asOf, askedAt });
    this.#close((link) => link.id < id);
  }

  #refuse(id: number, refusal: Refusal): void {
    if (refusal.code === "UNAUTHENTICATED" && this.#session.needsTicket) {
      this.#revoke(id, refusal);
      return;
    }
    const pending = this.#link(id)?.pending;
    const isOther = refusal.syncId !== undefined && refusal.syncId !== pending?.syncId;
    if (!pending || isOther) return;
    this.#change(id, (link) => refused(link, refusal, this.#session.key, this.#moment));
    if (this.#link(id)?.refused !== this.#session.key) return;
    this.#do({ do: "report", refusal });
    this.#endFollowing(id);
  }

  /** This link is good for nothing more: the next one has another ticket. */
  #revoke(id: number, refusal: Refusal): void {
    const link = this.#link(id);
    if (!link) return;
    this.#set({ revoked: id });
    if (this.#session.links[0]?.id !== id) {
      this.#giveUp(link);
      return;
    }
    const after = refused(link, refusal, this.#session.key, this.#moment);
    this.#change(id, () => ({ ...after, leaveAt: Math.min(after.leaveAt, this.#at) }));
  }

  #miss(link: Link): void {
    const { timing, unanswered } = this.#session;
    const after = missed(link, this.#moment);
    const isCurrent = this.#session.links[0]?.id === link.id;
    const isSpent = after.misses >= timing.toleratedMisses;
    if (!isCurrent && isSpent) {
      this.#giveUp(link);
      return;
    }
    const isFirst = !link.isSynced && after.misses === timing.toleratedMisses;
    if (isFirst) this.#set({ unanswered: unanswered + 1 });
    this.#change(link.id, () => after);
  }

  /** Nothing has failed: they are of no use any more. */
  #close(isUseless: (link: Link) => boolean): void {
    const { links } = this.#session;
    this.#set({ links: links.filter((link) => !isUseless(link)) });
    for (const { id } of links.filter(isUseless)) this.#do({ do: "close", link: id });
  }

  #giveUp(link: Link): void {
    this.#do({ do: "close", link: link.id });
    this.#lose(link);
  }

  /** A link is gone. The one in use is replaced by the one that was to follow, if there is one. */
  #lose(link: Link, failure?: Failure): void {
    const { links, failures, unanswered, timing } = this.#session;
    const rest = links.filter(({ id }) => id !== link.id);
    this.#set({ links: rest });
    if (failure) {
      this.#deny(failure);
      // Who gives no tickets gives no answers either.
      this.#set({ paintBy: Infinity });
    }
    // One that missed its syncs was counted then.
    else if (!link.isSynced && link.misses < timing.toleratedMisses) {
      this.#set({ unanswered: unanswered + 1 });
    }
    const [current] = this.#session.links;
    if (current && current.id !== links[0]?.id) return;
    const wasStable = link.isOpen && this.#at - link.since >= timing.backoff.stableAfter;
    const before = wasStable ? 0 : failures;
    const isDenied = failure !== undefined && failure.kind !== "unavailable";
    const wait = isDenied
      ? within(timing.denied, this.#random)
      : wasStable
        ? within(timing.comeback, this.#random)
        : backoffDelay(before, this.#random, timing.backoff);
    const notBefore = this.#at + (failure?.retryAfterMs ?? 0);
    const openAt = Math.max(notBefore, this.#at + wait);
    this.#set({ failures: before + 1, notBefore, openAt });
    this.#forget();
  }

  /** No ticket could be had. Links whose permission has ended have nobody to follow them, and end too. */
  #deny({ kind, mustForget }: Failure): void {
    if (kind === "unavailable") return;
    this.#set({ denial: kind });
    if (mustForget) this.#set({ revoked: this.#session.lastLink });
    this.#close(({ id }) => id <= this.#session.revoked);
    if (this.#session.links.length > 0) return;
    this.#set({ openAt: this.#at + within(this.#session.timing.denied, this.#random) });
  }

  /**
   * Drops what is held once the server has said that nobody here may see it: it ended the permission, or
   * forbids to connect. Who is only signed out, because time has passed, keeps what was shown.
   */
  #forget(): void {
    const { links, denial, revoked } = this.#session;
    if (links.length > 0 || !denial || (denial === "signed_out" && revoked === 0)) return;
    this.#set({ isComplete: false });
    this.#do({ do: "forget" });
  }

  /** Begins to poll where sockets do not get through, ends it where one does, and does what is due. */
  #poll(): void {
    const { timing, mayPoll, denial, servedAt, messages, views, lastPoll } = this.#session;
    if (!mayPoll || denial || phaseOfLinks(this.#session) === "live") {
      this.#endPolling();
      return;
    }
    let { poll } = this.#session;
    if (!isAsking(poll) && this.#at >= pollFrom(this.#session)) {
      // Those that were live have lost their sockets together.
      const spread = servedAt === -Infinity ? timing.spread : timing.pollSpread;
      const nextAt = this.#isBlocked ? this.#at + this.#random * spread : this.#at;
      poll = { ...(poll ?? beginPolling(timing)), nextAt };
    }
    if (!poll) return;
    if (poll.pending && this.#at >= poll.pending.answerBy) {
      this.#do({ do: "unpoll" });
      poll = failedPoll(poll, undefined, this.#moment);
    }
    if (!poll.pending && this.#at >= poll.nextAt) {
      const id = lastPoll + 1;
      poll = askPoll(poll, id, messages, this.#at);
      this.#set({ lastPoll: id });
      this.#do({ do: "poll", poll: id, views });
    }
    const { answeredAt } = poll;
    const isSilent = answeredAt !== undefined && this.#at >= answeredAt + timing.silence;
    this.#set({ poll: { ...poll, isSilent } });
  }

  #endPolling(): void {
    const { poll } = this.#session;
    if (!poll) return;
    this.#set({ poll: undefined });
    this.#do({ do: "unpoll" });
  }

  #isPending(poll: number): boolean {
    return this.#session.poll?.pending?.id === poll;
  }

  get #isBlocked(): boolean {
    return this.#at >= blockedFrom(this.#session);
  }

  /** What a poll brings is a snapshot that came at once. */
  #polled({ content, isWhole }: Extract<SessionEvent, { type: "polled" }>): void {
    const { poll } = this.#session;
    if (!poll?.pending) return;
    const { asked } = poll.pending;
    const message = this.#session.messages + 1;
    this.#set({ messages: message });
    this.#do({ do: "merge", content, origin: { message, asked } });
    if (!isWhole) {
      this.#set({ poll: failedPoll(poll, undefined, this.#moment) });
      return;
    }
    const after = answeredPoll(poll, this.#at);
    // Where a socket may still come, once is enough.
    const next = this.#isBlocked ? after : { ...after, nextAt: Infinity };
    this.#set({ poll: next, isComplete: true });
    this.#retain(asked, namedIn(content));
    this.#do({ do: "confirm", asOf: content.sentAt, askedAt: poll.sentAt });
  }

  #unpolled(failure: Failure): void {
    const { poll } = this.#session;
    if (!poll) return;
    this.#set({ poll: failedPoll(poll, failure, this.#moment) });
    // The API knows nobody, or lets them see nothing: it gives no tickets either.
    const isDenied = failure.kind === "signed_out" || failure.mustForget;
    if (!isDenied || !this.#session.needsTicket) return;
    this.#deny(failure);
    this.#forget();
  }

  get #at(): number {
    return this.#moment.at;
  }

  get #random(): number {
    return this.#moment.random;
  }

  #do(effect: Effect): void {
    this.#effects.push(effect);
  }

  #set(change: Partial<Session>): void {
    this.#session = { ...this.#session, ...change };
  }

  #link(id: number): Link | undefined {
    return this.#session.links.find((link) => link.id === id);
  }

  #change(id: number, make: (link: Link) => Link): void {
    this.#changeAll((link) => (link.id === id ? make(link) : link));
  }

  #changeAll(make: (link: Link) => Link): void {
    this.#set({ links: this.#session.links.map(make) });
  }
}

/** The keys of what is there. */
type Named = Pick<Part, "entities" | "insights">;

/** What could not be read is named too. No key of an entity is one of an insight. */
function namedIn({ updates, insights, unread: keys }: FrameContent): Named {
  const known = keys.filter((key) => key !== undefined);
  return {
    entities: [...updates.map(({ type, id }) => entityKey(type, id)), ...known],
    insights: [...insights.map(({ key }) => key), ...known],
  };
}
