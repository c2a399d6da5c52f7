import AxeBuilder from "@axe-core/playwright";
import { expect, type Page } from "@playwright/test";
import { test } from "./dashboard.ts";

async function findings(page: Page): Promise<string[]> {
  const { violations } = await new AxeBuilder({ page }).analyze();
  return violations.flatMap(({ id, nodes }) =>
    nodes.map(({ target }) => `${id}: ${target.join()}`),
  );
}

for (const colorScheme of ["light", "dark"] as const) {
  test.describe(colorScheme, () => {
    // A flash in mid-fade has no contrast to speak of; with less motion there is none.
    test.use({ colorScheme, contextOptions: { reducedMotion: "reduce" } });

    test("has no accessibility violations", async ({ dashboard, table, id }) => {
      const { page } = dashboard;
      for (const segment of ["thriving", "healthy", "at_risk", "churned"]) {
        await table.update("student", `${id}_${segment}`, { segment, health_score: 60 });
        await expect(dashboard.row(`${id}_${segment}`)).toBeVisible();
      }
      await page.evaluate(() => document.fonts.ready);
      expect(await findings(page)).toEqual([]);

      await page.getByRole("tab", { name: /^Subjects/ }).click();
      await page.getByRole("button", { name: "Demand" }).click();
      await expect(page.getByRole("tooltip")).toBeVisible();
      await page.getByRole("searchbox").fill("no such id");
      await expect(page.getByText("No id matches")).toBeVisible();
      await page.mouse.move(0, 0);
      await expect(page.getByRole("tooltip")).toHaveCount(0);
      expect(await findings(page)).toEqual([]);
    });
  });
}

test.describe("400 pixels wide", () => {
  test.use({ viewport: { width: 400, height: 800 } });

  test("the page does not scroll sideways, and the table does", async ({
    dashboard,
    table,
    id,
  }) => {
    await table.update("student", id, { health_score: 60 });
    await expect(dashboard.row(id)).toBeAttached();
    const widths = await dashboard.page.evaluate(() => {
      const panel = document.querySelector("[role=tabpanel]");
      return {
        page: document.documentElement.scrollWidth,
        panel: panel?.clientWidth ?? 0,
        table: panel?.scrollWidth ?? 0,
      };
    });
    expect(widths.page).toBe(400);
    expect(widths.table).toBeGreaterThan(widths.panel);
  });
});
