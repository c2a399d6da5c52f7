import type { SyncCommandV1, ViewV1 } from "@contracts/zz_types.ts";
import { systemClock, type Clock, type Timer } from "./clock.ts";
import type { Findings } from "./findings.ts";
import {
  confirm,
  freshnessOf,
  noKnowledge,
  notice,
  type Freshness,
  type Part,
} from "./freshness.ts";
import { failureOf, type Failure, type LiveApi, type Poller } from "./live-api.ts";
import type { Page } from "./page.ts";
import type { Problem } from "./problem.ts";
import { contracts, readFrame, type FrameContent, type Rejection } from "./read-frame.ts";
import type { Replica } from "./replica.ts";
import { serverTime } from "./server-clock.ts";
import {
  idle,
  isConnected,
  nextDeadline,
  phaseOf,
  step,
  type Denial,
  type Effect,
  type Phase,
  type Session,
  type SessionEvent,
} from "./session.ts";
import { Store } from "./store.ts";
import { timing, type Timing } from "./timing.ts";
import { viewsToWatch } from "./watched-views.ts";

/**
 * - `stopped`: not started, or stopped; nothing is open and nothing is pending.
 * - `connecting`: a socket was asked for and has not opened yet.
 * - `open`: messages can arrive.
 * - `waiting`: the last socket is gone; the next attempt has its time.
 */
export type ConnectionStatus = "stopped" | "connecting" | "open" | "waiting";

/** The part of the browser's WebSocket that is used. */
export interface Socket {
  onopen: ((event: Event) => void) | null;
  onmessage: ((event: MessageEvent) => void) | null;
  onclose: ((event: CloseEvent) => void) | null;
  send(data: string): void;
  close(code?: number): void;
}

export type SocketConstructor = new (url: string) => Socket;

export interface LiveClientOptions {
  /** Of the WebSocket. */
  readonly url: string;
  /** Gives tickets, if they are needed; and is polled where no socket gets through. */
  readonly api?: LiveApi;
  /** Whether a socket that is opened now needs one of those tickets; unless told otherwise, each does. */
  readonly needsTicket?: () => boolean;
  /** What differs from the usual settings. */
  readonly timing?: Partial<Timing>;
  readonly clock?: Clock;
  /** In [0, 1). */
  readonly random?: () => number;
  readonly WebSocket?: SocketConstructor;
  /** Without one, as in a script, it counts as always visible. */
  readonly page?: Page;
  /** Runs a function once, soon; after the task at hand unless told otherwise. */
  readonly schedule?: (run: () => void) => void;
  /** Unix milliseconds. */
  readonly now?: () => number;
  /** Told once of each reason why something that was sent, here or there, could not be used. */
  readonly warn?: (problem: Problem) => void;
}

/** Someone who has to do with the connection of a page. */
export interface Watcher {
  /** What is to be kept up to date for it. */
  readonly view?: ViewV1;
  /** Called with the data of each message: text, or whatever else the server sent. */
  readonly onMessage?: (data: unknown) => void;
  /** Called after each change of `state`. */
  readonly onState?: () => void;
  /** Called after each change of `replica` or `findings`, but not while nobody can see the page. */
  readonly onData?: () => void;
}

/** How the connection stands. The same object until something has changed. */
export interface LiveState {
  readonly status: ConnectionStatus;
  /** Messages can arrive. */
  readonly isConnected: boolean;
  /** All that is watched was here at least once, since it was last decided what to watch. */
  readonly isComplete: boolean;
  readonly phase: Phase;
  /** Why the server let nobody in when it was last asked. */
  readonly denial: Denial | undefined;
}

/**
 * Keeps what a page watches up to date over a WebSocket, or by polling. It does what a session says, and
 * tells the session what happens. Both `start` and `stop` may be called any number of times, in any order; after
 * `stop` returns, no socket is open and no watcher is called until the next `start`.
 */
export class LiveClient {
  readonly #options: LiveClientOptions;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #now: () => number;
  readonly #store: Store;
  readonly #watchers = new Set<Watcher>();
  readonly #sockets = new Map<number, Socket>();
  /** Of the links whose tickets are being fetched. */
  readonly #fetches = new Map<number, AbortController>();
  readonly #poller: Poller | undefined;
  #polling: AbortController | undefined;
  readonly #warned = new Set<string>();
  readonly #events: SessionEvent[] = [];
  #isStepping = false;
  #session: Session;
  #knowledge = noKnowledge;
  #state = stateOf(idle);
  #timer: Timer;
  #unlisten: (() => void) | undefined;
  #hasNewViews = false;
  /** What other tabs watch by way of this one. */
  #others: readonly ViewV1[] = [];
  #confirmedAt = -Infinity;
  /** When what is shown was right last, as far as is known. */
  #liveAt = -Infinity;
  #hasUnshown = false;

  constructor(options: LiveClientOptions) {
    const { api } = options;
    this.#options = options;
    this.#session = {
      ...idle,
      timing: { ...timing, ...options.timing },
      mayPoll: api !== undefined,
      needsTicket: api?.ticket !== undefined,
    };
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    this.#now = options.now ?? Date.now;
    this.#store = new Store({
      schedule: options.schedule ?? queueMicrotask,
      now: () => this.time(),
      onChange: () => {
        this.#hasUnshown = true;
        this.#show();
      },
    });
    this.#poller = api?.poller({
      onPage: (content) => {
        this.#take({ type: "paged" });
        this.#notice(content);
      },
      time: () => serverTime(this.#knowledge.clock, this.#clock.now()),
    });
  }

  get state(): LiveState {
    return this.#state;
  }

  get replica(): Replica {
    return this.#store.replica;
  }

  get findings(): Findings {
    return this.#store.findings;
  }

  /** When a sync was answered last, by the clock of this client; -Infinity: never. */
  get confirmedAt(): number {
    return this.#confirmedAt;
  }

  /** Sums up what is held for these views, with all that has come; undefined where nothing is. */
  digest(views: readonly ViewV1[]): string | undefined {
    return this.#store.digest(views);
  }

  /** How current what is shown is, at this moment, or a part of it. */
  freshness(part?: Part): Freshness {
    return freshnessOf(this.#session, this.#knowledge, this.#clock.now(), part);
  }

  /** The server's time, in unix milliseconds; before it is known, ours. */
  time(): number {
    return serverTime(this.#knowledge.clock, this.#clock.now()) ?? this.#now();
  }

  /** In how many milliseconds the next attempt to connect begins; undefined: none is waited for. */
  retryIn(): number | undefined {
    const { openAt, isRunning, links } = this.#session;
    const isWaiting = isRunning && links.length === 0;
    return isWaiting ? Math.max(0, openAt - this.#clock.now()) : undefined;
  }

  /**
   * Whether the page may be called live: it is, or it was a moment ago, and what it watches now is on its way. It
   * changes also as time goes by.
   */
  isLive(): boolean {
    const { kind } = this.freshness();
    const wasLive = this.#clock.now() < this.#liveAt + this.#session.timing.grace;
    return kind === "live" || (kind === "catching_up" && wasLive);
  }

  start(): void {
    if (this.#session.isRunning) return;
    this.#unlisten = this.#options.page?.listen((change) => {
      if (change === "hidden") return;
      this.#show();
      this.#take({ type: "nudged", mayConnect: change !== "offline" });
    });
    this.#takeNewViews();
    this.#take({ type: "started" });
    this.#show();
  }

  /** Does what is due, where a timer is late: after a sleep of the machine each is late by that. */
  wake(): void {
    if (this.#clock.now() >= nextDeadline(this.#session)) this.#take({ type: "woken" });
  }

  stop(): void {
    this.#unlisten?.();
    this.#unlisten = undefined;
    this.#take({ type: "stopped" });
    for (const link of [...this.#sockets.keys(), ...this.#fetches.keys()]) this.#close(link);
  }

  /** How many watchers there are. */
  get audience(): number {
    return this.#watchers.size;
  }

  /** Adds a watcher. The function returned removes it; it may be called twice. */
  watch(watcher: Watcher): () => void {
    this.#watchers.add(watcher);
    if (watcher.view) this.#announceViews();
    return () => {
      if (this.#watchers.delete(watcher) && watcher.view) this.#announceViews();
    };
  }

  /** Keeps up to date, beside what the page watches, what others do; it replaces what they did before. */
  watchFor(others: readonly ViewV1[]): void {
    this.#others = others;
    this.#announceViews();
  }

  /** Asks the server soon whether what is held is right; where there is no socket, by way of a new one if wanted. */
  check(mayConnect = false): void {
    this.#take({ type: "nudged", mayConnect });
  }

  /** Those that come and go in one task are told to the session together. */
  #announceViews(): void {
    if (this.#hasNewViews) return;
    this.#hasNewViews = true;
    queueMicrotask(() => {
      this.#takeNewViews();
    });
  }

  #takeNewViews(): void {
    if (!this.#hasNewViews) return;
    this.#hasNewViews = false;
    const views = [...this.#watchers].flatMap(({ view }) => view ?? []);
    // A page that wants nothing in particular hears everything, also while others want less.
    this.#take({ type: "watched", views: viewsToWatch([...viewsToWatch(views), ...this.#others]) });
  }

  /** Lets the session take an event; one that comes up meanwhile is taken after it. */
  #take(event: SessionEvent): void {
    this.#events.push(event);
    if (this.#isStepping) return;
    this.#isStepping = true;
    if (this.freshness().kind === "live") this.#liveAt = this.#clock.now();
    try {
      for (let next = this.#events.shift(); next; next = this.#events.shift()) {
        const { session, effects } = step(this.#session, next, {
          at: this.#clock.now(),
          random: this.#random(),
        });
        this.#session = session;
        for (const effect of effects) this.#perform(effect);
      }
    } finally {
      this.#isStepping = false;
      this.#setTimer();
    }
    this.#updateState();
  }

  #perform(effect: Effect): void {
    switch (effect.do) {
      case "open":
        this.#open(effect.link);
        return;
      case "close":
        this.#close(effect.link);
        return;
      case "sync":
        this.#sync(effect);
        return;
      case "poll":
        this.#poll(effect);
        return;
      case "unpoll":
        this.#polling?.abort();
        // What has come of one that is only given up need not come again.
        if (!this.#session.poll) this.#poller?.forget();
        return;
      case "forget":
        this.#store.forget();
        return;
      case "merge":
        this.#store.merge(effect.content, effect.origin);
        return;
      case "retain":
        if (!this.#store.retain(effect, this.#session.views) && effect.isExact) {
          this.#take({ type: "differed", link: effect.link });
        }
        return;
      case "confirm":
        this.#confirmedAt = this.#clock.now();
        this.#knowledge = confirm(this.#knowledge, effect, this.#clock.now());
        return;
      case "report":
        this.#warn({ kind: "refused", ...effect.refusal });
    }
  }

  #open(link: number): void {
    const { url, api, needsTicket } = this.#options;
    if (!api?.ticket || needsTicket?.() === false) {
      this.#connect(link, url);
      return;
    }
    const fetching = new AbortController();
    this.#fetches.set(link, fetching);
    void api.ticket(url, fetching.signal).then(
      (address) => {
        // Nobody wants it any more if the link was closed meanwhile.
        if (this.#fetches.delete(link)) this.#connect(link, address);
      },
      (error: unknown) => {
        if (!this.#fetches.delete(link)) return;
        const failure = failureOf(error);
        this.#warnOf("ticket", failure);
        this.#take({ type: "closed", link, failure });
      },
    );
  }

  /** `address` may hold a ticket: it is not to be logged. */
  #connect(link: number, address: string): void {
    const WebSocket = this.#options.WebSocket ?? globalThis.WebSocket;
    let socket: Socket;
    try {
      socket = new WebSocket(address);
    } catch {
      // The constructor throws where the page's policy forbids the address. A later attempt costs
      // little, and the page says Disconnected until one succeeds.
      this.#take({ type: "closed", link });
      return;
    }
    this.#sockets.set(link, socket);
    socket.onopen = () => {
      // Whoever has asked by now is asked for with the first sync.
      this.#takeNewViews();
      this.#take({ type: "opened", link });
    };
    socket.onmessage = ({ data }) => {
      this.#hear(link, data);
    };
    socket.onclose = () => {
      this.#close(link);
      this.#take({ type: "closed", link });
    };
  }

  /** Lets go of a socket. One that closes slowly can no longer be heard. */
  #close(link: number): void {
    this.#fetches.get(link)?.abort();
    this.#fetches.delete(link);
    const socket = this.#sockets.get(link);
    if (!socket) return;
    this.#sockets.delete(link);
    socket.onopen = null;
    socket.onmessage = null;
    socket.onclose = null;
    socket.close();
  }

  #sync({ link, syncId, views, mayDigest }: Extract<Effect, { do: "sync" }>): void {
    const held = mayDigest ? this.#store.summary(views) : undefined;
    const command: SyncCommandV1 = {
      action: "sync",
      sync_id: syncId,
      contracts: [...contracts],
      views: [...views],
      ...held,
    };
    this.#sockets.get(link)?.send(JSON.stringify(command));
  }

  #poll({ poll, views }: Extract<Effect, { do: "poll" }>): void {
    const polling = new AbortController();
    this.#polling = polling;
    void this.#poller?.poll(views, polling.signal).then(
      (polled) => {
        this.#take({ type: "polled", poll, ...polled });
      },
      (error: unknown) => {
        if (polling.signal.aborted) return;
        const failure = failureOf(error);
        this.#warnOf("poll", failure);
        this.#take({ type: "unpolled", poll, failure });
      },
    );
  }

  #hear(link: number, data: unknown): void {
    const content = readFrame(data);
    this.#take({ type: "heard", link, content });
    this.#notice(content);
    this.#tell(({ onMessage }) => onMessage?.(data));
  }

  /** One that throws harms nobody else; its error is reported as one that nobody has caught. */
  #tell(call: (watcher: Watcher) => void): void {
    for (const watcher of this.#watchers) {
      try {
        call(watcher);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }

  #notice(content: FrameContent): void {
    this.#knowledge = notice(this.#knowledge, content, this.#session, this.#clock.now());
    for (const reason of content.rejections) {
      if (expected.has(reason)) continue;
      this.#warn({ kind: "unusable", reason });
    }
  }

  #show(): void {
    if (!this.#hasUnshown || !this.#session.isRunning || this.#options.page?.isVisible() === false)
      return;
    this.#hasUnshown = false;
    this.#tell(({ onData }) => onData?.());
  }

  #setTimer(): void {
    this.#clock.clearTimeout(this.#timer);
    const deadline = nextDeadline(this.#session);
    if (deadline === Infinity) return;
    this.#timer = this.#clock.setTimeout(
      () => {
        this.#take({ type: "woken" });
      },
      Math.max(0, deadline - this.#clock.now()),
    );
  }

  #updateState(): void {
    const before = this.#state;
    const after = stateOf(this.#session);
    const names = Object.keys(after) as (keyof LiveState)[];
    if (names.every((name) => after[name] === before[name])) return;
    this.#state = after;
    this.#tell(({ onState }) => onState?.());
  }

  /** Where the server is only slow or away, the page says so, and nobody need be told. */
  #warnOf(what: "ticket" | "poll", { kind, status = 0 }: Failure): void {
    if (kind === "signed_out" || status < 400 || status === 429 || status >= 500) return;
    this.#warn({ kind: "unanswered", what, status });
  }

  #warn(problem: Problem): void {
    const text = JSON.stringify(problem);
    if (this.#warned.has(text)) return;
    this.#warned.add(text);
    this.#options.warn?.(problem);
  }
}

/** What a newer server may send on purpose: counted, but nothing to warn of. */
const expected: ReadonlySet<Rejection> = new Set(["unknown_frame", "unknown_update"]);

function stateOf(session: Session): LiveState {
  return {
    status: statusOf(session),
    isConnected: isConnected(session),
    isComplete: session.isComplete,
    phase: phaseOf(session),
    denial: session.denial,
  };
}

function statusOf(session: Session): ConnectionStatus {
  if (!session.isRunning) return "stopped";
  if (session.links.length === 0) return "waiting";
  return isConnected(session) ? "open" : "connecting";
}
