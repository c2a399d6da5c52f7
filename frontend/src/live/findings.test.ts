import { digestSlice, insightLimit, insightWindow } from "@contracts/digest.ts";
import fc from "fast-check";
import { expect, test } from "vitest";
import { batch, finding, lost } from "../testing/wire.ts";
import { applyInsights, noFindings, retainFindings, type Findings } from "./findings.ts";
import type { InsightUpdate } from "./read-frame.ts";
import { tombstoneLifetime } from "./tombstones.ts";

function apply(updates: readonly InsightUpdate[], findings = noFindings, now = 0): Findings {
  return applyInsights(findings, batch(...updates), now);
}

const always = () => true;

function census(named: readonly string[], asked: number, message: number, ...covers: number[]) {
  return {
    named: new Set(named),
    asked,
    message,
    ...(covers.length > 0 && { covers: new Set(covers) }),
  };
}

const ids = ({ latest }: Findings) => latest.map(({ attributes }) => attributes.entity_id);

test("a removed insight does not come back with a late update", () => {
  let findings = apply([finding("stu_1", 1), lost("stu_1", 2)]);
  expect(findings.latest).toEqual([]);
  findings = apply([finding("stu_1", 1)], findings);
  expect(findings.latest).toEqual([]);
  findings = apply([finding("stu_1", 3)], findings);
  expect(findings.latest).toHaveLength(1);
  expect(findings.tombstones.size).toBe(0);
});

test("tombstones are forgotten after a day", () => {
  const buried = apply([lost("stu_1", 2)]);
  const later = apply([lost("stu_2", 2)], buried, tombstoneLifetime + 1);
  expect([...later.tombstones.keys()]).toHaveLength(1);
});

test("what changes nothing is the same value", () => {
  const findings = apply([finding("stu_1", 2)]);
  expect(apply([finding("stu_1", 2), finding("stu_1", 1)], findings)).toBe(findings);
});

test("one that counts no more does not come back older, once those that count are gone", () => {
  const day = insightWindow / 1000;
  let findings = apply([finding("old", 2, {}, 0), finding("new", 1, {}, day + 1)]);
  expect(ids(findings)).toEqual(["new"]);
  findings = apply([lost("new", 2, day + 1), finding("old", 1, {}, 0)], findings);
  expect(ids(findings)).toEqual([]);
  findings = apply([finding("old", 3, {}, 0)], findings);
  expect(ids(findings)).toEqual(["old"]);
});

test("insights of one entity stand side by side, the latest found first", () => {
  const updates = [finding("a", 1, {}, 1), finding("a", 1, {}, 3), finding("b", 1, {}, 2)];
  const { latest } = apply(updates);
  expect(latest.map(({ attributes }) => attributes.timestamp.slice(17, 19))).toEqual([
    "03",
    "02",
    "01",
  ]);
});

test("a day is kept, counted from the newest", () => {
  const seconds = insightWindow / 1000;
  const updates = [
    finding("old", 1, {}, 0),
    finding("kept", 1, {}, 1),
    finding("new", 1, {}, seconds + 1),
  ];
  const { latest } = apply(updates);
  expect(latest.map(({ attributes }) => attributes.entity_id)).toEqual(["new", "kept"]);
});

test("memory is bounded", () => {
  const updates = Array.from({ length: insightLimit + 10 }, (_, i) =>
    finding(`stu_${i}`, 1, {}, i),
  );
  const { latest } = apply(updates);
  expect(latest).toHaveLength(insightLimit);
  expect(latest.at(-1)?.attributes.entity_id).toBe("stu_10");
});

test("attributes of one version that come apart are united, and what is held stands", () => {
  const held = apply([finding("stu_1", 1, { risk_score: 84 })]);
  const united = apply([finding("stu_1", 1, { risk_score: 7, model_used: "m1" })], held);
  expect(united.latest[0]?.attributes).toMatchObject({ risk_score: 84, model_used: "m1" });
});

test("a snapshot drops what it does not name and what came before it was asked for", () => {
  const [named, gone, late] = [finding("named", 1), finding("gone", 1), finding("late", 1)];
  const held = applyInsights(
    noFindings,
    [
      { updates: [named, gone], origin: { message: 3, asked: undefined } },
      { updates: [late], origin: { message: 4, asked: undefined } },
    ],
    0,
  );
  const kept = retainFindings(held, census([named.key], 3, 5), always, 0);
  expect(ids(kept).sort()).toEqual(["late", "named"]);
  // A late duplicate does not bring it back; the answer to a later sync does.
  expect(ids(apply([gone], kept))).not.toContain("gone");
  const again = { updates: [gone], origin: { message: 7, asked: 6 } };
  expect(ids(applyInsights(kept, [again], 0))).toContain("gone");
});

test("a snapshot of slices drops nothing that is watched in others", () => {
  const [covered, other] = [finding("covered", 1), finding("other", 1)];
  const slice = digestSlice(covered.key);
  expect(digestSlice(other.key)).not.toBe(slice);
  const held = apply([covered, other]);
  expect(ids(retainFindings(held, census([], 1, 2, slice), always, 0))).toEqual(["other"]);
  expect(ids(retainFindings(held, census([], 1, 2, slice), () => false, 0))).toEqual([]);
});

test("what a snapshot names counts when what made it too old turns out to be gone", () => {
  const seconds = insightWindow / 1000;
  const [gone, there] = [finding("gone", 1, {}, seconds + 1), finding("there", 1)];
  const part = { updates: [there], origin: { message: 2, asked: 1 } };
  const told = applyInsights(apply([gone]), [part], 0);
  expect(ids(told)).toEqual(["gone"]);
  const kept = retainFindings(told, census([there.key], 1, 2), always, 0);
  expect(ids(kept)).toEqual(["there"]);
  expect(kept.spare).toEqual([]);
  // Nor does a later snapshot of other slices bring it to light: it was not in the digest.
  const slice = digestSlice(gone.key);
  expect(digestSlice(there.key)).not.toBe(slice);
  expect(ids(retainFindings(told, census([], 2, 3, slice), always, 0))).toEqual([]);
  // What no snapshot names is forgotten as soon as it does not count.
  expect(apply([there], apply([gone])).spare).toEqual([]);
});

test("what does not count yet is bounded", () => {
  const newest = finding("new", 1, {}, (3 * insightWindow) / 1000);
  const old = Array.from({ length: insightLimit + 10 }, (_, i) => finding(`stu_${i}`, 1, {}, i));
  const part = { updates: old, origin: { message: 2, asked: 1 } };
  const { latest, spare } = applyInsights(apply([newest]), [part], 0);
  expect(latest).toHaveLength(1);
  expect(spare).toHaveLength(insightLimit);
});

test("any order, any repetition: the highest version wins", () => {
  const versions = fc.uniqueArray(
    fc.record({
      id: fc.constantFrom("a", "b"),
      gone: fc.boolean(),
      revision: fc.integer({ min: 1, max: 9 }),
    }),
    {
      selector: ({ id, revision }) => `${id}${revision}`,
      minLength: 1,
    },
  );
  fc.assert(
    fc.property(
      versions.chain((all) =>
        fc.tuple(
          fc.constant(all),
          fc.shuffledSubarray([...all, ...all], { minLength: all.length * 2 }),
        ),
      ),
      ([all, delivered]) => {
        const update = ({ id, gone, revision }: (typeof all)[number]) =>
          gone ? lost(id, revision) : finding(id, revision, { risk_score: revision });
        let findings = noFindings;
        for (const each of delivered) findings = apply([update(each)], findings);
        const shown = Object.fromEntries(
          findings.latest.map(({ attributes, version }) => [
            attributes.entity_id,
            version.revision,
          ]),
        );
        const wanted: Record<string, number> = {};
        for (const id of ["a", "b"]) {
          const newest = all
            .filter((each) => each.id === id)
            .sort((x, y) => y.revision - x.revision)[0];
          if (newest && !newest.gone) wanted[id] = newest.revision;
        }
        expect(shown).toEqual(wanted);
      },
    ),
  );
});
