import type { SyncCommandV1 } from "@contracts/zz_types.ts";
import fc from "fast-check";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { FakeApi, settle, ticket } from "../testing/fake-api.ts";
import { FakePage } from "../testing/fake-page.ts";
import { FakeNetwork, type FakeSocket } from "../testing/fake-socket.ts";
import { VirtualClock } from "../testing/virtual-clock.ts";
import { encode, finding, pageOf, snapshot, synced, upsert } from "../testing/wire.ts";
import { httpApi } from "./http-api.ts";
import { LiveClient, type LiveClientOptions } from "./live-client.ts";
import { explain } from "./problem.ts";

let clock: VirtualClock;
let network: FakeNetwork;
let server: FakeApi;
let page: FakePage;
const warn = vi.fn<(problem: string) => void>();
const token = vi.fn<(rejected?: string) => Promise<string>>();

beforeEach(() => {
  clock = new VirtualClock();
  network = new FakeNetwork();
  server = new FakeApi();
  page = new FakePage();
  warn.mockReset();
  token.mockReset();
  token.mockResolvedValue("token");
});

function create(overrides: Partial<LiveClientOptions> = {}): LiveClient {
  return new LiveClient({
    url: "ws://server.test/prod",
    api: httpApi({ url: "https://api.test", token, fetch: server.fetch }),
    clock,
    random: () => 0.5,
    WebSocket: network.WebSocket,
    page,
    schedule: queueMicrotask,
    now: () => 0,
    warn: (problem) => {
      warn(explain(problem));
    },
    ...overrides,
  });
}

/** The server gives the ticket that is asked for. */
async function admit(letter?: string): Promise<void> {
  await settle();
  server.latest.answer(201, ticket(letter));
  await settle();
}

async function refuse(status: number, problem: object = {}): Promise<void> {
  await settle();
  server.latest.answer(status, problem);
  await settle();
}

/** A client that shows these students. */
async function connected(...ids: string[]): Promise<LiveClient> {
  const client = create();
  client.start();
  await admit();
  network.latest.serverAccepts();
  network.latest.serverSends(snapshot(1, { entities: ids.map((id) => upsert(id, 1)) }));
  await settle();
  return client;
}

describe("without a ticket", () => {
  test("no socket is opened, and the next try has its time", async () => {
    const client = create();
    client.start();
    expect(client.state.status).toBe("connecting");
    await refuse(503);
    expect(network.sockets).toHaveLength(0);
    expect(client.state).toMatchObject({ status: "waiting", denial: undefined });
    expect(clock.advanceToNext()).toBe(750);
    await admit();
    expect(network.sockets).toHaveLength(1);
  });

  test("because nobody is known any more, it says so, and tries again when somebody is back", async () => {
    const client = create();
    client.start();
    const states: unknown[] = [];
    client.watch({ onState: () => states.push(client.state.denial) });
    await refuse(401);
    expect(client.state.denial).toBe("signed_out");
    expect(states).toEqual(["signed_out"]);
    expect(client.freshness().kind).toBe("signed_out");
    page.becomes("visible");
    expect(client.freshness().kind).toBe("signed_out");
    await admit();
    network.latest.serverAccepts();
    expect(client.state.denial).toBeUndefined();
    expect(client.freshness().kind).toBe("catching_up");
  });

  test("within 10 s it is given up", async () => {
    const client = create();
    client.start();
    await settle();
    const fetching = server.latest;
    clock.advance(9_999);
    expect(fetching.state).toBe("waiting");
    clock.advance(1);
    expect(fetching.state).toBe("aborted");
    await settle();
    expect(network.sockets).toHaveLength(0);
    expect(client.state.status).toBe("waiting");
  });

  test("a token that never comes does not last either", async () => {
    token.mockReturnValue(new Promise(() => undefined));
    const client = create();
    client.start();
    clock.advance(10_000);
    await settle();
    expect(client.state.status).toBe("waiting");
  });
});

describe("a ticket", () => {
  test("is fetched for each socket, and used once", async () => {
    const client = await connected("stu_1");
    network.latest.serverSends(encode("RECONNECT", { within_ms: 0 }));
    await admit("U");
    expect(network.sockets.map(({ url }) => new URL(url).searchParams.get("ticket"))).toEqual([
      "T".repeat(43),
      "U".repeat(43),
    ]);
    expect(client.freshness().kind).toBe("live");
    network.latest.serverAccepts();
    network.latest.serverSends(synced(1));
    expect(network.alive).toHaveLength(1);
  });

  test("is not fetched for a socket that another tab stands in for", async () => {
    create({ needsTicket: () => false }).start();
    await settle();
    expect(server.requests).toHaveLength(0);
    expect(network.latest.url).toBe("ws://server.test/prod");
  });

  test("nor a token is in no warning", async () => {
    const client = create({
      WebSocket: function (url: string) {
        throw new DOMException(url, "SecurityError");
      } as unknown as typeof WebSocket,
    });
    client.start();
    await admit();
    clock.advanceToNext();
    await refuse(404, { detail: "token" });
    clock.advanceToNext();
    await refuse(403, { detail: "token" });
    const said = warn.mock.calls.flat().join("\n");
    expect(said).toContain("404");
    expect(said).toContain("403");
    expect(said).not.toMatch(/TTT|token/);
  });
});

describe("stopped", () => {
  test("while a ticket is fetched, nothing is left, and nothing comes of it", async () => {
    const client = create();
    client.start();
    await settle();
    client.stop();
    expect(server.latest.state).toBe("aborted");
    server.latest.answer(201, ticket());
    await settle();
    expect(network.sockets).toHaveLength(0);
    expect(clock.pending).toBe(0);
    client.start();
    await admit();
    expect(network.sockets).toHaveLength(1);
  });

  test("while a token is fetched, nothing is asked", async () => {
    const client = create();
    client.start();
    client.stop();
    await settle();
    expect(server.requests).toHaveLength(0);
  });
});

describe("REVOKED", () => {
  const revoke = () => {
    network.latest.serverSends(encode("RECONNECT", { within_ms: 0, reason: "REVOKED" }));
  };

  test("and no other ticket: what was shown is shown no more", async () => {
    const client = await connected("stu_1");
    const shown: number[] = [];
    client.watch({ onData: () => shown.push(client.replica.order.length) });
    revoke();
    await refuse(403);
    expect(network.alive).toHaveLength(0);
    expect(shown.at(-1)).toBe(0);
    expect(client.state).toMatchObject({
      isConnected: false,
      isComplete: false,
      denial: "forbidden",
    });
    expect(client.freshness().kind).toBe("forbidden");
  });

  test("and another ticket: the page is live all the time", async () => {
    const client = await connected("stu_1");
    revoke();
    await admit("U");
    network.latest.serverAccepts();
    network.latest.serverSends(synced(1));
    expect(client.freshness().kind).toBe("live");
    expect(client.replica.order).toHaveLength(1);
  });
});

describe("where no socket gets through", () => {
  /** Three sockets are refused. */
  async function blocked(client: LiveClient): Promise<void> {
    client.start();
    for (let i = 0; i < 3; i++) {
      if (i > 0) clock.advanceToNext();
      await admit();
      network.latest.serverCloses();
    }
    clock.advance(1_000);
    await settle();
  }

  async function answerPoll(ids: string[], second = 0): Promise<void> {
    const at = new Date(Date.parse("2026-11-22T10:00:00.000Z") + second * 1_000).toISOString();
    server.latest.answer(
      200,
      pageOf(
        ids.map((id) => upsert(id, 1)),
        undefined,
        at,
      ),
    );
    await settle();
    server.latest.answer(200, pageOf([finding("stu_1", 1)], undefined, at));
    await settle();
  }

  test("it polls, says so, drops what is gone, and returns to the socket in silence", async () => {
    const client = create();
    const kinds = new Set<string>();
    client.watch({ onState: () => kinds.add(client.freshness().kind) });
    await blocked(client);
    expect(server.latest).toMatchObject({ method: "GET", path: "/metrics", token: "token" });
    await answerPoll(["stu_1", "stu_2"]);
    expect(client.replica.order).toEqual(["student/stu_1", "student/stu_2"]);
    expect(client.findings.latest).toHaveLength(1);
    expect(client.state).toMatchObject({ phase: "polling", isConnected: false, isComplete: true });
    expect(client.isLive()).toBe(false);
    expect(client.freshness()).toEqual({ kind: "polling", age: 0 });

    kinds.clear();
    clock.advance(4_000);
    expect(client.freshness()).toEqual({ kind: "polling", age: 4_000 });
    // Meanwhile a socket is tried.
    await admit();
    const socket = network.latest;
    clock.advance(1_000);
    await settle();
    await answerPoll(["stu_1"], 5);
    expect(client.replica.order).toEqual(["student/stu_1"]);

    socket.serverAccepts();
    expect(client.state.phase).toBe("polling");
    clock.advance(5_000);
    await settle();
    expect(server.waiting).toHaveLength(1);
    const { digest } = JSON.parse(socket.sent[0] ?? "") as SyncCommandV1;
    expect(digest).toBeDefined();
    socket.serverSends(synced(socket.sent.length));
    expect(server.waiting).toHaveLength(0);
    expect(client.freshness().kind).toBe("live");
    expect([...kinds].filter((kind) => kind !== "polling" && kind !== "live")).toEqual([]);
    client.stop();
    expect(clock.pending).toBe(0);
  });

  test("and polls fail: it is stale after 30 s, also where timers are late", async () => {
    const client = create();
    await blocked(client);
    await answerPoll(["stu_1"]);
    let late = 0;
    const asleepAt = clock.now();
    vi.spyOn(clock, "now").mockImplementation(() => asleepAt + late);
    late = 29_999;
    expect(client.freshness().kind).toBe("polling");
    late = 30_000;
    expect(client.freshness()).toEqual({
      kind: "stale",
      since: Date.parse("2026-11-22T10:00:00.000Z"),
    });
  });

  test("and nobody need sign in, no token is sent", async () => {
    const client = create({ api: httpApi({ url: "https://api.test", fetch: server.fetch }) });
    client.start();
    for (let i = 0; i < 3; i++) {
      network.latest.serverCloses();
      if (i < 2) clock.advanceToNext();
    }
    clock.advance(1_000);
    await settle();
    expect(server.latest.token).toBeUndefined();
    expect(server.requests).toHaveLength(1);
    client.stop();
    expect(server.waiting).toHaveLength(0);
  });

  test("and pages come slowly: each has its time, and what has come need not come again", async () => {
    const client = create();
    await blocked(client);
    const pages = () => server.requests.filter(({ path }) => path === "/metrics");
    clock.advance(15_000);
    pages()[0]?.answer(200, pageOf([upsert("stu_1", 1)], "more"), { ETag: '"1"' });
    await settle();
    clock.advance(19_000);
    expect(pages()[1]?.state).toBe("waiting");
    clock.advance(1_000);
    expect(pages()[1]?.state).toBe("aborted");
    for (let waited = 0; pages().length < 3 && waited < 60_000; waited += 1_000) {
      clock.advance(1_000);
      await settle();
    }
    expect(pages()[2]?.headers.get("If-None-Match")).toBe('"1"');
    client.stop();
    expect(clock.pending).toBe(0);
  });

  test("and stopped in the middle of a poll, nothing comes of it", async () => {
    const client = create();
    await blocked(client);
    client.stop();
    expect(server.latest.state).toBe("aborted");
    await settle();
    expect(client.replica.order).toEqual([]);
    expect(clock.pending).toBe(0);
  });
});

test("settings shorten every wait", async () => {
  const timing = { toleratedFailures: 1, poll: 50, spread: 0 };
  const client = create({ timing });
  client.start();
  await admit();
  network.latest.serverCloses();
  await settle();
  expect(server.latest.path).toBe("/metrics");
});

const what = fc.constantFrom(
  ...(["start", "stop", "accept", "close", "wait", "tick", "move", "revoke", "answer"] as const),
  ...(["admit", "admit", "refuse", "forbid", "fail", "page", "page", "wait", "close"] as const),
);

test("whatever happens: two sockets or tickets, one poll, one timer, and none of them after a stop", async () => {
  const step = fc.record({ what, which: fc.nat(1) });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60, size: "max" }), async (steps) => {
      clock = new VirtualClock();
      network = new FakeNetwork();
      server = new FakeApi();
      const client = create();
      const isPoll = ({ method }: { method: string }) => method === "GET";
      for (const { what: happens, which } of steps) {
        const socket: FakeSocket | undefined = network.alive[which];
        const request = server.waiting[which];
        if (happens === "start") client.start();
        if (happens === "stop") client.stop();
        if (happens === "accept" && socket?.state === "connecting") socket.serverAccepts();
        if (happens === "close") socket?.serverCloses();
        if (happens === "wait") clock.advance(6_000);
        if (happens === "tick") clock.advance(100);
        if (socket?.state === "open") {
          if (happens === "move") socket.serverSends(encode("RECONNECT", { within_ms: 100 }));
          if (happens === "revoke") {
            socket.serverSends(encode("RECONNECT", { within_ms: 100, reason: "REVOKED" }));
          }
          if (happens === "answer") socket.serverSends(synced(socket.sent.length));
        }
        if (request) {
          const isOfPoll = isPoll(request);
          if (happens === "admit" && !isOfPoll) request.answer(201, ticket());
          if (happens === "page" && isOfPoll) request.answer(200, pageOf([]));
          if (happens === "refuse") request.answer(401);
          if (happens === "forbid") request.answer(403, {});
          if (happens === "fail") request.fail();
        }
        await settle();
        const polls = server.waiting.filter(isPoll).length;
        expect(polls).toBeLessThanOrEqual(1);
        expect(server.waiting.length - polls + network.alive.length).toBeLessThanOrEqual(2);
        expect(clock.pending).toBeLessThanOrEqual(1);
        if (client.state.phase === "live") expect(polls).toBe(0);
      }
      client.stop();
      await settle();
      expect(network.alive).toHaveLength(0);
      expect(server.waiting).toHaveLength(0);
      expect(clock.pending).toBe(0);
    }),
    { numRuns: 200 },
  );
}, 60_000);
