import * as usual from "@contracts/zz_kinds.ts";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { FakeNetwork } from "../testing/fake-socket.ts";
import { FakeBrowser, type FakeTab } from "../testing/fake-tabs.ts";
import { VirtualClock } from "../testing/virtual-clock.ts";
import { httpApi } from "./http-api.ts";
import { joinClient, sharedClient, type Connection } from "./shared-client.ts";

type Kinds = typeof usual;

const url = "ws://server.test/prod";

let network: FakeNetwork;
let tab: FakeTab;
/** The names of what this page shares with others. */
let names: string[];

beforeEach(() => {
  network = new FakeNetwork();
  const clock = new VirtualClock();
  tab = new FakeBrowser(clock, network).open();
  names = [];
  vi.stubGlobal("WebSocket", network.WebSocket);
  vi.stubGlobal("BroadcastChannel", function (name: string) {
    names.push(name);
    return tab.openChannel(name);
  });
  const locks = {
    request: (name: string, options: LockOptions, hold: () => Promise<void>) => {
      const held = tab.locks.request(name, options, hold);
      clock.advance(10);
      return held;
    },
  };
  vi.stubGlobal("navigator", { locks });
});
afterEach(() => {
  vi.unstubAllGlobals();
});

/** Joins, leaves again, and returns how many sockets there were, and are. */
async function visit(connection: Connection): Promise<[number, number]> {
  const leave = joinClient(connection, {});
  await Promise.resolve();
  const before = network.alive.length;
  leave();
  await Promise.resolve();
  expect(sharedClient(connection)).toBeUndefined();
  return [before, network.alive.length];
}

const token = () => new Promise<string>(() => {});

test("the page shares its connection with tabs of the same address and identity, and leaves them again", async () => {
  expect(await visit({ url: `${url}?contracts=METRIC_UPDATE/1` })).toEqual([1, 0]);
  expect(await visit({ url })).toEqual([1, 0]);
  expect(names).toHaveLength(2);
  expect(names[0]).toBe(names[1]);
  await visit({ url: `${url}2` });
  for (const identity of ["a", "b", "b"]) {
    await visit({ url, api: httpApi({ url: "https://api.test", token, identity }) });
  }
  expect(new Set(names).size).toBe(4);
});

test.each<[string, (kinds: Kinds) => Partial<Kinds>]>([
  [
    "another attribute",
    ({ attributeKinds: { student, ...rest } }) => ({
      attributeKinds: { ...rest, student: { ...student, mood: "text" } } as never,
    }),
  ],
  ["another type", ({ entityTypes }) => ({ entityTypes: [...entityTypes, "school" as never] })],
  [
    "more of insights",
    ({ insightKinds }) => ({ insightKinds: { ...insightKinds, cause: "text" } as never }),
  ],
])("a build that knows %s shares nothing with this one", async (_, change) => {
  await visit({ url });
  vi.doMock("@contracts/zz_kinds.ts", () => ({ ...usual, ...change(usual) }));
  vi.resetModules();
  const other = await import("./shared-client.ts");
  other.joinClient({ url }, {})();
  vi.doUnmock("@contracts/zz_kinds.ts");
  vi.resetModules();
  expect(names).toHaveLength(2);
  expect(names[0]).not.toBe(names[1]);
});

test("a page with an API shares nothing with one that has none: that could not poll for it", async () => {
  await visit({ url });
  await visit({ url, api: httpApi({ url: "https://api.test" }) });
  expect(new Set(names).size).toBe(2);
});

test("of whom nobody says who looks at it shares nothing", async () => {
  await visit({ url, api: httpApi({ url: "https://api.test", token }) });
  expect(names).toEqual([]);
});

test.each(["locks", "channels"])(
  "where there are no %s the page has a connection of its own",
  async (what) => {
    if (what === "locks") vi.stubGlobal("navigator", {});
    else vi.stubGlobal("BroadcastChannel", undefined);
    expect(await visit({ url })).toEqual([1, 0]);
    expect(names).toEqual([]);
  },
);
