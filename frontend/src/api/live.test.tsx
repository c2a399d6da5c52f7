import { QueryClientProvider, useQuery } from "@tanstack/react-query";
import { act, renderHook } from "@testing-library/react";
import type { SyncCommandV1, ViewV1 } from "@contracts/zz_types.ts";
import type { ReactNode } from "react";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { httpApi } from "../live/http-api.ts";
import { FakeApi, settle, ticket } from "../testing/fake-api.ts";
import { FakeNetwork } from "../testing/fake-socket.ts";
import { finding, frame, insightFrame, synced, upsert } from "../testing/wire.ts";
import { LiveProvider } from "./live-provider.tsx";
import { useFreshness, useInsights, useLiveMetrics, useMetrics } from "./live.ts";
import { useWebSocket } from "./use-websocket.ts";
import { createQueryClient, queryKeys } from "./query-client.ts";

let network: FakeNetwork;
let paints: FrameRequestCallback[];

beforeEach(() => {
  network = new FakeNetwork();
  paints = [];
  vi.stubGlobal("WebSocket", network.WebSocket);
  vi.stubGlobal("requestAnimationFrame", (run: FrameRequestCallback) => paints.push(run));
  vi.stubGlobal("cancelAnimationFrame", () => {});
});
afterEach(() => {
  vi.unstubAllGlobals();
});

function wrapper(client = createQueryClient()) {
  return function Wrapper({ children }: { children: ReactNode }) {
    return (
      <QueryClientProvider client={client}>
        <LiveProvider url="ws://server.test/prod">{children}</LiveProvider>
      </QueryClientProvider>
    );
  };
}

function accept() {
  act(() => {
    network.latest.serverAccepts();
  });
}

async function receive(...messages: string[]) {
  await act(async () => {
    for (const message of messages) network.latest.serverSends(message);
    for (const paint of paints.splice(0)) paint(0);
    // Observers of the query cache hear of a write in a microtask.
    await Promise.resolve();
  });
}

function views(): ViewV1[] | undefined {
  const text = network.latest.sent.at(-1);
  return text === undefined ? undefined : (JSON.parse(text) as SyncCommandV1).views;
}

const weak: ViewV1 = {
  entity_type: "student",
  where: [{ attribute: "health_score", operator: "lt", value: 70 }],
};

describe("useLiveMetrics", () => {
  test("asks for its view, and shows what matches it", async () => {
    const { result } = renderHook(() => useLiveMetrics({ ...weak }), { wrapper: wrapper() });
    accept();
    expect(views()).toEqual([weak]);
    await receive(
      frame(
        upsert("stu_2", 1, { health_score: 60 }),
        upsert("stu_1", 1, { health_score: 50 }),
        upsert("stu_3", 1, { health_score: 80 }),
      ),
    );
    expect(result.current.map(({ id }) => id)).toEqual(["stu_1", "stu_2"]);
  });

  test("renders again only when something in its view has changed", async () => {
    let renders = 0;
    renderHook(
      () => {
        renders += 1;
        return useLiveMetrics(weak);
      },
      { wrapper: wrapper() },
    );
    accept();
    await receive(frame(upsert("stu_1", 1, { health_score: 50 })));
    const before = renders;
    await receive(frame(upsert("stu_2", 1, { health_score: 90 })));
    expect(renders).toBe(before);
    await receive(frame(upsert("stu_1", 2, { health_score: 51 })));
    expect(renders).toBe(before + 1);
  });

  test("another view is asked for at once, on the same socket", async () => {
    const { result, rerender } = renderHook(({ type }) => useLiveMetrics({ entity_type: type }), {
      wrapper: wrapper(),
      initialProps: { type: "student" },
    });
    accept();
    await receive(frame(upsert("stu_1", 1), upsert("tut_1", 1, {}, "tutor")));
    rerender({ type: "tutor" });
    await receive();
    expect(views()).toEqual([{ entity_type: "tutor" }]);
    expect(result.current.map(({ id }) => id)).toEqual(["tut_1"]);
    expect(network.sockets).toHaveLength(1);
  });
});

describe("useInsights", () => {
  test("asks for the insights that pass, and shows them", async () => {
    const where = [{ attribute: "risk_score", operator: "ge" as const, value: 80 }];
    const { result } = renderHook(() => useInsights({ where }), { wrapper: wrapper() });
    accept();
    expect(views()).toEqual([{ entity_type: "insight", where }]);
    await receive(
      insightFrame(
        finding("stu_1", 1),
        finding("stu_2", 1, { risk_score: 10 }),
        finding("stu_3", 1, {}, 1),
      ),
    );
    expect(result.current.map(({ attributes }) => attributes.entity_id)).toEqual([
      "stu_3",
      "stu_1",
    ]);
  });
});

test("all hooks of a page share one socket, and ask together", () => {
  renderHook(
    () => [useLiveMetrics(weak), useInsights(), useLiveMetrics({ entity_type: "tutor" })],
    { wrapper: wrapper() },
  );
  accept();
  expect(network.sockets).toHaveLength(1);
  expect(network.latest.sent).toHaveLength(1);
  expect(views()).toEqual([{ entity_type: "insight" }, weak, { entity_type: "tutor" }]);
});

test("whoever reads the whole replica asks for everything", () => {
  renderHook(() => [useLiveMetrics(weak), useMetrics(({ order }) => order)], {
    wrapper: wrapper(),
  });
  accept();
  expect(views()).toEqual([{ entity_type: "*" }]);
});

describe("queries that the live store does not fill", () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  test("are told of changes at most once a second, and of their own kind", async () => {
    const client = createQueryClient();
    const fetched = { metrics: 0, insights: 0 };
    renderHook(
      () => {
        useQuery({
          queryKey: [...queryKeys.metrics, "page"],
          queryFn: () => (fetched.metrics += 1),
        });
        useQuery({
          queryKey: [...queryKeys.insights, "page"],
          queryFn: () => (fetched.insights += 1),
        });
      },
      { wrapper: wrapper(client) },
    );
    accept();
    await act(() => vi.advanceTimersByTimeAsync(5_000));
    const { metrics, insights } = { ...fetched };
    for (let revision = 1; revision <= 20; revision++) {
      await receive(frame(upsert("stu_1", revision)));
      await act(() => vi.advanceTimersByTimeAsync(100));
    }
    await act(() => vi.advanceTimersByTimeAsync(2_000));
    // Two seconds of changes: one at once, two in their course, and the last.
    expect(fetched.metrics - metrics).toBeGreaterThanOrEqual(2);
    expect(fetched.metrics - metrics).toBeLessThanOrEqual(4);
    expect(fetched.insights).toBe(insights);
  });
});

describe("below a provider with an API", () => {
  test("every hook waits for the one ticket, and settings hold", async () => {
    const server = new FakeApi();
    const api = httpApi({
      url: "https://api.test",
      token: () => Promise.resolve("token"),
      fetch: server.fetch,
    });
    const timing = { followUp: 20 };
    renderHook(
      () => [useLiveMetrics(weak), useWebSocket("ws://server.test/prod").status, useFreshness()],
      {
        wrapper: ({ children }: { children: ReactNode }) => (
          <QueryClientProvider client={createQueryClient()}>
            <LiveProvider url="ws://server.test/prod" api={api} timing={timing}>
              {children}
            </LiveProvider>
          </QueryClientProvider>
        ),
      },
    );
    await act(settle);
    expect(network.sockets).toHaveLength(0);
    expect(server.requests).toHaveLength(1);
    server.latest.answer(201, ticket());
    await act(settle);
    const { searchParams } = new URL(network.latest.url);
    expect([...searchParams.keys()]).toEqual(["contracts", "ticket"]);
    accept();
    await receive(synced(1));
    await vi.waitFor(() => {
      expect(network.latest.sent).toHaveLength(2);
    });
    expect(network.sockets).toHaveLength(1);
  });

  test("where nobody is signed in it says so", async () => {
    const server = new FakeApi();
    const api = httpApi({
      url: "https://api.test",
      token: () => Promise.resolve("token"),
      fetch: server.fetch,
    });
    const { result } = renderHook(() => useFreshness(), {
      wrapper: ({ children }: { children: ReactNode }) => (
        <QueryClientProvider client={createQueryClient()}>
          <LiveProvider url="ws://server.test/prod" api={api}>
            {children}
          </LiveProvider>
        </QueryClientProvider>
      ),
    });
    await act(settle);
    server.latest.answer(401);
    await act(settle);
    expect(result.current).toMatchObject({ freshness: { kind: "signed_out" }, isLive: false });
  });
});
