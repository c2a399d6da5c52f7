import { beforeEach, expect, test, vi } from "vitest";
import { finding, frame, insightFrame, upsert } from "../testing/wire.ts";
import { Feed } from "./feed.ts";
import type { Rejection } from "./read-frame.ts";
import { noFindings, type Findings } from "./findings.ts";
import { emptyReplica, type Replica } from "./replica.ts";

let replica: Replica;
let findings: Findings;
let scheduled: (() => void)[];
const write = vi.fn((change: (before: Replica) => Replica) => {
  replica = change(replica);
});
const writeFindings = vi.fn((change: (before: Findings) => Findings) => {
  findings = change(findings);
});
const warn = vi.fn<(reason: Rejection) => void>();

function runScheduled() {
  for (const run of scheduled.splice(0)) run();
}

function feed() {
  return new Feed({
    write,
    writeFindings,
    warn,
    schedule: (run) => scheduled.push(run),
    now: () => 1000,
  });
}

beforeEach(() => {
  replica = emptyReplica;
  findings = noFindings;
  scheduled = [];
  write.mockClear();
  writeFindings.mockClear();
  warn.mockClear();
});

test("frames that arrive together are one write", () => {
  const messages = feed();
  for (let revision = 1; revision <= 5; revision++) {
    messages.push(frame(upsert("stu_1", revision, { health_score: revision })));
  }
  expect(write).not.toHaveBeenCalled();
  expect(scheduled).toHaveLength(1);
  runScheduled();
  expect(write).toHaveBeenCalledTimes(1);
  expect(replica.entities.get("student/stu_1")?.attributes).toEqual({ health_score: 5 });
  messages.push(frame(upsert("stu_1", 6)));
  expect(scheduled).toHaveLength(1);
});

test("insights that arrive together are one write, and none of the replica", () => {
  const messages = feed();
  messages.push(insightFrame(finding("stu_1", 1), finding("stu_2", 1)));
  messages.push(insightFrame(finding("stu_1", 2)));
  runScheduled();
  expect(writeFindings).toHaveBeenCalledTimes(1);
  expect(write).not.toHaveBeenCalled();
  expect(findings.latest.map(({ version }) => version.revision)).toEqual([2, 1]);
});

test("a malformed frame does not stop the next, is counted each time and told once", () => {
  const messages = feed();
  messages.push("{");
  messages.push("{");
  messages.push(frame(upsert("stu_1", 1)));
  runScheduled();
  expect(replica.entities.size).toBe(1);
  expect(replica.counters.rejected).toEqual({ not_json: 2 });
  expect(warn.mock.calls).toEqual([["not_json"]]);
});

test("a frame of a newer server is counted and not warned of", () => {
  const messages = feed();
  messages.push('{"type":"SNAPSHOT","version":1}');
  runScheduled();
  expect(replica.counters.rejected).toEqual({ unknown_frame: 1 });
  expect(warn).not.toHaveBeenCalled();
});

test("where nobody calls back, what waits stays bounded", () => {
  const messages = feed();
  const full = frame(...Array.from({ length: 100 }, (_, i) => upsert(`stu_${i}`, 1)));
  for (let i = 0; i < 21; i++) messages.push(full);
  expect(write).toHaveBeenCalledTimes(1);
  runScheduled();
  expect(replica.counters.applied + replica.counters.superseded).toBe(2100);
});

test("flushing twice writes once", () => {
  const messages = feed();
  messages.push(frame(upsert("stu_1", 1)));
  messages.flush();
  messages.flush();
  runScheduled();
  expect(write).toHaveBeenCalledTimes(1);
});
