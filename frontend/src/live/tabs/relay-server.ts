import type { ServerFrame, SyncCommandV1, ViewV1 } from "@contracts/zz_types.ts";
import type { Clock, Timer } from "../clock.ts";
import { failureOf, type Polled } from "../live-api.ts";
import type { LiveState, Watcher } from "../live-client.ts";
import { readFrame } from "../read-frame.ts";
import { timing } from "../timing.ts";
import { answer, Sheets, type Holdings } from "./answer.ts";
import type { Notice, Request, Standing } from "./words.ts";

/** The part of a live client that stands behind a relay. */
export interface Source extends Holdings {
  readonly state: LiveState;
  /** When a sync was answered last, by the clock of the client; -Infinity: never. */
  readonly confirmedAt: number;
  /** The server's time, in unix milliseconds. */
  time(): number;
  watch(watcher: Watcher): () => void;
  watchFor(others: readonly ViewV1[]): void;
  check(): void;
}

export type Say = (
  notice: Notice extends infer N ? (N extends unknown ? Omit<N, "from"> : never) : never,
) => void;

/** The polling of another tab. */
interface PollLink {
  readonly heardAt: number;
  readonly views: readonly ViewV1[];
  /** The poll that it waits for. */
  readonly waiting: string | undefined;
}

/** The socket of another tab, as the leader sees it. */
interface Link {
  readonly heardAt: number;
  /** What it watches: the views of its last sync. */
  readonly views: readonly ViewV1[];
  /** Its sync that is not answered yet. */
  readonly pending: SyncCommandV1 | undefined;
}

/** An answer is passed on if the server gave it no longer ago than this, in milliseconds. */
const freshness = timing.spread;
/** A tab asks once a minute, and one in the background may be woken once a minute: silent for longer, it is gone. */
const silence = 180_000;
/** A client that polls does so again within this time, in milliseconds, also where that fails. */
const pollPause = timing.pollTimeout + timing.denied.minimum + timing.denied.spread;
/** Beyond this many, the link that was silent for longest is closed. */
const linkLimit = 100;
/** Characters; see contracts/schemas/commands/sync. */
const commandLimit = 4_096;

/**
 * Stands in for the server, in the tab that leads: the sockets of the other tabs end here. What they
 * watch, the leader's own connection watches too. A sync is answered out of what the leader holds, but
 * only once the server has confirmed that, a moment ago; until then it is not answered. Frames with
 * changes are passed on as they come, to all: each tab leaves out what it does not watch. Where the leader
 * polls, the others have what it is answered.
 */
export class RelayServer {
  readonly #source: Source;
  readonly #clock: Clock;
  readonly #say: Say;
  /** Those that spoke last come last. */
  readonly #links = new Map<string, Link>();
  readonly #polls = new Map<string, PollLink>();
  readonly #sheets = new Sheets();
  #next: Timer;
  /** When its client polled last. */
  #polledAt = -Infinity;
  readonly #leave: () => void;
  #standing: Standing = { say: "down" };
  #confirmedAt: number;

  constructor(source: Source, clock: Clock, say: Say) {
    this.#source = source;
    this.#clock = clock;
    this.#say = say;
    this.#confirmedAt = source.confirmedAt;
    this.#leave = source.watch({
      onState: () => {
        this.#follow();
      },
      onMessage: (data) => {
        this.#pass(data);
      },
    });
    say(this.#standing);
    this.#follow();
  }

  stop(): void {
    this.#leave();
    this.#clock.clearTimeout(this.#next);
    this.#links.clear();
    this.#polls.clear();
    this.#watch();
    this.#say({ say: "gone" });
  }

  hear(request: Request): void {
    if (!("link" in request)) {
      this.#say({ say: "here" });
      return;
    }
    const { link } = request;
    switch (request.do) {
      case "open":
        this.#say(this.#open(link));
        return;
      case "send":
        if (this.#links.has(link)) this.#take(link, request.data);
        // Whoever was taken for gone has to begin anew.
        else this.#say({ say: "closed", link });
        return;
      case "poll":
        this.#wait(request);
        return;
      case "close":
        if (this.#links.delete(link) || this.#polls.delete(link)) this.#watch();
    }
  }

  /**
   * Lets those who wait have what comes of a poll that begins now, also who asks a moment later: their rhythm is
   * the same. One that is given up, as it is when other views are watched, leaves them waiting.
   */
  share(poll: Promise<Polled>, signal: AbortSignal): void {
    for (const [link, { heardAt }] of this.#polls) {
      if (this.#clock.now() - heardAt > silence) this.#polls.delete(link);
    }
    this.#watch();
    this.#polledAt = this.#clock.now();
    const askedBy = this.#polledAt + freshness;
    const tell = (answer: (polls: string[]) => Parameters<Say>[0]) => {
      if (signal.aborted) return;
      const polls: string[] = [];
      for (const [link, poll] of this.#polls) {
        if (poll.waiting === undefined || poll.heardAt > askedBy) continue;
        polls.push(poll.waiting);
        this.#polls.set(link, { ...poll, waiting: undefined });
      }
      if (polls.length > 0) this.#say(answer(polls));
    };
    void poll.then(
      (polled) => {
        tell((polls) => ({ say: "polled", polls, polled }));
      },
      (error: unknown) => {
        tell((polls) => ({ say: "unpolled", polls, failure: failureOf(error) }));
      },
    );
  }

  /** A page of a poll has come: it takes its time, and nobody need give it up. */
  paged(): void {
    if (this.#polls.size > 0) this.#say({ say: "paged" });
  }

  #open(link: string): Parameters<Say>[0] {
    const { phase, isConnected } = this.#source.state;
    if (this.#standing.say === "denied") return this.#standing;
    // No socket gets through: whoever asked for one polls too, and need not wait for it.
    if (!isConnected) return phase === "polling" ? { say: "closed", link } : { say: "here" };
    this.#links.set(link, { heardAt: this.#clock.now(), views: [], pending: undefined });
    const [oldest] = this.#links.keys();
    if (this.#links.size > linkLimit && oldest !== undefined) this.#close(oldest);
    return { say: "opened", link };
  }

  #wait({ link, poll, views }: Extract<Request, { do: "poll" }>): void {
    const now = this.#clock.now();
    if (now - this.#polledAt > pollPause || this.#source.state.phase === "live") {
      this.#say({ say: "unshared", poll });
      return;
    }
    this.#say({ say: "here" });
    const asked = { heardAt: now, views, waiting: undefined };
    this.#polls.delete(link);
    this.#polls.set(link, asked);
    const [oldest] = this.#polls.keys();
    if (this.#polls.size > linkLimit && oldest !== undefined) this.#polls.delete(oldest);
    this.#watch();
    // By then the client polls for what is watched now.
    queueMicrotask(() => {
      if (this.#polls.get(link) === asked) this.#polls.set(link, { ...asked, waiting: poll });
    });
  }

  #close(link: string): void {
    this.#links.delete(link);
    this.#say({ say: "closed", link });
    this.#watch();
  }

  #take(link: string, text: string): void {
    this.#say({ say: "here" });
    const command = readCommand(text);
    if (!command) return;
    this.#links.delete(link);
    this.#links.set(link, { heardAt: this.#clock.now(), views: command.views, pending: command });
    this.#watch();
    // By then the client has taken notice of what is watched now.
    queueMicrotask(() => {
      this.#answer();
    });
  }

  /** The connection of this tab has changed. */
  #follow(): void {
    const before = JSON.stringify(this.#standing);
    this.#standing = standingOf(this.#source);
    if (JSON.stringify(this.#standing) === before) return;
    if (this.#standing.say !== "up") this.#links.clear();
    this.#say(this.#standing);
    this.#watch();
  }

  /** The server has said something. */
  #pass(data: unknown): void {
    const { control } = readFrame(data);
    // What is about the connection concerns this tab alone.
    if (!control) {
      if (this.#links.size > 0) this.#say({ say: "message", data });
      return;
    }
    this.#forget();
    if (control.type === "ERROR" && !blameless.has(control.code)) this.#refuse(control.code);
    this.#answer();
    const isConfirmed = this.#source.confirmedAt !== this.#confirmedAt;
    this.#confirmedAt = this.#source.confirmedAt;
    // This tab did not have everything, so the others may not have it either.
    if (isConfirmed && control.type === "SNAPSHOT") this.#resync();
  }

  #answer(): void {
    this.#clock.clearTimeout(this.#next);
    if (this.#source.state.phase !== "live") return;
    const waiting = [...this.#links].filter(([, { pending }]) => pending);
    const [first] = waiting;
    if (!first) return;
    if (!this.#isFresh()) {
      this.#source.check();
      return;
    }
    const [link, { pending, ...rest }] = first;
    this.#links.set(link, { ...rest, pending: undefined });
    const timestamp = this.#timestamp(this.#clock.now() - this.#source.confirmedAt);
    for (const data of pending ? answer(pending, this.#source, timestamp, this.#sheets) : []) {
      this.#say({ say: "message", link, data });
    }
    if (waiting.length === 1) return;
    // A task for each: when all ask at once, this tab has something else to do between.
    this.#next = this.#clock.setTimeout(() => {
      this.#answer();
    }, 0);
  }

  #isFresh(): boolean {
    return this.#clock.now() - this.#source.confirmedAt <= freshness;
  }

  #resync(): void {
    const frame: ServerFrame = { type: "RESYNC", version: 1, timestamp: this.#timestamp() };
    const data = JSON.stringify(frame);
    for (const link of this.#links.keys()) this.#say({ say: "message", link, data });
  }

  /**
   * The server refuses what is watched here. Until the latest wish of another tab came it did not; so
   * that one is refused, and the rest is asked for again.
   */
  #refuse(code: string): void {
    const wishes = [...this.#links].filter(([, { pending }]) => pending);
    const [link, { pending } = {}] = wishes.at(-1) ?? [];
    if (link === undefined || !pending) return;
    this.#links.set(link, { heardAt: this.#clock.now(), views: [], pending: undefined });
    const frame = {
      type: "ERROR",
      version: 1,
      timestamp: this.#timestamp(),
      code,
      sync_id: pending.sync_id,
    } as ServerFrame;
    this.#say({ say: "message", link, data: JSON.stringify(frame) });
    this.#watch();
  }

  #forget(): void {
    for (const [link, { heardAt }] of this.#links) {
      if (this.#clock.now() - heardAt > silence) this.#close(link);
    }
  }

  #watch(): void {
    const wishes = [...this.#links.values(), ...this.#polls.values()];
    this.#source.watchFor(wishes.flatMap(({ views }) => views));
  }

  /** An instant so long ago, by the server's clock. */
  #timestamp(age = 0): string {
    return new Date(this.#source.time() - age).toISOString();
  }
}

function standingOf({ state, replica, findings }: Source): Standing {
  const { isConnected, denial } = state;
  if (isConnected) return { say: "up" };
  if (!denial) return { say: "down" };
  const isForgotten = replica.entities.size + findings.latest.length === 0;
  return { say: "denied", kind: denial, isForgotten };
}

/** After these the client asks again by itself, or may not ask for anything: what it watches is not at fault. */
const blameless: ReadonlySet<string> = new Set([
  "RATE_LIMITED",
  "UNAVAILABLE",
  "SUPERSEDED",
  "UNAUTHENTICATED",
]);

/** Other tabs run the same program: what is not a command is a mistake, and is not answered. */
function readCommand(text: string): SyncCommandV1 | undefined {
  if (text.length > commandLimit) return undefined;
  try {
    const command = JSON.parse(text) as SyncCommandV1;
    return Array.isArray(command.views) ? command : undefined;
  } catch {
    return undefined;
  }
}
