import { beforeEach, expect, test, vi } from "vitest";
import { VirtualClock } from "../testing/virtual-clock.ts";
import type { TimerRequest } from "./timer-worker.ts";
import { startTimerWorker, WorkerTimers, type TimerWorker } from "./worker-timers.ts";

/** A page whose timers are slowed down, and a worker whose timers are not. */
let page: VirtualClock;
let worker: VirtualClock;
let inWorker: FakeWorker;

class FakeWorker implements TimerWorker {
  onmessage: TimerWorker["onmessage"] = null;
  readonly #timers = new Map<number, unknown>();
  isDead = false;

  postMessage([name, milliseconds]: TimerRequest): void {
    worker.clearTimeout(this.#timers.get(name));
    if (milliseconds === undefined || this.isDead) return;
    const tell = () => this.onmessage?.(new MessageEvent("message", { data: name }));
    this.#timers.set(name, worker.setTimeout(tell, milliseconds));
  }
}

beforeEach(() => {
  page = new VirtualClock();
  worker = new VirtualClock();
  inWorker = new FakeWorker();
});

function create(start: () => TimerWorker | undefined = () => inWorker): WorkerTimers {
  return new WorkerTimers(page, start);
}

test("where there is no worker, the page's own timers run", () => {
  const run = vi.fn();
  create(() => undefined).setTimeout(run, 20);
  page.advance(20);
  expect(run).toHaveBeenCalledTimes(1);
});

test("where the worker never answers, likewise", () => {
  inWorker.isDead = true;
  const run = vi.fn();
  create().setTimeout(run, 20);
  page.advance(20);
  expect(run).toHaveBeenCalledTimes(1);
  expect(page.pending).toBe(0);
});

test("a timer runs on time though those of the page are late, and runs once", () => {
  const run = vi.fn();
  create().setTimeout(run, 20);
  worker.advance(20);
  expect(run).toHaveBeenCalledTimes(1);
  page.advance(60_000);
  expect(run).toHaveBeenCalledTimes(1);
  expect(page.pending + worker.pending).toBe(0);
});

test("a timer that was cleared does not run, also if the worker's word is on its way", () => {
  const run = vi.fn();
  const timers = create();
  const timer = timers.setTimeout(run, 20);
  timers.clearTimeout(timer);
  timers.clearTimeout(timer);
  timers.clearTimeout(undefined);
  expect(page.pending + worker.pending).toBe(0);
  inWorker.onmessage?.(new MessageEvent("message", { data: timer as number }));
  expect(run).not.toHaveBeenCalled();
});

test("each timer is its own, and one worker runs all", () => {
  const start = vi.fn(() => inWorker);
  const timers = create(start);
  expect(start).not.toHaveBeenCalled();
  const order: string[] = [];
  timers.setTimeout(() => order.push("later"), 30);
  timers.setTimeout(() => order.push("sooner"), 10);
  worker.advance(30);
  expect(order).toEqual(["sooner", "later"]);
  expect(start).toHaveBeenCalledTimes(1);
});

test("here there are no workers; where the policy of a page forbids them, there are none either", () => {
  expect(startTimerWorker()).toBeUndefined();
  vi.stubGlobal("Worker", function () {
    throw new DOMException("no", "SecurityError");
  });
  expect(startTimerWorker()).toBeUndefined();
  vi.unstubAllGlobals();
});
