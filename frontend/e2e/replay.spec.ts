import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect } from "@playwright/test";
import { Dashboard, test as base } from "./dashboard.ts";

const script = fileURLToPath(new URL("../../scripts/replay", import.meta.url));
const run = promisify(execFile);

/** Runs scripts/replay and resolves with what it writes, or rejects if it ends otherwise than well. */
type Replay = (...words: readonly string[]) => Promise<string>;

const test = base.extend<{ replay: Replay }>({
  // eslint-disable-next-line no-empty-pattern -- Playwright wants a pattern here.
  replay: async ({}, provide) => {
    const folder = await mkdtemp(join(tmpdir(), "iops-replay-"));
    await provide(async (...words) => (await run(script, ["--root", folder, ...words])).stdout);
    await rm(folder, { recursive: true });
  },
});

test("a row in quarantine shows as it was, until its record is mended and brought back", async ({
  page,
  table,
  id,
  replay,
}) => {
  test.setTimeout(120_000); // the first start builds the program
  await table.update("student", id, { health_score: 50 });
  const dashboard = new Dashboard(page);
  await dashboard.open();
  await page.getByRole("searchbox").fill(id);
  await expect(dashboard.cell(id, "50")).toBeVisible();

  await table.update("student", id, { health_score: 101 });
  const these = ["quarantine", "--entity", `student/${id}`] as const;
  await expect
    .poll(() => replay("inspect", ...these).catch(() => "nothing yet"), { timeout: 30_000 })
    .toContain("/dynamodb/NewImage/health_score");
  await expect(dashboard.cell(id, "50")).toBeVisible();

  const mend = '.body.dynamodb.NewImage.health_score.N = "10"';
  await replay("edit", ...these, "--set", mend, "--confirm");
  await expect(dashboard.cell(id, "10")).toBeVisible();
  await expect(replay("inspect", ...these)).rejects.toMatchObject({ code: 3 }); // nothing is left
});
