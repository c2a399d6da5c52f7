// @vitest-environment node
import { describe, expect, test } from "vitest";
import { version } from "../src/testing/wire.ts";
import type { Change } from "./changes.ts";
import { formatFreshness, formatJson, formatLine, type Form } from "./line.ts";

const at = "2026-11-28T08:00:00.000Z";
const time = Date.parse(at) + 217;
/** As the machine's clock on the wall shows it, wherever that hangs. */
const clock = new Date(time).toTimeString().slice(0, 8) + ".217";
const plain: Form = { fields: undefined, hasColours: false };

const changed: Change = {
  kind: "changed",
  type: "student",
  id: "stu_1",
  version: version(17),
  before: { health_score: 82.5, segment: "healthy", sessions_7d: 3, last_updated: "a" },
  now: { health_score: 12.5, sessions_7d: 3, avg_rating: 4, last_updated: "b" },
  at,
};
const removed: Change = { ...changed, kind: "removed", now: {}, at: undefined };

describe("a line", () => {
  test("tells of a change what it was and is", () => {
    expect(formatLine(changed, time, plain)).toBe(
      `${clock}  student stu_1  changed  health_score 82.5 → 12.5, avg_rating — → 4, segment healthy → —  v17  0.2 s`,
    );
  });

  test("tells of what appeared all that it has", () => {
    const line = formatLine({ ...changed, kind: "appeared", before: {} }, time, plain);
    expect(line).toContain("appeared  health_score 12.5, sessions_7d 3, avg_rating 4  v17");
  });

  test("tells of what is gone that it is gone", () => {
    expect(formatLine(removed, time, plain)).toBe(`${clock}  student stu_1  removed  v17`);
    expect(formatLine({ ...removed, version: undefined }, time, plain)).toMatch(/removed$/);
  });

  test("has nothing to tell where nothing that was asked for has changed, but that it is gone", () => {
    const form = { ...plain, fields: ["sessions_7d"] };
    expect(formatLine(changed, time, form)).toBeUndefined();
    expect(formatJson(changed, time, form)).toBeUndefined();
    expect(formatLine(removed, time, form)).toContain("removed");
    expect(formatLine(changed, time, { ...plain, fields: ["last_updated"] })).toContain("a → b");
  });

  test("of a write that changed nothing says that it came", () => {
    expect(formatLine({ ...changed, before: changed.now }, time, plain)).toBe(
      `${clock}  student stu_1  changed  v17  0.2 s`,
    );
  });

  test("of an insight tells the gist", () => {
    const now = { entity_id: "stu_1", risk_score: 84, explanation: "few sessions", timestamp: at };
    const insight: Change = { ...changed, kind: "appeared", type: "insight", before: {}, now };
    expect(formatLine(insight, time, plain)).toContain(
      "insight stu_1  appeared  risk_score 84, explanation few sessions  v17",
    );
  });

  test("is one line, and gives no orders to a terminal, whatever a writer wrote", () => {
    const now = { segment: "a\nb\u001b[2Jc\u2028d" };
    const line = formatLine(
      { ...changed, id: "x\r\ny", kind: "appeared", before: {}, now },
      time,
      plain,
    );
    // eslint-disable-next-line no-control-regex
    expect(line).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/);
    expect(line).toContain("student x��y  appeared  segment a�b�[2Jc�d");
  });

  test("has colours where they are wanted", () => {
    const line = formatLine(changed, time, { ...plain, hasColours: true });
    expect(line).toContain("\x1b[33mchanged\x1b[0m");
  });

  test.each([
    [-5_000, "0.0 s"],
    [9_949, "9.9 s"],
    [59_999, "59 s"],
    [61_000, "1 min"],
    [7_200_000, "2 h"],
    [172_800_000, "2 d"],
  ])("an age of %d ms reads %s", (age, text) => {
    expect(formatLine(changed, Date.parse(at) + age, plain)).toMatch(new RegExp(`  ${text}$`));
  });
});

test("JSON is one object with all that is known", () => {
  const text = formatJson(changed, time, plain) ?? "";
  expect(text).not.toContain("\n");
  expect(JSON.parse(text)).toEqual({
    time: "2026-11-28T08:00:00.217Z",
    type: "student",
    id: "stu_1",
    kind: "changed",
    version: { epoch: 1, revision: 17 },
    changed: {
      health_score: { from: 82.5, to: 12.5 },
      segment: { from: "healthy" },
      avg_rating: { to: 4 },
    },
    attributes: changed.now,
    written_at: at,
    age_ms: 217,
  });
  expect(JSON.parse(formatJson(removed, time, plain) ?? "")).toEqual({
    time: "2026-11-28T08:00:00.217Z",
    type: "student",
    id: "stu_1",
    kind: "removed",
    version: { epoch: 1, revision: 17 },
  });
});

test("how current it is, in a word", () => {
  const minute = new Date(time).toTimeString().slice(0, 5);
  expect(formatFreshness({ kind: "live", age: 10 }, undefined)).toBe("live");
  expect(formatFreshness({ kind: "stale", since: time }, undefined)).toBe(`stale since ${minute}`);
  expect(formatFreshness({ kind: "stale", since: undefined }, undefined)).toBe("stale");
  const offline = { kind: "offline", since: undefined } as const;
  expect(formatFreshness(offline, 2_600)).toBe("offline: trying again in 3 s");
  expect(formatFreshness(offline, 10)).toBe("offline: trying again in 1 s");
  // The attempt is under way.
  expect(formatFreshness(offline, undefined)).toBeUndefined();
});
