import { act, renderHook } from "@testing-library/react";
import type { ReactNode } from "react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { httpApi } from "../live/http-api.ts";
import type { Connection } from "../live/shared-client.ts";
import { FakeApi, settle, ticket } from "../testing/fake-api.ts";
import { FakeNetwork } from "../testing/fake-socket.ts";
import { LiveConnection } from "./use-connection.ts";
import { useWebSocket } from "./use-websocket.ts";

let network: FakeNetwork;
let server: FakeApi;

beforeEach(() => {
  network = new FakeNetwork();
  server = new FakeApi();
  vi.stubGlobal("WebSocket", network.WebSocket);
});
afterEach(() => {
  vi.unstubAllGlobals();
});

const url = "ws://server.test/prod";

function connection(identity: string): Connection {
  const token = () => Promise.resolve(`token of ${identity}`);
  const api = httpApi({ url: "https://api.test", token, identity, fetch: server.fetch });
  return { url: `${url}?contracts=METRIC_UPDATE/1`, api };
}

function wrapper(to: Connection | undefined) {
  return function Wrapper({ children }: { children: ReactNode }) {
    return <LiveConnection value={to}>{children}</LiveConnection>;
  };
}

test("a page without a configuration connects without a ticket", () => {
  renderHook(() => useWebSocket(url), { wrapper: wrapper(undefined) });
  expect(network.latest.url).toBe(url);
});

test("the configured address gets a ticket, whoever names it", async () => {
  renderHook(() => useWebSocket(url), { wrapper: wrapper(connection("ada")) });
  await act(settle);
  expect(server.latest.token).toBe("token of ada");
  expect(network.sockets).toHaveLength(0);
  server.latest.answer(201, ticket());
  await act(settle);
  expect(new URL(network.latest.url).searchParams.get("ticket")).toBe("T".repeat(43));
});

test("another address gets none", async () => {
  const other = "ws://elsewhere.test/prod";
  renderHook(() => useWebSocket(other), { wrapper: wrapper(connection("ada")) });
  await act(settle);
  expect(server.requests).toHaveLength(0);
  expect(network.latest.url).toBe(other);
});

test("another identity has another connection, and the one before ends", async () => {
  let to = connection("ada");
  const { rerender } = renderHook(() => useWebSocket(url), {
    wrapper: ({ children }) => <LiveConnection value={to}>{children}</LiveConnection>,
  });
  await act(settle);
  server.latest.answer(201, ticket());
  await act(settle);
  to = connection("grace");
  rerender();
  await act(settle);
  expect(server.latest.token).toBe("token of grace");
  expect(network.alive).toHaveLength(0);
});
