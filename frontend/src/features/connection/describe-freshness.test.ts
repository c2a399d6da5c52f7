import { expect, test } from "vitest";
import type { Freshness } from "../../live/freshness.ts";
import { formatMinute } from "../../ui/format.ts";
import { describeFreshness, explainFreshness, toneOfFreshness } from "./describe-freshness.ts";

const noon = Date.parse("2026-11-22T12:00:00.000Z");

test.each<[Freshness, string]>([
  [{ kind: "live", age: 0 }, "live, 0.0 s"],
  [{ kind: "live", age: 640 }, "live, 0.6 s"],
  [{ kind: "live", age: 9_949 }, "live, 9.9 s"],
  [{ kind: "live", age: 9_960 }, "live, 10 s"],
  [{ kind: "live", age: 24_400 }, "live, 24 s"],
  [{ kind: "catching_up" }, "catching up"],
  [{ kind: "stale", since: noon }, `stale since ${formatMinute(noon)}`],
  [{ kind: "stale", since: undefined }, "stale"],
  [{ kind: "polling", age: 0 }, "polling, 0 s"],
  [{ kind: "polling", age: 4_400 }, "polling, 4 s"],
  [{ kind: "offline", since: noon }, "offline"],
  [{ kind: "signed_out", since: noon }, "signed out"],
  [{ kind: "forbidden", since: undefined }, "not permitted"],
])("%j reads %s", (freshness, text) => {
  expect(describeFreshness(freshness)).toBe(text);
  expect(explainFreshness(freshness)).toMatch(/^[A-Z].*\.$/);
});

test("what nobody can vouch for now was right at a time that it tells", () => {
  const at = `What is shown was right at ${formatMinute(noon)}.`;
  for (const kind of ["stale", "offline", "signed_out", "forbidden"] as const) {
    expect(explainFreshness({ kind, since: noon })).toContain(at);
    expect(explainFreshness({ kind, since: undefined })).not.toContain("right at");
  }
});

test.each([
  ["live", true, "success"],
  ["catching_up", true, "warning"],
  ["stale", true, "warning"],
  ["stale", false, "error"],
  ["polling", false, "warning"],
  ["offline", false, "error"],
  ["signed_out", false, "error"],
  ["forbidden", false, "error"],
] as const)("%s, isLive %s has the colour of %s", (kind, isLive, tone) => {
  const freshness = { kind, age: 0, since: undefined } as Freshness;
  expect(toneOfFreshness({ freshness, isLive })).toBe(tone);
});
