import { type Locator, type Page, test as base, expect } from "@playwright/test";
import { variable } from "./environment.ts";
import { InsightsTable, MetricsTable } from "./table.ts";

/** The page as a person meets it. */
export class Dashboard {
  readonly page: Page;
  /** The text of each message that the page was sent, in order. */
  readonly messages: string[] = [];
  readonly chip: Locator;

  constructor(page: Page) {
    this.page = page;
    this.chip = page.getByRole("status", { name: "Connection" });
    page.on("websocket", (socket) => {
      socket.on("framereceived", ({ payload }) => this.messages.push(String(payload)));
    });
  }

  async open(): Promise<void> {
    await this.page.goto(variable("DASHBOARD_URL"));
    await expect(this.chip).toHaveText("Live");
  }

  /** The row of an entity. */
  row(id: string): Locator {
    return this.page.getByRole("row").filter({
      has: this.page.getByRole("rowheader", { name: id, exact: true }),
    });
  }

  cell(id: string, name: string | RegExp): Locator {
    return this.row(id).getByRole("cell", { name, exact: true });
  }

  /** Waits until the page was sent a message that holds all of `parts`, and returns it. */
  async received(...parts: string[]): Promise<string> {
    const find = () => this.messages.find((text) => parts.every((part) => text.includes(part)));
    await expect.poll(find, { message: `a message with ${parts.join(", ")}` }).toBeDefined();
    return find() ?? "";
  }
}

export const test = base.extend<{
  dashboard: Dashboard;
  table: MetricsTable;
  insights: InsightsTable;
  id: string;
}>({
  dashboard: async ({ page }, provide) => {
    const dashboard = new Dashboard(page);
    await dashboard.open();
    await provide(dashboard);
  },
  // eslint-disable-next-line no-empty-pattern -- Playwright wants a pattern here.
  table: async ({}, provide) => {
    const table = new MetricsTable();
    await provide(table);
    table.close();
  },
  // eslint-disable-next-line no-empty-pattern
  insights: async ({}, provide) => {
    const insights = new InsightsTable();
    await provide(insights);
    insights.close();
  },
  /** Of an entity that no other test knows. */
  // eslint-disable-next-line no-empty-pattern
  id: async ({}, provide, { testId, retry, repeatEachIndex }) => {
    await provide(`e2e_${testId.slice(-6)}_${retry}_${repeatEachIndex}`);
  },
});
