import { expect, type Page } from "@playwright/test";
import { Dashboard, test } from "./dashboard.ts";
import { variable } from "./environment.ts";

/** Counts the sockets to the server that a page has open. */
function countSockets(page: Page): () => number {
  let open = 0;
  page.on("websocket", (socket) => {
    if (!socket.url().startsWith(variable("WEBSOCKET_URL"))) return;
    open += 1;
    socket.on("close", () => (open -= 1));
  });
  return () => open;
}

/** What the chip says from now on, each with how long it said so, in milliseconds. */
async function recordChip(dashboard: Dashboard): Promise<() => Promise<[string, number][]>> {
  await dashboard.chip.evaluate((chip) => {
    const said: [string, number][] = [[chip.textContent, performance.now()]];
    Object.assign(globalThis, { said });
    new MutationObserver(() => {
      if (said.at(-1)?.[0] !== chip.textContent) said.push([chip.textContent, performance.now()]);
    }).observe(chip, { subtree: true, childList: true, characterData: true });
  });
  return () =>
    dashboard.page.evaluate(() => {
      const { said } = globalThis as unknown as { said: [string, number][] };
      return said.map(([text, at], i) => [text, (said[i + 1]?.[1] ?? performance.now()) - at]);
    });
}

test("two tabs share one socket, and when one closes the other has its own within two seconds", async ({
  context,
  table,
  id,
}) => {
  const first = new Dashboard(await context.newPage());
  const socketsOfFirst = countSockets(first.page);
  await first.open();
  const second = new Dashboard(await context.newPage());
  const socketsOfSecond = countSockets(second.page);
  await second.open();
  expect([socketsOfFirst(), socketsOfSecond()]).toEqual([1, 0]);

  await table.update("student", id, { health_score: 41 });
  await expect(first.cell(id, "41")).toBeVisible();
  await expect(second.cell(id, "41")).toBeVisible();
  for (const { chip } of [first, second]) {
    await expect(chip).toHaveAccessibleDescription(/^live, \d/);
  }
  await table.update("student", id, { health_score: 42 });
  await expect(second.cell(id, "42")).toBeVisible();

  const chip = await recordChip(second);
  await first.page.close();
  await table.update("student", id, { health_score: 43 });
  await expect(second.cell(id, "43")).toBeVisible({ timeout: 2_000 });
  await expect(second.chip).toHaveText("Live", { timeout: 2_000 });
  await expect(second.chip).toHaveAccessibleDescription(/^live, \d/);
  expect(socketsOfSecond()).toBe(1);
  for (const [text, milliseconds] of await chip()) {
    if (text !== "Live") expect(milliseconds).toBeLessThan(2_000);
  }

  await table.update("student", id, { health_score: 44 });
  await expect(second.cell(id, "44")).toBeVisible();
});

test("tabs that leave a shared socket in turn leave one behind until the last has gone", async ({
  context,
  table,
  id,
}) => {
  const tabs: { dashboard: Dashboard; sockets: () => number }[] = [];
  for (let i = 0; i < 4; i++) {
    const dashboard = new Dashboard(await context.newPage());
    const sockets = countSockets(dashboard.page);
    await dashboard.open();
    tabs.push({ dashboard, sockets });
  }
  const total = () => tabs.reduce((sum, { sockets }) => sum + sockets(), 0);
  for (let health_score = 1; tabs.length > 0; health_score++) {
    expect(total()).toBe(1);
    await table.update("student", id, { health_score });
    for (const { dashboard } of tabs) {
      await expect(dashboard.cell(id, String(health_score))).toBeVisible();
    }
    const [leader] = tabs.splice(0, 1);
    await leader?.dashboard.page.close();
    if (tabs.length > 0) await expect.poll(total, { timeout: 2_000 }).toBe(1);
  }
});

test("a tab whose page is frozen is replaced, and follows when it wakes", async ({
  context,
  table,
  id,
}) => {
  const first = new Dashboard(await context.newPage());
  const socketsOfFirst = countSockets(first.page);
  await first.open();
  const second = new Dashboard(await context.newPage());
  const socketsOfSecond = countSockets(second.page);
  await second.open();
  const devtools = await context.newCDPSession(first.page);
  await devtools.send("Debugger.enable");
  // A page that stands still, as one in a debugger or one that the browser has put to sleep.
  await devtools.send("Debugger.pause");
  const isPaused = new Promise((resolve) => devtools.once("Debugger.paused", resolve));
  await isPaused;
  await table.update("student", id, { health_score: 51 });
  await expect(second.cell(id, "51")).toBeVisible({ timeout: 35_000 });
  await expect(second.chip).toHaveText("Live");
  expect(socketsOfSecond()).toBe(1);

  await devtools.send("Debugger.resume");
  await table.update("student", id, { health_score: 52 });
  await expect(first.cell(id, "52")).toBeVisible();
  await expect(second.cell(id, "52")).toBeVisible();
  await expect(first.chip).toHaveText("Live");
  await expect.poll(() => [socketsOfFirst(), socketsOfSecond()]).toEqual([0, 1]);
});
