import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect } from "@playwright/test";
import type * as Live from "#live";
import { test } from "./dashboard.ts";
import { variable } from "./environment.ts";
import { Network } from "./network.ts";

const audience = 300;
const frontend = new URL("..", import.meta.url);

/** The package of the core, as another program would have it. */
async function loadPackage(): Promise<typeof Live> {
  await promisify(execFile)("npm", ["run", "--silent", "build:live"], { cwd: frontend });
  return (await import(new URL("dist-live/index.js", frontend).href)) as typeof Live;
}

/** The core of the page, without the page. */
class Visitor {
  readonly client: Live.LiveClient;
  /** The types of the control frames that it was sent. */
  readonly answers: string[] = [];

  constructor(client: Live.LiveClient) {
    this.client = client;
    this.client.watch({
      onMessage: (data) => {
        const { type } = JSON.parse(String(data)) as { type: string };
        if (type === "SYNCED" || type === "SNAPSHOT") this.answers.push(type);
      },
    });
  }

  get isLive(): boolean {
    return this.client.state.phase === "live";
  }

  healthOf(id: string): unknown {
    return this.client.replica.entities.get(`student/${id}`)?.attributes["health_score"];
  }
}

interface Read {
  readonly read?: string;
}

/** How each sync of this system so far had the state that it was judged by. */
async function readsSoFar(): Promise<Read[]> {
  const text = await readFile(join(variable("LOG_DIR"), "iops-dashboard-sync.log"), "utf8");
  const lines = text.split("\n").filter((line) => line.includes('"read"'));
  return lines.map((line) => JSON.parse(line.slice(line.indexOf("{"))) as Read);
}

test(`${audience} sockets that end at once are all back within a minute, most with a word`, async ({
  table,
  id,
}) => {
  test.setTimeout(180_000);
  const { LiveClient } = await loadPackage();
  for (let i = 0; i < 50; i++) await table.update("student", `${id}_${i}`, { health_score: i });
  const network = await Network.to(variable("WEBSOCKET_URL"));
  const url = network.through(variable("WEBSOCKET_URL"));
  const visitors = Array.from({ length: audience }, () => new Visitor(new LiveClient({ url })));
  const countLive = () => visitors.filter(({ isLive }) => isLive).length;
  try {
    for (const { client } of visitors) client.start();
    await expect.poll(countLive, { timeout: 60_000 }).toBe(audience);
    await expect.poll(() => visitors.every((each) => each.healthOf(`${id}_49`) === 49)).toBe(true);

    for (const { answers } of visitors) answers.length = 0;
    const before = await readsSoFar();
    const droppedAt = performance.now();
    network.drop();
    await expect.poll(countLive).toBeLessThan(audience);
    await expect
      .poll(() => visitors.filter(({ answers, isLive }) => isLive && answers.length > 0).length, {
        timeout: 60_000,
        intervals: [100],
      })
      .toBe(audience);
    const seconds = (performance.now() - droppedAt) / 1000;
    const synced = visitors.filter(({ answers }) => answers[0] === "SYNCED").length;
    const since = (await readsSoFar()).slice(before.length);
    const fresh = since.filter(({ read }) => read === "fresh").length;
    console.log(
      `    ${audience} sockets were back after ${seconds.toFixed(1)} s, ${synced} with a word; ` +
        `${since.length} syncs read the table ${fresh} times`,
    );
    expect(synced).toBeGreaterThan(audience / 2);

    await table.update("student", `${id}_0`, { health_score: 99 });
    await expect.poll(() => visitors.every((each) => each.healthOf(`${id}_0`) === 99)).toBe(true);
  } finally {
    for (const { client } of visitors) client.stop();
    await network.close();
    // Or the rows of other tests were not on the first page.
    for (let i = 0; i < 50; i++) await table.delete("student", `${id}_${i}`);
  }
});
