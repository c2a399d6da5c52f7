import type { ViewV1 } from "@contracts/zz_types.ts";
import { backoffDelay, defaultBackoff } from "./backoff.ts";
import {
  answered,
  ask,
  askAnew,
  collect,
  deadline,
  hear,
  missed,
  open,
  opening,
  refused,
  syncDueAt,
  wish,
  type Link,
  type Moment,
} from "./link.ts";
import type { Census, Origin } from "./merge.ts";
import type { FrameContent, Refusal } from "./read-frame.ts";
import { entityKey } from "./replica.ts";
import { timing } from "./timing.ts";
import { everything, viewsKey } from "./watched-views.ts";

/**
 * The conversation of a page with its server: it keeps one socket open, asks on it for what the page
 * watches, repairs what was missed, and moves to another socket before the first ends. It is a value;
 * `step` makes the next one, and says what is to be done. Nothing here does anything.
 */
export interface Session {
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
  /** With no link: when to open one. */
  readonly openAt: number;
  /** How many messages have come, on all links. */
  readonly messages: number;
}

export const idle: Session = {
  isRunning: false,
  views: [everything],
  key: viewsKey([everything]),
  isComplete: false,
  links: [],
  lastLink: 0,
  failures: 0,
  openAt: Infinity,
  messages: 0,
};

export type SessionEvent =
  | { readonly type: "started" | "stopped" }
  /** A deadline may have passed. */
  | { readonly type: "woken" }
  /**
   * The network came or went, or the page became visible: what is shown may be wrong. `mayConnect`: an
   * attempt to connect is worth while.
   */
  | { readonly type: "nudged"; readonly mayConnect: boolean }
  /** `views` is a result of `viewsToWatch`. */
  | { readonly type: "watched"; readonly views: readonly ViewV1[] }
  | { readonly type: "opened" | "closed"; readonly link: number }
  | { readonly type: "heard"; readonly link: number; readonly content: FrameContent };

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
  | { readonly do: "retain"; readonly entities: Census; readonly insights: Census }
  /** What is held is what the server holds, as of then by its clock. */
  | { readonly do: "confirm"; readonly asOf: number | undefined }
  /** The server refused a command for good; somebody should know. */
  | { readonly do: "report"; readonly refusal: Refusal };

export interface Step {
  readonly session: Session;
  /** To be done in this order. */
  readonly effects: readonly Effect[];
}

export function step(session: Session, event: SessionEvent, moment: Moment): Step {
  const turn = new Turn(session, moment);
  turn.take(event);
  turn.elapse();
  return turn.finish();
}

/** When `step` is to be called with `woken`, if nothing else happens before; Infinity: never. */
export function nextDeadline({ isRunning, links, openAt, key }: Session): number {
  if (!isRunning) return Infinity;
  const [current] = links;
  if (!current) return openAt;
  const moveAt = links.length === 1 ? Math.min(current.leaveAt, current.replaceAt) : Infinity;
  return Math.min(moveAt, ...links.map((link) => deadline(link, key)));
}

/**
 * - `stopped`: not started, or stopped.
 * - `offline`: there is no socket; the next attempt has its time.
 * - `connecting`: a socket was asked for.
 * - `syncing`: it is open, and what is watched is still coming.
 * - `live`: what is shown is what the server holds.
 * - `degraded`: nobody can tell whether it is: the server does not answer, or refuses to.
 */
export type Phase = "stopped" | "offline" | "connecting" | "syncing" | "live" | "degraded";

export function phaseOf({ isRunning, isComplete, links }: Session): Phase {
  if (!isRunning) return "stopped";
  const [current] = links;
  if (!current) return "offline";
  if (!current.isOpen) return "connecting";
  if (current.isDoubtful || current.isSilent) return "degraded";
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

  take(event: SessionEvent): void {
    switch (event.type) {
      case "started":
        if (!this.#session.isRunning) this.#start();
        return;
      case "stopped":
        for (const { id } of this.#session.links) this.#do({ do: "close", link: id });
        this.#set({ isRunning: false, links: [], openAt: Infinity });
        return;
      case "woken":
        return;
      case "nudged":
        if (event.mayConnect && this.#session.links.length === 0) this.#set({ openAt: this.#at });
        this.#changeAll((link) => wish(link, this.#at));
        return;
      case "watched":
        this.#watch(event.views);
        return;
      case "opened":
        this.#change(event.link, (link) => open(link, this.#moment));
        return;
      case "closed": {
        const link = this.#link(event.link);
        if (link) this.#lose(link);
        return;
      }
      case "heard":
        this.#hear(event.link, event.content);
    }
  }

  /** Does all that is due. */
  elapse(): void {
    if (!this.#session.isRunning) return;
    const at = this.#at;
    for (const link of this.#session.links) {
      if (!link.isOpen) {
        if (at >= link.since + timing.openTimeout) this.#giveUp(link);
        continue;
      }
      if (link.pending && at >= link.pending.answerBy) this.#miss(link);
      const isSilent = at >= link.heardAt + timing.silence;
      this.#change(link.id, (same) => ({ ...same, isSilent }));
    }
    const { links, openAt } = this.#session;
    const [current] = links;
    if (!current) {
      if (at >= openAt) this.#open();
    } else if (links.length === 1 && at >= Math.min(current.leaveAt, current.replaceAt)) {
      this.#open();
    }
    for (const link of this.#session.links) {
      if (at >= syncDueAt(link, this.#session.key)) this.#sync(link);
    }
  }

  #start(): void {
    this.#set({ isRunning: true, failures: 0 });
    this.#open();
  }

  #open(): void {
    const id = this.#session.lastLink + 1;
    this.#set({
      lastLink: id,
      links: [...this.#session.links, opening(id, this.#at)],
      openAt: Infinity,
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
      mayDigest: isComplete,
    });
  }

  #watch(views: readonly ViewV1[]): void {
    const key = viewsKey(views);
    if (key === this.#session.key) return;
    this.#set({ views, key, isComplete: false });
    this.#changeAll((link) => (link.isOpen ? askAnew(link, this.#at) : link));
  }

  #hear(id: number, content: FrameContent): void {
    const link = this.#link(id);
    if (!link) return;
    const message = this.#session.messages + 1;
    this.#set({ messages: message });
    this.#change(id, (same) => hear(same, this.#moment));
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
        this.#change(id, (same) => wish(same, this.#at + this.#random * timing.spread));
        return;
      case "RECONNECT": {
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
    { updates, insights, sentAt }: FrameContent,
    { part: number, parts: total, isWhole }: Extract<FrameContent["control"], { type: "SNAPSHOT" }>,
  ): void {
    const part = {
      entities: updates.map((update) => entityKey(update.type, update.id)),
      insights: insights.map(({ key }) => key),
      isWhole,
    };
    const link = this.#link(id);
    if (!link?.pending) return;
    const pending = collect(link.pending, { number, total, part }, this.#at);
    this.#change(id, (same) => ({ ...same, pending }));
    if (pending.parts.size < total) return;
    const parts = [...pending.parts.values()];
    if (parts.every((each) => each.isWhole)) {
      const census = (named: readonly string[]): Census => ({
        named: new Set(named),
        asked: pending.asked,
        message: this.#session.messages,
      });
      this.#do({
        do: "retain",
        entities: census(parts.flatMap(({ entities }) => entities)),
        insights: census(parts.flatMap((each) => each.insights)),
      });
    }
    this.#complete(id, sentAt);
  }

  /** The pending sync of a link is answered. The link that is to follow takes over with it. */
  #complete(id: number, asOf: number | undefined): void {
    this.#change(id, answered);
    this.#set({ isComplete: true });
    this.#do({ do: "confirm", asOf });
    const [current, following] = this.#session.links;
    if (!current || following?.id !== id) return;
    this.#set({ links: [following] });
    this.#do({ do: "close", link: current.id });
  }

  #refuse(id: number, refusal: Refusal): void {
    const pending = this.#link(id)?.pending;
    const isOther = refusal.syncId !== undefined && refusal.syncId !== pending?.syncId;
    if (!pending || isOther) return;
    this.#change(id, (link) => refused(link, refusal, this.#session.key, this.#moment));
    if (this.#link(id)?.refused === this.#session.key) this.#do({ do: "report", refusal });
  }

  #miss(link: Link): void {
    const after = missed(link, this.#moment);
    const isCurrent = this.#session.links[0]?.id === link.id;
    if (!isCurrent && after.misses >= timing.toleratedMisses) this.#giveUp(link);
    else this.#change(link.id, () => after);
  }

  #giveUp(link: Link): void {
    this.#do({ do: "close", link: link.id });
    this.#lose(link);
  }

  /** A link is gone. The one in use is replaced by the one that was to follow, if there is one. */
  #lose(link: Link): void {
    const { links, failures } = this.#session;
    const rest = links.filter(({ id }) => id !== link.id);
    this.#set({ links: rest });
    const [current] = rest;
    if (current && current.id !== links[0]?.id) return;
    const wasStable = link.isOpen && this.#at - link.since >= defaultBackoff.stableAfter;
    const before = wasStable ? 0 : failures;
    const retryAt = this.#at + backoffDelay(before, this.#random, defaultBackoff);
    this.#set({ failures: before + 1 });
    if (!current) this.#set({ openAt: retryAt });
    else this.#change(current.id, (same) => postpone(same, this.#at, retryAt));
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

/** What was due to be done about a link is tried again then. */
function postpone(link: Link, at: number, retryAt: number): Link {
  const { leaveAt, replaceAt } = link;
  return {
    ...link,
    leaveAt: leaveAt <= at ? retryAt : leaveAt,
    replaceAt: replaceAt <= at ? retryAt : replaceAt,
  };
}
