import { systemClock, type Clock, type Timer } from "../clock.ts";
import { LiveClient, type LiveClientOptions, type SocketConstructor } from "../live-client.ts";
import { Election, type Locks } from "./election.ts";
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
 * sockets, and stands in for the server towards the others. When its tab closes, another takes over at
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
  #lastRelay = 0;
  #channel: Channel | undefined;
  /** While this tab leads. */
  #server: RelayServer | undefined;
  #isAlone = false;
  /** Who leads, if another tab does. */
  #leader: string | undefined;
  /** Runs while the leader owes a word. */
  #timer: Timer;
  #isDoubted = false;

  constructor(options: LiveClientOptions, neighbourhood: Neighbourhood) {
    this.#options = options;
    this.#neighbourhood = neighbourhood;
    this.#clock = options.clock ?? systemClock;
    const connect = (url: string) => this.#connect(url);
    this.client = new LiveClient({
      ...options,
      // A relayed socket ends in the tab that leads: only that has to show a ticket.
      needsTicket: () => this.#server !== undefined || this.#isAlone,
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

  #connect(url: string) {
    if (this.#server || this.#isAlone) {
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
    else if (!this.#server && !this.#isAlone) this.#follow(word);
  }

  #follow(notice: Notice): void {
    const { from, say } = notice;
    const isNew = from !== this.#leader;
    if (isNew && this.#leader !== undefined && say !== "up" && say !== "down") return;
    this.#leader = from;
    this.#trust();
    switch (say) {
      case "here":
        return;
      case "up":
        if (isNew) this.#closeRelays();
        if (!this.client.state.isConnected) this.#restart();
        return;
      case "gone":
        this.#leader = undefined;
        this.#closeRelays();
        return;
      case "down":
        this.#closeRelays();
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
