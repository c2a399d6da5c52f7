import type { SyncCommandV1, ViewV1 } from "@contracts/zz_types.ts";
import { systemClock, type Clock, type Timer } from "./clock.ts";
import type { Findings } from "./findings.ts";
import {
  confirm,
  freshnessOf,
  isSilent,
  noKnowledge,
  notice,
  type Freshness,
} from "./freshness.ts";
import { onNextFrame } from "./next-frame.ts";
import { browserPage, type Page } from "./page.ts";
import { contracts, readFrame, type Refusal, type Rejection } from "./read-frame.ts";
import type { Replica } from "./replica.ts";
import { serverTime } from "./server-clock.ts";
import {
  idle,
  isConnected,
  nextDeadline,
  phaseOf,
  step,
  type Effect,
  type Phase,
  type Session,
  type SessionEvent,
} from "./session.ts";
import { Store } from "./store.ts";
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
  readonly url: string;
  readonly clock?: Clock;
  /** In [0, 1). */
  readonly random?: () => number;
  readonly WebSocket?: SocketConstructor;
  readonly page?: Page;
  /** Runs a function once, soon: before the next paint. */
  readonly schedule?: (run: () => void) => void;
  /** Unix milliseconds. */
  readonly now?: () => number;
  /** Told once of each reason why something that was sent, here or there, could not be used. */
  readonly warn?: (problem: string) => void;
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
}

/**
 * Keeps what a page watches up to date over a WebSocket. It does what a session says, and tells the
 * session what happens. Both `start` and `stop` may be called any number of times, in any order; after
 * `stop` returns, no socket is open and no watcher is called until the next `start`.
 */
export class LiveClient {
  readonly #options: LiveClientOptions;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #page: Page;
  readonly #now: () => number;
  readonly #store: Store;
  readonly #watchers = new Set<Watcher>();
  readonly #sockets = new Map<number, Socket>();
  readonly #warned = new Set<string>();
  readonly #events: SessionEvent[] = [];
  #isStepping = false;
  #session = idle;
  #knowledge = noKnowledge;
  #state = stateOf(idle);
  #timer: Timer;
  #unlisten: (() => void) | undefined;
  #hasNewViews = false;
  #hasUnshown = false;

  constructor(options: LiveClientOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    this.#page = options.page ?? browserPage;
    this.#now = options.now ?? Date.now;
    this.#store = new Store({
      schedule: options.schedule ?? onNextFrame,
      now: this.#now,
      onChange: () => {
        this.#hasUnshown = true;
        this.#show();
      },
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

  /** How current what is shown is, at this moment. */
  freshness(): Freshness {
    return freshnessOf(this.#session, this.#knowledge, this.#clock.now());
  }

  /** The server's time, in unix milliseconds; before it is known, ours. */
  time(): number {
    return serverTime(this.#knowledge.clock, this.#clock.now()) ?? this.#now();
  }

  /** Whether the page may be called live: connected, and something was heard within 30 s. */
  isLive(): boolean {
    return isConnected(this.#session) && !isSilent(this.#session, this.#clock.now());
  }

  start(): void {
    if (this.#session.isRunning) return;
    this.#unlisten = this.#page.listen((change) => {
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
    this.#take({ type: "watched", views: viewsToWatch(views) });
  }

  /** Lets the session take an event; one that comes up meanwhile is taken after it. */
  #take(event: SessionEvent): void {
    this.#events.push(event);
    if (this.#isStepping) return;
    this.#isStepping = true;
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
      // A watcher that throws does not stop the others for good.
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
      case "merge":
        this.#store.merge(effect.content, effect.origin);
        return;
      case "retain":
        this.#store.retain(effect, this.#session.views);
        return;
      case "confirm":
        this.#knowledge = confirm(this.#knowledge, effect.asOf);
        return;
      case "report":
        this.#warn(describe(effect.refusal));
    }
  }

  #open(link: number): void {
    const WebSocket = this.#options.WebSocket ?? globalThis.WebSocket;
    let socket: Socket;
    try {
      socket = new WebSocket(this.#options.url);
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
    const socket = this.#sockets.get(link);
    if (!socket) return;
    this.#sockets.delete(link);
    socket.onopen = null;
    socket.onmessage = null;
    socket.onclose = null;
    socket.close();
  }

  #sync({ link, syncId, views, mayDigest }: Extract<Effect, { do: "sync" }>): void {
    const digest = mayDigest ? this.#store.digest(views) : undefined;
    const command: SyncCommandV1 = {
      action: "sync",
      sync_id: syncId,
      contracts: [...contracts],
      views: [...views],
      ...(digest !== undefined && { digest }),
    };
    this.#sockets.get(link)?.send(JSON.stringify(command));
  }

  #hear(link: number, data: unknown): void {
    const content = readFrame(data);
    this.#take({ type: "heard", link, content });
    this.#knowledge = notice(this.#knowledge, content, this.#session, this.#clock.now());
    for (const reason of content.rejections) {
      if (expected.has(reason)) continue;
      this.#warn(`cannot use what the server sent: ${reason}. It is left out and counted.`);
    }
    for (const { onMessage } of this.#watchers) onMessage?.(data);
  }

  #show(): void {
    if (!this.#hasUnshown || !this.#session.isRunning || !this.#page.isVisible()) return;
    this.#hasUnshown = false;
    for (const { onData } of this.#watchers) onData?.();
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
    const isSame =
      before.status === after.status &&
      before.isConnected === after.isConnected &&
      before.isComplete === after.isComplete &&
      before.phase === after.phase;
    if (isSame) return;
    this.#state = after;
    for (const { onState } of this.#watchers) onState?.();
  }

  #warn(problem: string): void {
    if (this.#warned.has(problem)) return;
    this.#warned.add(problem);
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
  };
}

function statusOf(session: Session): ConnectionStatus {
  if (!session.isRunning) return "stopped";
  if (session.links.length === 0) return "waiting";
  return isConnected(session) ? "open" : "connecting";
}

function describe({ code, pointer, rule }: Refusal): string {
  const where = pointer === undefined ? "" : ` at ${pointer || "the whole of it"}`;
  const why = rule === undefined ? "" : ` (${rule})`;
  return `the server refused what the page asked for: ${code}${where}${why}. It is not asked again.`;
}
