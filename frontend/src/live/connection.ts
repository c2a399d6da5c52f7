import { backoffDelay, defaultBackoff, type BackoffLimits } from "./backoff.ts";
import { systemClock, type Clock, type Timer } from "./clock.ts";

/**
 * - `stopped`: not started, or stopped; nothing is open and nothing is pending.
 * - `connecting`: a socket was asked for and has not opened yet.
 * - `open`: messages can arrive.
 * - `waiting`: the last socket is gone; the next attempt has a timer.
 */
export type ConnectionStatus = "stopped" | "connecting" | "open" | "waiting";

/** The part of the browser's WebSocket that a connection uses. */
export interface Socket {
  onopen: ((event: Event) => void) | null;
  onmessage: ((event: MessageEvent) => void) | null;
  onclose: ((event: CloseEvent) => void) | null;
  close(code?: number): void;
}

export type SocketConstructor = new (url: string) => Socket;

export interface ConnectionOptions {
  readonly url: string;
  /** Called with the data of each message: text, or whatever else the server sent. */
  readonly onMessage: (data: unknown) => void;
  /** Called after each change of `status`. */
  readonly onStatus?: (status: ConnectionStatus) => void;
  /** A socket that has not opened after this many milliseconds is given up. Default 10 s. */
  readonly openTimeout?: number;
  readonly backoff?: BackoffLimits;
  readonly clock?: Clock;
  /** In [0, 1). */
  readonly random?: () => number;
  readonly WebSocket?: SocketConstructor;
}

/**
 * Keeps one WebSocket open: whenever it closes, another is opened after a random, growing wait.
 * It holds at most one socket and one timer at any moment. Both `start` and `stop` may be called
 * any number of times, in any order; after `stop` returns, no callback is called until the next `start`.
 */
export class Connection {
  readonly #options: ConnectionOptions;
  readonly #backoff: BackoffLimits;
  readonly #clock: Clock;
  readonly #random: () => number;
  #status: ConnectionStatus = "stopped";
  #socket: Socket | undefined;
  #timer: Timer;
  #failures = 0;
  #openedAt = 0;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#backoff = options.backoff ?? defaultBackoff;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
  }

  get status(): ConnectionStatus {
    return this.#status;
  }

  start(): void {
    if (this.#status !== "stopped") return;
    this.#failures = 0;
    this.#open();
  }

  stop(): void {
    if (this.#status === "stopped") return;
    this.#drop();
    this.#enter("stopped");
  }

  #open(): void {
    const WebSocket = this.#options.WebSocket ?? globalThis.WebSocket;
    let socket: Socket;
    try {
      socket = new WebSocket(this.#options.url);
    } catch {
      // The constructor throws where the page's policy forbids the address. A later attempt costs
      // little, and the page says Disconnected until one succeeds.
      this.#wait();
      return;
    }
    this.#socket = socket;
    this.#timer = this.#clock.setTimeout(() => {
      this.#wait();
    }, this.#options.openTimeout ?? 10_000);

    socket.onopen = () => {
      this.#clock.clearTimeout(this.#timer);
      this.#openedAt = this.#clock.now();
      this.#enter("open");
    };
    socket.onmessage = (event) => {
      this.#options.onMessage(event.data);
    };
    socket.onclose = () => {
      this.#wait();
    };
    this.#enter("connecting");
  }

  #wait(): void {
    const wasStable =
      this.#status === "open" && this.#clock.now() - this.#openedAt >= this.#backoff.stableAfter;
    if (wasStable) this.#failures = 0;
    this.#drop();
    const delay = backoffDelay(this.#failures, this.#random(), this.#backoff);
    this.#failures += 1;
    this.#timer = this.#clock.setTimeout(() => {
      this.#open();
    }, delay);
    this.#enter("waiting");
  }

  /** Lets go of the socket and the timer. A socket that closes slowly can no longer be heard. */
  #drop(): void {
    this.#clock.clearTimeout(this.#timer);
    const socket = this.#socket;
    if (!socket) return;
    this.#socket = undefined;
    socket.onopen = null;
    socket.onmessage = null;
    socket.onclose = null;
    socket.close();
  }

  #enter(status: ConnectionStatus): void {
    if (this.#status === status) return;
    this.#status = status;
    this.#options.onStatus?.(status);
  }
}
