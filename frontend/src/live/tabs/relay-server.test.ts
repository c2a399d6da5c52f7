import type { ViewV1 } from "@contracts/zz_types.ts";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { FakeNetwork } from "../../testing/fake-socket.ts";
import { FakePage } from "../../testing/fake-page.ts";
import { VirtualClock } from "../../testing/virtual-clock.ts";
import { encode, frame, snapshot, synced, upsert } from "../../testing/wire.ts";
import { LiveClient } from "../live-client.ts";
import { everything } from "../watched-views.ts";
import { RelayServer } from "./relay-server.ts";

const students: ViewV1 = { entity_type: "student" };
const tutors: ViewV1 = { entity_type: "tutor" };

interface Said {
  say: string;
  link?: string;
  data?: string;
}

let clock: VirtualClock;
let network: FakeNetwork;
let client: LiveClient;
let server: RelayServer;
let said: Said[];
/** Ends what the leader itself watches. */
let leave: () => void;

beforeEach(() => {
  clock = new VirtualClock();
  network = new FakeNetwork();
  client = new LiveClient({
    url: "ws://server.test/prod",
    clock,
    random: () => 0.5,
    WebSocket: network.WebSocket,
    page: new FakePage(),
    schedule: (run) => {
      run();
    },
    now: () => 0,
  });
  leave = client.watch({ view: students });
  said = [];
  server = new RelayServer(client, clock, (notice) => said.push(notice as Said));
  client.start();
});

/** The sync that the leader has sent last. */
function asked(): { sync_id: number; views: ViewV1[] } {
  return JSON.parse(network.latest.sent.at(-1) ?? "{}") as { sync_id: number; views: ViewV1[] };
}

async function live(): Promise<void> {
  network.latest.serverAccepts();
  network.latest.serverSends(snapshot(asked().sync_id, { entities: [upsert("a", 1)] }));
  await settle();
}

/** Time passes, and the server answers that nothing has changed. */
async function pass(seconds: number): Promise<void> {
  for (let second = 0; second < seconds; second++) {
    clock.advance(1_000);
    network.latest.serverSends(synced(asked().sync_id));
    await settle();
  }
}

/** What is to happen in this task has happened. */
async function settle(): Promise<void> {
  await Promise.resolve();
  await Promise.resolve();
}

async function sync(link: string, views: ViewV1[], sync_id = 1): Promise<void> {
  server.hear({ do: "send", link, data: JSON.stringify({ action: "sync", sync_id, views }) });
  await settle();
}

/** What a link was told, by its type. */
function told(link: string): string[] {
  return said
    .filter((notice) => notice.say === "message" && notice.link === link)
    .map(({ data = "" }) => (JSON.parse(data) as { type: string }).type);
}

function lastWord(): Said | undefined {
  return said.at(-1);
}

describe("a leader that is not connected", () => {
  test("says so, and opens no link, but says that it is there", async () => {
    expect(said).toEqual([{ say: "down" }]);
    server.hear({ do: "open", link: "x" });
    expect(lastWord()).toEqual({ say: "here" });
    server.hear({ do: "ask" });
    expect(lastWord()).toEqual({ say: "here" });
    await sync("x", [students]);
    expect(lastWord()).toEqual({ say: "closed", link: "x" });
  });

  test("any more closes all links", async () => {
    await live();
    server.hear({ do: "open", link: "x" });
    expect(lastWord()).toEqual({ say: "opened", link: "x" });
    network.latest.serverCloses();
    expect(lastWord()).toEqual({ say: "down" });
    await sync("x", [students]);
    expect(lastWord()).toEqual({ say: "closed", link: "x" });
  });
});

describe("a sync", () => {
  test("of views that nobody watched yet is answered once they are here", async () => {
    await live();
    server.hear({ do: "open", link: "x" });
    await sync("x", [tutors]);
    expect(asked().views).toEqual([students, tutors]);
    expect(told("x")).toEqual([]);
    network.latest.serverSends(snapshot(asked().sync_id, { part: 1, parts: 2 }));
    expect(told("x")).toEqual([]);
    network.latest.serverSends(snapshot(asked().sync_id, { part: 2, parts: 2 }));
    expect(told("x")[0]).toBe("SNAPSHOT");
  });

  test("does not narrow what a leader hears that watches nothing in particular", async () => {
    leave();
    await live();
    server.hear({ do: "open", link: "x" });
    await sync("x", [tutors]);
    expect(asked().views).toEqual([everything]);
  });

  test("is not answered out of what was confirmed long ago", async () => {
    await live();
    server.hear({ do: "open", link: "x" });
    clock.advance(2_001);
    const before = network.latest.sent.length;
    await sync("x", [students]);
    expect(told("x")).toEqual([]);
    expect(network.latest.sent.length).toBe(before + 1);
    network.latest.serverSends(synced(asked().sync_id));
    expect(told("x")).toEqual(["SNAPSHOT"]);
  });

  test("is answered in a task of its own, and out of what was confirmed a moment ago", async () => {
    await live();
    const links = ["a", "b", "c"];
    for (const link of links) server.hear({ do: "open", link });
    clock.advance(2_001);
    for (const link of links) await sync(link, [students]);
    const answered = () => links.map((link) => told(link).length);
    network.latest.serverSends(synced(asked().sync_id));
    expect(answered()).toEqual([1, 0, 0]);
    const before = network.latest.sent.length;
    // It was busy with something else.
    vi.spyOn(clock, "now").mockReturnValue(clock.now() + 2_001);
    clock.advance(0);
    vi.restoreAllMocks();
    expect(answered()).toEqual([1, 0, 0]);
    expect(network.latest.sent.length).toBe(before + 1);
    network.latest.serverSends(synced(asked().sync_id));
    expect(answered()).toEqual([1, 1, 0]);
    clock.advance(0);
    expect(answered()).toEqual([1, 1, 1]);
  });

  test("is answered with the time at which the server confirmed what is held", async () => {
    await live();
    const confirmed = client.time();
    clock.advance(1_500);
    server.hear({ do: "open", link: "x" });
    await sync("x", [students]);
    const { data = "" } = said.find(({ say }) => say === "message") ?? {};
    const { timestamp } = JSON.parse(data) as { timestamp: string };
    expect(Date.parse(timestamp)).toBe(confirmed);
  });

  test("is not answered by a leader that the server does not answer", async () => {
    await live();
    server.hear({ do: "open", link: "x" });
    clock.advance(20_000);
    await sync("x", [students]);
    clock.advance(6_000);
    network.latest.serverSends(frame(upsert("a", 2)));
    expect(client.state.phase).toBe("degraded");
    expect(told("x")).toEqual([]);
  });

  test.each([
    ["no JSON", "{"],
    ["null", "null"],
    ["no views", '{"action":"sync","sync_id":1}'],
    ["too long", JSON.stringify({ action: "sync", views: [], sync_id: 1, x: "x".repeat(4_096) })],
  ])("that is none is let be: %s", async (_, data) => {
    await live();
    server.hear({ do: "open", link: "x" });
    server.hear({ do: "send", link: "x", data });
    await settle();
    expect(told("x")).toEqual([]);
    expect(lastWord()).toEqual({ say: "here" });
  });

  test("that the server refuses does not take the others along", async () => {
    await live();
    server.hear({ do: "open", link: "good" });
    await sync("good", [students]);
    expect(told("good")).toEqual(["SNAPSHOT"]);
    server.hear({ do: "open", link: "bad" });
    await sync("bad", [tutors], 3);
    const refused = { code: "FORBIDDEN", sync_id: asked().sync_id };
    network.latest.serverSends(encode("ERROR", refused));
    await settle();
    const { data = "" } = said.find(({ link, say }) => link === "bad" && say === "message") ?? {};
    expect(JSON.parse(data)).toMatchObject({ type: "ERROR", code: "FORBIDDEN", sync_id: 3 });
    expect(asked().views).toEqual([students]);
    network.latest.serverSends(synced(asked().sync_id));
    expect(client.state.phase).toBe("live");
  });

  test.each(["RATE_LIMITED", "UNAVAILABLE", "UNAUTHENTICATED"])(
    "is not refused because the leader's own was: %s",
    async (code) => {
      await live();
      server.hear({ do: "open", link: "x" });
      await sync("x", [tutors]);
      network.latest.serverSends(encode("ERROR", { code, sync_id: asked().sync_id }));
      await settle();
      expect(told("x")).toEqual([]);
      expect(asked().views).toEqual([students, tutors]);
    },
  );
});

describe("what the server says", () => {
  test("of changes is passed on to all; what it says of the connection is not", async () => {
    await live();
    server.hear({ do: "open", link: "x" });
    said.length = 0;
    const change = frame(upsert("a", 2));
    network.latest.serverSends(change);
    network.latest.serverSends(encode("FROM_THE_FUTURE"));
    network.latest.serverSends(encode("RESYNC"));
    network.latest.serverSends(encode("RECONNECT", { within_ms: 60_000 }));
    network.latest.serverSends(encode("ERROR", { code: "RATE_LIMITED" }));
    network.latest.serverSends(synced(1));
    expect(said).toEqual([
      { say: "message", data: change },
      { say: "message", data: encode("FROM_THE_FUTURE") },
    ]);
  });

  test("is not repeated where nobody listens", async () => {
    await live();
    said.length = 0;
    network.latest.serverSends(frame(upsert("a", 2)));
    expect(said).toEqual([]);
  });

  test("in a snapshot makes the others ask again", async () => {
    await live();
    server.hear({ do: "open", link: "x" });
    await sync("x", [students]);
    said.length = 0;
    await pass(60);
    expect(told("x")).toEqual([]);
    clock.advance(1_000);
    client.check();
    network.latest.serverSends(snapshot(asked().sync_id, { entities: [upsert("a", 5)] }));
    expect(told("x")).toEqual(["RESYNC"]);
  });
});

describe("bounds", () => {
  test("a link that is silent for three minutes is forgotten, and begins anew", async () => {
    await live();
    server.hear({ do: "open", link: "x" });
    await sync("x", [tutors]);
    await pass(170);
    expect(asked().views).toEqual([students, tutors]);
    await pass(70);
    expect(said.filter(({ say }) => say === "closed")).toEqual([{ say: "closed", link: "x" }]);
    expect(asked().views).toEqual([students]);
    await sync("x", [tutors]);
    expect(lastWord()).toEqual({ say: "closed", link: "x" });
  });

  test("of too many links the one that was silent for longest is closed", async () => {
    await live();
    for (let i = 0; i < 100; i++) server.hear({ do: "open", link: String(i) });
    await sync("0", [everything]);
    said.length = 0;
    server.hear({ do: "open", link: "one more" });
    expect(said).toEqual([
      { say: "closed", link: "1" },
      { say: "opened", link: "one more" },
    ]);
  });

  test("a leader that stops watches for nobody but itself", async () => {
    await live();
    server.hear({ do: "open", link: "x" });
    await sync("x", [everything]);
    expect(asked().views).toEqual([everything]);
    server.stop();
    await settle();
    expect(asked().views).toEqual([students]);
    expect(lastWord()).toEqual({ say: "gone" });
    expect(client.audience).toBe(1);
  });
});
