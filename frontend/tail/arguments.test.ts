// @vitest-environment node
import { describe, expect, test } from "vitest";
import { readArguments, usage, UsageError } from "./arguments.ts";

function viewsOf(...args: string[]) {
  return readArguments(args)?.views;
}

describe("makes no sense, and says why", () => {
  test.each([
    [
      ["--type", "pupil"],
      "no entity type is called pupil; there are student, tutor, subject, region",
    ],
    [["--where", "health_score"], "--where takes such as 'health_score<50'"],
    [["--where", "health_score~50"], "--where takes such as"],
    [["--where", "health_score<low"], "health_score is a number, and low is none"],
    [["--where", "health_score<"], "health_score is a number, and nothing is none"],
    [["--where", "health_score<Infinity"], "Infinity is none"],
    [["--where", "segment<x"], "segment is no number: it takes = and != only"],
    [
      ["--where", "colour=blue"],
      "--where: nothing that is watched has colour; there are sessions_7d",
    ],
    [["--type", "student", "--where", "region=north"], "nothing that is watched has region"],
    [["--insights", "--where", "health_score<50"], "nothing that is watched has health_score"],
    [["--where", "constructor=x"], "nothing that is watched has constructor"],
    [["--where", "region=uk", "--fields", "nope"], "--fields: nothing that is watched has nope"],
    [["--fields", "health_score,"], "has an empty name"],
    [["--view", "{"], "--view takes such as"],
    [["--view", "[]"], "--view takes such as"],
    [["--view", '{"entity_type":"student"}', "--type", "tutor"], "do not go with it"],
    [["--for", "10"], "--for takes such as 500ms, 10s, 5m or 1h"],
    [["--for", "-1s"], "--for"],
    [["--for", "600h"], "no more than 24 days"],
    [["--url", "http://x"], "--url takes a URL that starts with ws:// or wss://"],
    [["--api", "ws://x"], "--api takes a URL that starts with http:// or https://"],
    [["--colour"], "Unknown option '--colour'"],
    [["student"], "Unexpected argument 'student'"],
  ])("%j", (args, message) => {
    expect(() => readArguments(args)).toThrow(UsageError);
    expect(() => readArguments(args)).toThrow(message);
  });
});

test("without arguments it is all entities, and no insights", () => {
  expect(readArguments([])).toEqual({
    views: ["student", "tutor", "subject", "region"].map((entity_type) => ({ entity_type })),
    fields: undefined,
    hasEntities: true,
    hasInsights: false,
    isJson: false,
    hasSnapshot: false,
    isOnce: false,
    duration: undefined,
    url: undefined,
    api: undefined,
  });
});

test("comparisons read as they are written", () => {
  const where = (text: string) => viewsOf("--type", "student", "--where", text)?.[0]?.where;
  expect(where("health_score<50")).toEqual([
    { attribute: "health_score", operator: "lt", value: 50 },
  ]);
  expect(where(" health_score >= -1.5 ")).toMatchObject([{ operator: "ge", value: -1.5 }]);
  expect(where("health_score<=0")).toMatchObject([{ operator: "le", value: 0 }]);
  expect(where("health_score>0")).toMatchObject([{ operator: "gt", value: 0 }]);
  expect(where("segment!=at_risk")).toMatchObject([{ operator: "ne", value: "at_risk" }]);
  expect(where("segment=a<b")).toMatchObject([{ operator: "eq", value: "a<b" }]);
  const instant = "2026-11-28T08:00:00Z";
  expect(where(`last_updated>${instant}`)).toMatchObject([{ operator: "gt", value: instant }]);
});

test("of all types those are watched that have what is compared, and something to show", () => {
  const view = (entity_type: string, rest: object) => ({ entity_type, ...rest });
  const where = [{ attribute: "region", operator: "eq", value: "uk" }];
  expect(viewsOf("--where", "region=uk")).toEqual([view("subject", { where })]);
  expect(viewsOf("--fields", "demand_score,health_score")).toEqual([
    view("student", { fields: ["health_score"] }),
    view("tutor", { fields: ["health_score"] }),
    view("subject", { fields: ["demand_score", "health_score"] }),
    view("region", { fields: ["health_score"] }),
  ]);
});

test("insights are watched beside entities, or alone", () => {
  expect(viewsOf("--insights", "--where", "risk_score>=80")).toEqual([
    { entity_type: "insight", where: [{ attribute: "risk_score", operator: "ge", value: 80 }] },
  ]);
  expect(readArguments(["--insights"])).toMatchObject({ hasEntities: false, hasInsights: true });
  expect(readArguments(["--insights", "--type", "tutor"])).toMatchObject({
    views: [{ entity_type: "tutor" }, { entity_type: "insight" }],
    hasEntities: true,
    hasInsights: true,
  });
});

test("a view is taken as it is given", () => {
  const given = { entity_type: "*", where: [{ attribute: "x", operator: "eq", value: 1 }] };
  expect(readArguments(["--view", JSON.stringify(given)])).toMatchObject({
    views: [given],
    hasEntities: true,
    hasInsights: true,
  });
});

test.each([
  ["500ms", 500],
  ["1.5s", 1_500],
  ["5m", 300_000],
  ["1h", 3_600_000],
])("--for %s", (text, duration) => {
  expect(readArguments(["--for", text])?.duration).toBe(duration);
});

test("help is help, whatever stands beside it, and names each option", () => {
  expect(readArguments(["--once", "--help"])).toBeUndefined();
  expect(readArguments(["-h"])).toBeUndefined();
  const options = [
    "type",
    "where",
    "fields",
    "insights",
    "view",
    "snapshot",
    "json",
    "once",
    "for",
  ];
  for (const option of [...options, "url", "api"]) expect(usage).toContain(`--${option} `);
  // No option takes a secret: others see a command line.
  expect(() => readArguments(["--token", "x"])).toThrow(UsageError);
});
