import { expect, test } from "vitest";
import { formatAgo, formatAttribute, formatInstant } from "./format.ts";

test.each([
  ["health_score", 71, "71"],
  ["health_score", 71.256, "71.3"],
  ["churn_risk_14d", 0.184, "18%"],
  ["avg_rating", 4, "4.00"],
  ["avg_rating", 4.666, "4.67"],
  ["sessions_30d", 12_345, "12,345"],
  ["segment", "at_risk", "at risk"],
  ["balance_status", "high_demand", "high demand"],
  ["region", "high_street", "high_street"],
  ["avg_rating", undefined, "—"],
] as const)("%s %s reads %s", (name, value, text) => {
  expect(formatAttribute(name, value)).toBe(text);
});

test.each([
  [0, "just now"],
  [1999, "just now"],
  [2000, "2 s ago"],
  [59_999, "59 s ago"],
  [60_000, "1 min ago"],
  [7_200_000, "2 h ago"],
])("%d ms is %s", (milliseconds, text) => {
  expect(formatAgo(milliseconds)).toBe(text);
});

test("an instant of today has no date, an older one has, and nonsense is shown as it came", () => {
  const now = Date.parse("2026-11-22T12:00:00.000Z");
  expect(formatInstant("2026-11-22T11:59:58.123Z", now)).toMatch(/^\d\d:59:58$/);
  expect(formatInstant("2026-11-02T11:59:58.123Z", now)).toMatch(/2 Nov/);
  expect(formatInstant("soon", now)).toBe("soon");
});
