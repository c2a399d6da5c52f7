import { act, render, renderHook } from "@testing-library/react";
import { StrictMode } from "react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { FakeNetwork } from "../testing/fake-socket.ts";
import { useWebSocket } from "./use-websocket.ts";

let network: FakeNetwork;

beforeEach(() => {
  network = new FakeNetwork();
  vi.stubGlobal("WebSocket", network.WebSocket);
});
afterEach(() => {
  vi.unstubAllGlobals();
});

const url = "ws://server.test/prod";

test("StrictMode mounts twice and opens one socket", async () => {
  const { result, unmount } = renderHook(() => useWebSocket(url), { wrapper: StrictMode });
  await act(async () => {});
  expect(network.sockets).toHaveLength(1);
  expect(result.current.isConnected).toBe(false);
  act(() => {
    network.latest.serverAccepts();
  });
  expect(result.current.isConnected).toBe(true);
  unmount();
  await act(async () => {});
  expect(network.alive).toHaveLength(0);
});

test("is connected exactly while the socket is open", async () => {
  const { result } = renderHook(() => useWebSocket(url));
  expect(result.current).toEqual({ isConnected: false, status: "connecting" });
  act(() => {
    network.latest.serverAccepts();
  });
  expect(result.current).toEqual({ isConnected: true, status: "open" });
  act(() => {
    network.latest.serverCloses();
  });
  expect(result.current).toEqual({ isConnected: false, status: "waiting" });
  await act(async () => {});
});

test("new handlers do not reopen the socket, and the latest is called", () => {
  // What is heard here is no frame.
  vi.spyOn(console, "warn").mockReturnValue();
  const heard: string[] = [];
  const { rerender } = renderHook(
    ({ name }) =>
      useWebSocket(url, {
        onMessage: (data) => {
          heard.push(`${name} ${String(data)}`);
        },
      }),
    { initialProps: { name: "first" } },
  );
  act(() => {
    network.latest.serverAccepts();
    network.latest.serverSends("a");
  });
  rerender({ name: "second" });
  act(() => {
    network.latest.serverSends("b");
  });
  expect(network.sockets).toHaveLength(1);
  expect(heard).toEqual(["first a", "second b"]);
});

test("a changed URL closes the old socket and opens another", async () => {
  const { result, rerender } = renderHook(({ to }) => useWebSocket(to), {
    initialProps: { to: url },
  });
  act(() => {
    network.latest.serverAccepts();
  });
  rerender({ to: "ws://other.test/prod" });
  await act(async () => {});
  expect(network.alive.map((socket) => socket.url)).toEqual(["ws://other.test/prod"]);
  expect(result.current.isConnected).toBe(false);
});

test("components that name the same URL share one socket until the last has gone", async () => {
  function Listener() {
    return useWebSocket(url).status;
  }
  const { rerender, unmount } = render([<Listener key="a" />, <Listener key="b" />]);
  rerender([<Listener key="b" />]);
  await act(async () => {});
  expect(network.sockets).toHaveLength(1);
  expect(network.alive).toHaveLength(1);
  unmount();
  await act(async () => {});
  expect(network.alive).toHaveLength(0);
});
