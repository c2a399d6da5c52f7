import { beforeEach, describe, expect, test } from "vitest";
import { encode } from "../testing/wire.ts";
import { confirm, freshnessOf, noKnowledge, notice, type Knowledge } from "./freshness.ts";
import { readFrame } from "./read-frame.ts";
import { idle, step, type Session, type SessionEvent } from "./session.ts";

/** By the server's clock, when ours says 0. */
const noon = Date.parse("2026-11-22T12:00:00.000Z");

let session: Session;
let knowledge: Knowledge;
let now: number;

beforeEach(() => {
  session = idle;
  knowledge = noKnowledge;
  now = 0;
});

function take(event: SessionEvent): void {
  const { session: next, effects } = step(session, event, { at: now, random: 0.5 });
  session = next;
  for (const effect of effects) {
    if (effect.do === "confirm") knowledge = confirm(knowledge, effect.asOf);
  }
}

/** A frame comes that was made `delay` milliseconds ago. */
function hear(type: string, content: object, delay = 0): void {
  const sentAt = new Date(noon + now - delay).toISOString();
  const read = readFrame(encode(type, content, sentAt));
  take({ type: "heard", link: 1, content: read });
  knowledge = notice(knowledge, read, session, now);
}

function update(writtenAt: number, delay = 0): void {
  const written_at = new Date(writtenAt).toISOString();
  const base = { entity_type: "student", entity_id: "stu_1", operation: "UPSERT", written_at };
  const version = { epoch: 1, revision: now + 1 };
  hear("METRIC_UPDATE", { data: [{ ...base, version, attributes: {} }] }, delay);
}

function freshness() {
  return freshnessOf(session, knowledge, now);
}

function connect(): void {
  take({ type: "started" });
  take({ type: "opened", link: 1 });
}

function synced(syncId: number): void {
  hear("SYNCED", { sync_id: syncId });
}

describe("before it is live", () => {
  test("it is catching up from the first attempt on, until that fails", () => {
    take({ type: "started" });
    expect(freshness()).toEqual({ kind: "catching_up" });
    take({ type: "closed", link: 1 });
    expect(freshness()).toEqual({ kind: "offline", since: undefined });
    now = 1_000;
    take({ type: "woken" });
    expect(freshness()).toEqual({ kind: "offline", since: undefined });
    take({ type: "opened", link: 2 });
    expect(freshness()).toEqual({ kind: "catching_up" });
  });

  test("updates do not make it fresh: others may be missing", () => {
    connect();
    update(noon);
    expect(freshness()).toEqual({ kind: "catching_up" });
  });
});

describe("live", () => {
  beforeEach(() => {
    connect();
    now = 100;
    synced(1);
  });

  test("it is as old as the last confirmation,", () => {
    expect(freshness()).toEqual({ kind: "live", age: 0 });
    now = 4_000;
    expect(freshness()).toEqual({ kind: "live", age: 3_900 });
  });

  test("or as the newest write that has come", () => {
    now = 4_000;
    update(noon + 3_400);
    expect(freshness()).toEqual({ kind: "live", age: 600 });
    update(noon + 1_000);
    expect(freshness()).toEqual({ kind: "live", age: 600 });
  });

  test("a writer whose clock is ahead does not make it fresher than now", () => {
    now = 4_000;
    update(noon + 3_600_000);
    expect(freshness()).toEqual({ kind: "live", age: 3_900 });
  });

  test("a frame that was long under way does not set the clock back", () => {
    now = 4_000;
    update(noon + 100, 3_000);
    expect(freshness()).toEqual({ kind: "live", age: 3_900 });
  });

  test("30 s without a word it is stale, even if no timer has run", () => {
    now = 100 + 29_999;
    expect(freshness()).toMatchObject({ kind: "live" });
    now = 100 + 30_000;
    expect(freshness()).toEqual({ kind: "stale", since: noon + 100 });
  });
});

test("stale since the last moment of which anything is known, though updates go on", () => {
  connect();
  synced(1);
  now = 5_000;
  take({ type: "woken" });
  now = 10_000;
  take({ type: "woken" });
  expect(freshness()).toEqual({ kind: "stale", since: noon });
  now = 11_000;
  update(noon + 11_000);
  expect(freshness()).toEqual({ kind: "stale", since: noon });
  synced(3);
  expect(freshness()).toEqual({ kind: "live", age: 0 });
});

test("offline it remembers of when it is", () => {
  connect();
  synced(1);
  take({ type: "closed", link: 1 });
  expect(freshness()).toEqual({ kind: "offline", since: noon });
});

test("a server that tells no time was heard at least", () => {
  connect();
  take({
    type: "heard",
    link: 1,
    content: readFrame('{"type":"SYNCED","version":1,"sync_id":1}'),
  });
  now = 3_000;
  expect(freshness()).toEqual({ kind: "live", age: 3_000 });
});
