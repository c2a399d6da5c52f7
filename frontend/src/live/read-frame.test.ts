import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  encode,
  finding,
  frame,
  insightFrame,
  lost,
  remove,
  snapshot,
  synced,
  upsert,
} from "../testing/wire.ts";
import { readFrame, type Rejection } from "./read-frame.ts";

const nothing = {
  updates: [],
  insights: [],
  control: undefined,
  sentAt: undefined,
  rejections: [],
  unread: [],
};
const sentAt = Date.parse("2026-11-22T10:00:00.000Z");

const good = upsert("stu_1", 1, { health_score: 71, segment: "healthy" });

/** A frame with one update that differs from a good one. */
function frameWith(change: object): string {
  const { data, ...rest } = JSON.parse(frame(good)) as { data: object[] };
  return JSON.stringify({ ...rest, data: [{ ...data[0], ...change }] });
}

test("reads what it wrote", () => {
  const updates = [good, remove("stu_2", 9)];
  expect(readFrame(frame(...updates))).toEqual({ ...nothing, sentAt, updates });
});

test("reads what it wrote of insights", () => {
  const insights = [finding("stu_1", 1), lost("stu_2", 9)];
  expect(readFrame(insightFrame(...insights))).toEqual({ ...nothing, sentAt, insights });
});

describe("names what it cannot use of insights", () => {
  const insightWith = (change: object) => {
    const { data, ...rest } = JSON.parse(insightFrame(finding("stu_1", 1))) as { data: object[] };
    return JSON.stringify({ ...rest, data: [{ ...data[0], ...change }] });
  };
  const { attributes } = finding("stu_1", 1);
  const cases: [Rejection, unknown][] = [
    ["unknown_version", '{"type":"INSIGHT_CREATED","version":2,"data":[]}'],
    ["not_a_frame", '{"type":"INSIGHT_CREATED","version":1,"data":{}}'],
    ["malformed_update", insightWith({ insight_id: "stu_1" })],
    ["malformed_update", insightWith({ insight_id: { pk: "insight#stu_1" } })],
    ["malformed_update", insightWith({ version: { epoch: 1 } })],
    ["malformed_update", insightWith({ attributes: { ...attributes, risk_score: "84" } })],
    ["malformed_update", insightWith({ attributes: { ...attributes, timestamp: "noon" } })],
    ["malformed_update", insightWith({ attributes: { ...attributes, recommendations: "rest" } })],
    ["malformed_update", insightWith({ attributes: { ...attributes, recommendations: [1] } })],
    ["malformed_update", insightWith({ attributes: { entity_id: "stu_1" } })],
    ["unknown_update", insightWith({ operation: "MUTE" })],
  ];
  test.each(cases)("%s: %s", (reason, data) => {
    expect(readFrame(data)).toMatchObject({ updates: [], insights: [], rejections: [reason] });
  });
});

describe("names what it cannot use", () => {
  const cases: [Rejection, unknown][] = [
    ["not_text", new ArrayBuffer(4)],
    ["not_text", undefined],
    ["not_json", ""],
    ["not_json", '{"type":"METRIC_UPDATE"'],
    ["not_a_frame", "null"],
    ["not_a_frame", "[]"],
    ["not_a_frame", '"METRIC_UPDATE"'],
    ["not_a_frame", '{"type":7}'],
    ["not_a_frame", '{"type":"METRIC_UPDATE","version":1}'],
    ["unknown_frame", '{"type":"APPLAUSE","version":1}'],
    ["unknown_frame", '{"type":"constructor","version":1}'],
    ["unknown_version", '{"type":"RESYNC","version":2}'],
    ["not_a_frame", encode("SYNCED", { sync_id: 0 })],
    ["not_a_frame", encode("RECONNECT", { within_ms: -1 })],
    ["not_a_frame", encode("ERROR", { code: 7 })],
    ["not_a_frame", encode("SNAPSHOT", { sync_id: 1, part: 1, parts: 1, entities: [] })],
    ["not_a_frame", snapshot(1, { part: 3, parts: 2 })],
    ["unknown_version", '{"type":"METRIC_UPDATE","version":2,"data":[]}'],
    ["unknown_version", '{"type":"METRIC_UPDATE","version":"1","data":[]}'],
    ["unknown_update", frameWith({ entity_type: "parent" })],
    ["unknown_update", frameWith({ operation: "ARCHIVE" })],
    ["malformed_update", frameWith({ entity_id: "" })],
    ["malformed_update", frameWith({ entity_id: 7 })],
    ["malformed_update", frameWith({ version: 7 })],
    ["malformed_update", frameWith({ version: { epoch: 1, revision: 1.5 } })],
    ["malformed_update", frameWith({ version: { epoch: -1, revision: 1 } })],
    ["malformed_update", frameWith({ version: { epoch: 1, revision: 2 ** 53 } })],
    ["malformed_update", frameWith({ written_at: null })],
    ["malformed_update", frameWith({ attributes: null })],
    ["malformed_update", frameWith({ attributes: [] })],
    ["malformed_update", frameWith({ attributes: { health_score: "71" } })],
    ["malformed_update", frameWith({ attributes: { health_score: null } })],
    ["malformed_update", frameWith({ attributes: { segment: 3 } })],
    ["malformed_update", frameWith({ operation: "REMOVE" })],
  ];
  test.each(cases)("%s: %s", (reason, data) => {
    expect(readFrame(data)).toMatchObject({ updates: [], insights: [], rejections: [reason] });
  });
});

describe("reads what is said of the connection", () => {
  test.each([
    [synced(7), { type: "SYNCED", syncId: 7 }],
    [encode("RESYNC"), { type: "RESYNC" }],
    [encode("RESYNC", { reason: "OF_THE_FUTURE" }), { type: "RESYNC" }],
    [
      encode("RECONNECT", { within_ms: 500 }),
      { type: "RECONNECT", withinMs: 500, isRevoked: false },
    ],
    [
      encode("RECONNECT", { within_ms: 500, reason: "REVOKED" }),
      { type: "RECONNECT", withinMs: 500, isRevoked: true },
    ],
    [encode("ERROR", { code: "SUPERSEDED" }), { type: "ERROR", code: "SUPERSEDED" }],
    [
      encode("ERROR", { code: "OF_THE_FUTURE", sync_id: 3, retry_after_ms: 3_600_000 }),
      { type: "ERROR", code: "OF_THE_FUTURE", syncId: 3, retryAfterMs: 3_600_000 },
    ],
  ])("%s", (text, control) => {
    expect(readFrame(text)).toEqual({ ...nothing, sentAt, control });
  });

  test("a snapshot with its updates", () => {
    const insights = [finding("stu_1", 1)];
    const updates = [good, remove("stu_2", 9)];
    expect(readFrame(snapshot(4, { part: 2, parts: 3, entities: updates, insights }))).toEqual({
      ...nothing,
      sentAt,
      updates,
      insights,
      control: { type: "SNAPSHOT", syncId: 4, part: 2, parts: 3, isWhole: true },
    });
    expect(readFrame(snapshot(4, { covers: [1, 63], sum: "0".repeat(32) }))).toMatchObject({
      control: { part: 1, parts: 1, covers: [1, 63], digest: "0".repeat(32) },
    });
  });

  test.each([[null], [{}], [[1, "2"]], [[-1]], [[1.5]]])("no snapshot that covers %j", (covers) => {
    const text = JSON.stringify({ ...(JSON.parse(snapshot(4)) as object), covers });
    expect(readFrame(text)).toEqual({ ...nothing, rejections: ["not_a_frame"] });
  });

  test("a snapshot with something unreadable that it does not name is not whole, one of a later type is", () => {
    const spoil = (change: object) => {
      const text = snapshot(4, { entities: [good, upsert("stu_2", 1)] });
      const { entities, ...rest } = JSON.parse(text) as { entities: object[] };
      const [first, second] = entities;
      return readFrame(JSON.stringify({ ...rest, entities: [{ ...first, ...change }, second] }));
    };
    for (const unnamed of [{ entity_id: null }, { entity_id: "" }, { entity_type: 7 }]) {
      expect(spoil(unnamed)).toMatchObject({
        control: { isWhole: false },
        updates: [{ id: "stu_2" }],
        rejections: ["malformed_update"],
        unread: [undefined],
      });
    }
    expect(spoil({ entity_type: "parent" })).toMatchObject({
      control: { isWhole: true },
      rejections: ["unknown_update"],
    });
    expect(spoil({ entity_type: "parent" })).toHaveProperty("unread", []);
    for (const named of [{ version: null }, { operation: "APPLAUD" }, { attributes: 7 }]) {
      expect(spoil(named)).toMatchObject({
        control: { isWhole: true },
        updates: [{ id: "stu_2" }],
        unread: [`student/${good.id}`],
      });
    }
  });
});

test("a time that cannot be read is none", () => {
  expect(readFrame(encode("RESYNC", {}, "noon"))).toMatchObject({ sentAt: undefined });
});

test("a bad update does not take the good ones beside it along", () => {
  const message = JSON.parse(frame(good, remove("stu_2", 9))) as { data: unknown[] };
  message.data.splice(1, 0, null, { entity_type: "student" });
  const { updates, rejections } = readFrame(JSON.stringify(message));
  expect(updates).toEqual([good, remove("stu_2", 9)]);
  expect(rejections).toEqual(["malformed_update", "malformed_update"]);
});

test("fields and attributes of a later contract are left out", () => {
  const message = JSON.parse(
    frameWith({ colour: "red", attributes: { health_score: 71, mood: { of: "the day" } } }),
  ) as object;
  const { updates, rejections } = readFrame(JSON.stringify({ ...message, cursor: 7 }));
  expect(rejections).toEqual([]);
  expect(updates).toEqual([upsert("stu_1", 1, { health_score: 71 })]);
});

test("a value of a later contract is kept", () => {
  const { updates } = readFrame(frame(upsert("stu_1", 1, { segment: "dormant" })));
  expect(updates).toEqual([upsert("stu_1", 1, { segment: "dormant" })]);
});

test("never throws, whatever arrives", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json(), fc.anything()), (data) => {
      expect(() => readFrame(data)).not.toThrow();
    }),
  );
  fc.assert(
    fc.property(fc.array(fc.jsonValue()), (data) => {
      const { updates, rejections } = readFrame(
        JSON.stringify({ type: "METRIC_UPDATE", version: 1, data }),
      );
      expect(updates.length + rejections.length).toBe(data.length);
    }),
  );
});
