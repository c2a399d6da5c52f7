import { digest } from "@contracts/digest.ts";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { finding, frame, insightFrame, upsert, version } from "../testing/wire.ts";
import { readFrame } from "./read-frame.ts";
import { Store } from "./store.ts";
import { everything } from "./watched-views.ts";

let store: Store;
let scheduled: (() => void)[];
let message: number;
const onChange = vi.fn();

beforeEach(() => {
  scheduled = [];
  message = 0;
  onChange.mockClear();
  store = new Store({ schedule: (run) => scheduled.push(run), now: () => 1000, onChange });
});

function receive(...texts: string[]): void {
  for (const text of texts) {
    message += 1;
    store.merge(readFrame(text), { message, asked: undefined });
  }
}

function runScheduled(): void {
  for (const run of scheduled.splice(0)) run();
}

test("what arrives together is merged together", () => {
  for (let revision = 1; revision <= 5; revision++) {
    receive(frame(upsert("stu_1", revision, { health_score: revision })));
  }
  receive(insightFrame(finding("stu_1", 1)));
  expect(onChange).not.toHaveBeenCalled();
  expect(scheduled).toHaveLength(1);
  runScheduled();
  expect(onChange).toHaveBeenCalledTimes(1);
  expect(store.replica.entities.get("student/stu_1")?.attributes).toEqual({ health_score: 5 });
  expect(store.findings.latest).toHaveLength(1);
  receive(frame(upsert("stu_1", 6)));
  expect(scheduled).toHaveLength(1);
});

test("insights alone leave the replica as it is, and the other way round", () => {
  const { replica } = store;
  receive(insightFrame(finding("stu_1", 1)));
  runScheduled();
  expect(store.replica).toBe(replica);
  const { findings } = store;
  receive(frame(upsert("stu_1", 1)));
  runScheduled();
  expect(store.findings).toBe(findings);
});

test("what cannot be used is counted, and does not stop what follows", () => {
  receive("{", "{", frame(upsert("stu_1", 1)));
  runScheduled();
  expect(store.replica.entities.size).toBe(1);
  expect(store.replica.counters.rejected).toEqual({ not_json: 2 });
});

test("where nobody calls back, what waits stays bounded", () => {
  const full = frame(...Array.from({ length: 100 }, (_, i) => upsert(`stu_${i}`, 1)));
  receive(...Array.from({ length: 21 }, () => full));
  expect(onChange).toHaveBeenCalledTimes(1);
  runScheduled();
  const { applied, superseded } = store.replica.counters;
  expect(applied + superseded).toBe(2100);
});

test("flushing twice changes it once", () => {
  receive(frame(upsert("stu_1", 1)));
  store.flush();
  store.flush();
  runScheduled();
  expect(onChange).toHaveBeenCalledTimes(1);
});

describe("digest", () => {
  test("of nothing there is none", () => {
    expect(store.digest([everything])).toBeUndefined();
  });

  test("is of what was heard, merged or not, and of nothing that is gone", () => {
    receive(frame(upsert("stu_1", 3)), insightFrame(finding("stu_1", 2)));
    const { key } = finding("stu_1", 2);
    expect(store.digest([everything])).toBe(
      digest([
        { key: "student/stu_1", version: version(3) },
        { key, version: version(2) },
      ]),
    );
  });

  test("is of what the views match", () => {
    receive(
      frame(upsert("stu_1", 1, { health_score: 50 }), upsert("stu_2", 1, { health_score: 80 })),
    );
    receive(insightFrame(finding("stu_1", 1)));
    const where = [{ attribute: "health_score", operator: "lt" as const, value: 70 }];
    expect(store.digest([{ entity_type: "student", where }])).toBe(
      digest([{ key: "student/stu_1", version: version(1) }]),
    );
    expect(store.digest([{ entity_type: "tutor" }])).toBeUndefined();
  });
});

describe("a complete snapshot", () => {
  test("counts what was heard before it and is not merged yet", () => {
    receive(frame(upsert("stu_1", 1), upsert("stu_2", 1)));
    const named = new Set(["student/stu_2"]);
    const census = { asked: 1, message: 2 };
    store.retain({ entities: { ...census, named }, insights: { ...census, named: new Set() } }, [
      everything,
    ]);
    expect(store.replica.order).toEqual(["student/stu_2"]);
  });

  test("tells of what is gone, and not of what is no longer watched", () => {
    receive(frame(upsert("stu_1", 1), upsert("tut_1", 1, {}, "tutor")));
    const census = { asked: 1, message: 2, named: new Set<string>() };
    store.retain({ entities: census, insights: census }, [{ entity_type: "student" }]);
    expect(store.replica.order).toEqual([]);
    const removed = store.replica.recent.filter(({ kind }) => kind === "removed");
    expect(removed.map(({ id }) => id)).toEqual(["stu_1"]);
  });
});
