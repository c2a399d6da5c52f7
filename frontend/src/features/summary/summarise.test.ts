import { expect, test } from "vitest";
import { applyUpdates, emptyReplica } from "../../live/replica.ts";
import { batch, upsert } from "../../testing/wire.ts";
import { summarise } from "./summarise.ts";

test("an empty replica has no average", () => {
  expect(summarise(emptyReplica)).toEqual({
    students: 0,
    averageHealth: undefined,
    atRisk: 0,
    churned: 0,
    sessions30d: 0,
    entities: 0,
  });
});

test("figures are of students, and a missing attribute is not a zero", () => {
  const replica = applyUpdates(
    emptyReplica,
    batch(
      upsert("stu_1", 1, { health_score: 80, segment: "healthy", sessions_30d: 10 }),
      upsert("stu_2", 1, { health_score: 40, segment: "at_risk", sessions_30d: 2 }),
      upsert("stu_3", 1, { segment: "churned" }),
      upsert("tut_1", 1, { health_score: 1, segment: "at_risk", sessions_30d: 50 }, "tutor"),
    ),
    [],
    5,
  );
  expect(summarise(replica)).toEqual({
    students: 3,
    averageHealth: 60,
    atRisk: 1,
    churned: 1,
    sessions30d: 12,
    entities: 4,
  });
});
