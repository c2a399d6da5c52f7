import type { Clock, Timer } from "../live/clock.ts";

interface Pending {
  readonly at: number;
  readonly run: () => void;
}

/** A clock that stands still until a test moves it. */
export class VirtualClock implements Clock {
  #now = 0;
  readonly #timers = new Set<Pending>();

  now(): number {
    return this.#now;
  }

  setTimeout(run: () => void, milliseconds: number): Timer {
    const timer = { at: this.#now + milliseconds, run };
    this.#timers.add(timer);
    return timer;
  }

  clearTimeout(timer: Timer): void {
    this.#timers.delete(timer as Pending);
  }

  /** How many timers have not run yet. */
  get pending(): number {
    return this.#timers.size;
  }

  /** Moves time on, and runs each timer at its moment. */
  advance(milliseconds: number): void {
    const end = this.#now + milliseconds;
    for (let next = this.#next(end); next; next = this.#next(end)) {
      this.#timers.delete(next);
      this.#now = next.at;
      next.run();
    }
    this.#now = end;
  }

  /** Moves time to the next timer, runs it, and returns how long that was. */
  advanceToNext(): number {
    const next = this.#next(Infinity);
    if (!next) throw new Error("no timer is pending");
    const waited = next.at - this.#now;
    this.advance(waited);
    return waited;
  }

  #next(until: number): Pending | undefined {
    return [...this.#timers].filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0];
  }
}
