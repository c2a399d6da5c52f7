import { expect, test } from "vitest";
import { applyUpdates, emptyReplica } from "../../live/replica.ts";
import { batch, upsert } from "../../testing/wire.ts";
import { countByTab, filterKeys, sortKeys } from "./arrange.ts";

const { order, entities } = applyUpdates(
  emptyReplica,
  batch(
    upsert("stu_1", 1, { health_score: 9, last_updated: "2026-11-22T12:00:00+02:00" }),
    upsert("stu_2", 1, { health_score: 100, last_updated: "2026-11-22T11:00:00Z" }),
    upsert("stu_10", 1, { segment: "healthy", last_updated: "2026-11-22T09:00:00Z" }),
    upsert("tut_1", 1, { health_score: 50 }, "tutor"),
  ),
  [],
  0,
);

test("counts the entities of each tab", () => {
  expect(countByTab(order)).toEqual({ all: 4, student: 3, tutor: 1, subject: 0, region: 0 });
});

test("filters by tab and by any part of the id, whatever its case", () => {
  expect(filterKeys(order, "student", " STU_1 ")).toEqual(["student/stu_1", "student/stu_10"]);
  expect(filterKeys(order, "all", "1")).toEqual(["student/stu_1", "student/stu_10", "tutor/tut_1"]);
  // The type is no part of the id.
  expect(filterKeys(order, "all", "student")).toEqual([]);
});

test("sorts numbers as numbers, and what has no value comes last both ways", () => {
  const by = (isDescending: boolean) =>
    sortKeys(order, { column: "health_score", isDescending }, entities);
  expect(by(false)).toEqual(["student/stu_1", "tutor/tut_1", "student/stu_2", "student/stu_10"]);
  expect(by(true)).toEqual(["student/stu_2", "tutor/tut_1", "student/stu_1", "student/stu_10"]);
});

test("sorts instants by time, whatever their zone", () => {
  const students = filterKeys(order, "student", "");
  expect(sortKeys(students, { column: "last_updated", isDescending: false }, entities)).toEqual([
    "student/stu_10",
    "student/stu_1",
    "student/stu_2",
  ]);
});
