import type { TimerRequest } from "./timer-worker.ts";
import type { Timer } from "./clock.ts";

/** The part of the browser's Worker that is used. */
export interface TimerWorker {
  postMessage(request: TimerRequest): void;
  onmessage: ((event: MessageEvent<number>) => void) | null;
}

export interface Timers {
  setTimeout(run: () => void, milliseconds: number): Timer;
  clearTimeout(timer: Timer): void;
}

interface Pending {
  readonly run: () => void;
  readonly timer: Timer;
}

/**
 * Timers that keep their time while nobody looks at the tab: browsers slow those of such a page down to one a
 * minute, but not those of its worker. Each is set in both, and whichever comes first counts. So it makes no
 * difference where a worker cannot be started, or fails, but that timers are late then.
 */
export class WorkerTimers implements Timers {
  readonly #plain: Timers;
  readonly #start: () => TimerWorker | undefined;
  readonly #pending = new Map<number, Pending>();
  #worker: TimerWorker | undefined;
  #isStarted = false;
  #last = 0;

  /** `start` is called once, when the first timer is set. */
  constructor(plain: Timers, start: () => TimerWorker | undefined) {
    this.#plain = plain;
    this.#start = start;
  }

  setTimeout(run: () => void, milliseconds: number): Timer {
    if (!this.#isStarted) this.#startWorker();
    const name = ++this.#last;
    const timer = this.#plain.setTimeout(() => {
      this.#fire(name);
    }, milliseconds);
    this.#pending.set(name, { run, timer });
    this.#worker?.postMessage([name, milliseconds]);
    return name;
  }

  clearTimeout(timer: Timer): void {
    this.#forget(timer as number);
  }

  #fire(name: number): void {
    this.#forget(name)?.run();
  }

  #forget(name: number): Pending | undefined {
    const pending = this.#pending.get(name);
    if (!pending) return undefined;
    this.#pending.delete(name);
    this.#plain.clearTimeout(pending.timer);
    this.#worker?.postMessage([name, undefined]);
    return pending;
  }

  #startWorker(): void {
    this.#isStarted = true;
    this.#worker = this.#start();
    if (!this.#worker) return;
    this.#worker.onmessage = ({ data }) => {
      this.#fire(data);
    };
  }
}

/** Nothing where there are no workers, or the page's policy forbids them. */
export function startTimerWorker(): TimerWorker | undefined {
  if (typeof Worker === "undefined") return undefined;
  try {
    // Bundlers look for these words.
    return new Worker(new URL("./timer-worker.ts", import.meta.url), { type: "module" });
  } catch {
    return undefined;
  }
}
