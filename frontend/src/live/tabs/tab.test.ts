import type { ViewV1 } from "@contracts/zz_types.ts";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { attributesOf, FakeServer, keyOf } from "../../testing/fake-server.ts";
import { FakeNetwork } from "../../testing/fake-socket.ts";
import { FakeBrowser, type FakeTab } from "../../testing/fake-tabs.ts";
import { VirtualClock } from "../../testing/virtual-clock.ts";
import { entitiesIn, findingsIn } from "../select.ts";
import { everything } from "../watched-views.ts";
import { Tab } from "./tab.ts";

const students: ViewV1 = { entity_type: "student" };
const tutors: ViewV1 = { entity_type: "tutor" };
const weak: ViewV1 = {
  entity_type: "student",
  where: [{ attribute: "health_score", operator: "lt", value: 50 }],
};
const segments: ViewV1 = { entity_type: "student", fields: ["segment"] };

/** How far time moves on at once, in milliseconds. */
const tick = 20;

/** Tabs of one browser, and the server that they share. */
class World {
  readonly clock = new VirtualClock();
  readonly network = new FakeNetwork();
  readonly server = new FakeServer(this.network, this.clock);
  readonly browser = new FakeBrowser(this.clock, this.network);
  readonly tabs: OpenTab[] = [];
  /** Sockets cannot be opened. */
  isOffline = false;
  /** The server says nothing. */
  isSilent = false;
  /** The most sockets that were open at a time. */
  mostSockets = 0;

  open(view: ViewV1 = everything, name = "tabs"): OpenTab {
    const tab = new OpenTab(this, view, name);
    this.tabs.push(tab);
    return tab;
  }

  /** Time passes, and all that is due happens. */
  async pass(milliseconds: number): Promise<void> {
    for (let rest = milliseconds; rest > 0; rest -= tick) {
      for (const socket of this.network.alive) {
        if (socket.state !== "connecting") continue;
        if (this.isOffline) socket.serverCloses();
        else socket.serverAccepts();
      }
      if (!this.isSilent) this.server.settle();
      this.clock.advance(tick);
      for (let i = 0; i < 8; i++) await Promise.resolve();
      this.mostSockets = Math.max(this.mostSockets, this.network.alive.length);
    }
  }

  /** Until all of it holds; returns how long that took. */
  async until(condition: () => boolean, limit = 60_000): Promise<number> {
    const from = this.clock.now();
    while (!condition() && this.clock.now() - from < limit) await this.pass(tick);
    return this.clock.now() - from;
  }

  get isRight(): boolean {
    return this.tabs.every((tab) => tab.isLive && tab.isRight);
  }

  get leaders(): OpenTab[] {
    return this.tabs.filter(({ sockets }) => sockets.length > 0);
  }

  end(): void {
    for (const { tab } of this.tabs) tab.stop();
  }
}

class OpenTab {
  readonly browserTab: FakeTab;
  readonly tab: Tab;
  readonly #world: World;
  #view: ViewV1;
  #leave: () => void;

  constructor(world: World, view: ViewV1, name: string) {
    this.#world = world;
    this.#view = view;
    const browserTab = world.browser.open();
    this.browserTab = browserTab;
    const { clock, locks, openChannel, page, WebSocket } = browserTab;
    this.tab = new Tab(
      {
        url: "ws://server.test/prod",
        clock,
        random: () => 0.5,
        WebSocket,
        page,
        schedule: (run) => clock.setTimeout(run, 16),
        now: () => 0,
      },
      { name, locks, openChannel },
    );
    this.#leave = this.tab.client.watch({ view });
    this.tab.start();
  }

  get view(): ViewV1 {
    return this.#view;
  }

  watch(view: ViewV1): void {
    this.#leave();
    this.#view = view;
    this.#leave = this.tab.client.watch({ view });
  }

  close(): void {
    this.browserTab.close();
    this.#world.tabs.splice(this.#world.tabs.indexOf(this), 1);
  }

  /** Its own sockets to the server that are not closed. */
  get sockets() {
    return this.browserTab.sockets.filter(({ state }) => state !== "closed");
  }

  get isLive(): boolean {
    const { client } = this.tab;
    return client.isLive() && client.freshness().kind === "live";
  }

  /** What a hook with this tab's view would show, by key. */
  get shown(): Map<string, { revision: number; attributes: object }> {
    const { replica, findings } = this.tab.client;
    const rows = [...entitiesIn(this.#view)(replica), ...findingsIn(this.#view)(findings)];
    return new Map(
      rows.map(({ key, version: { revision }, attributes }) => [key, { revision, attributes }]),
    );
  }

  /** It shows what the table holds, and nothing else. */
  get isRight(): boolean {
    const { shown } = this;
    const rows = this.#world.server.rows([this.#view]);
    return (
      rows.length === shown.size &&
      rows.every((row) => {
        const held = shown.get(keyOf(row));
        const wanted = Object.entries(attributesOf(row, [this.#view]));
        return (
          held?.revision === row.revision &&
          wanted.every(([name, value]) => held.attributes[name as never] === value)
        );
      })
    );
  }
}

function score(tab: OpenTab, id: string): unknown {
  const attributes = tab.shown.get(`student/${id}`)?.attributes;
  return attributes && "health_score" in attributes ? attributes.health_score : undefined;
}

describe("the tab that leads", () => {
  test("alone opens a socket, and all tabs show what changes", async () => {
    const world = new World();
    const [first, second, third] = [world.open(), world.open(), world.open()];
    world.server.write("student", "a", 10);
    world.server.write("insight", "a\tb\\n", 10);
    await world.pass(1_000);
    expect(world.isRight).toBe(true);
    world.server.write("student", "a", 20);
    await world.pass(100);
    for (const tab of [first, second, third]) expect(score(tab, "a")).toBe(20);
    expect(world.isRight).toBe(true);
    expect(world.mostSockets).toBe(1);
    world.end();
    await world.pass(100);
    expect(world.network.alive).toHaveLength(0);
    expect(world.clock.pending).toBe(0);
  });

  test("is followed within two seconds when it is closed, and nothing is missed", async () => {
    const world = new World();
    const first = world.open();
    const others = [world.open(), world.open()];
    await world.pass(30_000);
    expect(first.sockets).toHaveLength(1);
    first.close();
    world.server.write("student", "a", 30);
    expect(await world.until(() => world.isRight, 2_000)).toBeLessThan(2_000);
    for (const tab of others) expect(score(tab, "a")).toBe(30);
    world.server.write("student", "a", 31);
    await world.pass(100);
    for (const tab of others) expect(score(tab, "a")).toBe(31);
    expect(world.mostSockets).toBe(1);
    expect(world.leaders).toHaveLength(1);
  });

  test("is followed when it leaves on purpose", async () => {
    const world = new World();
    const [first, second] = [world.open(), world.open()];
    await world.pass(1_000);
    first.tab.stop();
    expect(first.sockets).toHaveLength(0);
    const isFollowed = () => second.sockets.length === 1 && second.isLive;
    expect(await world.until(isFollowed, 2_000)).toBeLessThan(2_000);
    first.tab.start();
    await world.pass(2_000);
    expect(world.isRight).toBe(true);
    expect(first.sockets).toHaveLength(0);
  });

  test("is replaced when it is frozen, and follows when it thaws", async () => {
    const world = new World();
    const [first, second, third] = [world.open(), world.open(), world.open()];
    await world.pass(30_000);
    first.browserTab.freeze();
    world.server.write("student", "a", 40);
    // A tab that hears nothing asks after at most 25 s, and waits 5 s for an answer.
    const wait = await world.until(() => second.isRight && second.isLive, 32_000);
    expect(wait).toBeLessThan(32_000);
    await world.pass(2_000);
    expect(third.isRight && third.isLive).toBe(true);
    expect(world.leaders).toHaveLength(2);

    first.browserTab.thaw();
    for (let waited = 0; waited < 2_000; waited += tick) {
      await world.pass(tick);
      expect(second.isLive && third.isLive).toBe(true);
    }
    expect(world.isRight).toBe(true);
    expect(world.leaders).toHaveLength(1);
    expect(first.sockets).toHaveLength(0);
    world.server.write("student", "a", 41);
    await world.pass(100);
    expect(world.isRight).toBe(true);

    second.close();
    third.close();
    world.server.write("student", "a", 42);
    expect(await world.until(() => world.isRight, 2_000)).toBeLessThan(2_000);
    expect(first.sockets).toHaveLength(1);
  });

  test("that is frozen keeps a new tab waiting for six seconds at most", async () => {
    const world = new World();
    const first = world.open();
    await world.pass(10_000);
    first.browserTab.freeze();
    world.server.write("student", "a", 1);
    const second = world.open();
    const wait = await world.until(() => second.isLive && second.isRight);
    expect(wait).toBeLessThan(6_000);
  });
});

describe("honesty", () => {
  test("a tab is as disconnected as the one that leads, and returns with it", async () => {
    const world = new World();
    const [first, second] = [world.open(), world.open()];
    await world.pass(30_000);
    world.isOffline = true;
    for (const socket of world.network.alive) socket.serverCloses();
    await world.pass(100);
    expect(second.tab.client.state.isConnected).toBe(false);
    await world.pass(60_000);
    expect(second.isLive).toBe(false);
    expect(second.tab.client.freshness().kind).toBe("offline");
    world.server.write("student", "a", 50);
    world.isOffline = false;
    await world.until(() => first.isLive);
    expect(await world.until(() => world.isRight)).toBeLessThan(500);
    expect(world.leaders).toEqual([first]);
  });

  test("a tab is stale where the server does not answer the one that leads", async () => {
    const world = new World();
    const [first, second] = [world.open(), world.open()];
    await world.pass(30_000);
    world.isSilent = true;
    world.server.write("student", "a", 60);
    await world.pass(32_000);
    expect(second.tab.client.freshness().kind).toBe("stale");
    await world.pass(60_000);
    expect(second.tab.client.freshness().kind).toBe("stale");
    // The one that leads is alive, so nobody takes its place.
    expect(world.leaders).toEqual([first]);
    world.isSilent = false;
    await world.until(() => world.isRight);
    expect(world.isRight).toBe(true);
    expect(world.leaders).toEqual([first]);
  });

  test("a sync is answered only once the server has confirmed what is held", async () => {
    const world = new World();
    const [first, second] = [world.open(), world.open()];
    await world.pass(35_000);
    const [line] = world.server.lines;
    const served = line?.served ?? 0;
    // A change that gets lost: only the server knows of it.
    world.server.write("student", "a", 70);
    world.server.fanOut();
    line?.wire.splice(0);
    second.browserTab.page.becomes("visible");
    await world.pass(3_500);
    expect(line?.served).toBeGreaterThan(served);
    expect(first.isRight && second.isRight).toBe(true);
  });

  test("many tabs ask the server hardly more often than one", async () => {
    const world = new World();
    for (let i = 0; i < 12; i++) world.open();
    await world.pass(10_000);
    const [line] = world.server.lines;
    const before = line?.served ?? 0;
    for (const { browserTab } of world.tabs) browserTab.page.becomes("visible");
    await world.pass(1_000);
    expect((line?.served ?? 0) - before).toBeLessThanOrEqual(2);
    await world.pass(120_000);
    expect((line?.served ?? 0) - before).toBeLessThan(60);
    expect(world.isRight).toBe(true);
  });
});

describe("what each tab watches", () => {
  test("is all that it shows, whatever the others watch", async () => {
    const world = new World();
    const first = world.open(tutors);
    world.server.write("student", "a", 10);
    world.server.write("student", "b", 80);
    world.server.write("tutor", "c", 30);
    world.server.write("insight", "d", 5);
    await world.pass(1_000);
    const [second, third] = [world.open(weak), world.open(segments)];
    await world.pass(1_000);
    expect(world.isRight).toBe(true);
    expect([...second.shown.keys()]).toEqual(["student/a"]);
    expect([...first.shown.keys()]).toEqual(["tutor/c"]);

    world.server.write("student", "a", 90);
    world.server.write("student", "b", 20);
    world.server.write("tutor", "c", undefined);
    await world.pass(100);
    expect(world.isRight).toBe(true);
    expect(third.shown.size).toBe(2);

    second.watch(everything);
    world.server.write("tutor", "e", 12);
    await world.pass(1_000);
    expect(world.isRight).toBe(true);
    expect(world.mostSockets).toBe(1);
  });

  test("is not asked for any more once the tab is gone", async () => {
    const world = new World();
    world.open(tutors);
    const second = world.open(students);
    await world.pass(1_000);
    expect(world.server.lines[0]?.views).toEqual([students, tutors]);
    second.close();
    await world.pass(300_000);
    expect(world.server.lines[0]?.views).toEqual([tutors]);
    expect(world.isRight).toBe(true);
  });
});

describe("a tab has a socket of its own", () => {
  test("where it may not know what another knows", async () => {
    const world = new World();
    const [first, second] = [
      world.open(everything, "of one"),
      world.open(everything, "of another"),
    ];
    await world.pass(1_000);
    expect(first.sockets).toHaveLength(1);
    expect(second.sockets).toHaveLength(1);
    first.close();
    await world.pass(1_000);
    expect(second.sockets).toHaveLength(1);
  });

  test("where locks cannot be used", async () => {
    const world = new World();
    const { clock, page, WebSocket, openChannel } = world.browser.open();
    const locks = { request: () => Promise.reject(new DOMException("no", "SecurityError")) };
    const tab = new Tab(
      {
        url: "ws://server.test/prod",
        clock,
        page,
        WebSocket,
        schedule: (run) => {
          run();
        },
      },
      { name: "tabs", locks, openChannel },
    );
    tab.start();
    await world.pass(1_000);
    expect(world.network.alive).toHaveLength(1);
    expect(tab.client.isLive()).toBe(true);
    tab.stop();
  });
});

const happening = fc.record({
  what: fc.constantFrom(
    "open",
    "close",
    "freeze",
    "thaw",
    "write",
    "write",
    "delete",
    "lose",
    "cut",
    "offline",
    "watch",
    "wait",
    "wait long",
  ),
  which: fc.nat(99),
});

describe("whatever becomes of tabs and network", () => {
  test("in the end each tab shows what the table holds, by way of one socket", async () => {
    const choices = [everything, students, tutors, weak, segments];
    await fc.assert(
      fc.asyncProperty(fc.array(happening, { maxLength: 40, size: "max" }), async (all) => {
        const world = new World();
        world.open();
        for (const { what, which } of all) {
          const tab = world.tabs[which % Math.max(1, world.tabs.length)];
          const view = choices[which % choices.length] ?? everything;
          const [line] = world.server.lines;
          const kind = (["student", "tutor", "insight"] as const)[which % 3] ?? "student";
          switch (what) {
            case "open":
              if (world.tabs.length < 5) world.open(view);
              break;
            case "close":
              tab?.close();
              break;
            case "freeze":
              tab?.browserTab.freeze();
              break;
            case "thaw":
              tab?.browserTab.thaw();
              break;
            case "write":
            case "delete":
              world.server.write(kind, String(which % 4), what === "write" ? which : undefined);
              break;
            case "lose":
              world.server.fanOut();
              line?.wire.splice(0);
              break;
            case "cut":
              line?.socket.serverCloses();
              break;
            case "offline":
              world.isOffline = which % 2 === 0;
              break;
            case "watch":
              if (tab?.browserTab.state === "running") tab.watch(view);
              break;
            case "wait":
              await world.pass(which * 10);
              break;
            case "wait long":
              await world.pass(which * 300);
          }
        }
        world.isOffline = false;
        if (world.tabs.length === 0) world.open();
        for (const { browserTab } of world.tabs) browserTab.thaw();
        await world.pass(100_000);
        for (const tab of world.tabs) {
          expect(tab.isRight).toBe(true);
          expect(tab.isLive).toBe(true);
        }
        expect(world.network.alive).toHaveLength(1);
        world.end();
      }),
      { numRuns: 60 },
    );
  }, 120_000);
});
