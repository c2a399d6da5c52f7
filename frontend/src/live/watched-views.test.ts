import { digest, sliceDigests } from "@contracts/digest.ts";
import { describe, expect, test } from "vitest";
import type { SyncCommandV1, ViewV1 } from "@contracts/zz_types.ts";
import { contracts } from "./read-frame.ts";
import { everything, viewsKey, viewsToWatch } from "./watched-views.ts";

const students: ViewV1 = { entity_type: "student" };
const weak: ViewV1 = {
  entity_type: "student",
  where: [{ attribute: "health_score", operator: "lt", value: 70 }],
};

describe("viewsToWatch", () => {
  test("with nobody to ask for anything it is everything", () => {
    expect(viewsToWatch([])).toEqual([everything]);
  });

  test("everything covers all other views", () => {
    expect(viewsToWatch([students, everything, weak])).toEqual([everything]);
  });

  test("each view once, in the same order whoever came first", () => {
    const same: ViewV1 = { where: weak.where ?? [], entity_type: "student" };
    expect(viewsToWatch([weak, students, same])).toEqual(viewsToWatch([students, weak]));
    expect(viewsToWatch([weak, students, same])).toHaveLength(2);
  });

  test("what is compared is asked for too", () => {
    expect(viewsToWatch([{ ...weak, fields: ["segment"] }])).toEqual([
      { ...weak, fields: ["health_score", "segment"] },
    ]);
  });

  test("more fields than a view can name are all of them", () => {
    const fields = Array.from({ length: 32 }, (_, i) => `field_${i}`);
    expect(viewsToWatch([{ ...weak, fields }])).toEqual([weak]);
  });

  test.each([
    ["many", Array.from({ length: 51 }, (_, i) => `${i}`)],
    ["large", Array.from({ length: 20 }, (_, i) => `${i}${"é".repeat(100)}`)],
  ])("too %s for one command is everything", (_, values) => {
    const wanted = values.map((value): ViewV1 => {
      return { entity_type: "subject", where: [{ attribute: "region", operator: "eq", value }] };
    });
    expect(viewsToWatch(wanted)).toEqual([everything]);
    expect(viewsToWatch(wanted.slice(0, 5))).toHaveLength(5);
  });
});

test("with all that a sync says beside its views it fits into a command", () => {
  const command: SyncCommandV1 = {
    action: "sync",
    sync_id: Number.MAX_SAFE_INTEGER,
    contracts: [...contracts],
    views: [],
    digest: digest([]),
    slices: sliceDigests([]),
  };
  expect(JSON.stringify(command).length).toBeLessThanOrEqual(4_096 - 3_072);
});

test("a key tells views apart, and not how they were written", () => {
  expect(viewsKey([students])).not.toBe(viewsKey([weak]));
  const other: ViewV1 = {
    where: [{ value: 70, operator: "lt", attribute: "health_score" }],
    entity_type: "student",
  };
  expect(viewsKey([other])).toBe(viewsKey([weak]));
  expect(viewsKey([{ ...weak, fields: ["a", "b"] }])).toBe(
    viewsKey([{ ...weak, fields: ["b", "a"] }]),
  );
});
