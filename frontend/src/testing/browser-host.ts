/**
 * Runs the live core for a test in another language: a page without a browser, whose clock, network and
 * people are the test. Each line that it reads is a turn; it answers each with a line.
 */
import { readSync, writeSync } from "node:fs";
import type { ViewV1 } from "@contracts/zz_types.ts";
import type { Clock, Timer } from "../live/clock.ts";
import type { Finding } from "../live/findings.ts";
import { LiveClient, type Socket, type SocketConstructor } from "../live/live-client.ts";
import type { PageChange } from "../live/page.ts";
import type { Entity } from "../live/replica.ts";
import { explain } from "../live/problem.ts";
import { entitiesIn, findingsIn } from "../live/select.ts";
import { everything } from "../live/watched-views.ts";
import { FakePage } from "./fake-page.ts";
import { FakeSocket } from "./fake-socket.ts";

/** What happens at a moment. */
interface Turn {
  /** Milliseconds since the page was opened. No turn is earlier than the one before. */
  readonly at: number;
  readonly orders?: readonly Order[];
  /** Say what each view shows. */
  readonly look?: boolean;
}

type Order =
  | { readonly do: "begin"; readonly seed: number; readonly date: number; readonly paint: number }
  | { readonly do: "watch"; readonly views: readonly ViewV1[] }
  | { readonly do: "change"; readonly change: PageChange }
  | { readonly do: "open" | "close"; readonly socket: number }
  | { readonly do: "hear"; readonly socket: number; readonly text: string };

interface Answer {
  /** When the page wants the next turn at the latest, if nothing happens before; null: never. */
  readonly next: number | null;
  /** What the page did, in order. Sockets are counted from 1. */
  readonly calls: readonly Call[];
  /** What it would have said of itself before anything of this turn was done, and says after it. */
  readonly before: string;
  readonly after: string;
  /** The rows that are held otherwise than the turn before; those without a version are not any more. */
  readonly rows: readonly Row[];
  /** The keys of what each view shows, in the order of the views. */
  readonly shown?: readonly (readonly string[])[];
  /** What the page warned of. */
  readonly warnings: readonly string[];
}

interface Call {
  readonly do: "open" | "send" | "close";
  readonly socket: number;
  readonly text?: string;
}

interface Row {
  readonly key: string;
  readonly epoch?: number;
  readonly revision?: number;
  readonly attributes?: object;
}

interface Alarm {
  readonly at: number;
  readonly run: () => void;
}

/** Like any page, it may be woken late: a timer then finds that more time has passed. */
class TurnClock implements Clock {
  #now = 0;
  readonly #alarms = new Set<Alarm>();

  now(): number {
    return this.#now;
  }

  setTimeout(run: () => void, milliseconds: number): Timer {
    const alarm = { at: this.#now + milliseconds, run };
    this.#alarms.add(alarm);
    return alarm;
  }

  clearTimeout(timer: Timer): void {
    this.#alarms.delete(timer as Alarm);
  }

  moveTo(now: number): void {
    this.#now = now;
  }

  ring(): void {
    for (let next = this.#next(); next && next.at <= this.#now; next = this.#next()) {
      this.#alarms.delete(next);
      next.run();
    }
  }

  get nextAt(): number | null {
    return this.#next()?.at ?? null;
  }

  #next(): Alarm | undefined {
    let first: Alarm | undefined;
    for (const alarm of this.#alarms) if (!first || alarm.at < first.at) first = alarm;
    return first;
  }
}

/** A page, from its opening on. */
class Host {
  readonly #clock = new TurnClock();
  readonly #page = new FakePage();
  readonly #client: LiveClient;
  readonly #sockets: FakeSocket[] = [];
  #calls: Call[] = [];
  #warnings: string[] = [];
  #views: readonly ViewV1[] = [everything];
  #unwatch: (() => void)[] = [];
  #held = new Map<string, Entity | Finding>();
  #sources: readonly object[] = [];

  /** `date` is the time by the page's clock when it is opened, and `paint` how long merging waits. */
  constructor({ seed, date, paint }: Extract<Order, { do: "begin" }>) {
    const clock = this.#clock;
    this.#client = new LiveClient({
      url: "wss://host.test",
      clock,
      random: generator(seed),
      page: this.#page,
      now: () => date + clock.now(),
      schedule: (run) => clock.setTimeout(run, paint),
      WebSocket: this.#socketConstructor(),
      warn: (problem) => this.#warnings.push(explain(problem)),
    });
    this.#client.start();
  }

  #socketConstructor(): SocketConstructor {
    const sockets = this.#sockets;
    const call = (made: Call): void => {
      this.#calls.push(made);
    };
    return class extends FakeSocket {
      readonly #id: number;

      constructor(url: string) {
        super(url);
        this.#id = sockets.push(this);
        call({ do: "open", socket: this.#id });
      }

      override send(text: string): void {
        call({ do: "send", socket: this.#id, text });
      }

      override close(): void {
        if (this.state !== "closed") call({ do: "close", socket: this.#id });
        super.close();
      }
    };
  }

  async take({ at, orders = [], look = false }: Turn): Promise<Answer> {
    this.#clock.moveTo(at);
    const before = this.#client.freshness().kind;
    for (const order of orders) {
      this.#obey(order);
      await new Promise(setImmediate); // each is a task of its own, with microtasks behind it
    }
    this.#clock.ring();
    const calls = this.#calls;
    const warnings = this.#warnings;
    this.#calls = [];
    this.#warnings = [];
    return {
      next: this.#clock.nextAt,
      calls,
      before,
      after: this.#client.freshness().kind,
      rows: this.#difference(),
      ...(look && { shown: this.#views.map((view) => this.#look(view)) }),
      warnings,
    };
  }

  stop(): void {
    this.#client.stop();
  }

  #obey(order: Order): void {
    switch (order.do) {
      case "begin":
        return;
      case "watch":
        for (const unwatch of this.#unwatch) unwatch();
        this.#views = order.views.length > 0 ? order.views : [everything];
        this.#unwatch = order.views.map((view) => this.#client.watch({ view }));
        return;
      case "change":
        this.#page.becomes(order.change);
        return;
      case "open":
        this.#socket(order.socket)?.serverAccepts();
        return;
      case "close":
        this.#socket(order.socket)?.serverCloses();
        return;
      case "hear":
        this.#socket(order.socket)?.serverSends(order.text);
    }
  }

  /** One that the page has closed cannot be heard any more. */
  #socket(id: number): FakeSocket | undefined {
    const socket: Socket | undefined = this.#sockets[id - 1];
    return socket instanceof FakeSocket && socket.state !== "closed" ? socket : undefined;
  }

  #look(view: ViewV1): string[] {
    const { replica, findings } = this.#client;
    return [...entitiesIn(view)(replica), ...findingsIn(view)(findings)].map(({ key }) => key);
  }

  #difference(): Row[] {
    const { entities } = this.#client.replica;
    const { latest } = this.#client.findings;
    if (this.#sources[0] === entities && this.#sources[1] === latest) return [];
    this.#sources = [entities, latest];
    const rows: Row[] = [];
    const held = new Map<string, Entity | Finding>();
    for (const row of [...entities.values(), ...latest]) {
      held.set(row.key, row);
      if (this.#held.get(row.key) === row) continue;
      const { key, version, attributes } = row;
      rows.push({ key, epoch: version.epoch, revision: version.revision, attributes });
    }
    for (const key of this.#held.keys()) if (!held.has(key)) rows.push({ key });
    this.#held = held;
    return rows;
  }
}

/** Numbers in [0, 1), the same ones for a seed: the generator mulberry32. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function* linesOf(descriptor: number): Generator<string> {
  const buffer = Buffer.alloc(1 << 16);
  let rest: Buffer[] = [];
  for (let size = readSync(descriptor, buffer); size > 0; size = readSync(descriptor, buffer)) {
    let bytes = buffer.subarray(0, size);
    for (let end = bytes.indexOf("\n"); end >= 0; end = bytes.indexOf("\n")) {
      yield Buffer.concat([...rest, bytes.subarray(0, end)]).toString();
      rest = [];
      bytes = bytes.subarray(end + 1);
    }
    rest.push(Buffer.from(bytes));
  }
}

function write(text: string): void {
  const bytes = Buffer.from(text + "\n");
  for (let sent = 0; sent < bytes.length;) sent += writeSync(1, bytes, sent);
}

let host: Host | undefined;
for (const line of linesOf(0)) {
  const turn = JSON.parse(line) as Turn;
  const [begin] = turn.orders ?? [];
  if (begin?.do === "begin") {
    host?.stop();
    host = new Host(begin);
  }
  if (!host) throw new Error("the first order must be to begin");
  write(JSON.stringify(await host.take(turn)));
}
