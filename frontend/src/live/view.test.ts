import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ComparisonOperator, ViewV1 } from "@contracts/zz_types.ts";
import type { Attributes } from "./read-frame.ts";
import { matches } from "./view.ts";

interface Vector {
  readonly name: string;
  readonly views: readonly ViewV1[];
  readonly entity_type: string;
  readonly attributes: Attributes;
  readonly matches: boolean;
  readonly fields: readonly string[] | null;
}

const vectors = Object.values(
  import.meta.glob<string>("../../../contracts/vectors/views.json", {
    eager: true,
    query: "?raw",
    import: "default",
  }),
).flatMap((text) => JSON.parse(text) as Vector[]);

const where = (attribute: string, operator: string, value: string | number): ViewV1[] => [
  { entity_type: "subject", where: [{ attribute, operator, value }] },
];

describe("matches nothing by a comparison that the server refuses", () => {
  const state = {
    health_score: 70,
    region: "north",
    last_updated: "2026-11-22T10:00:00Z",
    colour: "blue",
    recommendations: "rest",
  };
  test.each([
    ["health_score", "ge", "0"],
    ["health_score", "like", 70],
    ["region", "lt", "south"],
    ["region", "eq", 7],
    ["last_updated", "ne", "yesterday"],
    ["last_updated", "ne", "2026-11-22"],
    ["last_updated", "ne", "2026-11-22T10:00:00"],
    ["last_updated", "ne", "2026-13-22T10:00:00Z"],
    ["last_updated", "ne", "2026-11-22T10:00:00,5Z"],
    ["last_updated", "ne", "2026-11-22T10:00:00.0000000001Z"],
    ["last_updated", "ne", "2026-11-22T10:00:00+24:00"],
    ["last_updated", "ne", 0],
    ["colour", "eq", "blue"],
    ["constructor", "ne", "blue"],
  ])("%s %s %s", (attribute, operator, value) => {
    expect(matches(where(attribute, operator, value), "subject", state).matched).toBe(false);
  });

  test("a list", () => {
    const comparison = { attribute: "recommendations", operator: "eq", value: "rest" };
    const views = [{ entity_type: "insight", where: [comparison] }];
    expect(matches(views, "insight", state).matched).toBe(false);
  });
});

describe("says what the server says", () => {
  test("there are vectors", () => {
    expect(vectors.length).toBeGreaterThan(100);
  });

  test.each(vectors)("$name", ({ views, entity_type: type, attributes, ...expected }) => {
    expect(matches(views, type, attributes)).toEqual({
      matched: expected.matches,
      fields: expected.fields,
    });
  });
});

test("a number, and an instant, is before, at or after another", () => {
  const held = (name: string, value: string | number, wanted: string | number) =>
    (["lt", "le", "eq", "ge", "gt", "ne"] satisfies ComparisonOperator[]).filter(
      (operator) => matches(where(name, operator, wanted), "subject", { [name]: value }).matched,
    );
  const before = ["lt", "le", "ne"];
  const at = ["le", "eq", "ge"];
  const after = ["ge", "gt", "ne"];
  fc.assert(
    fc.property(fc.maxSafeInteger(), fc.maxSafeInteger(), (a, b) => {
      expect(held("health_score", a, b)).toEqual(a < b ? before : a > b ? after : at);
      expect(held("health_score", a, a)).toEqual(at);
    }),
  );
  const years = { min: new Date("0000-01-01"), max: new Date("9999-12-31"), noInvalidDate: true };
  fc.assert(
    fc.property(fc.date(years), fc.date(years), (a, b) => {
      const [first, second] = [a.toISOString(), b.toISOString()];
      expect(held("last_updated", first, second)).toEqual(a < b ? before : a > b ? after : at);
      expect(held("last_updated", first, first.replace("Z", "000+00:00"))).toEqual(at);
    }),
  );
});
