import { expect, test } from "vitest";
import { readTiming, timing } from "./timing.ts";

test.each([undefined, null, 7, "poll", [], {}])("%j sets nothing", (candidate) => {
  expect(readTiming(candidate)).toEqual({});
});

test("what has the form of a setting is one, and the rest is left out", () => {
  expect(
    readTiming({
      poll: 100,
      quiet: { minimum: 1, spread: 2 },
      silence: -1,
      pause: "1",
      spread: null,
      retry: Infinity,
      regular: 5,
      lifetime: { minimum: 1 },
      backoff: { minimum: 1, maximum: 2, stableAfter: "3" },
      constructor: 1,
      unheardOf: 1,
    }),
  ).toEqual({ poll: 100, quiet: { minimum: 1, spread: 2 } });
});

test("the usual settings are settings", () => {
  expect(readTiming(timing)).toEqual(timing);
});
