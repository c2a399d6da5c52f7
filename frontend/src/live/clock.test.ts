import fc from "fast-check";
import { beforeEach, expect, test } from "vitest";
import { countSleep } from "./clock.ts";

let steady: number;
let wall: number;
let now: () => number;

beforeEach(() => {
  steady = 500;
  wall = Date.parse("2026-11-22T10:00:00.000Z");
  now = countSleep(
    () => steady,
    () => wall,
  );
});

function pass(bySteady: number, byWall = bySteady): number {
  const before = now();
  steady += bySteady;
  wall += byWall;
  return now() - before;
}

test("time passes as the steady clock says", () => {
  expect(pass(1_000)).toBe(1_000);
});

test("a sleep that the steady clock does not count is counted, once", () => {
  expect(pass(10, 3_600_000)).toBe(3_600_000);
  expect(pass(1_000)).toBe(1_000);
});

test("a wall clock that is put right or back changes nothing", () => {
  expect(pass(1_000, 4_000)).toBe(1_000);
  expect(pass(1_000, -3_600_000)).toBe(1_000);
  expect(pass(1_000)).toBe(1_000);
});

test("whatever the wall clock does, time never goes back", () => {
  const step = fc.tuple(fc.nat(10_000), fc.integer({ min: -1e7, max: 1e7 }));
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      for (const [bySteady, byWall] of steps) {
        expect(pass(bySteady, byWall)).toBeGreaterThanOrEqual(bySteady);
      }
    }),
  );
});
