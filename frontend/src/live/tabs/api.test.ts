import type { ViewV1 } from "@contracts/zz_types.ts";
import { describe, expect, test } from "vitest";
import { FakeApi, ticket } from "../../testing/fake-api.ts";
import { attributesOf, FakeServer, type RowState } from "../../testing/fake-server.ts";
import { FakeNetwork } from "../../testing/fake-socket.ts";
import { FakeBrowser, type FakeTab } from "../../testing/fake-tabs.ts";
import { VirtualClock } from "../../testing/virtual-clock.ts";
import { encode, finding, pageOf, upsert } from "../../testing/wire.ts";
import { httpApi } from "../http-api.ts";
import type { Attributes } from "../read-frame.ts";
import { entitiesIn } from "../select.ts";
import { everything } from "../watched-views.ts";
import { Tab } from "./tab.ts";

const students: ViewV1 = { entity_type: "student" };
const tutors: ViewV1 = { entity_type: "tutor" };
/** How far time moves on at once, in milliseconds. */
const tick = 20;
const serverStart = Date.parse("2026-11-22T10:00:00.000Z");

/** Tabs of one browser, a server, and its API. */
class World {
  readonly clock = new VirtualClock();
  readonly network = new FakeNetwork();
  readonly server = new FakeServer(this.network, this.clock);
  readonly browser = new FakeBrowser(this.clock, this.network);
  readonly api = new FakeApi();
  readonly tabs: OpenTab[] = [];
  /** No socket gets through. */
  isBlocked = false;
  /** What the API answers to everything; undefined: what was asked for. */
  status: number | undefined;
  /** Sockets stay open, and the server says nothing on them. */
  isSilent = false;
  /** Pages have so many rows. */
  rowsInPage = 1_000;
  /** How long the API takes for a page, in milliseconds. */
  delay = 0;
  readonly #cameAt = new Map<object, number>();

  open(view: ViewV1 = everything, hasTickets = true): OpenTab {
    const tab = new OpenTab(this, view, hasTickets);
    this.tabs.push(tab);
    return tab;
  }

  async pass(milliseconds: number, check?: () => void): Promise<void> {
    for (let rest = milliseconds; rest > 0; rest -= tick) {
      for (const socket of this.network.alive) {
        if (socket.state !== "connecting") continue;
        if (this.isBlocked) socket.serverCloses();
        else socket.serverAccepts();
      }
      if (!this.isSilent) this.server.settle();
      for (const request of this.api.waiting) {
        const cameAt = this.#cameAt.get(request) ?? this.clock.now();
        this.#cameAt.set(request, cameAt);
        if (this.clock.now() - cameAt < this.delay) continue;
        if (this.status !== undefined) request.answer(this.status);
        else if (request.path === "/tickets") request.answer(200, ticket());
        else request.answer(200, this.#page(request.path, request.query));
      }
      this.clock.advance(tick);
      for (let i = 0; i < 40; i++) await Promise.resolve();
      check?.();
    }
  }

  async until(condition: () => boolean, limit = 60_000): Promise<number> {
    const from = this.clock.now();
    while (!condition() && this.clock.now() - from < limit) await this.pass(tick);
    return this.clock.now() - from;
  }

  /** How often the API was asked for what is watched. */
  get polls(): number {
    return this.api.requests.filter(({ path }) => path === "/metrics").length;
  }

  /** Everybody's sockets break. */
  cut(): void {
    this.isBlocked = true;
    for (const socket of this.network.alive) socket.serverCloses();
  }

  revoke(): void {
    const text = encode("RECONNECT", { within_ms: 1_000, reason: "REVOKED" });
    for (const socket of this.network.alive) socket.serverSends(text);
  }

  #page(path: string, query: URLSearchParams): object {
    const timestamp = new Date(serverStart + this.clock.now()).toISOString();
    if (path === "/insights") {
      return pageOf([finding("stu_1", 1)], undefined, timestamp);
    }
    const type = query.get("entity_type") ?? "*";
    const rows = this.server.rows([{ entity_type: type }]).filter(({ kind }) => kind !== "insight");
    const from = Number(query.get("cursor") ?? 0);
    const to = from + this.rowsInPage;
    const page = rows.slice(from, to).map((row) => ({ ...updateOf(row), version: versionOf(row) }));
    return pageOf(page, to < rows.length ? String(to) : undefined, timestamp);
  }
}

function updateOf(row: RowState) {
  const type = row.kind === "tutor" ? "tutor" : "student";
  return upsert(row.id, row.revision, attributesOf(row, [everything]) as Attributes, type);
}

/** As the fake server numbers them. */
function versionOf({ revision }: RowState) {
  return { epoch: serverStart, revision };
}

class OpenTab {
  readonly browserTab: FakeTab;
  readonly tab: Tab;
  readonly view: ViewV1;

  constructor(world: World, view: ViewV1, hasTickets: boolean) {
    this.view = view;
    this.browserTab = world.browser.open();
    const { clock, locks, openChannel, page, WebSocket } = this.browserTab;
    const token = () => Promise.resolve("token");
    this.tab = new Tab(
      {
        url: "ws://server.test/prod",
        api: httpApi({
          url: "https://api.test",
          fetch: world.api.fetch,
          ...(hasTickets && { token, identity: "ada" }),
        }),
        clock,
        random: () => 0.5,
        WebSocket,
        page,
        schedule: (run) => clock.setTimeout(run, 16),
        now: () => 0,
      },
      { name: "tabs", locks, openChannel },
    );
    this.tab.client.watch({ view });
    this.tab.start();
  }

  get says(): string {
    return this.tab.client.freshness().kind;
  }

  get age(): number {
    const freshness = this.tab.client.freshness();
    return "age" in freshness ? freshness.age : Infinity;
  }

  /** The scores of what it shows, by id. */
  get shown(): Record<string, unknown> {
    const rows = entitiesIn(this.view)(this.tab.client.replica);
    return Object.fromEntries(rows.map(({ id, attributes }) => [id, attributes["health_score"]]));
  }

  get holds(): number {
    const { replica, findings } = this.tab.client;
    return replica.entities.size + findings.latest.length;
  }
}

const says = (world: World) => world.tabs.map((tab) => tab.says);
const shown = (world: World) => world.tabs.map((tab) => tab.shown);

/** Three tabs that show one student. */
async function live(hasTickets = true): Promise<World> {
  const world = new World();
  for (let i = 0; i < 3; i++) world.open(everything, hasTickets);
  world.server.write("student", "a", 10);
  await world.pass(2_000);
  expect(says(world)).toEqual(["live", "live", "live"]);
  expect(shown(world)).toEqual([{ a: 10 }, { a: 10 }, { a: 10 }]);
  return world;
}

describe("where the server lets nobody in any more", () => {
  test.each([
    [403, "forbidden"],
    [401, "signed_out"],
  ])(
    "because it ended the permission (%d), every tab forgets, and says %s",
    async (status, why) => {
      const world = await live();
      world.status = status;
      world.revoke();
      await world.pass(2_000);
      expect(says(world)).toEqual([why, why, why]);
      expect(world.tabs.map((tab) => tab.holds)).toEqual([0, 0, 0]);
      await world.pass(120_000, () => {
        expect(new Set(says(world))).toEqual(new Set([why]));
      });
      expect(world.polls).toBe(0);
      // The leader alone asks for tickets.
      expect(world.api.requests.length).toBeLessThan(12);

      world.status = undefined;
      await world.until(() => says(world).every((said) => said === "live"));
      expect(shown(world)).toEqual([{ a: 10 }, { a: 10 }, { a: 10 }]);
    },
  );

  test("because time has passed, every tab says so, and keeps what it shows", async () => {
    const world = await live();
    world.status = 401;
    world.cut();
    world.isBlocked = false;
    await world.pass(2_000);
    expect(says(world)).toEqual(["signed_out", "signed_out", "signed_out"]);
    expect(shown(world)).toEqual([{ a: 10 }, { a: 10 }, { a: 10 }]);
    world.status = undefined;
    world.server.write("student", "a", 20);
    await world.until(() => says(world).every((said) => said === "live"));
    expect(shown(world)).toEqual([{ a: 20 }, { a: 20 }, { a: 20 }]);
  });

  test("a new tab says so at once, and asks for nothing itself", async () => {
    const world = await live();
    world.status = 403;
    world.revoke();
    await world.pass(2_000);
    const before = world.api.requests.length;
    const late = world.open();
    await world.pass(200);
    expect(late.says).toBe("forbidden");
    expect(world.api.requests.length).toBe(before);
  });

  test("the tab that takes the lead finds out for itself", async () => {
    const world = await live();
    world.status = 403;
    world.revoke();
    await world.pass(2_000);
    world.status = undefined;
    const [first] = world.tabs.splice(0, 1);
    first?.browserTab.close();
    await world.pass(2_000);
    expect(says(world)).toEqual(["live", "live"]);
  });

  test("a poll that is forbidden is one that no tab shows anything after", async () => {
    const world = await live();
    world.cut();
    await world.until(() => says(world).every((said) => said === "polling"));
    world.status = 403;
    await world.pass(7_000);
    expect(says(world)).toEqual(["forbidden", "forbidden", "forbidden"]);
    expect(world.tabs.map((tab) => tab.holds)).toEqual([0, 0, 0]);
  });
});

describe("where no socket gets through", () => {
  /** Five tabs that poll. */
  async function polling(hasTickets = false): Promise<World> {
    const world = new World();
    world.isBlocked = true;
    world.server.write("student", "a", 10);
    for (let i = 0; i < 5; i++) world.open(everything, hasTickets);
    await world.until(() => says(world).every((said) => said === "polling"), 30_000);
    expect(new Set(says(world))).toEqual(new Set(["polling"]));
    return world;
  }

  test.each([true, false])(
    "five tabs poll as often as one, and show as much (tickets: %s)",
    async (hasTickets) => {
      const world = await polling(hasTickets);
      await world.pass(20_000);
      const before = world.polls;
      world.server.write("student", "b", 20);
      await world.pass(60_000, () => {
        expect(new Set(says(world))).toEqual(new Set(["polling"]));
        // Every five seconds, and what it takes.
        for (const tab of world.tabs) expect(tab.age).toBeLessThan(6_500);
      });
      expect(world.polls - before).toBeLessThanOrEqual(13);
      for (const tab of world.tabs) expect(tab.shown).toEqual({ a: 10, b: 20 });
      world.server.write("student", "b", undefined);
      await world.pass(7_000);
      for (const tab of world.tabs) expect(tab.shown).toEqual({ a: 10 });
    },
  );

  test("a tab says when what it shows was right, however late it comes", async () => {
    const world = await polling();
    world.delay = 3_000;
    await world.pass(20_000);
    const [leader] = world.tabs;
    await world.pass(20_000, () => {
      for (const tab of world.tabs)
        expect(tab.age).toBeGreaterThanOrEqual((leader?.age ?? 0) - 100);
      for (const tab of world.tabs) expect(tab.age).toBeLessThan(14_000);
    });
  });

  test("each tab is shown what it watches, soon after it watches it", async () => {
    const world = await polling();
    world.server.write("tutor", "t", 30);
    const [late, other] = [world.open(tutors), world.open(students)];
    expect(
      await world.until(() => late.says === "polling" && other.says === "polling"),
    ).toBeLessThan(12_000);
    expect(late.shown).toEqual({ t: 30 });
    expect(other.shown).toEqual({ a: 10 });
  });

  test("an API that does not answer either makes every tab stale", async () => {
    const world = await polling();
    world.status = 503;
    await world.pass(45_000);
    expect(new Set(says(world))).toEqual(new Set(["stale"]));
    world.status = undefined;
    await world.until(() => says(world).every((said) => said === "polling"));
    expect(new Set(says(world))).toEqual(new Set(["polling"]));
  });

  test("a poll of many pages that come slowly reaches all", async () => {
    const world = await polling();
    for (const id of ["b", "c", "d", "e", "f"]) world.server.write("student", id, 1);
    world.rowsInPage = 1;
    world.delay = 8_000;
    await world.until(
      () => world.tabs.every((tab) => Object.keys(tab.shown).length === 6),
      180_000,
    );
    for (const tab of world.tabs) expect(Object.keys(tab.shown)).toHaveLength(6);
  });

  test("a new tab polls for itself where the one that leads has a socket that says nothing", async () => {
    const world = await live();
    world.isSilent = true;
    await world.pass(8_000);
    world.server.write("student", "a", 20);
    const late = world.open();
    await world.pass(10_000);
    expect(late.shown).toEqual({ a: 20 });
    expect(late.says).toBe("polling");
  });

  test("another tab takes over when the one that polls is closed, or stands still", async () => {
    const world = await polling();
    const [first] = world.tabs.splice(0, 1);
    first?.browserTab.close();
    world.server.write("student", "a", 11);
    const isRight = (tabs: readonly OpenTab[], a: number) =>
      tabs.every((tab) => tab.says === "polling" && tab.shown["a"] === a);
    expect(await world.until(() => isRight(world.tabs, 11), 20_000)).toBeLessThan(20_000);
    const [second, ...others] = world.tabs;
    second?.browserTab.freeze();
    world.server.write("student", "a", 12);
    expect(await world.until(() => isRight(others, 12), 60_000)).toBeLessThan(60_000);
  });

  test("no tab is offline on its way back to a socket, and there is one", async () => {
    const world = await polling();
    world.isBlocked = false;
    const kinds = new Set<string>();
    await world.pass(40_000, () => {
      for (const said of says(world)) kinds.add(said);
    });
    expect(kinds).toEqual(new Set(["polling", "live"]));
    expect(new Set(says(world))).toEqual(new Set(["live"]));
    expect(world.network.alive).toHaveLength(1);
    const before = world.polls;
    await world.pass(60_000);
    expect(world.polls).toBe(before);
  });
});
