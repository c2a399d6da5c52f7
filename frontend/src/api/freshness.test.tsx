import { QueryClientProvider } from "@tanstack/react-query";
import { act, renderHook } from "@testing-library/react";
import type { SyncCommandV1 } from "@contracts/zz_types.ts";
import type { ReactNode } from "react";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { FakeNetwork } from "../testing/fake-socket.ts";
import { encode, finding, frame, insightFrame, upsert } from "../testing/wire.ts";
import { LiveProvider } from "./live-provider.tsx";
import { useFreshness, useTime } from "./live.ts";
import { createQueryClient } from "./query-client.ts";

/** By the server's clock, when the page opens. */
const noon = Date.parse("2026-11-22T12:00:00.000Z");
const hour = 3_600_000;

let network: FakeNetwork;
let openedAt: number;
/** When a sync was answered last, by the server's clock. */
let answeredAt: number;

beforeEach(() => {
  network = new FakeNetwork();
  vi.useFakeTimers();
  vi.stubGlobal("WebSocket", network.WebSocket);
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** Opens a page in a browser whose clock is ahead by so much; the server confirms that there is nothing. */
function open(ahead: number) {
  vi.setSystemTime(noon + ahead);
  openedAt = performance.now();
  const { result } = renderHook(
    () => ({
      entities: useFreshness("entities").freshness,
      insights: useFreshness("insights").freshness,
      page: useFreshness(),
      time: useTime(),
    }),
    {
      wrapper: ({ children }: { children: ReactNode }) => (
        <QueryClientProvider client={createQueryClient()}>
          <LiveProvider url="ws://server.test/prod">{children}</LiveProvider>
        </QueryClientProvider>
      ),
    },
  );
  serve();
  return result;
}

/** By the server's clock, which runs however ours is put. */
function serverTime(): number {
  return noon + performance.now() - openedAt;
}

function iso(time: number): string {
  return new Date(time).toISOString();
}

/** The server takes each socket, and answers what was asked: nothing has changed. */
function serve() {
  for (const socket of network.alive) {
    act(() => {
      if (socket.state === "connecting") socket.serverAccepts();
    });
    for (const text of socket.sent.splice(0)) {
      const { sync_id } = JSON.parse(text) as SyncCommandV1;
      answeredAt = serverTime();
      send(encode("SYNCED", { sync_id }), socket);
    }
  }
}

function send(text: string, socket = network.latest) {
  const stamped = { ...(JSON.parse(text) as object), timestamp: iso(serverTime()) };
  act(() => {
    socket.serverSends(JSON.stringify(stamped));
  });
}

function advance(milliseconds: number) {
  act(() => {
    vi.advanceTimersByTime(milliseconds);
  });
}

/** Somebody puts our clock right, or wrong. */
function shift(milliseconds: number) {
  vi.setSystemTime(Date.now() + milliseconds);
}

describe.each([
  ["right", 0],
  ["two hours ahead", 2 * hour],
  ["two hours behind", -2 * hour],
])("in a browser whose clock is %s", (_, ahead) => {
  test("each panel has the age of what it has learned last", () => {
    const page = open(ahead);
    advance(3_900);
    send(frame({ ...upsert("stu_1", 1), writtenAt: iso(noon + 3_400) }));
    advance(100);
    expect(page.current.entities).toEqual({ kind: "live", age: 600 });
    expect(page.current.insights).toEqual({ kind: "live", age: 4_000 });
    advance(900);
    send(insightFrame({ ...finding("stu_1", 1), writtenAt: iso(noon + 4_800) }));
    advance(100);
    expect(page.current.entities).toEqual({ kind: "live", age: 1_600 });
    expect(page.current.insights).toEqual({ kind: "live", age: 200 });
    expect(page.current.page).toEqual({ freshness: { kind: "live", age: 200 }, isLive: true });
    expect(page.current.time).toBe(noon + 5_000);
  });

  test("a silent server makes it stale since its own last word", () => {
    const page = open(ahead);
    advance(2_500);
    send(frame({ ...upsert("stu_1", 1), writtenAt: iso(noon + 2_000) }));
    advance(40_000);
    expect(page.current.entities).toEqual({ kind: "stale", since: noon + 2_000 });
    expect(page.current.insights).toEqual({ kind: "stale", since: noon });
    expect(page.current.page.isLive).toBe(false);
  });

  test("offline it says of when what is shown is", () => {
    const page = open(ahead);
    advance(2_500);
    act(() => {
      network.latest.serverCloses();
    });
    expect(page.current.entities).toEqual({ kind: "offline", since: noon });
  });
});

describe.each([
  ["two hours", 2 * hour],
  ["four minutes", 240_000],
  ["ten seconds", 10_000],
])("a clock that jumps ahead by %s", (_, jump) => {
  test("makes what is shown older, until the server has answered", () => {
    const page = open(0);
    advance(5_000);
    serve();
    advance(2_000);
    shift(jump);
    advance(1_000);
    const doubt =
      jump < 30_000 ? { kind: "live", age: 3_000 + jump } : { kind: "stale", since: noon + 5_000 };
    expect(page.current.entities).toEqual(doubt);
    // By then a heartbeat is due.
    for (let second = 0; second < 25; second++) {
      serve();
      advance(1_000);
    }
    expect(page.current.entities).toEqual({ kind: "live", age: serverTime() - answeredAt });
    expect(page.current.insights).toEqual(page.current.entities);
    expect(page.current.time).toBe(serverTime());
    advance(40_000);
    expect(page.current.entities).toEqual({ kind: "stale", since: answeredAt });
  });
});

test("a clock that jumps back changes nothing", () => {
  const page = open(0);
  advance(5_000);
  serve();
  shift(-2 * hour);
  advance(1_000);
  expect(page.current.entities).toEqual({ kind: "live", age: 1_000 });
  expect(page.current.time).toBe(noon + 6_000);
});
