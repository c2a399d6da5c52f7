import fc from "fast-check";
import { expect, test } from "vitest";
import { backoffDelay, defaultBackoff } from "./backoff.ts";

const unit = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

test("every wait lies between the minimum and the maximum", () => {
  fc.assert(
    fc.property(fc.nat(10_000), unit, (failures, random) => {
      const delay = backoffDelay(failures, random, defaultBackoff);
      expect(delay).toBeGreaterThanOrEqual(500);
      expect(delay).toBeLessThanOrEqual(30_000);
    }),
  );
});

test("the ceiling doubles with each failure until it is the maximum", () => {
  const ceilings = [0, 1, 2, 3, 4, 5, 6, 1e9].map((failures) =>
    backoffDelay(failures, 1, defaultBackoff),
  );
  expect(ceilings).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
});

test("the wait is spread over the whole range, however many failures", () => {
  for (const failures of [0, 3, 20]) {
    expect(backoffDelay(failures, 0, defaultBackoff)).toBe(500);
  }
});
