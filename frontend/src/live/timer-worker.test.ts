import { afterEach, beforeEach, expect, test, vi } from "vitest";

const post = vi.fn<(name: number) => void>();

beforeEach(async () => {
  vi.useFakeTimers();
  vi.stubGlobal("postMessage", post);
  await import("./timer-worker.ts");
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

function say(name: number, milliseconds?: number): void {
  self.onmessage?.call(self, new MessageEvent("message", { data: [name, milliseconds] }));
}

test("tells when a timer has run, unless it was cleared", () => {
  say(1, 20);
  say(2, 30);
  say(3, 10);
  say(2);
  vi.advanceTimersByTime(19);
  expect(post.mock.calls).toEqual([[3]]);
  vi.advanceTimersByTime(1_000);
  expect(post.mock.calls).toEqual([[3], [1]]);
  expect(vi.getTimerCount()).toBe(0);
});
