import { systemClock, type Clock, type Timer } from "../clock.ts";
import { ApiError } from "../http.ts";
import type { Failure, LiveApi, Poller, PollerOptions } from "../live-api.ts";
import { LiveClient, type LiveClientOptions, type SocketConstructor } from "../live-client.ts";
import { Election, type Locks } from "./election.ts";
import { RelayPoller } from "./relay-poller.ts";
import { RelayServer } from "./relay-server.ts";
import { RelaySocket } from "./relay-socket.ts";
import type { Channel, Notice, Request, Word } from "./words.ts";

/** What joins tabs together. */
export interface Neighbourhood {
  /** All tabs that say the same name share a connection: it stands for address, protocol and identity. */
  readonly name: string;
  readonly locks: Locks;
  readonly openChannel: (name: string) => Channel;
}

/** A leader that has not said a word for so long after it was asked is asked again, and then replaced. */
const patience = 2_500;

/**
 * A live client that shares its connection with those of other tabs. One of them leads: it alone opens
 * sockets, or polls, and stands in for the server towards the others. When its tab closes, another takes over at
 * once; when it does not answer any more, after five seconds. Where no leader can be elected the tab
 * has a connection of its own.
 *
 * While two tabs believe that they lead, for a moment, there are two connections, and versions make
 * that harmless.
 */
export class Tab {
  readonly client: LiveClient;
  readonly #id = crypto.randomUUID();
  readonly #options: LiveClientOptions;
  readonly #neighbourhood: Neighbourhood;
  readonly #clock: Clock;
  readonly #election: Election;
  readonly #relays = new Map<string, RelaySocket>();
  #poller: RelayPoller | undefined;
  #lastRelay = 0;
  #channel: Channel | undefined;
  /** While this tab leads. */
  #server: RelayServer | undefined;
  #isAlone = false;
  /** Who leads, if another tab does. */
  #leader: string | undefined;
  /** Why the server lets the leader not in: it would not let this tab in either. */
  #refusal: Failure | undefined;
  /** Runs while the leader owes a word. */
  #timer: Timer;
  #isDoubted = false;

  constructor(options: LiveClientOptions, neighbourhood: Neighbourhood) {
    this.#options = options;
    this.#neighbourhood = neighbourhood;
    this.#clock = options.clock ?? systemClock;
    const { api } = options;
    const connect = (url: string) => this.#connect(url);
    this.client = new LiveClient({
      ...options,
      ...(api && { api: this.#share(api) }),
      // A relayed socket ends in the tab that leads: only that has to show a ticket.
      needsTicket: () => !this.#isFollowing || this.#refusal !== undefined,
      WebSocket: function (url: string) {
        return connect(url);
      } as unknown as SocketConstructor,
    });
    const { locks, name } = neighbourhood;
    this.#election = new Election({
      locks,
      name,
      onElected: () => {
        this.#lead();
      },
      onDeposed: () => {
        this.#yield();
        this.#election.stand();
      },
      onFailed: () => {
        this.#isAlone = true;
        this.#refusal = undefined;
        this.#restart();
      },
    });
  }

  /** How many watch the client in this tab. */
  get audience(): number {
    return this.client.audience - (this.#server ? 1 : 0);
  }

  /** May be called any number of times. */
  start(): void {
    if (this.#channel) return;
    const { openChannel, name } = this.#neighbourhood;
    this.#channel = openChannel(name);
    this.#channel.onmessage = ({ data }) => {
      this.#hear(data as Word);
    };
    this.#election.stand();
    this.client.start();
  }

  /** Leaves the others, and closes the connection. */
  stop(): void {
    if (!this.#channel) return;
    this.#server?.stop();
    this.client.stop();
    this.#server = undefined;
    this.#election.withdraw();
    this.#trust();
    this.#channel.close();
    this.#channel = undefined;
  }

  /** All that the API is asked for, the leader alone asks for. */
  #share(api: LiveApi): LiveApi {
    const { ticket } = api;
    return {
      ...api,
      ...(ticket && {
        ticket: (url, signal) =>
          this.#refusal ? Promise.reject(new ApiError(this.#refusal)) : ticket(url, signal),
      }),
      poller: (options) => this.#sharePoller(api, options),
    };
  }

  #sharePoller(api: LiveApi, options: PollerOptions): Poller {
    const own = api.poller({
      ...options,
      onPage: (content) => {
        options.onPage(content);
        this.#server?.paged();
      },
    });
    const relayed = new RelayPoller(`${this.#id}/poll`, own, options, (request) => {
      this.#request(request);
    });
    this.#poller = relayed;
    return {
      poll: (views, signal) => {
        if (this.#isFollowing) return relayed.poll(views, signal);
        const poll = own.poll(views, signal);
        this.#server?.share(poll, signal);
        return poll;
      },
      forget: () => {
        relayed.forget();
      },
    };
  }

  get #isFollowing(): boolean {
    return !this.#server && !this.#isAlone;
  }

  #connect(url: string) {
    if (!this.#isFollowing) {
      const WebSocket = this.#options.WebSocket ?? globalThis.WebSocket;
      return new WebSocket(url);
    }
    const link = `${this.#id}/${++this.#lastRelay}`;
    const relay = new RelaySocket(link, (request) => {
      if (request.do !== "close" || this.#relays.delete(link)) this.#request(request);
    });
    this.#relays.set(link, relay);
    return relay;
  }

  #request(request: Request): void {
    this.#channel?.postMessage(request);
    if (request.do === "close" || this.#timer !== undefined) return;
    this.#timer = this.#clock.setTimeout(() => {
      this.#timer = undefined;
      this.#doubt();
    }, patience);
  }

  #doubt(): void {
    if (this.#isDoubted) {
      this.#trust();
      this.#election.seize();
    } else {
      this.#isDoubted = true;
      this.#request({ do: "ask" });
    }
  }

  #trust(): void {
    this.#isDoubted = false;
    this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #hear(word: Word): void {
    if ("do" in word) this.#server?.hear(word);
    else if (this.#isFollowing) this.#follow(word);
  }

  #follow(notice: Notice): void {
    const { from, say } = notice;
    const isNew = from !== this.#leader;
    if (isNew && this.#leader !== undefined && !standings.has(say)) return;
    this.#leader = from;
    this.#trust();
    if (isNew) this.#poller?.fail();
    if (standings.has(say)) this.#refusal = undefined;
    switch (say) {
      case "here":
        return;
      case "up":
        if (isNew || !this.client.state.isConnected) this.#closeRelays();
        // What is polled is shown until the socket has more.
        if (!this.client.state.isConnected) this.client.check(true);
        return;
      case "gone":
        this.#leader = undefined;
        this.#poller?.fail();
        this.#closeRelays();
        return;
      case "down":
        this.#closeRelays();
        return;
      case "denied": {
        const { kind, isForgotten: mustForget } = notice;
        this.#refusal = { kind, retryAfterMs: 0, mustForget };
        this.#closeRelays();
        // It is told at once that there is no ticket.
        if (this.client.state.denial !== kind || mustForget) this.client.check(true);
        return;
      }
      case "polled":
      case "unpolled":
      case "unshared":
      case "paged":
        this.#poller?.hear(notice);
        return;
      case "opened":
        this.#relays.get(notice.link)?.onopen?.(new Event("open"));
        return;
      case "closed":
        this.#closeRelay(notice.link);
        return;
      case "message": {
        const { link, data } = notice;
        const heard = link === undefined ? [...this.#relays.values()] : [this.#relays.get(link)];
        for (const relay of heard) relay?.onmessage?.(new MessageEvent("message", { data }));
      }
    }
  }

  #closeRelays(): void {
    for (const link of [...this.#relays.keys()]) this.#closeRelay(link);
  }

  #closeRelay(link: string): void {
    const relay = this.#relays.get(link);
    this.#relays.delete(link);
    relay?.onclose?.(new CloseEvent("close"));
  }

  #lead(): void {
    this.client.stop();
    this.#trust();
    this.#leader = undefined;
    this.#refusal = undefined;
    const say = (notice: object) => {
      this.#channel?.postMessage({ ...notice, from: this.#id } as Notice);
    };
    this.#server = new RelayServer(this.client, this.#clock, say);
    this.client.start();
  }

  #yield(): void {
    // First, so that it does not say on behalf of another leader that nobody is connected.
    this.#server?.stop();
    this.client.stop();
    this.#server = undefined;
    this.client.start();
  }

  /** Connects anew, the way that is open now. */
  #restart(): void {
    this.client.stop();
    this.client.start();
  }
}

const standings: ReadonlySet<Notice["say"]> = new Set(["up", "down", "denied"]);
