import type { SyncCommandV1, ViewV1 } from "@contracts/zz_types.ts";
import fc from "fast-check";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { FakePage } from "../testing/fake-page.ts";
import { FakeNetwork, type FakeSocket } from "../testing/fake-socket.ts";
import { VirtualClock } from "../testing/virtual-clock.ts";
import { encode, frame, snapshot, synced, upsert } from "../testing/wire.ts";
import { LiveClient, type LiveClientOptions } from "./live-client.ts";
import { explain } from "./problem.ts";

let clock: VirtualClock;
let network: FakeNetwork;
let page: FakePage;
let scheduled: (() => void)[];
const warn = vi.fn<(problem: string) => void>();

beforeEach(() => {
  clock = new VirtualClock();
  network = new FakeNetwork();
  page = new FakePage();
  scheduled = [];
  warn.mockClear();
});

function create(overrides: Partial<LiveClientOptions> = {}): LiveClient {
  return new LiveClient({
    url: "ws://server.test/prod",
    clock,
    random: () => 0.5,
    WebSocket: network.WebSocket,
    page,
    schedule: (run) => scheduled.push(run),
    now: () => 0,
    warn: (problem) => {
      warn(explain(problem));
    },
    ...overrides,
  });
}

function runScheduled(): void {
  for (const run of scheduled.splice(0)) run();
}

function commands(socket: FakeSocket = network.latest): SyncCommandV1[] {
  return socket.sent.map((text) => JSON.parse(text) as SyncCommandV1);
}

/** A client whose first sync is answered by these students. */
function connected(...ids: string[]): LiveClient {
  const client = create();
  client.start();
  network.latest.serverAccepts();
  network.latest.serverSends(snapshot(1, { entities: ids.map((id) => upsert(id, 1)) }));
  runScheduled();
  return client;
}

describe("while the network fails", () => {
  test("a closed socket is followed by another after a wait", () => {
    const client = create();
    const statuses: string[] = [];
    client.watch({ onState: () => statuses.push(client.state.status) });
    client.start();
    network.latest.serverAccepts();
    network.latest.serverCloses();
    expect(client.state.status).toBe("waiting");
    expect(network.sockets).toHaveLength(1);
    expect(clock.advanceToNext()).toBe(750);
    expect(network.sockets).toHaveLength(2);
    network.latest.serverAccepts();
    expect(statuses).toEqual(["connecting", "open", "waiting", "connecting", "open"]);
  });

  test("a constructor that throws counts as a failed attempt", () => {
    let isForbidden = true;
    const { WebSocket } = network;
    const client = create({
      WebSocket: class extends WebSocket {
        constructor(url: string) {
          if (isForbidden) throw new DOMException("no", "SecurityError");
          super(url);
        }
      },
    });
    client.start();
    expect(client.state.status).toBe("waiting");
    isForbidden = false;
    clock.advanceToNext();
    network.latest.serverAccepts();
    expect(client.state.status).toBe("open");
  });

  test("a socket that never opens is given up, and not heard any more", () => {
    const client = create();
    client.start();
    const [first] = network.sockets;
    expect(clock.advanceToNext()).toBe(10_000);
    expect(first?.state).toBe("closed");
    first?.serverAccepts();
    expect(client.state.status).toBe("waiting");
  });

  test("what is held stays, and the next sync sums it up", () => {
    const client = connected("stu_1");
    expect(commands()[0]).not.toHaveProperty("digest");
    network.latest.serverCloses();
    clock.advanceToNext();
    network.latest.serverAccepts();
    expect(client.replica.order).toEqual(["student/stu_1"]);
    expect(commands()).toEqual([
      {
        action: "sync",
        sync_id: 1,
        contracts: ["METRIC_UPDATE/1", "INSIGHT_CREATED/1"],
        views: [{ entity_type: "*" }],
        digest: expect.stringMatching(/^[0-9a-f]{32}$/) as string,
        slices: expect.stringMatching(/^[A-Za-z0-9+/]{512}$/) as string,
      },
    ]);
  });

  test("where nothing is held, there is nothing to sum up", () => {
    connected();
    clock.advance(5_000);
    expect(commands()).toHaveLength(2);
    expect(commands()[1]).not.toHaveProperty("digest");
  });
});

describe("what cannot be used", () => {
  test("is told once, and does not stop the next", () => {
    const client = connected("stu_1");
    network.latest.serverSends("{");
    network.latest.serverSends("{");
    network.latest.serverSends(frame(upsert("stu_2", 1)));
    runScheduled();
    expect(client.replica.order).toHaveLength(2);
    expect(client.replica.counters.rejected).toEqual({ not_json: 2 });
    expect(warn).toHaveBeenCalledTimes(1);
  });

  test("but comes of a newer server is only counted", () => {
    const client = connected();
    network.latest.serverSends('{"type":"APPLAUSE","version":1}');
    runScheduled();
    expect(client.replica.counters.rejected).toEqual({ unknown_frame: 1 });
    expect(warn).not.toHaveBeenCalled();
  });

  test("by the server is told too", () => {
    connected();
    clock.advance(5_000);
    network.latest.serverSends(
      encode("ERROR", { code: "INVALID", sync_id: 2, pointer: "/views/0", rule: "enum" }),
    );
    expect(warn.mock.calls[0]?.[0]).toContain("INVALID at /views/0 (enum)");
  });
});

describe("watchers", () => {
  const students: ViewV1 = { entity_type: "student" };
  const tutors: ViewV1 = { entity_type: "tutor" };

  test("that come in one task are asked for together, in the first sync", () => {
    const client = create();
    client.start();
    client.watch({ view: students });
    client.watch({ view: tutors });
    network.latest.serverAccepts();
    expect(commands()).toHaveLength(1);
    expect(commands()[0]?.views).toEqual([students, tutors]);
  });

  test("that come and go in one task cost nothing", async () => {
    const client = create();
    client.watch({ view: students });
    client.start();
    network.latest.serverAccepts();
    const leave = client.watch({ view: tutors });
    leave();
    leave();
    client.watch({ view: students });
    await Promise.resolve();
    expect(commands()).toHaveLength(1);
  });

  test("that come later are asked for at once", async () => {
    const client = create();
    client.watch({ view: students });
    client.start();
    network.latest.serverAccepts();
    network.latest.serverSends(synced(1));
    client.watch({ view: tutors });
    expect(client.state.isComplete).toBe(true);
    await Promise.resolve();
    expect(commands()[1]).toMatchObject({ sync_id: 2, views: [students, tutors] });
    expect(commands()[1]).not.toHaveProperty("digest");
    expect(client.state.isComplete).toBe(false);
  });

  test("hear the data of each message", () => {
    const client = connected();
    const heard: unknown[] = [];
    client.watch({ onMessage: (data) => heard.push(data) });
    network.latest.serverSends("x");
    expect(heard).toEqual(["x"]);
  });

  test("that throw do not stop the client, nor what else is to be done, nor other watchers", () => {
    const reported: unknown[] = [];
    vi.stubGlobal("queueMicrotask", (run: () => void) => {
      try {
        run();
      } catch (error) {
        reported.push(error);
      }
    });
    const client = connected("stu_1");
    const fail = () => {
      throw new Error("broken");
    };
    const heard: string[] = [];
    client.watch({ onState: fail, onData: fail, onMessage: fail });
    client.watch({
      onState: () => heard.push("state"),
      onData: () => heard.push("data"),
      onMessage: () => heard.push("message"),
    });
    const [first] = network.sockets;
    network.latest.serverSends(encode("RECONNECT", { within_ms: 0 }));
    network.latest.serverAccepts();
    network.latest.serverSends(snapshot(1));
    // It moved, though a watcher was told of what is gone in the middle of it.
    expect(first?.state).toBe("closed");
    expect(heard).toEqual(["message", "data", "message"]);
    network.latest.serverCloses();
    expect(heard.at(-1)).toBe("state");
    clock.advanceToNext();
    expect(network.alive).toHaveLength(1);
    expect(reported).toEqual(heard.map(() => new Error("broken")));
    client.stop();
    expect(network.alive).toHaveLength(0);
    vi.unstubAllGlobals();
  });
});

describe("a page that nobody can see", () => {
  test("merges and shows nothing, and shows it all and asks at once when it is seen again", () => {
    const client = connected("stu_1");
    clock.advance(5_000);
    network.latest.serverSends(synced(2));
    clock.advance(2_000);
    const onData = vi.fn();
    client.watch({ onData });
    page.becomes("hidden");
    network.latest.serverSends(frame(upsert("stu_2", 1)));
    runScheduled();
    expect(client.replica.order).toHaveLength(2);
    expect(onData).not.toHaveBeenCalled();
    expect(commands()).toHaveLength(2);
    page.becomes("visible");
    expect(onData).toHaveBeenCalledTimes(1);
    expect(commands()).toHaveLength(3);
  });

  test("tells the network's return and loss to the session", () => {
    connected("stu_1");
    network.latest.serverCloses();
    page.becomes("offline");
    expect(network.sockets).toHaveLength(1);
    page.becomes("online");
    expect(network.sockets).toHaveLength(2);
  });
});

test("what differs after a snapshot is asked for as a whole, once", () => {
  const client = connected("stu_1");
  clock.advance(5_000);
  expect(commands().at(-1)).toHaveProperty("digest");
  const sum = "f".repeat(32);
  network.latest.serverSends(snapshot(2, { entities: [upsert("stu_1", 1)], sum }));
  clock.advance(1_000);
  expect(commands()).toHaveLength(3);
  expect(commands()[2]).not.toHaveProperty("digest");
  network.latest.serverSends(snapshot(3, { entities: [upsert("stu_1", 1)], sum }));
  clock.advance(10_000);
  expect(commands()).toHaveLength(3);
  expect(client.freshness().kind).toBe("live");
});

test("a change has the time of the server, whatever our clock says", () => {
  const client = connected("stu_1");
  clock.advance(3_000);
  network.latest.serverSends(encode("SYNCED", { sync_id: 99 }, "2026-11-22T10:00:03.000Z"));
  network.latest.serverSends(frame(upsert("stu_2", 1)));
  runScheduled();
  expect(client.replica.recent[0]?.receivedAt).toBe(Date.parse("2026-11-22T10:00:03.000Z"));
});

describe("RECONNECT", () => {
  test("moves to a new socket without a gap", () => {
    const client = connected("stu_1");
    const [first] = network.sockets;
    const seen = new Set<boolean>();
    client.watch({ onState: () => seen.add(client.isLive()) });
    network.latest.serverSends(encode("RECONNECT", { within_ms: 0 }));
    expect(network.alive).toHaveLength(2);
    network.latest.serverAccepts();
    first?.serverSends(frame(upsert("stu_2", 1)));
    expect(client.isLive()).toBe(true);
    expect(first?.state).toBe("open");
    network.latest.serverSends(synced(1));
    runScheduled();
    expect(first?.state).toBe("closed");
    expect(client.isLive()).toBe(true);
    expect(client.freshness().kind).toBe("live");
    expect(client.replica.order).toHaveLength(2);
    expect([...seen]).not.toContain(false);
  });
});

describe("live", () => {
  test("only while what is asked is answered", () => {
    const client = connected();
    expect(client.isLive()).toBe(true);
    clock.advance(9_999);
    expect(client.isLive()).toBe(true);
    clock.advance(1);
    expect(client.isLive()).toBe(false);
    expect(client.freshness().kind).toBe("stale");
  });

  test("not before the first answer", () => {
    const client = create();
    client.start();
    network.latest.serverAccepts();
    expect(client.isLive()).toBe(false);
    network.latest.serverSends(frame(upsert("stu_1", 1)));
    expect(client.isLive()).toBe(false);
    network.latest.serverSends(synced(1));
    expect(client.isLive()).toBe(true);
  });

  test("not while each sync is refused, though each refusal is heard", () => {
    const client = connected();
    let answered = 1;
    for (let second = 0; second < 600; second++) {
      clock.advance(1_000);
      const sent = commands().length;
      for (; answered < sent; answered++) {
        network.latest.serverSends(
          encode("ERROR", { code: "UNAVAILABLE", sync_id: commands()[answered]?.sync_id }),
        );
      }
      expect(client.isLive()).toBe(second < 4);
    }
    expect(answered).toBeGreaterThan(50);
  });

  test("not while no sync is answered, though an update comes every 10 s", () => {
    const client = connected();
    const [first] = network.sockets;
    let live = 0;
    for (let second = 0; second < 3_600; second++) {
      clock.advance(1_000);
      if (second % 10 === 0) first?.serverSends(frame(upsert("stu_1", second + 2)));
      if (client.isLive()) live += 1;
    }
    expect(live).toBeLessThan(10);
  });

  test("for a moment also while what is to be watched from now on is on its way", async () => {
    const client = connected("stu_1");
    clock.advance(5_000);
    network.latest.serverSends(synced(2));
    client.watch({ view: { entity_type: "student" } });
    await Promise.resolve();
    expect(client.freshness().kind).toBe("catching_up");
    expect(client.isLive()).toBe(true);
    clock.advance(1_999);
    expect(client.isLive()).toBe(true);
    clock.advance(1);
    expect(client.isLive()).toBe(false);
    network.latest.serverSends(synced(3));
    expect(client.isLive()).toBe(true);
  });

  test("when timers are late, it does what is due as soon as somebody wakes it", () => {
    let slept = 0;
    const sleepy = {
      now: () => clock.now() + slept,
      setTimeout: clock.setTimeout.bind(clock),
      clearTimeout: clock.clearTimeout.bind(clock),
    };
    const client = create({ clock: sleepy });
    client.start();
    network.latest.serverAccepts();
    network.latest.serverSends(synced(1));
    client.wake();
    expect(commands()).toHaveLength(1);
    slept = 3_600_000;
    expect(client.isLive()).toBe(false);
    client.wake();
    expect(commands()).toHaveLength(2);
    network.latest.serverSends(synced(2));
    expect(client.freshness().kind).toBe("live");
  });

  test("without a frame for 30 s watchers are told, though nothing has happened", () => {
    const client = connected();
    const heard: string[] = [];
    client.watch({ onState: () => heard.push(client.freshness().kind) });
    clock.advance(30_000);
    expect(heard).toContain("stale");
  });
});

describe("start and stop", () => {
  test("started twice it has one socket", () => {
    const client = create();
    client.start();
    client.start();
    expect(network.sockets).toHaveLength(1);
    expect(page.listeners).toBe(1);
  });

  test.each(["connecting", "open", "waiting"] as const)("stopped twice while %s", (status) => {
    const client = create();
    client.start();
    if (status !== "connecting") network.latest.serverAccepts();
    if (status === "waiting") network.latest.serverCloses();
    expect(client.state.status).toBe(status);
    client.stop();
    client.stop();
    expect(client.state.status).toBe("stopped");
    expect(network.alive).toHaveLength(0);
    expect(clock.pending).toBe(0);
    expect(page.listeners).toBe(0);
  });

  test("nothing is heard of a socket after the stop", () => {
    const client = connected();
    const heard: unknown[] = [];
    client.watch({ onMessage: (data) => heard.push(data), onState: () => heard.push("state") });
    client.stop();
    const before = heard.length;
    network.latest.serverSends("late");
    network.latest.serverCloses();
    expect(heard).toHaveLength(before);
  });

  test("stopped before it was started, it can be started", () => {
    const client = create();
    client.stop();
    client.start();
    network.latest.serverAccepts();
    expect(client.state.status).toBe("open");
  });

  test("stopping from within a callback leaves nothing open", () => {
    const client = create();
    client.watch({
      onMessage: () => {
        client.stop();
      },
    });
    client.start();
    network.latest.serverAccepts();
    network.latest.serverSends("stop");
    expect(network.alive).toHaveLength(0);
    expect(clock.pending).toBe(0);
  });
});

test("whatever happens there are at most two live sockets and one timer, and none after a stop", () => {
  const name = fc.constantFrom(
    "start",
    "stop",
    "accept",
    "close",
    "wait",
    "tick",
    "move",
    "answer",
  );
  const choice = fc.record({ name, socket: fc.nat(1) });
  fc.assert(
    fc.property(fc.array(choice, { maxLength: 60 }), (steps) => {
      clock = new VirtualClock();
      network = new FakeNetwork();
      const client = create();
      for (const { name: what, socket: index } of steps) {
        const socket = network.alive[index];
        if (what === "start") client.start();
        if (what === "stop") client.stop();
        if (what === "accept" && socket?.state === "connecting") socket.serverAccepts();
        if (what === "close") socket?.serverCloses();
        if (what === "wait") clock.advance(31_000);
        if (what === "tick") clock.advance(100);
        if (what === "move" && socket?.state === "open") {
          socket.serverSends(encode("RECONNECT", { within_ms: 100 }));
        }
        if (what === "answer" && socket?.state === "open") {
          socket.serverSends(synced(commands(socket).length));
        }
        expect(network.alive.length).toBeLessThanOrEqual(2);
        expect(clock.pending).toBeLessThanOrEqual(1);
        const isOpen = network.alive.some(({ state }) => state === "open");
        expect(client.state.isConnected).toBe(isOpen);
      }
      client.stop();
      expect(network.alive).toHaveLength(0);
      expect(clock.pending).toBe(0);
    }),
  );
});
