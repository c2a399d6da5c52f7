import { spawn, type ChildProcessByStdio } from "node:child_process";
import { once } from "node:events";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { expect } from "@playwright/test";
import { test } from "./dashboard.ts";

const program = fileURLToPath(new URL("../../scripts/tail", import.meta.url));
/** The first start builds the package. */
const patience = 60_000;

/** scripts/tail as somebody runs it, on the system under test. */
class Tail {
  said = "";
  complained = "";
  readonly process: ChildProcessByStdio<null, Readable, Readable>;
  readonly ended: Promise<unknown[]>;

  constructor(...args: string[]) {
    this.process = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
    this.process.stdout.on("data", (chunk: Buffer) => (this.said += chunk.toString()));
    this.process.stderr.on("data", (chunk: Buffer) => (this.complained += chunk.toString()));
    this.ended = once(this.process, "exit");
  }

  async live(): Promise<void> {
    await expect.poll(() => this.complained, { timeout: patience }).toContain("live\n");
  }
}

test("a terminal shows each change as it comes, until somebody interrupts it", async ({
  table,
  id,
}) => {
  test.setTimeout(2 * patience);
  await table.update("student", id, { health_score: 40, segment: "at_risk" });
  const tail = new Tail("--type", "student", "--where", "health_score<50");
  await tail.live();
  await table.update("student", id, { health_score: 12.5, segment: "churned" });
  const line = new RegExp(
    `^\\d\\d:\\d\\d:\\d\\d\\.\\d{3}  student ${id}  changed  (.*, )?health_score 40 → 12.5(, .*)?  v2  \\d+\\.\\d s$`,
    "m",
  );
  await expect.poll(() => tail.said).toMatch(line);
  await table.update("student", id, { health_score: 80 });
  await expect.poll(() => tail.said).toContain(`student ${id}  removed`);
  tail.process.kill("SIGINT");
  expect(await tail.ended).toEqual([0, null]);
});

test("a script gets what is there as JSON, and an end", async ({ table, id }) => {
  test.setTimeout(2 * patience);
  await table.update("tutor", id, { avg_rating: 4.5 });
  let said = "";
  // What was written a moment ago may be on its way.
  await expect
    .poll(
      async () => {
        const tail = new Tail("--type", "tutor", "--snapshot", "--once", "--json", "--for", "20s");
        expect(await tail.ended).toEqual([0, null]);
        said = tail.said;
        return said;
      },
      { timeout: patience },
    )
    .toContain(`"${id}"`);
  const held = said
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { id: string });
  expect(held.find((each) => each.id === id)).toMatchObject({
    kind: "held",
    type: "tutor",
    attributes: { avg_rating: 4.5 },
  });
});

test("whoever stops reading ends it", async ({ table, id }) => {
  test.setTimeout(2 * patience);
  const tail = new Tail("--type", "region");
  await tail.live();
  tail.process.stdout.destroy();
  await table.update("region", id, { health_score: 1 });
  expect(await tail.ended).toEqual([0, null]);
});

test("where nothing runs it says what to do", async () => {
  test.setTimeout(2 * patience);
  const tail = new Tail("--url", "ws://127.0.0.1:9");
  expect(await tail.ended).toEqual([3, null]);
  expect(tail.complained).toContain("nothing answers at ws://127.0.0.1:9");
});
