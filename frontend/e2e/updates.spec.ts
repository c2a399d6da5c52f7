import { expect } from "@playwright/test";
import { Dashboard, test } from "./dashboard.ts";
import { publishEvent } from "./topic.ts";

test("a write to the table changes the text in the page", async ({ dashboard, table, id }) => {
  await table.update("student", id, { health_score: 71, segment: "healthy", sessions_30d: 12 });
  await expect(dashboard.cell(id, "71")).toBeVisible();
  await expect(dashboard.cell(id, "healthy")).toBeVisible();

  await table.update("student", id, { health_score: 64, segment: "at_risk" });
  await expect(dashboard.cell(id, "64")).toBeVisible();
  await expect(dashboard.cell(id, "at risk")).toBeVisible();
  await expect(dashboard.cell(id, "12")).toBeVisible();

  const changes = dashboard.page.getByRole("region", { name: "Latest changes" });
  await expect(changes.getByRole("listitem").filter({ hasText: id }).first()).toContainText(
    "health 71 → 64",
  );
});

test("every open page shows it", async ({ dashboard, table, id, browser }) => {
  const context = await browser.newContext();
  const other = new Dashboard(await context.newPage());
  await other.open();
  await table.update("tutor", id, { avg_rating: 4.5, segment: "star" });
  await expect(dashboard.cell(id, "4.50")).toBeVisible();
  await expect(other.cell(id, "4.50")).toBeVisible();
  await context.close();
});

test("a subject shows its region and its balance", async ({ dashboard, table, id }) => {
  await table.update("subject", id, {
    region: "north",
    demand_score: 88,
    supply_score: 41,
    available_tutors: 7,
    active_students: 93,
    balance_status: "high_demand",
  });
  await dashboard.page.getByRole("tab", { name: /^Subjects/ }).click();
  for (const text of ["north", "88", "41", "7", "93", "high demand"]) {
    await expect(dashboard.cell(id, text)).toBeVisible();
  }
});

test("a deleted row goes, and comes back with the next write", async ({ dashboard, table, id }) => {
  await table.update("student", id, { health_score: 50 });
  await expect(dashboard.row(id)).toBeVisible();
  await table.delete("student", id);
  await expect(dashboard.row(id)).toHaveCount(0);
  await table.update("student", id, { health_score: 51 });
  await expect(dashboard.cell(id, "51")).toBeVisible();
});

test("duplicates and older versions do not move the page backwards", async ({
  dashboard,
  table,
  id,
}) => {
  for (const health_score of [10, 20, 30]) {
    await table.update("student", id, { health_score });
    await expect(dashboard.cell(id, String(health_score))).toBeVisible();
  }
  const latest = await dashboard.received(id, '"health_score":30');

  // What a replay of the bus would bring: an older version, and the same one again. Their values
  // differ from those of the table, so that the page would show it if it took them.
  await publishEvent(latest, id, { revisionsBack: 1, attributes: { health_score: 11 } });
  await dashboard.received(id, '"health_score":11');
  await publishEvent(latest, id, { revisionsBack: 0, attributes: { health_score: 12 } });
  await dashboard.received(id, '"health_score":12');
  await expect(dashboard.cell(id, "30")).toBeVisible();

  await table.update("student", id, { health_score: 40 });
  await expect(dashboard.cell(id, "40")).toBeVisible();
});

test("a replayed update does not bring a deleted row back", async ({ dashboard, table, id }) => {
  await table.update("student", id, { health_score: 10 });
  const latest = await dashboard.received(id, '"health_score":10');
  await table.delete("student", id);
  await expect(dashboard.row(id)).toHaveCount(0);

  await publishEvent(latest, id, { revisionsBack: 0, attributes: { health_score: 13 } });
  await dashboard.received(id, '"health_score":13');
  const marker = `${id}_marker`;
  await table.update("student", marker, { health_score: 1 });
  await expect(dashboard.row(marker)).toBeVisible();
  await expect(dashboard.row(id)).toHaveCount(0);
});
