import { act, render, screen } from "@testing-library/react";
import type { ReactNode } from "react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { FakeNetwork } from "../testing/fake-socket.ts";
import { encode, frame, upsert } from "../testing/wire.ts";
import { App } from "./app.tsx";

/** How often each panel was rendered. */
const renders = vi.hoisted(() => new Map<string, number>());

/** The module with its component counted under that name. */
const counted = vi.hoisted(() => <P,>(name: string, component: (props: P) => ReactNode) => ({
  [name]: (props: P) => {
    renders.set(name, (renders.get(name) ?? 0) + 1);
    return component(props);
  },
}));

vi.mock(import("../features/summary/summary-cards.tsx"), async (load) => ({
  ...(await load()),
  ...counted("SummaryCards", (await load()).SummaryCards),
}));
vi.mock(import("../features/entities/entity-table.tsx"), async (load) => ({
  ...(await load()),
  ...counted("EntityTable", (await load()).EntityTable),
}));
vi.mock(import("../features/insights/insights.tsx"), async (load) => ({
  ...(await load()),
  ...counted("Insights", (await load()).Insights),
}));
vi.mock(import("../features/changes/latest-changes.tsx"), async (load) => ({
  ...(await load()),
  ...counted("LatestChanges", (await load()).LatestChanges),
}));

let network: FakeNetwork;

beforeEach(() => {
  network = new FakeNetwork();
  vi.useFakeTimers();
  vi.stubGlobal("WebSocket", network.WebSocket);
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

test("as time goes by, the texts that tell the age render again, and no panel does", async () => {
  render(<App configuration={{ webSocketUrl: "ws://server.test/prod" }} />);
  const notes = screen.getAllByRole("note", { name: "Freshness" });
  const ages = () => notes.map(({ textContent }) => textContent);
  const send = (text: string) =>
    act(async () => {
      const stamped = { ...(JSON.parse(text) as object), timestamp: new Date().toISOString() };
      network.latest.serverSends(JSON.stringify(stamped));
      await vi.advanceTimersByTimeAsync(100);
    });
  act(() => {
    network.latest.serverAccepts();
  });
  await send(encode("SYNCED", { sync_id: 1 }));
  await send(frame(upsert("stu_1", 1)));
  await act(() => vi.advanceTimersByTimeAsync(800));
  const before = new Map(renders);
  expect([...before.keys()].sort()).toEqual([
    "EntityTable",
    "Insights",
    "LatestChanges",
    "SummaryCards",
  ]);
  for (const age of ["2.0", "3.0", "4.0"]) {
    await act(() => vi.advanceTimersByTimeAsync(1_000));
    expect(ages()).toEqual(Array(4).fill(`live, ${age} s`));
  }
  expect(renders).toEqual(before);

  const writtenAt = new Date().toISOString();
  await send(frame({ ...upsert("stu_1", 2, { health_score: 50 }), writtenAt }));
  expect(renders.get("EntityTable")).toBe((before.get("EntityTable") ?? 0) + 1);
  expect(renders.get("Insights")).toBe(before.get("Insights"));
  await act(() => vi.advanceTimersByTimeAsync(900));
  expect(ages()).toEqual(["live, 1.0 s", "live, 1.0 s", "live, 5.0 s", "live, 1.0 s"]);
});
