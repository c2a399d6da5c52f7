import { expect } from "@playwright/test";
import { Dashboard, test as base } from "./dashboard.ts";
import { listenTo } from "./observe.ts";
import { startStack, type Stack } from "./stack.ts";
import { Way } from "./way.ts";

/** On this stack a connection lasts 20 seconds, not two hours: a minute is like six hours on AWS. */
let stack: Stack | undefined;
const others = { ...process.env };
const minute = 60_000;

const test = base.extend({ bypassCSP: true });

test.beforeAll(async () => {
  test.setTimeout(5 * minute);
  stack = await startStack({ lifetime: "20s" });
  Object.assign(process.env, stack.env);
});
test.afterAll(async () => {
  Object.assign(process.env, others);
  await stack?.stop();
});

test("connections that end all the time are replaced without a gap", async ({
  browser,
  table,
  id,
}) => {
  test.setTimeout(3 * minute);
  const way = await Way.open();
  // The server tells a page to move in answer to a sync, which comes once a minute otherwise.
  const often = {
    quiet: { minimum: 1_500, spread: 500 },
    regular: { minimum: 1_500, spread: 500 },
  };
  const ages = {
    "moves when it is told to": often,
    "moves by itself": { ...often, lifetime: { minimum: 10_000, spread: 4_000 } },
  };
  await table.update("student", id, { health_score: 0 });
  const watched = await Promise.all(
    Object.entries(ages).map(async ([name, timing]) => {
      const context = await browser.newContext({ bypassCSP: true });
      const dashboard = new Dashboard(await context.newPage());
      let sockets = 0;
      dashboard.page.on("websocket", () => (sockets += 1));
      await way.lead(dashboard.page, timing);
      await dashboard.open();
      await expect(dashboard.cell(id, "0")).toBeVisible();
      const said = await listenTo(dashboard.page.getByRole("banner"));
      return { name, context, dashboard, said, sockets: () => sockets };
    }),
  );

  const endAt = Date.now() + minute;
  for (let score = 1; Date.now() < endAt; score = (score % 99) + 1) {
    await table.update("student", id, { health_score: score });
    await Promise.all(
      watched.map(({ name, dashboard }) =>
        expect(dashboard.cell(id, String(score)), `${name}: ${score}`).toBeVisible(),
      ),
    );
  }
  for (const { name, said, sockets, context } of watched) {
    expect(sockets(), name).toBeGreaterThanOrEqual(3);
    const doubts = (await said()).filter((text) => /Disconnected|offline|stale/.test(text));
    expect(doubts, name).toEqual([]);
    await context.close();
  }
  await way.close();
});
