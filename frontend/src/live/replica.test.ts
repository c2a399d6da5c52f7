import { digestSlice } from "@contracts/digest.ts";
import { compareVersions } from "@contracts/version.ts";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { batch, remove, upsert } from "../testing/wire.ts";
import type { Update } from "./read-frame.ts";
import { applyUpdates, emptyReplica, retainEntities, type Replica } from "./replica.ts";
import { tombstoneLifetime, tombstoneLimit } from "./tombstones.ts";

function apply(updates: readonly Update[], replica = emptyReplica, now = 1000): Replica {
  return applyUpdates(replica, batch(...updates), [], now);
}

const always = () => true;

/** What a person would see: each entity with its version and attributes. */
function shown({ entities }: Replica) {
  return Object.fromEntries(
    [...entities].map(([key, { version, attributes }]) => [key, { version, attributes }]),
  );
}

/** All states of a few entities as a normalizer numbers them: one version, one state. */
const history = fc
  .array(
    fc.record({
      id: fc.constantFrom("stu_1", "stu_2", "stu_3"),
      type: fc.constantFrom("student" as const, "tutor" as const),
      health: fc.option(fc.integer({ min: 0, max: 100 })),
      startsEpoch: fc.boolean(),
    }),
    { maxLength: 40 },
  )
  .map((writes) => {
    const revisions = new Map<string, number>();
    let epoch = 1;
    return writes.map(({ id, type, health, startsEpoch }): Update => {
      if (startsEpoch) {
        epoch += 1;
        revisions.clear();
      }
      const revision = (revisions.get(type + id) ?? 0) + 1;
      revisions.set(type + id, revision);
      const update =
        health === null
          ? remove(id, revision, type)
          : upsert(id, revision, { health_score: health }, type);
      return { ...update, version: { epoch, revision } };
    });
  });

/** The same updates, some of them twice, in any order and in any packing. */
const delivery = history.chain((updates) =>
  fc.record({
    updates: fc.constant(updates),
    batches: fc
      .shuffledSubarray([...updates, ...updates], { minLength: updates.length * 2 })
      .chain((shuffled) =>
        fc.array(fc.nat(shuffled.length), { maxLength: 8 }).map((cuts) => {
          const edges = [0, ...cuts.toSorted((a, b) => a - b), shuffled.length];
          return edges.slice(1).map((edge, index) => shuffled.slice(edges[index], edge));
        }),
      ),
  }),
);

test("any order, duplication and packing of the same updates ends in the table's state", () => {
  fc.assert(
    fc.property(delivery, ({ updates, batches }) => {
      const table = new Map<string, Update>();
      for (const update of updates) table.set(`${update.type}/${update.id}`, update);

      const replica = batches.reduce((before, batch) => apply(batch, before), emptyReplica);

      const expected = [...table].flatMap(([key, update]) =>
        update.operation === "UPSERT"
          ? [[key, { version: update.version, attributes: update.attributes }] as const]
          : [],
      );
      expect(shown(replica)).toEqual(Object.fromEntries(expected));
      expect(replica.order.toSorted()).toEqual([...replica.entities.keys()].toSorted());
      const { applied, superseded } = replica.counters;
      expect(applied + superseded).toBe(batches.flat().length);
    }),
    { numRuns: 500 },
  );
});

test("nothing ever goes backwards", () => {
  fc.assert(
    fc.property(delivery, ({ batches }) => {
      let before = emptyReplica;
      for (const batch of batches) {
        const after = apply(batch, before);
        for (const [key, { version }] of before.entities) {
          const now = after.entities.get(key)?.version ?? after.tombstones.get(key)?.version;
          expect(now && compareVersions(now, version)).toBeGreaterThanOrEqual(0);
        }
        before = after;
      }
    }),
  );
});

describe("removal", () => {
  test("an older update does not bring a removed entity back", () => {
    const replica = apply([upsert("stu_1", 1), remove("stu_1", 3), upsert("stu_1", 2)]);
    expect(replica.entities.size).toBe(0);
    expect(replica.order).toEqual([]);
  });

  test("a newer one does", () => {
    const replica = apply([remove("stu_1", 3), upsert("stu_1", 4)]);
    expect(replica.order).toEqual(["student/stu_1"]);
    expect(replica.tombstones.size).toBe(0);
  });

  test("a removal that overtakes its insert wins", () => {
    expect(apply([remove("stu_1", 2), upsert("stu_1", 1)]).entities.size).toBe(0);
  });

  test("tombstones are forgotten after a day, when the next is set", () => {
    const first = apply([remove("stu_1", 1)], emptyReplica, 0);
    expect(apply([remove("stu_2", 1)], first, tombstoneLifetime).tombstones.size).toBe(2);
    const later = apply([remove("stu_2", 1)], first, tombstoneLifetime + 1);
    expect([...later.tombstones.keys()]).toEqual(["student/stu_2"]);
  });

  test("there is a limit to them, and the oldest go first", () => {
    const updates = Array.from({ length: tombstoneLimit + 2 }, (_, i) => remove(`stu_${i}`, 1));
    const { tombstones } = apply(updates);
    expect(tombstones.size).toBe(tombstoneLimit);
    expect(tombstones.has("student/stu_1")).toBe(false);
    expect(tombstones.has("student/stu_2")).toBe(true);
  });
});

describe("attributes of one version", () => {
  const held = apply([upsert("stu_1", 2, { health_score: 71 })]);

  test("that come apart are united, and nothing is said to have changed", () => {
    const united = apply([upsert("stu_1", 2, { segment: "healthy" })], held);
    const entity = united.entities.get("student/stu_1");
    expect(entity?.attributes).toEqual({ health_score: 71, segment: "healthy" });
    expect(entity?.changedIn).toEqual({});
    expect(united.recent).toBe(held.recent);
  });

  test("that contradict what is held change nothing", () => {
    const same = apply([upsert("stu_1", 2, { health_score: 5 })], held);
    expect(same.entities).toBe(held.entities);
  });

  test("of an older version add nothing", () => {
    const same = apply([upsert("stu_1", 1, { segment: "healthy" })], held);
    expect(same.entities).toBe(held.entities);
  });
});

describe("a complete snapshot", () => {
  const before = applyUpdates(
    emptyReplica,
    [
      {
        updates: [upsert("named", 1), upsert("gone", 1)],
        origin: { message: 3, asked: undefined },
      },
      { updates: [upsert("late", 1)], origin: { message: 4, asked: undefined } },
    ],
    [],
    0,
  );
  const census = { named: new Set(["student/named"]), asked: 3, message: 6 };
  const after = retainEntities(before, census, always, 0);

  test("drops what it does not name and what came before it was asked for", () => {
    expect(after.order).toEqual(["student/late", "student/named"]);
    expect(after.recent[0]).toMatchObject({ kind: "removed", id: "gone" });
  });

  test("in slices that it does not cover drops only what is not watched", () => {
    const covers = (id: string) => ({ ...census, covers: new Set([digestSlice(`student/${id}`)]) });
    expect(retainEntities(before, covers("gone"), always, 0).order).toEqual(after.order);
    expect(retainEntities(before, covers("named"), always, 0).order).toEqual(before.order);
    expect(retainEntities(before, covers("named"), () => false, 0).order).toEqual(after.order);
  });

  test("says nothing of what only left the view", () => {
    const silent = retainEntities(before, census, () => false, 0);
    expect(silent.order).toEqual(after.order);
    expect(silent.recent).toBe(before.recent);
  });

  test("a late duplicate does not bring it back, a newer version does", () => {
    expect(apply([upsert("gone", 1)], after).order).toEqual(after.order);
    expect(apply([upsert("gone", 2)], after).order).toContain("student/gone");
  });

  test("the answer to a sync that was sent later brings it back, an earlier one does not", () => {
    const answer = (asked: number) => [
      { updates: [upsert("gone", 1)], origin: { message: 9, asked } },
    ];
    expect(applyUpdates(after, answer(5), [], 0).order).toEqual(after.order);
    expect(applyUpdates(after, answer(6), [], 0).order).toContain("student/gone");
  });

  test("what it shows was there before, so it is not told as new", () => {
    const first = { updates: [upsert("stu_1", 1)], origin: { message: 1, asked: 0 } };
    expect(applyUpdates(emptyReplica, [first], [], 0).recent).toEqual([]);
  });

  test("what it repairs is told", () => {
    const missed = {
      updates: [upsert("named", 2, { health_score: 5 })],
      origin: { message: 5, asked: 3 },
    };
    expect(applyUpdates(before, [missed], [], 0).recent[0]).toMatchObject({ kind: "changed" });
  });
});

describe("what changed", () => {
  const before = apply([upsert("stu_1", 1, { health_score: 71, segment: "healthy" })]);
  const after = apply([upsert("stu_1", 2, { health_score: 64, segment: "healthy" })], before);

  test("is told by attribute, newest first", () => {
    expect(after.recent.map(({ kind, number }) => [kind, number])).toEqual([
      ["changed", 2],
      ["appeared", 1],
    ]);
    expect(after.recent[0]?.differences).toEqual([{ name: "health_score", from: 71, to: 64 }]);
    expect(after.entities.get("student/stu_1")?.changedIn).toEqual({ health_score: 2 });
  });

  test("an attribute that is gone has changed too", () => {
    const { recent } = apply([upsert("stu_1", 3, { segment: "healthy" })], after);
    expect(recent[0]?.differences).toEqual([{ name: "health_score", from: 64, to: undefined }]);
  });

  test("no more than the latest twelve are kept", () => {
    const updates = Array.from({ length: 30 }, (_, i) => upsert("stu_1", i + 1));
    expect(apply(updates).recent.map(({ number }) => number)).toEqual([
      30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19,
    ]);
  });

  test("what did not change is shared with the replica before", () => {
    const two = apply([upsert("stu_2", 1)], after);
    const next = apply([upsert("stu_2", 2, { health_score: 5 })], two);
    expect(next.entities.get("student/stu_1")).toBe(two.entities.get("student/stu_1"));
    expect(next.order).toBe(two.order);
    expect(next.tombstones).toBe(two.tombstones);
    const duplicate = apply([upsert("stu_2", 2, { health_score: 5 })], next);
    expect(duplicate.entities).toBe(next.entities);
    expect(duplicate.recent).toBe(next.recent);
  });
});

test("entities are in order of type and number", () => {
  const replica = apply([
    upsert("reg_1", 1, {}, "region"),
    upsert("stu_10", 1),
    upsert("tut_1", 1, {}, "tutor"),
    upsert("stu_9", 1),
  ]);
  expect(replica.order).toEqual(["student/stu_9", "student/stu_10", "tutor/tut_1", "region/reg_1"]);
});

test("rejections are counted by reason", () => {
  const once = applyUpdates(emptyReplica, [], ["not_json", "not_json", "unknown_frame"], 0);
  const twice = applyUpdates(once, [], ["not_json"], 0);
  expect(twice.counters.rejected).toEqual({ not_json: 3, unknown_frame: 1 });
});
