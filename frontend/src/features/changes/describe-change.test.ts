import { expect, test } from "vitest";
import type { Change, Difference } from "../../live/replica.ts";
import { describeChange } from "./describe-change.ts";

function change(kind: Change["kind"], ...differences: Difference[]): Change {
  const of = { key: "student/stu_1", type: "student", id: "stu_1" } as const;
  return { ...of, number: 1, receivedAt: 0, kind, differences };
}

test("tells the weightiest step first", () => {
  const { text, steps } = describeChange(
    change(
      "changed",
      { name: "sessions_7d", from: 3, to: 4 },
      { name: "segment", from: "healthy", to: "at_risk" },
      { name: "health_score", from: 71, to: 64 },
    ),
  );
  expect(text).toBeUndefined();
  expect(steps.map(({ what, from, to }) => `${what} ${from} → ${to}`)).toEqual([
    "health 71 → 64",
    "segment healthy → at risk",
    "sessions 7 d 3 → 4",
  ]);
});

test("tells removals and first sights", () => {
  expect(describeChange(change("removed")).text).toBe("removed");
  expect(describeChange(change("appeared")).text).toBe("first seen");
});

test("says so when there is nothing to tell", () => {
  expect(describeChange(change("changed")).text).toBe("written, nothing else changed");
  const tiny = { name: "churn_risk_14d", from: 0.101, to: 0.102 };
  expect(describeChange(change("changed", tiny))).toEqual({
    text: "changed by less than is shown",
    steps: [],
  });
});

test("tells an attribute that came or went, and one that it has no word for", () => {
  const { steps } = describeChange(
    change(
      "changed",
      { name: "avg_rating", from: undefined, to: 4.5 },
      { name: "shoe_size", from: 41, to: undefined },
    ),
  );
  expect(steps.map(({ what, from, to }) => `${what} ${from} → ${to}`)).toEqual([
    "rating — → 4.50",
    "shoe size 41 → —",
  ]);
});
