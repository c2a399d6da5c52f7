import { beforeEach, describe, expect, test } from "vitest";
import { encode } from "../testing/wire.ts";
import {
  confirm,
  freshnessOf,
  noKnowledge,
  notice,
  type Knowledge,
  type Part,
} from "./freshness.ts";
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
    if (effect.do === "confirm") knowledge = confirm(knowledge, effect, now);
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

  test("each part by itself, for a panel that shows only that", () => {
    now = 4_000;
    update(noon + 3_400);
    const ofPart = (part: Part) => freshnessOf(session, knowledge, now, part);
    expect(ofPart("entities")).toEqual({ kind: "live", age: 600 });
    expect(ofPart("insights")).toEqual({ kind: "live", age: 3_900 });
    take({ type: "nudged", mayConnect: true });
    synced(2);
    expect(ofPart("insights")).toEqual({ kind: "live", age: 0 });
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

describe("where the server lets nobody in", () => {
  const failure = { kind: "signed_out" as const, retryAfterMs: 0 };

  test("it says why, of when what is shown is, and does not flicker while it tries again", () => {
    connect();
    synced(1);
    take({ type: "closed", link: 1 });
    now = 1_000;
    take({ type: "woken" });
    take({ type: "closed", link: 2, failure });
    expect(freshness()).toEqual({ kind: "signed_out", since: noon });
    take({ type: "nudged", mayConnect: true });
    expect(freshness()).toEqual({ kind: "signed_out", since: noon });
    take({ type: "opened", link: 3 });
    expect(freshness()).toEqual({ kind: "catching_up" });
  });

  test("a socket that serves is live all the same", () => {
    connect();
    synced(1);
    hear("RECONNECT", { within_ms: 0 });
    take({ type: "closed", link: 2, failure });
    expect(freshness()).toMatchObject({ kind: "live" });
  });

  test("stopped, it is offline", () => {
    take({ type: "started" });
    take({ type: "closed", link: 1, failure });
    take({ type: "stopped" });
    take({ type: "started" });
    expect(freshness()).toEqual({ kind: "catching_up" });
  });
});

describe("polling", () => {
  const content = { updates: [], insights: [], control: undefined, rejections: [], unread: [] };

  function poll(delay = 0): void {
    const sentAt = noon + now - delay;
    const poll = session.lastPoll;
    knowledge = notice(knowledge, { ...content, sentAt }, session, now);
    take({ type: "polled", poll, content: { ...content, sentAt }, isWhole: true });
  }

  beforeEach(() => {
    session = { ...idle, mayPoll: true };
    take({ type: "started" });
    for (let link = 1; link <= 3; link++) {
      take({ type: "closed", link });
      now += 9_000;
      take({ type: "woken" });
    }
  });

  test("it is offline until the first answer has come", () => {
    expect(freshness().kind).toBe("offline");
    poll();
    expect(freshness()).toEqual({ kind: "polling", age: 0 });
  });

  test("it is as old as the moment that the answer was made", () => {
    poll();
    now += 5_000;
    take({ type: "woken" });
    poll(2_000);
    expect(freshness()).toEqual({ kind: "polling", age: 2_000 });
    now += 2_000;
    expect(freshness()).toEqual({ kind: "polling", age: 4_000 });
  });

  test("30 s without an answer it is stale, whether or not a timer has run", () => {
    poll();
    const since = noon + now;
    now += 30_000;
    expect(freshness()).toEqual({ kind: "stale", since });
    take({ type: "woken" });
    expect(freshness()).toEqual({ kind: "stale", since });
  });
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
