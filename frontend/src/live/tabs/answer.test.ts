import { digest, insightDigestKey } from "@contracts/digest.ts";
import type { SyncCommandV1, ViewV1 } from "@contracts/zz_types.ts";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { batch, finding, upsert, version } from "../../testing/wire.ts";
import { applyInsights, noFindings } from "../findings.ts";
import type { InsightUpdate } from "../read-frame.ts";
import { readFrame, type Upsert } from "../read-frame.ts";
import { applyUpdates, emptyReplica } from "../replica.ts";
import { Store } from "../store.ts";
import { everything } from "../watched-views.ts";
import { answer, Sheets } from "./answer.ts";

const timestamp = "2026-11-22T10:00:05.000Z";

function holding(updates: readonly Upsert[], insights: readonly InsightUpdate[] = []): Store {
  const store = new Store({ schedule: () => {}, onChange: () => {}, now: () => 0 });
  const content = {
    updates,
    insights,
    control: undefined,
    sentAt: undefined,
    rejections: [],
    unread: [],
  };
  store.merge(content, { message: 1, asked: undefined });
  return store;
}

function sync(views: readonly ViewV1[] = [everything], sum?: string): SyncCommandV1 {
  const command = { action: "sync" as const, sync_id: 7, views: [...views] };
  return sum === undefined ? command : { ...command, digest: sum };
}

describe("a sync is answered as the server would", () => {
  test("SYNCED, if its digest is that of what is held, and has not been merged yet", () => {
    const held = holding([upsert("a", 3)], [finding("b", 2)]);
    const sum = held.digest([everything]);
    const [text, ...more] = answer(sync([everything], sum), held, timestamp);
    expect(more).toEqual([]);
    expect(readFrame(text)).toMatchObject({
      control: { type: "SYNCED", syncId: 7 },
      sentAt: Date.parse(timestamp),
    });
  });

  test.each([undefined, digest([])])("a snapshot, if it is not: %s", (sum) => {
    const held = holding([upsert("a", 3, { health_score: 9 })], [finding("b", 2)]);
    const frames = answer(sync([everything], sum), held, timestamp).map(readFrame);
    expect(frames).toHaveLength(1);
    expect(frames[0]?.control).toMatchObject({ type: "SNAPSHOT", syncId: 7, part: 1, parts: 1 });
    expect(frames[0]?.updates).toEqual([upsert("a", 3, { health_score: 9 })]);
    expect(frames[0]?.insights).toMatchObject([{ key: finding("b", 2).key, version: version(2) }]);
  });

  test("by the same work where others asked the same before, until something changes", () => {
    const held = holding([upsert("a", 3)], [finding("b", 2)]);
    const sheets = new Sheets();
    let read = 0;
    const digestOf = held.digest.bind(held);
    held.digest = (views) => {
      read += views.length;
      return digestOf(views);
    };
    const first = answer(sync(), held, timestamp, sheets);
    expect(answer({ ...sync(), sync_id: 8 }, held, timestamp, sheets).map(readFrame)).toEqual(
      first.map((text) => readFrame(text.replace('"sync_id":7', '"sync_id":8'))),
    );
    expect(read).toBe(1);
    const [students] = answer(sync([{ entity_type: "student" }]), held, timestamp, sheets);
    expect(readFrame(students).insights).toEqual([]);
    expect(read).toBe(2);
    held.merge(readFrame(first[0]), { message: 2, asked: undefined });
    const change = {
      updates: [upsert("a", 4)],
      insights: [],
      control: undefined,
      rejections: [],
      unread: [],
    };
    held.merge({ ...change, sentAt: undefined }, { message: 3, asked: undefined });
    const [after] = answer(sync(), held, timestamp, sheets);
    expect(readFrame(after).updates).toEqual([upsert("a", 4)]);
  });

  test("with an empty snapshot, where nothing is held", () => {
    const [text = "", ...more] = answer(sync(), holding([]), timestamp);
    expect(more).toEqual([]);
    expect(readFrame(text).control).toMatchObject({ part: 1, parts: 1, isWhole: true });
    expect(JSON.parse(text)).toMatchObject({ digest: digest([]) });
  });

  test("with what its views match, and nothing else", () => {
    const held = holding(
      [upsert("a", 1, { health_score: 10 }), upsert("b", 1, { health_score: 90 })],
      [finding("c", 1)],
    );
    const weak: ViewV1 = {
      entity_type: "student",
      where: [{ attribute: "health_score", operator: "lt", value: 50 }],
    };
    const [content] = answer(sync([weak]), held, timestamp).map(readFrame);
    expect(content?.updates.map(({ id }) => id)).toEqual(["a"]);
    expect(content?.insights).toEqual([]);
  });
});

test("whatever is held arrives whole, in parts, with the digest in the last", () => {
  const text = fc.string({ unit: fc.constantFrom("a", "/", "\\", "\t", "\n", "t", "n", "é") });
  const keys = fc.uniqueArray(fc.tuple(text, text), {
    maxLength: 230,
    size: "max",
    selector: ([pk, sk]) => insightDigestKey(pk, sk),
  });
  fc.assert(
    fc.property(fc.nat(230), keys, (students, ids) => {
      const updates = Array.from({ length: students }, (_, i) => upsert(String(i), i + 1));
      const insights = ids.map(([pk, sk]) => ({
        ...finding("x", 1),
        key: insightDigestKey(`p${pk}`, `s${sk}`),
      }));
      const held = holding(updates, insights);
      const texts = answer(sync(), held, timestamp);
      const frames = texts.map(readFrame);
      expect(frames.flatMap(({ rejections }) => rejections)).toEqual([]);
      const arrived = (from: typeof frames) => ({
        replica: applyUpdates(
          emptyReplica,
          batch(...from.flatMap((frame) => frame.updates)),
          [],
          0,
        ),
        findings: applyInsights(noFindings, batch(...from.flatMap((frame) => frame.insights)), 0),
      });
      const { replica, findings } = arrived(frames);
      expect([...replica.entities.keys()]).toEqual([...held.replica.entities.keys()]);
      expect(new Set(findings.latest.map(({ key }) => key))).toEqual(
        new Set(held.findings.latest.map(({ key }) => key)),
      );
      expect(frames.flatMap((frame) => [...frame.updates, ...frame.insights])).toHaveLength(
        held.replica.entities.size + held.findings.latest.length,
      );
      for (const [i, { control }] of frames.entries()) {
        expect(control).toMatchObject({ part: i + 1, parts: frames.length, isWhole: true });
        const { digest: sum } = JSON.parse(texts[i] ?? "") as { digest?: string };
        expect(sum !== undefined).toBe(i + 1 === frames.length);
      }
    }),
    { numRuns: 40, endOnFailure: true },
  );
});
