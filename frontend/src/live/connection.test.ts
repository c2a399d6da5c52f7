import fc from "fast-check";
import { beforeEach, describe, expect, test } from "vitest";
import { FakeNetwork } from "../testing/fake-socket.ts";
import { VirtualClock } from "../testing/virtual-clock.ts";
import { Connection, type ConnectionStatus } from "./connection.ts";

let clock: VirtualClock;
let network: FakeNetwork;
let statuses: ConnectionStatus[];
let messages: unknown[];

beforeEach(() => {
  clock = new VirtualClock();
  network = new FakeNetwork();
  statuses = [];
  messages = [];
});

function connect(overrides: { random?: () => number; WebSocket?: typeof network.WebSocket } = {}) {
  return new Connection({
    url: "ws://server.test/prod",
    onMessage: (data) => messages.push(data),
    onStatus: (status) => statuses.push(status),
    clock,
    random: () => 0.5,
    WebSocket: network.WebSocket,
    ...overrides,
  });
}

describe("while the network fails", () => {
  test("a closed socket is followed by another after a wait", () => {
    const connection = connect();
    connection.start();
    network.latest.serverAccepts();
    network.latest.serverCloses();
    expect(connection.status).toBe("waiting");
    expect(network.sockets).toHaveLength(1);
    expect(clock.advanceToNext()).toBe(750);
    expect(network.sockets).toHaveLength(2);
    network.latest.serverAccepts();
    expect(statuses).toEqual(["connecting", "open", "waiting", "connecting", "open"]);
  });

  test("waits grow while no connection is stable, and stay within their bounds", () => {
    const connection = connect({ random: () => 0.999_999 });
    connection.start();
    const waits: number[] = [];
    for (let attempt = 0; attempt < 9; attempt++) {
      network.latest.serverCloses();
      waits.push(Math.round(clock.advanceToNext()));
    }
    expect(waits).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000, 30_000]);
  });

  test("a server that accepts and drops at once is not hammered", () => {
    const connection = connect({ random: () => 0.999_999 });
    connection.start();
    for (let attempt = 0; attempt < 6; attempt++) {
      network.latest.serverAccepts();
      clock.advance(59_000);
      network.latest.serverCloses();
      clock.advanceToNext();
    }
    network.latest.serverCloses();
    expect(Math.round(clock.advanceToNext())).toBe(30_000);
  });

  test("a connection that was stable for a minute starts again from the shortest waits", () => {
    const connection = connect({ random: () => 0.999_999 });
    connection.start();
    for (let attempt = 0; attempt < 6; attempt++) {
      network.latest.serverCloses();
      clock.advanceToNext();
    }
    network.latest.serverAccepts();
    clock.advance(60_000);
    network.latest.serverCloses();
    expect(Math.round(clock.advanceToNext())).toBe(1000);
  });

  test("a socket that never opens is given up", () => {
    const connection = connect();
    connection.start();
    const [first] = network.sockets;
    expect(clock.advanceToNext()).toBe(10_000);
    expect(first?.state).toBe("closed");
    expect(connection.status).toBe("waiting");
    first?.serverAccepts();
    expect(connection.status).toBe("waiting");
  });

  test("a constructor that throws counts as a failed attempt", () => {
    let isForbidden = true;
    const { WebSocket } = network;
    const connection = connect({
      WebSocket: class extends WebSocket {
        constructor(url: string) {
          if (isForbidden) throw new DOMException("no", "SecurityError");
          super(url);
        }
      },
    });
    connection.start();
    expect(connection.status).toBe("waiting");
    isForbidden = false;
    clock.advanceToNext();
    network.latest.serverAccepts();
    expect(connection.status).toBe("open");
  });
});

describe("start and stop", () => {
  test("started twice it has one socket", () => {
    const connection = connect();
    connection.start();
    connection.start();
    expect(network.sockets).toHaveLength(1);
  });

  test.each(["connecting", "open", "waiting"] as const)("stopped twice while %s", (status) => {
    const connection = connect();
    connection.start();
    if (status !== "connecting") network.latest.serverAccepts();
    if (status === "waiting") network.latest.serverCloses();
    expect(connection.status).toBe(status);
    connection.stop();
    connection.stop();
    expect(connection.status).toBe("stopped");
    expect(network.alive).toHaveLength(0);
    expect(clock.pending).toBe(0);
  });

  test("nothing is heard of a socket after the stop", () => {
    const connection = connect();
    connection.start();
    network.latest.serverAccepts();
    connection.stop();
    const heard = statuses.length;
    network.latest.serverSends("late");
    network.latest.serverCloses();
    expect(messages).toEqual([]);
    expect(statuses).toHaveLength(heard);
  });

  test("stopped before it was started, it can be started", () => {
    const connection = connect();
    connection.stop();
    connection.start();
    network.latest.serverAccepts();
    expect(connection.status).toBe("open");
  });

  test("stopping from within a callback leaves nothing open", () => {
    const connection: Connection = new Connection({
      url: "ws://server.test/prod",
      onMessage: () => {
        connection.stop();
      },
      clock,
      WebSocket: network.WebSocket,
    });
    connection.start();
    network.latest.serverAccepts();
    network.latest.serverSends("stop");
    expect(network.alive).toHaveLength(0);
    expect(clock.pending).toBe(0);
  });
});

test("whatever happens there is at most one live socket and one timer, and none after a stop", () => {
  const step = fc.constantFrom("start", "stop", "accept", "close", "wait", "tick");
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      clock = new VirtualClock();
      network = new FakeNetwork();
      const connection = connect();
      for (const name of steps) {
        const socket = network.sockets.at(-1);
        if (name === "start") connection.start();
        if (name === "stop") connection.stop();
        if (name === "accept" && socket?.state === "connecting") socket.serverAccepts();
        if (name === "close" && socket && socket.state !== "closed") socket.serverCloses();
        if (name === "wait") clock.advance(31_000);
        if (name === "tick") clock.advance(100);
        expect(network.alive.length).toBeLessThanOrEqual(1);
        expect(clock.pending).toBeLessThanOrEqual(1);
        const isOpen = network.alive.some(({ state }) => state === "open");
        expect(connection.status === "open").toBe(isOpen);
      }
      connection.stop();
      expect(network.alive).toHaveLength(0);
      expect(clock.pending).toBe(0);
    }),
  );
});
