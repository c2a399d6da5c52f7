import type { Version, ViewV1 } from "@contracts/zz_types.ts";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FakePage } from "../testing/fake-page.ts";
import { FakeNetwork } from "../testing/fake-socket.ts";
import { attributesOf, FakeServer, keyOf, type RowKind } from "../testing/fake-server.ts";
import { VirtualClock } from "../testing/virtual-clock.ts";
import { LiveClient } from "./live-client.ts";

/** What the page may watch. */
const views: readonly ViewV1[] = [
  { entity_type: "*" },
  { entity_type: "student" },
  { entity_type: "student", where: [{ attribute: "health_score", operator: "lt", value: 50 }] },
  { entity_type: "student", fields: ["segment"] },
  { entity_type: "insight" },
];

/** Something that happens; the numbers choose among what there is. */
interface Happening {
  readonly what: (typeof happenings)[number];
  readonly which: number;
  readonly where: number;
}

const happenings = [
  "write",
  "delete",
  "change",
  "fan out",
  "serve",
  "deliver",
  "deliver twice",
  "lose",
  "resync",
  "move",
  "cut",
  "accept",
  "refuse",
  "settle",
  "wait",
  "wait long",
  "watch",
  "hide",
  "show",
] as const;

/** A page, its server, and all that lies between them. */
class World {
  readonly clock = new VirtualClock();
  readonly network = new FakeNetwork();
  readonly server = new FakeServer(this.network, this.clock);
  readonly page = new FakePage();
  readonly client: LiveClient;
  #scheduled: (() => void)[] = [];
  #view = 0;
  #leave: () => void;
  #moment = 0;
  /** When each revision of a row was written, by key. */
  readonly #writes = new Map<string, number[]>();
  /** The revision of each row that was shown last, and since when it is not shown any more. */
  readonly #shown = new Map<string, { revision: number; goneAt: number | undefined }>();

  constructor(random: () => number) {
    this.client = new LiveClient({
      url: "ws://server.test/prod",
      clock: this.clock,
      random,
      WebSocket: this.network.WebSocket,
      page: this.page,
      schedule: (run) => this.#scheduled.push(run),
      now: () => 0,
    });
    this.#leave = this.client.watch({ view: this.view });
    this.client.start();
  }

  get view(): ViewV1 {
    return views[this.#view] ?? { entity_type: "*" };
  }

  async happen({ what, which, where }: Happening): Promise<void> {
    const { server, network, clock, page } = this;
    const { lines } = server;
    const line = lines[where % Math.max(1, lines.length)];
    const connecting = network.sockets.find(({ state }) => state === "connecting");
    const kind = (["student", "tutor", "insight"] satisfies RowKind[])[where % 3] ?? "student";
    const id = `${kind}_${which % 3}`;
    switch (what) {
      case "write":
      case "delete":
        this.#write(kind, id, what === "write" ? which % 100 : undefined);
        break;
      case "change":
        this.#write(kind, id, which % 100);
        server.fanOut(server.unsaid - 1);
        break;
      case "fan out":
        server.fanOut(which % Math.max(1, server.unsaid));
        break;
      case "serve":
        if (line) server.serve(line);
        break;
      case "deliver":
      case "deliver twice":
        // What was posted last often comes first.
        if (line) {
          const index =
            which % 2 === 0 ? which % Math.max(1, line.wire.length) : line.wire.length - 1;
          server.deliver(line, index, what !== "deliver");
        }
        break;
      case "lose":
        line?.wire.splice(which % Math.max(1, line.wire.length), 1);
        break;
      case "resync":
        if (line) server.tell(line, { type: "RESYNC" });
        break;
      case "move":
        if (line) server.tell(line, { type: "RECONNECT", within_ms: which * 50 });
        break;
      case "cut":
        line?.socket.serverCloses();
        break;
      case "accept":
        connecting?.serverAccepts();
        break;
      case "refuse":
        connecting?.serverCloses();
        break;
      case "settle":
        connecting?.serverAccepts();
        server.settle();
        break;
      case "wait":
        clock.advance(which * 30);
        break;
      case "wait long":
        clock.advance(which * 500);
        break;
      case "watch": {
        this.#leave();
        this.#view = which % views.length;
        this.#leave = this.client.watch({ view: this.view });
        await Promise.resolve();
        break;
      }
      case "hide":
        page.becomes("hidden");
        break;
      case "show":
        page.becomes("visible");
    }
    this.#paint();
    this.#check();
  }

  #write(kind: RowKind, id: string, score: number | undefined): void {
    this.server.write(kind, id, score);
    const row = this.server.history.at(-1);
    if (!row) return;
    const key = keyOf(row);
    this.#writes.set(key, [...(this.#writes.get(key) ?? []), this.#moment]);
  }

  /** From now on everything works, and nobody writes. */
  calmDown(): void {
    for (let second = 0; second < 120; second++) {
      for (const socket of this.network.alive) {
        if (socket.state === "connecting") socket.serverAccepts();
      }
      this.server.settle();
      this.#paint();
      this.#check();
      this.clock.advance(1_000);
    }
    this.server.settle();
    this.#paint();
  }

  #paint(): void {
    for (const run of this.#scheduled.splice(0)) run();
  }

  /** What is held, by key. */
  get held(): Map<string, { version: Version; attributes: object }> {
    const { replica, findings } = this.client;
    return new Map(
      [...replica.entities.values(), ...findings.latest].map(({ key, version, attributes }) => [
        key,
        { version, attributes },
      ]),
    );
  }

  /** Nothing is invented, nothing goes backwards, and nothing that is right disappears. */
  #check(): void {
    this.#moment += 1;
    const { held, server, view } = this;
    for (const [key, { version, attributes }] of held) {
      const { revision } = version;
      const state = server.history.find((row) => keyOf(row) === key && row.revision === revision);
      expect(state?.score).toBeDefined();
      if (state) expect(attributesOf(state, [{ entity_type: "*" }])).toMatchObject(attributes);

      const before = this.#shown.get(key);
      if (before) expect(revision).toBeGreaterThanOrEqual(before.revision);
      // What has gone comes back as it was only if the table still held it after it had gone.
      if (before?.goneAt !== undefined && before.revision === revision) {
        const replacedAt = this.#writes.get(key)?.[revision] ?? Infinity;
        expect(replacedAt).toBeGreaterThanOrEqual(before.goneAt);
      }
      this.#shown.set(key, { revision, goneAt: undefined });
    }
    const current = new Map(server.rows([view]).map((row) => [keyOf(row), row.revision]));
    for (const [key, { revision, goneAt }] of this.#shown) {
      if (goneAt !== undefined || held.has(key)) continue;
      expect(current.get(key)).not.toBe(revision);
      this.#shown.set(key, { revision, goneAt: this.#moment });
    }
  }
}

function among(...some: Happening["what"][]): fc.Arbitrary<Happening["what"]> {
  return fc.constantFrom(...some);
}

const happening: fc.Arbitrary<Happening> = fc.record({
  what: fc.oneof(
    { weight: 3, arbitrary: among("write", "delete", "change") },
    { weight: 5, arbitrary: among("serve", "deliver") },
    { weight: 2, arbitrary: among("settle", "watch") },
    { weight: 2, arbitrary: among(...happenings) },
  ),
  which: fc.nat(99),
  where: fc.nat(5),
});

/** Numbers in [0, 1) that depend on nothing but the seed. */
function chance(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

describe("whatever is lost, doubled, reordered, delayed or cut", () => {
  test("in the end the page holds what the table holds, and says that it is live", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(happening, { maxLength: 120, size: "max" }),
        fc.nat(),
        async (all, seed) => {
          const world = new World(chance(seed));
          for (const each of all) await world.happen(each);
          world.calmDown();

          const { client, server, view, held } = world;
          const expected = server.rows([view]);
          for (const row of expected) {
            const { version, attributes } = held.get(keyOf(row)) ?? {};
            expect(version?.revision).toBe(row.revision);
            expect(attributes).toMatchObject(attributesOf(row, [view]));
          }
          const wanted = new Set(expected.map(keyOf));
          for (const [key, { attributes }] of held) {
            if (!wanted.has(key)) expect(isInView(view, key, attributes)).toBe(false);
          }
          expect(client.freshness().kind).toBe("live");
          expect(client.state.isComplete).toBe(true);
          expect(world.network.alive).toHaveLength(1);
          client.stop();
        },
      ),
      { numRuns: 250 },
    );
  }, 120_000);
});

/** Whether a hook with this view would show it. */
function isInView(view: ViewV1, key: string, attributes: object): boolean {
  const kind = key.slice(0, key.indexOf("/"));
  if (view.entity_type !== "*" && view.entity_type !== kind) return false;
  const score = "health_score" in attributes ? Number(attributes.health_score) : NaN;
  return (view.where ?? []).every(({ value }) => score < Number(value));
}
