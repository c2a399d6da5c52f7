import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { check, observe, serverTime, unknownClock } from "./server-clock.ts";

const noon = Date.parse("2026-11-22T12:00:00.000Z");

test("before the first frame nothing is known", () => {
  expect(serverTime(unknownClock, 5)).toBeUndefined();
});

test("the fastest frame decides, whatever our clock says", () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 5000 }), { minLength: 1, maxLength: 50 }),
      fc.integer({ min: -1e9, max: 1e9 }),
      (delays, start) => {
        let clock = unknownClock;
        let now = start;
        for (const delay of delays) {
          now += 1000;
          clock = observe(clock, noon + (now - start) - delay, now);
        }
        const error = noon + (now - start) - (serverTime(clock, now) ?? 0);
        expect(error).toBe(Math.min(...delays));
      },
    ),
  );
});

test("a clock that stood still while the machine slept is caught up with at once", () => {
  const clock = observe(observe(unknownClock, noon, 0), noon + 3_600_000, 1000);
  expect(serverTime(clock, 1000)).toBe(noon + 3_600_000);
});

test("one that runs fast is caught up with within ten minutes", () => {
  let clock = observe(unknownClock, noon, 0);
  // Ours gains a second a minute.
  for (let minute = 1; minute <= 60; minute++) {
    clock = observe(clock, noon + minute * 60_000, minute * 61_000);
  }
  const error = (serverTime(clock, 60 * 61_000) ?? 0) - (noon + 60 * 60_000);
  expect(error).toBeGreaterThanOrEqual(0);
  expect(error).toBeLessThanOrEqual(10_000);
});

describe("an answer that seems older than its question", () => {
  const clock = observe(unknownClock, noon, 0);

  test("shows that our clock has jumped ahead", () => {
    const after = check(clock, noon + 1_050, 11_000, 11_100);
    expect(serverTime(after, 11_100)).toBe(noon + 1_050);
  });

  test("by two seconds was passed on, and shows nothing", () => {
    expect(check(clock, noon + 9_000, 11_000, 11_100)).toBe(clock);
  });

  test("never is, however slow the way, while our clock is right", () => {
    const delay = fc.integer({ min: 0, max: 30_000 });
    fc.assert(
      fc.property(delay, delay, delay, (first, there, back) => {
        const known = observe(unknownClock, noon - first, 0);
        const askedAt = 60_000;
        const madeAt = askedAt + there;
        expect(check(known, noon + madeAt, askedAt, madeAt + back)).toBe(known);
      }),
    );
  });
});
