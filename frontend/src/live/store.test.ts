import {
  digest,
  digestSlice,
  digestSlices,
  entityDigestKey,
  latestInsights,
  sliceDigests,
} from "@contracts/digest.ts";
import type { ViewV1 } from "@contracts/zz_types.ts";
import fc from "fast-check";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { finding, frame, insightFrame, upsert, version } from "../testing/wire.ts";
import { readFrame, type InsightUpdate, type Upsert } from "./read-frame.ts";
import { Store } from "./store.ts";
import { matches } from "./view.ts";
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

test("says whether after a snapshot that is held which the server said", () => {
  receive(frame(upsert("stu_1", 1)));
  const census = { asked: 1, message: 2, named: new Set(["student/stu_1"]) };
  const right = digest([{ key: "student/stu_1", version: version(1) }]);
  const isRight = [right, undefined, digest([]), right].map((said) =>
    store.retain({ entities: census, insights: { ...census, named: new Set() }, digest: said }, [
      everything,
    ]),
  );
  expect(isRight).toEqual([true, true, false, true]);
});

/** A row of the table, or as the page holds it. */
interface Row {
  readonly kind: "student" | "insight";
  readonly id: number;
  /** Of a student its health, of an insight its risk. */
  readonly score: number;
  /** Since the first insight. */
  readonly foundAtHour: number;
}

/** What the table holds; and what the page holds, if it missed something: an older revision, or one that is gone. */
interface Case {
  readonly row: Row;
  readonly isThere: boolean;
  readonly held: "nothing" | "same" | "older";
}

const row: fc.Arbitrary<Row> = fc.record({
  kind: fc.constantFrom("student", "insight", "insight"),
  id: fc.nat(40),
  score: fc.integer({ min: 0, max: 99 }),
  foundAtHour: fc.constantFrom(0, 10, 23, 24, 25, 40, 47, 60),
});

const cases: fc.Arbitrary<Case[]> = fc.uniqueArray(
  fc.record({
    row,
    isThere: fc.boolean(),
    held: fc.constantFrom("nothing", "same", "same", "same", "older"),
  }),
  {
    selector: ({ row: { kind, id, foundAtHour } }) => `${kind} ${id} ${foundAtHour}`,
    maxLength: 40,
  },
);

const student = ({ id, foundAtHour, score }: Row, revision: number): Upsert =>
  upsert(`stu_${id}_${foundAtHour}`, revision, { health_score: score });
const insight = ({ id, score, foundAtHour }: Row, revision: number) =>
  finding(`stu_${id}`, revision, { risk_score: score }, foundAtHour * 3600);

/** Updates of rows, as the page reads them. */
function updatesOf(rows: readonly (readonly [Row, number])[]) {
  return {
    updates: rows.flatMap(([each, n]) => (each.kind === "student" ? [student(each, n)] : [])),
    insights: rows.flatMap(([each, n]) => (each.kind === "insight" ? [insight(each, n)] : [])),
    control: undefined,
    sentAt: undefined,
    rejections: [],
    unread: [],
  };
}

/** What the server holds for views: all that match, and those insights that count. */
function heldByServer(rows: readonly Row[], views: readonly ViewV1[]) {
  const { updates, insights } = updatesOf(rows.map((each) => [each, 2]));
  const isWatched = (type: string, update: Upsert | InsightUpdate) =>
    "attributes" in update && matches(views, type, update.attributes).matched;
  const counted = latestInsights(
    insights
      .filter((update) => isWatched("insight", update))
      .map((update) => ({ ...update, foundAt: Date.parse(update.attributes.timestamp) })),
  );
  const entities = updates
    .filter((update) => isWatched("student", update))
    .map((update) => ({ ...update, key: entityDigestKey("student", update.id) }));
  return { entities, insights: counted, all: [...entities, ...counted] };
}

describe("a sync that says its slices", () => {
  const weak: ViewV1 = {
    entity_type: "student",
    where: [{ attribute: "health_score", operator: "lt", value: 50 }],
  };
  const grave: ViewV1 = {
    entity_type: "insight",
    where: [{ attribute: "risk_score", operator: "ge", value: 50 }],
  };

  test("is answered once, and the page holds what the table holds, whatever it missed", () => {
    let sliced = 0;
    fc.assert(
      fc.property(cases, fc.constantFrom([everything], [weak, grave], [grave]), (all, views) => {
        const page = new Store({ schedule: () => undefined, now: () => 0, onChange });
        const missed = all.filter(({ held }) => held !== "nothing");
        const before = missed.map(
          ({ row: each, held }) => [each, held === "older" ? 1 : 2] as const,
        );
        page.merge(updatesOf(before), { message: 1, asked: undefined });
        const sync = page.summary(views);

        const table = all.filter(({ isThere }) => isThere).map((each) => each.row);
        const server = heldByServer(table, views);
        const slices = sliceDigests(server.all);
        const of = (sums: string, i: number) => sums.slice(i * 8, (i + 1) * 8);
        const covers = Array.from({ length: digestSlices }, (_, i) => i).filter(
          (i) => !sync || of(sync.slices, i) !== of(slices, i),
        );
        if (covers.length < digestSlices) sliced += 1;
        const isSent = ({ key }: { key: string }) => covers.includes(digestSlice(key));
        const entities = server.entities.filter(isSent);
        const insights = server.insights.filter(isSent);
        const content = { control: undefined, sentAt: undefined, rejections: [], unread: [] };
        page.merge({ ...content, updates: entities, insights: [] }, { message: 2, asked: 1 });
        page.flush();
        page.merge({ ...content, updates: [], insights }, { message: 3, asked: 1 });
        const census = (rows: readonly { readonly key: string }[]) => ({
          named: new Set(rows.map(({ key }) => key)),
          covers: sync && new Set(covers),
          asked: 1,
          message: 3,
        });
        page.retain({ entities: census(entities), insights: census(insights) }, views);
        expect(page.digest(views) ?? digest([])).toBe(digest(server.all));
      }),
      { numRuns: 500 },
    );
    expect(sliced).toBeGreaterThan(250);
  });
});
