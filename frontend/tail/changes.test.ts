// @vitest-environment node
import type { ViewV1 } from "@contracts/zz_types.ts";
import { expect, test } from "vitest";
import { applyInsights, noFindings } from "../src/live/findings.ts";
import type { Update } from "../src/live/read-frame.ts";
import { applyUpdates, emptyReplica, type Replica } from "../src/live/replica.ts";
import { batch, finding, remove, upsert, version } from "../src/testing/wire.ts";
import { compareHoldings, holdingsOf, listHoldings, nothing } from "./changes.ts";

const weak: ViewV1 = {
  entity_type: "student",
  where: [{ attribute: "health_score", operator: "lt", value: 50 }],
};
const insights: ViewV1 = { entity_type: "insight" };

function apply(replica: Replica, ...updates: readonly Update[]): Replica {
  return applyUpdates(replica, batch(...updates), [], 0);
}

test("what matches appears, changes, and goes; nothing else is told", () => {
  const first = apply(
    emptyReplica,
    upsert("a", 1, { health_score: 10 }),
    upsert("b", 1, { health_score: 20 }),
    upsert("strong", 1, { health_score: 90 }),
  );
  const second = apply(
    first,
    upsert("a", 2, { health_score: 11 }),
    upsert("c", 1, { health_score: 1 }),
    upsert("strong", 2, { health_score: 91 }),
    remove("b", 2),
  );
  const third = apply(second, upsert("a", 3, { health_score: 60 }));
  const held = [first, second, third].map((replica) => holdingsOf([weak], replica, noFindings));
  const [one = nothing, two = nothing, three = nothing] = held;
  expect(listHoldings(one)).toMatchObject([
    { kind: "held", id: "a", before: {}, now: { health_score: 10 } },
    { kind: "held", id: "b" },
  ]);
  expect(compareHoldings(one, two, second.tombstones)).toEqual([
    {
      kind: "changed",
      type: "student",
      id: "a",
      version: version(2),
      before: { health_score: 10 },
      now: { health_score: 11 },
      at: "2026-11-22T10:00:00.000Z",
    },
    expect.objectContaining({ kind: "appeared", id: "c", before: {} }),
    expect.objectContaining({ kind: "removed", id: "b", version: version(2), now: {} }),
  ]);
  // It left what is watched: nobody said at which version.
  expect(compareHoldings(two, three, third.tombstones)).toMatchObject([
    { kind: "removed", id: "a", version: undefined },
  ]);
  expect(compareHoldings(three, three, third.tombstones)).toEqual([]);
});

test("more attributes of the same version are no change", () => {
  const first = apply(emptyReplica, upsert("a", 1, { health_score: 10 }));
  const second = apply(first, upsert("a", 1, { health_score: 10, segment: "at_risk" }));
  expect(second.entities.get("student/a")?.attributes["segment"]).toBe("at_risk");
  const [one, two] = [first, second].map((replica) => holdingsOf([weak], replica, noFindings));
  expect(compareHoldings(one ?? nothing, two ?? nothing, second.tombstones)).toEqual([]);
});

test("insights are told apart from the entities that they are about", () => {
  const found = applyInsights(noFindings, batch(finding("stu_1", 1)), 0);
  const held = holdingsOf([insights], emptyReplica, found);
  expect(compareHoldings(nothing, held, new Map())).toMatchObject([
    { kind: "appeared", type: "insight", now: { prediction_type: expect.any(String) as string } },
  ]);
  expect(holdingsOf([weak], emptyReplica, found).findings.size).toBe(0);
});
