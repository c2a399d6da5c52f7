import type { Clock, Timer } from "../live/clock.ts";
import type { SocketConstructor } from "../live/live-client.ts";
import type { Locks } from "../live/tabs/election.ts";
import type { Channel, Word } from "../live/tabs/words.ts";
import { FakePage } from "./fake-page.ts";
import { FakeSocket, type FakeNetwork } from "./fake-socket.ts";
import type { VirtualClock } from "./virtual-clock.ts";

interface Holder {
  readonly tab: FakeTab;
  readonly reject: () => void;
}

interface Waiter extends Holder {
  readonly grant: () => void;
}

interface Lock {
  holder: Holder | undefined;
  readonly queue: Waiter[];
}

interface TabTimer {
  isCleared: boolean;
  inner: Timer;
}

/** How long a message or a lock takes from one tab to another, in milliseconds. */
const delay = 1;

/** A browser whose tabs share locks and channels. Time is the test's. */
export class FakeBrowser {
  readonly clock: VirtualClock;
  readonly network: FakeNetwork;
  readonly tabs: FakeTab[] = [];
  readonly #locks = new Map<string, Lock>();

  constructor(clock: VirtualClock, network: FakeNetwork) {
    this.clock = clock;
    this.network = network;
  }

  open(): FakeTab {
    const tab = new FakeTab(this);
    this.tabs.push(tab);
    return tab;
  }

  lock(name: string): Lock {
    const lock = this.#locks.get(name) ?? { holder: undefined, queue: [] };
    this.#locks.set(name, lock);
    return lock;
  }

  /** Gives each lock that is free to the next in line. */
  grantLocks(): void {
    for (const lock of this.#locks.values()) {
      if (lock.holder) continue;
      const next = lock.queue.shift();
      if (!next) continue;
      lock.holder = next;
      next.grant();
    }
  }

  /** The browser takes back what a closed tab had. */
  forget(tab: FakeTab): void {
    this.tabs.splice(this.tabs.indexOf(tab), 1);
    for (const lock of this.#locks.values()) {
      if (lock.holder?.tab === tab) lock.holder = undefined;
      const rest = lock.queue.filter((waiter) => waiter.tab !== tab);
      lock.queue.splice(0, Infinity, ...rest);
    }
    this.grantLocks();
  }
}

/** A tab that the test freezes, thaws and closes. What happens to a frozen one, it learns when it thaws. */
export class FakeTab {
  readonly page = new FakePage();
  readonly clock: Clock;
  readonly locks: Locks;
  readonly WebSocket: SocketConstructor;
  readonly sockets: FakeSocket[] = [];
  readonly #browser: FakeBrowser;
  readonly #channels = new Set<FakeChannel>();
  readonly #waiting: (() => void)[] = [];
  state: "running" | "frozen" | "closed" = "running";

  constructor(browser: FakeBrowser) {
    this.#browser = browser;
    const { clock } = browser;
    this.clock = {
      now: () => clock.now(),
      setTimeout: (run, milliseconds) => {
        const timer: TabTimer = { isCleared: false, inner: undefined };
        timer.inner = clock.setTimeout(() => {
          this.run(() => {
            if (!timer.isCleared) run();
          });
        }, milliseconds);
        return timer;
      },
      clearTimeout: (timer) => {
        const known = timer as TabTimer | undefined;
        if (!known) return;
        known.isCleared = true;
        clock.clearTimeout(known.inner);
      },
    };
    this.locks = { request: (name, options, hold) => this.#request(name, options, hold) };
    // eslint-disable-next-line @typescript-eslint/no-this-alias -- A constructor has another one.
    const tab = this;
    this.WebSocket = class extends FakeSocket {
      constructor(url: string) {
        super(url);
        browser.network.sockets.push(this);
        tab.sockets.push(this);
      }

      override serverAccepts(): void {
        tab.run(() => {
          if (this.state === "connecting") super.serverAccepts();
        });
      }

      override serverSends(data: unknown): void {
        tab.run(() => {
          super.serverSends(data);
        });
      }

      override serverCloses(): void {
        this.state = "closed";
        tab.run(() => {
          super.serverCloses();
        });
      }
    };
  }

  readonly openChannel = (name: string): Channel => {
    const channel = new FakeChannel(name, (word) => {
      for (const tab of this.#browser.tabs) {
        if (tab !== this) tab.#deliver(name, structuredClone(word));
      }
    });
    this.#channels.add(channel);
    return channel;
  };

  freeze(): void {
    if (this.state === "running") this.state = "frozen";
  }

  thaw(): void {
    if (this.state !== "frozen") return;
    this.state = "running";
    for (const task of this.#waiting.splice(0)) task();
  }

  /** The tab is gone, without a word. */
  close(): void {
    this.state = "closed";
    for (const socket of this.sockets) socket.state = "closed";
    this.#browser.forget(this);
  }

  run(task: () => void): void {
    if (this.state === "running") task();
    else if (this.state === "frozen") this.#waiting.push(task);
  }

  #deliver(name: string, data: Word): void {
    this.clock.setTimeout(() => {
      for (const channel of this.#channels) {
        if (channel.name === name && !channel.isClosed) {
          channel.onmessage?.(new MessageEvent("message", { data }));
        }
      }
    }, delay);
  }

  #request(name: string, { signal, steal }: LockOptions, hold: () => Promise<void>): Promise<void> {
    const lock = this.#browser.lock(name);
    return new Promise((resolve, rejectNow) => {
      const reject = () => {
        this.clock.setTimeout(() => {
          rejectNow(new DOMException("no longer", "AbortError"));
        }, delay);
      };
      const waiter: Waiter = {
        tab: this,
        reject,
        grant: () => {
          this.clock.setTimeout(() => {
            void hold().then(() => {
              if (lock.holder === waiter) lock.holder = undefined;
              this.#browser.grantLocks();
              resolve();
            });
          }, delay);
        },
      };
      signal?.addEventListener("abort", () => {
        const at = lock.queue.indexOf(waiter);
        if (at < 0) return;
        lock.queue.splice(at, 1);
        reject();
      });
      if (steal) {
        lock.holder?.reject();
        lock.holder = undefined;
        lock.queue.unshift(waiter);
      } else {
        lock.queue.push(waiter);
      }
      this.#browser.grantLocks();
    });
  }
}

class FakeChannel implements Channel {
  readonly name: string;
  readonly #post: (word: Word) => void;
  isClosed = false;
  onmessage: Channel["onmessage"] = null;

  constructor(name: string, post: (word: Word) => void) {
    this.name = name;
    this.#post = post;
  }

  postMessage(word: Word): void {
    if (this.isClosed) throw new DOMException("closed", "InvalidStateError");
    this.#post(word);
  }

  close(): void {
    this.isClosed = true;
  }
}
