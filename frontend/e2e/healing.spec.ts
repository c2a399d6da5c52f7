import { expect } from "@playwright/test";
import { Dashboard, test as base } from "./dashboard.ts";
import { variable } from "./environment.ts";
import { listenTo, watchRows } from "./observe.ts";
import { hasty, Way } from "./way.ts";

const test = base.extend<{ way: Way }>({
  bypassCSP: true,
  // eslint-disable-next-line no-empty-pattern -- Playwright wants a pattern here.
  way: async ({}, provide) => {
    const way = await Way.open();
    await provide(way);
    await way.close();
  },
});

/** Says how long something took. Nothing depends on it: a busy machine is slow. */
function report(what: string, since: number): void {
  console.log(`    ${what} after ${((performance.now() - since) / 1000).toFixed(1)} s`);
}

for (const isTold of [true, false]) {
  const how = isTold ? "that the browser notices" : "that nobody tells of";
  test(`a cut ${how}: stale while it lasts, then right, and only what changed is painted`, async ({
    page,
    context,
    way,
    table,
    id,
  }) => {
    const [changed, deleted, kept, added] = ["changed", "deleted", "kept", "added"].map(
      (name) => `${id}_${name}`,
    ) as [string, string, string, string];
    for (const each of [changed, deleted, kept]) {
      await table.update("student", each, { health_score: 10 });
    }
    const dashboard = new Dashboard(page);
    await way.lead(page, hasty);
    await dashboard.open();
    await page.getByRole("searchbox").fill(id);
    await expect(page.getByRole("rowheader")).toHaveCount(3);
    await expect(dashboard.chip).toHaveAccessibleDescription(/^live, /);
    const painted = await watchRows(dashboard);

    way.swallow();
    if (isTold) await context.setOffline(true);
    await table.update("student", changed, { health_score: 20 });
    await table.delete("student", deleted);
    await table.update("student", added, { health_score: 30 });
    await expect(dashboard.chip).toHaveText("Disconnected");
    await expect(dashboard.chip).toHaveAccessibleDescription(/^(stale since \d\d:\d\d|offline)$/);
    await expect(dashboard.cell(changed, "10")).toBeVisible();

    const restoredAt = performance.now();
    way.restore();
    if (isTold) await context.setOffline(false);
    await expect(dashboard.cell(changed, "20")).toBeVisible();
    report("right again", restoredAt);
    await expect(dashboard.row(deleted)).toHaveCount(0);
    await expect(dashboard.row(added)).toBeVisible();
    await expect(dashboard.chip).toHaveText("Live");
    await expect(dashboard.chip).toHaveAccessibleDescription(/^live, /);
    const keys = [changed, deleted, added].map((each) => `student/${each}`);
    expect((await painted()).toSorted()).toEqual(keys.toSorted());
  });
}

test("after a sleep of hours the page is right at once", async ({ page, way, table, id }) => {
  const dashboard = new Dashboard(page);
  await page.clock.install();
  await way.lead(page, {});
  await table.update("student", id, { health_score: 10 });
  await dashboard.open();
  await expect(dashboard.cell(id, "10")).toBeVisible();

  // The machine sleeps: nothing runs, and its connections end without its knowledge.
  way.socket.forget();
  await table.update("student", id, { health_score: 20 });
  const wokenAt = performance.now();
  await page.clock.fastForward("03:00:00");
  await expect(dashboard.cell(id, "20")).toBeVisible();
  report("right again", wokenAt);
  await expect(dashboard.chip).toHaveText("Live");
});

test("where sockets are blocked the page polls, and returns to a socket without a word", async ({
  page,
  way,
  table,
  id,
}) => {
  way.socket.refuse();
  await way.lead(page, hasty);
  await table.update("student", id, { health_score: 10 });
  await page.goto(variable("DASHBOARD_URL"));
  const dashboard = new Dashboard(page);
  await expect(dashboard.chip).toHaveAccessibleDescription(/^polling, \d+ s$/);
  await expect(dashboard.cell(id, "10")).toBeVisible();

  await table.update("student", id, { health_score: 20 });
  await expect(dashboard.cell(id, "20")).toBeVisible();
  await table.delete("student", id);
  await expect(dashboard.row(id)).toHaveCount(0);

  const said = await listenTo(page.getByRole("banner"));
  way.socket.restore();
  await expect(dashboard.chip).toHaveText("Live");
  await expect(dashboard.chip).toHaveAccessibleDescription(/^live, /);
  expect((await said()).filter((text) => /offline|stale/.test(text))).toEqual([]);
  await table.update("student", id, { health_score: 30 });
  await expect(dashboard.cell(id, "30")).toBeVisible();
});
