import { expect } from "@playwright/test";
import { Dashboard, test } from "./dashboard.ts";
import { variable } from "./environment.ts";

const isServer = (url: URL) => url.href.startsWith(variable("WEBSOCKET_URL"));

test("what was written before the page opened is shown", async ({
  dashboard: earlier,
  table,
  insights,
  id,
  browser,
}) => {
  const ids = Array.from({ length: 12 }, (_, i) => `${id}_${i}`);
  await Promise.all(ids.map((each, i) => table.update("student", each, { health_score: i })));
  const gone = `${id}_gone`;
  await table.update("student", gone, { health_score: 1 });
  const at = new Date().toISOString();
  await insights.put(id, at, { prediction_type: "low_health_score", risk_score: 83 });
  await earlier.page.getByRole("searchbox").fill(id);
  await expect(earlier.page.getByRole("rowheader")).toHaveCount(13);
  await table.delete("student", gone);
  await expect(earlier.row(gone)).toHaveCount(0);
  await expect(earlier.page.getByRole("listitem").filter({ hasText: id }).first()).toBeVisible();

  const context = await browser.newContext();
  const later = new Dashboard(await context.newPage());
  await later.open();
  await later.page.getByRole("searchbox").fill(id);
  await expect(later.page.getByRole("rowheader")).toHaveCount(12);
  for (const [i, each] of ids.entries()) await expect(later.cell(each, String(i))).toBeVisible();
  await later.received('"SNAPSHOT"', `"${id}_11"`);
  const panel = later.page.getByRole("region", { name: "Insights" });
  await expect(panel.getByRole("listitem").filter({ hasText: id })).toContainText("critical 83");
  await expect(later.page.getByText(/^Computed from the whole table: /)).toBeVisible();
  await context.close();
});

test("what was missed while disconnected is repaired", async ({
  dashboard: witness,
  table,
  id,
  browser,
}) => {
  const context = await browser.newContext();
  const dashboard = new Dashboard(await context.newPage());
  let isCut = false;
  const cuts: (() => Promise<void>)[] = [];
  await dashboard.page.routeWebSocket(isServer, (route) => {
    if (isCut) {
      void route.close({ code: 1001 });
      return;
    }
    route.connectToServer();
    cuts.push(() => route.close({ code: 1001 }));
  });
  const [changed, deleted, added] = [`${id}_changed`, `${id}_deleted`, `${id}_added`];
  await table.update("student", changed, { health_score: 10 });
  await table.update("student", deleted, { health_score: 20 });
  await dashboard.open();
  await expect(dashboard.cell(changed, "10")).toBeVisible();
  await expect(dashboard.row(deleted)).toBeVisible();

  isCut = true;
  for (const cut of cuts) await cut();
  await expect(dashboard.chip).toHaveText("Disconnected");
  await table.update("student", changed, { health_score: 11 });
  await table.delete("student", deleted);
  await table.update("student", added, { health_score: 30 });
  await expect(witness.cell(changed, "11")).toBeVisible();
  await expect(witness.row(deleted)).toHaveCount(0);
  await expect(witness.row(added)).toBeVisible();
  await expect(dashboard.cell(changed, "10")).toBeVisible();

  isCut = false;
  await expect(dashboard.chip).toHaveText("Live", { timeout: 40_000 });
  await expect(dashboard.cell(changed, "11")).toBeVisible();
  await expect(dashboard.row(deleted)).toHaveCount(0);
  await expect(dashboard.row(added)).toBeVisible();
  await context.close();
});

test("says how current it is, and moves to a new connection without a gap", async ({ page }) => {
  const dashboard = new Dashboard(page);
  const sends: ((text: string) => void)[] = [];
  await page.routeWebSocket(isServer, (route) => {
    route.connectToServer();
    sends.push((text) => {
      route.send(text);
    });
  });
  await dashboard.open();
  await expect(dashboard.chip).toHaveAccessibleDescription(/^live, \d/);
  // Whatever the chip says from now on is remembered.
  await dashboard.chip.evaluate((chip) => {
    const said = new Set<string>();
    Object.assign(globalThis, { said });
    new MutationObserver(() => said.add(chip.textContent)).observe(chip, {
      subtree: true,
      childList: true,
      characterData: true,
    });
  });
  const timestamp = new Date().toISOString();
  sends[0]?.(JSON.stringify({ type: "RECONNECT", version: 1, timestamp, within_ms: 100 }));
  await expect.poll(() => sends.length).toBe(2);
  await expect(dashboard.chip).toHaveAccessibleDescription(/^live, \d/);
  const said = await page.evaluate(() => [
    ...(globalThis as unknown as { said: Set<string> }).said,
  ]);
  expect(said).not.toContain("Disconnected");
});

test("is not live when the server falls silent, and says since when, whatever the browser's clock says", async ({
  page,
}) => {
  const dashboard = new Dashboard(page);
  const freshness = (panel: string) =>
    page.getByRole("region", { name: panel }).getByRole("note", { name: "Freshness" });
  const panels = ["Students at a glance", "Entities", "Insights", "Latest changes"];
  const minute = (time: number) => page.evaluate(formatMinute, time);
  let isSilent = false;
  await page.clock.install({ time: Date.now() + 2 * 3_600_000 });
  await page.routeWebSocket(isServer, (route) => {
    const server = route.connectToServer();
    server.onMessage((message) => {
      if (!isSilent) route.send(message);
    });
  });
  const before = Date.now();
  await dashboard.open();
  await expect(dashboard.chip).toHaveAccessibleDescription(/^live, \d/);
  for (const panel of panels) await expect(freshness(panel)).toHaveText(/^live, \d/);
  isSilent = true;
  const after = Date.now();
  await page.clock.runFor(31_000);
  await expect(dashboard.chip).toHaveText("Disconnected");
  const since = `^stale since (${await minute(before)}|${await minute(after)})$`;
  await expect(dashboard.chip).toHaveAccessibleDescription(new RegExp(since));
  for (const panel of panels) await expect(freshness(panel)).toHaveText(new RegExp(since));
  isSilent = false;
  await page.clock.runFor(31_000);
  await expect(dashboard.chip).toHaveText("Live");
  await expect(dashboard.chip).toHaveAccessibleDescription(/^live, \d/);
  for (const panel of panels) await expect(freshness(panel)).toHaveText(/^live, \d/);
});

function formatMinute(time: number): string {
  const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
  return clock.format(time);
}
