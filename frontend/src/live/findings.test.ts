import fc from "fast-check";
import { expect, test } from "vitest";
import { finding, lost } from "../testing/wire.ts";
import { applyInsights, findingLifetime, findingLimit, noFindings } from "./findings.ts";
import { tombstoneLifetime } from "./tombstones.ts";

test("a removed insight does not come back with a late update", () => {
  let findings = applyInsights(noFindings, [finding("stu_1", 1), lost("stu_1", 2)], 0);
  expect(findings.latest).toEqual([]);
  findings = applyInsights(findings, [finding("stu_1", 1)], 0);
  expect(findings.latest).toEqual([]);
  findings = applyInsights(findings, [finding("stu_1", 3)], 0);
  expect(findings.latest).toHaveLength(1);
  expect(findings.tombstones.size).toBe(0);
});

test("tombstones are forgotten after a day", () => {
  const buried = applyInsights(noFindings, [lost("stu_1", 2)], 0);
  const later = applyInsights(buried, [lost("stu_2", 2)], tombstoneLifetime + 1);
  expect([...later.tombstones.keys()]).toHaveLength(1);
});

test("what changes nothing is the same value", () => {
  const findings = applyInsights(noFindings, [finding("stu_1", 2)], 0);
  expect(applyInsights(findings, [finding("stu_1", 2), finding("stu_1", 1)], 0)).toBe(findings);
});

test("insights of one entity stand side by side, the latest found first", () => {
  const updates = [finding("a", 1, {}, 1), finding("a", 1, {}, 3), finding("b", 1, {}, 2)];
  const { latest } = applyInsights(noFindings, updates, 0);
  expect(latest.map(({ attributes }) => attributes.timestamp.slice(17, 19))).toEqual([
    "03",
    "02",
    "01",
  ]);
});

test("a day is kept, counted from the newest", () => {
  const seconds = findingLifetime / 1000;
  const updates = [
    finding("old", 1, {}, 0),
    finding("kept", 1, {}, 1),
    finding("new", 1, {}, seconds + 1),
  ];
  const { latest } = applyInsights(noFindings, updates, 0);
  expect(latest.map(({ attributes }) => attributes.entity_id)).toEqual(["new", "kept"]);
});

test("memory is bounded", () => {
  const updates = Array.from({ length: findingLimit + 10 }, (_, i) =>
    finding(`stu_${i}`, 1, {}, i),
  );
  const { latest } = applyInsights(noFindings, updates, 0);
  expect(latest).toHaveLength(findingLimit);
  expect(latest.at(-1)?.attributes.entity_id).toBe("stu_10");
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
        for (const each of delivered) findings = applyInsights(findings, [update(each)], 0);
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
