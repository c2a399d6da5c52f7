import type { ErrorCode, ViewV1 } from "@contracts/zz_types.ts";
import type { Failure } from "../live/live-api.ts";
import { readFrame, type FrameContent } from "../live/read-frame.ts";
import {
  idle,
  nextDeadline,
  phaseOf,
  step,
  type Effect,
  type Session,
  type SessionEvent,
} from "../live/session.ts";
import { encode, snapshot, synced, type SnapshotPart } from "./wire.ts";

/** A session whose server, network and time are the test. */
export class Talk {
  session: Session;
  at = 1_000;
  random = 0.5;
  /** Since they were last taken. */
  #effects: Effect[] = [];

  constructor(settings: Partial<Session> = {}) {
    this.session = { ...idle, ...settings };
  }

  tell(event: SessionEvent): this {
    const { session, effects } = step(this.session, event, { at: this.at, random: this.random });
    this.session = session;
    this.#effects.push(...effects);
    return this;
  }

  start(): this {
    return this.tell({ type: "started" });
  }

  /** The newest link opens. */
  accept(): this {
    return this.tell({ type: "opened", link: this.session.lastLink });
  }

  close(link = this.session.lastLink): this {
    return this.tell({ type: "closed", link });
  }

  /** No ticket can be had for the newest link. */
  deny(kind: Failure["kind"], retryAfterMs = 0): this {
    const failure = { kind, retryAfterMs };
    return this.tell({ type: "closed", link: this.session.lastLink, failure });
  }

  /** The poll that is pending is answered. */
  polled(content: Partial<FrameContent> = {}, isWhole = true, poll = this.session.lastPoll): this {
    const nothing = { updates: [], insights: [], control: undefined, rejections: [], unread: [] };
    const all = { ...nothing, sentAt: this.at, ...content };
    return this.tell({ type: "polled", poll, content: all, isWhole });
  }

  unpolled(kind: Failure["kind"] = "unavailable", retryAfterMs = 0): this {
    const failure = { kind, retryAfterMs };
    return this.tell({ type: "unpolled", poll: this.session.lastPoll, failure });
  }

  hear(text: string, link = this.session.lastLink): this {
    return this.tell({ type: "heard", link, content: readFrame(text) });
  }

  /** Answers the sync that is pending on a link: nothing has changed. */
  confirm(link = this.session.lastLink): this {
    return this.hear(synced(this.pending(link)), link);
  }

  refuse(code: ErrorCode, more: object = {}): this {
    return this.hear(encode("ERROR", { code, sync_id: this.pending(), ...more }));
  }

  part(content: SnapshotPart, syncId = this.pending()): this {
    return this.hear(snapshot(syncId, content));
  }

  nudge(mayConnect = true): this {
    return this.tell({ type: "nudged", mayConnect });
  }

  watch(...views: ViewV1[]): this {
    return this.tell({ type: "watched", views });
  }

  /** The number of the sync that waits for an answer. */
  pending(link = this.session.lastLink): number {
    const pending = this.session.links.find(({ id }) => id === link)?.pending;
    if (!pending) throw new Error("no sync is pending");
    return pending.syncId;
  }

  /** Moves time on, and wakes the session at each of its deadlines. */
  advance(milliseconds: number): this {
    const end = this.at + milliseconds;
    for (let next = nextDeadline(this.session); next <= end; next = nextDeadline(this.session)) {
      this.at = next;
      this.tell({ type: "woken" });
      if (nextDeadline(this.session) <= this.at) throw new Error("a deadline does not pass");
    }
    this.at = end;
    return this;
  }

  /** What was to be done since the last call. */
  take(): Effect[] {
    return this.#effects.splice(0);
  }

  /** The syncs among it. */
  syncs(): Extract<Effect, { do: "sync" }>[] {
    return this.take().filter((effect) => effect.do === "sync");
  }

  /** How long until the next sync, if the server is silent. Undefined: longer than five minutes. */
  untilSync(): number | undefined {
    const start = this.at;
    this.take();
    while (nextDeadline(this.session) - start < 300_000) {
      this.at = nextDeadline(this.session);
      this.tell({ type: "woken" });
      if (this.syncs().length > 0) return this.at - start;
    }
    return undefined;
  }

  get phase() {
    return phaseOf(this.session);
  }
}
