import type { ViewV1 } from "@contracts/zz_types.ts";
import { beforeEach, describe, expect, test } from "vitest";
import { FakeApi, settle } from "../testing/fake-api.ts";
import { finding, pageOf, upsert } from "../testing/wire.ts";
import { failureOf, type Failure, type Polled } from "./live-api.ts";
import { HttpPoller, pathsFor } from "./poller.ts";

let server: FakeApi;
let poller: HttpPoller;
let heard: (number | undefined)[];
let stopping: AbortController;
const now = Date.parse("2026-11-22T12:00:00.000Z");

beforeEach(() => {
  server = new FakeApi();
  stopping = new AbortController();
  heard = [];
  poller = new HttpPoller(
    { url: "https://api.test", fetch: server.fetch },
    { onPage: ({ sentAt }) => heard.push(sentAt), time: () => now },
  );
});

const students: ViewV1 = { entity_type: "student" };
const everything: ViewV1 = { entity_type: "*" };
type Answer = [status: number, body?: unknown, headers?: Record<string, string>];

/** What comes of a poll whose requests are answered so, one after the other. */
async function poll(views: ViewV1[], ...answers: Answer[]): Promise<Polled> {
  const outcome = poller.poll(views, stopping.signal);
  outcome.catch(() => undefined);
  for (const [status, body, headers] of answers) {
    await settle();
    server.latest.answer(status, body, headers);
  }
  await settle();
  expect(server.waiting).toHaveLength(0);
  return outcome;
}

function failing(views: ViewV1[], ...answers: Answer[]): Promise<Failure | Polled> {
  return poll(views, ...answers).catch(failureOf);
}

const ids = ({ content }: Polled) => content.updates.map(({ id }) => id);
const paths = () => server.requests.map(({ path, query }) => `${path}?${query}`);

describe("a poll fails as a whole", () => {
  const first: Answer = [200, pageOf([upsert("stu_1", 1)], "more")];

  test.each<[string, Answer, Failure["kind"]]>([
    ["an outage", [503, { retry_after_ms: 2_000 }], "unavailable"],
    ["nobody being known", [401], "signed_out"],
    ["a type that may not be seen", [403], "forbidden"],
    ["something that is no page", [200, {}], "unavailable"],
    ["null", [200, null], "unavailable"],
    ["a page of a later version", [200, { ...pageOf([]), version: 2 }], "unavailable"],
    ["a page that tells no time", [200, { ...pageOf([]), timestamp: "x" }], "unavailable"],
    ["a cursor that is none", [200, { ...pageOf([]), next: 7 }], "unavailable"],
    ["no JSON", [200], "unavailable"],
  ])("on any page, by %s", async (_, answer, kind) => {
    expect(await failing([students], first, answer)).toMatchObject({ kind });
  });

  test("where pages have no end", async () => {
    const endless = Array.from({ length: 100 }, (_, i): Answer => [200, pageOf([], `c${i}`)]);
    expect(await failing([students], ...endless)).toMatchObject({ kind: "unavailable" });
    expect(server.requests).toHaveLength(100);
  });

  test("when it is given up: nothing more is asked", async () => {
    const outcome = poller.poll([students], stopping.signal).catch(() => "given up");
    await settle();
    stopping.abort();
    expect(await outcome).toBe("given up");
    expect(server.latest.state).toBe("aborted");
  });
});

test("all pages of all that is watched make one answer, as of the first", async () => {
  const polled = await poll(
    [everything],
    [200, pageOf([upsert("stu_1", 1)], "a/b=", "2026-11-22T10:00:01.000Z")],
    [200, pageOf([], "c", "2026-11-22T10:00:02.000Z")],
    [200, pageOf([upsert("tut_1", 1, {}, "tutor")], undefined, "2026-11-22T10:00:03.000Z")],
    [200, pageOf([finding("stu_1", 1)], undefined, "2026-11-22T10:00:04.000Z")],
  );
  expect(paths()).toEqual([
    "/metrics?",
    "/metrics?cursor=a%2Fb%3D",
    "/metrics?cursor=c",
    "/insights?",
  ]);
  expect(ids(polled)).toEqual(["stu_1", "tut_1"]);
  expect(polled.content.insights).toHaveLength(1);
  expect(polled.content.sentAt).toBe(Date.parse("2026-11-22T10:00:01.000Z"));
  expect(polled.isWhole).toBe(true);
  expect(heard).toHaveLength(4);
});

test("who may not see insights sees all the rest", async () => {
  const polled = await poll([everything], [200, pageOf([upsert("stu_1", 1)])], [403]);
  expect(ids(polled)).toEqual(["stu_1"]);
  expect(await failing([{ entity_type: "insight" }], [403])).toMatchObject({ kind: "forbidden" });
});

test("who may see nothing but insights sees those", async () => {
  const polled = await poll([everything], [403], [200, pageOf([finding("stu_1", 1)])]);
  expect(polled.content.insights).toHaveLength(1);
  expect(polled.content.updates).toEqual([]);
});

test("who may see nothing of what is watched may see nothing of what was", async () => {
  const [forbidden, page]: [Answer, Answer] = [[403], [200, pageOf([upsert("stu_1", 1)])]];
  const two = [students, { entity_type: "tutor" }];
  const nothing = { kind: "forbidden", mustForget: true };
  expect(await failing([students], forbidden)).toMatchObject(nothing);
  expect(await failing([everything], forbidden, forbidden)).toMatchObject(nothing);
  expect(await failing(two, forbidden, forbidden)).toMatchObject(nothing);
  for (const answers of [
    [page, forbidden],
    [forbidden, page],
  ]) {
    const failure = await failing(two, ...answers);
    expect(failure).toMatchObject({ kind: "forbidden" });
    expect(failure).not.toHaveProperty("mustForget");
  }
});

test("a row that cannot be read is left out, and then what is not named may be there", async () => {
  const page = pageOf([upsert("stu_1", 1), upsert("stu_2", 1)]) as { data: unknown[] };
  page.data.push({ entity_type: "student" });
  const polled = await poll([students], [200, page]);
  expect(ids(polled)).toEqual(["stu_1", "stu_2"]);
  expect(polled.isWhole).toBe(false);
});

describe("a page that has not changed", () => {
  const page: Answer = [200, pageOf([upsert("stu_1", 1)]), { ETag: 'W/"1"' }];

  test("is not sent again, and counts as if it were, as of when it was asked for", async () => {
    await poll([students], page);
    expect(server.latest.headers.has("If-None-Match")).toBe(false);
    const polled = await poll([students], [304]);
    expect(server.latest.headers.get("If-None-Match")).toBe('W/"1"');
    expect(ids(polled)).toEqual(["stu_1"]);
    expect(polled.content.sentAt).toBe(now);
    expect(ids(await poll([students], [304]))).toEqual(["stu_1"]);
  });

  test("is followed by the others", async () => {
    const first: Answer = [200, pageOf([upsert("stu_1", 1)], "more"), { ETag: '"1"' }];
    await poll([students], first, [200, pageOf([upsert("stu_2", 1)]), { ETag: '"2"' }]);
    const changed = pageOf([upsert("stu_2", 2)]);
    expect(ids(await poll([students], [304], [200, changed]))).toEqual(["stu_1", "stu_2"]);
  });

  test("is sent again where what was sent is forgotten", async () => {
    await poll([students], page);
    poller.forget();
    await poll([students], page);
    expect(server.latest.headers.has("If-None-Match")).toBe(false);
    expect(await failing([students], [304])).not.toHaveProperty("kind");
    poller.forget();
    const outcome = poller.poll([students], stopping.signal).catch(() => "given up");
    await settle();
    server.latest.answer(...page);
    stopping.abort();
    expect(await outcome).toBe("given up");
    stopping = new AbortController();
    await poll([students], page);
    expect(server.latest.headers.has("If-None-Match")).toBe(false);
  });

  test("is not sent again where the poll came to nothing: each comes further than the one before", async () => {
    const pages = Array.from({ length: 3 }, (_, i): Answer => {
      const next = i < 2 ? String(i + 1) : undefined;
      return [200, pageOf([upsert(`stu_${i}`, 1)], next), { ETag: `"${i}"` }];
    }) as [Answer, Answer, Answer];
    await failing([students], pages[0], [503]);
    await failing([students], [304], pages[1], [503]);
    expect(ids(await poll([students], [304], [304], pages[2]))).toEqual([
      "stu_0",
      "stu_1",
      "stu_2",
    ]);
    expect(server.requests.slice(5).map(({ headers }) => headers.get("If-None-Match"))).toEqual([
      '"0"',
      '"1"',
      null,
    ]);
  });

  test("is kept beside a hundred others, and no more", async () => {
    const answers = Array.from({ length: 100 }, (_, i): Answer => [
      200,
      pageOf([], i < 99 ? `c${i}` : undefined),
      { ETag: `"${i}"` },
    ]);
    await poll([students], ...answers);
    await failing([{ entity_type: "tutor" }], [200, pageOf([], "more"), { ETag: '"t"' }], [503]);
    await failing([students], [503]);
    expect(server.latest.headers.has("If-None-Match")).toBe(false);
    await failing([{ entity_type: "tutor" }], [503]);
    expect(server.latest.headers.get("If-None-Match")).toBe('"t"');
  });
});

describe("what is asked for", () => {
  const weak = { attribute: "health_score", operator: "lt", value: 70 };
  const risky = { attribute: "risk_score", operator: "ge", value: 80 };

  test.each<[ViewV1[], string[]]>([
    [[students], ["/metrics?entity_type=student"]],
    [
      [{ entity_type: "student", where: [weak], fields: ["health_score", "segment"] }],
      [
        `/metrics?${new URLSearchParams({
          entity_type: "student",
          where: JSON.stringify([weak]),
          fields: "health_score,segment",
        })}`,
      ],
    ],
    [
      [students, { entity_type: "tutor" }],
      ["/metrics?entity_type=student", "/metrics?entity_type=tutor"],
    ],
    // One that moves from one view to the other between two answers would be in neither.
    [
      [
        { ...students, where: [weak] },
        { ...students, fields: ["segment"] },
      ],
      ["/metrics?entity_type=student"],
    ],
    [
      [everything, students],
      ["/metrics", "/insights"],
    ],
    [[{ entity_type: "*", fields: ["segment"] }], ["/metrics?fields=segment", "/insights"]],
    [[{ entity_type: "insight" }], ["/insights"]],
    [[{ entity_type: "insight", where: [risky, weak] }], ["/insights?min_risk=80"]],
    [[{ entity_type: "insight", where: [risky] }, { entity_type: "insight" }], ["/insights"]],
  ])("%j", (views, expected) => {
    expect(pathsFor(views)).toEqual(expected);
  });
});
