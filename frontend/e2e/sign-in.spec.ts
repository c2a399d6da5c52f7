import { expect, type BrowserContext, type Page } from "@playwright/test";
import { Dashboard, test } from "./dashboard.ts";
import { variable } from "./environment.ts";
import { startStack, type Stack } from "./stack.ts";
import { Way } from "./way.ts";

/** Nobody may connect to this stack without a ticket. */
let stack: Stack | undefined;
const others = { ...process.env };

test.beforeAll(async () => {
  test.setTimeout(5 * 60_000);
  stack = await startStack({ auth: "ticket" });
  Object.assign(process.env, stack.env);
});
test.afterAll(async () => {
  Object.assign(process.env, others);
  await stack?.stop();
});

/** Opens the page, and signs in with the form of the issuer. */
async function signIn(context: BrowserContext, name: string, tenant: string): Promise<Dashboard> {
  const dashboard = new Dashboard(await context.newPage());
  const { page } = dashboard;
  await page.goto(variable("DASHBOARD_URL"));
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByLabel("User name").fill(name);
  await page.getByLabel("Tenant").fill(tenant);
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect(dashboard.chip).toHaveText("Live");
  return dashboard;
}

const account = (page: Page) => page.getByRole("group", { name: "Account" });
const button = (page: Page) => page.getByRole("button", { name: "Sign in" });

test("whoever signs in sees the rows of their tenant, and no others", async ({
  context,
  browser,
  table,
  id,
}) => {
  const [before, after, foreign] = [`${id}_before`, `${id}_after`, `${id}_foreign`];
  await table.update("student", before, { tenant: "acme", health_score: 10 });
  await table.update("student", foreign, { tenant: "globex", health_score: 11 });
  const dashboard = await signIn(context, "ada", "acme");
  await expect(account(dashboard.page)).toContainText("ada · acme");
  expect(dashboard.page.url()).toBe(`${variable("DASHBOARD_URL")}/`);
  await expect(dashboard.cell(before, "10")).toBeVisible();

  const elsewhere = await browser.newContext();
  const other = await signIn(elsewhere, "grace", "globex");
  await table.update("student", foreign, { tenant: "globex", health_score: 12 });
  await table.update("student", after, { tenant: "acme", health_score: 13 });
  await expect(other.cell(foreign, "12")).toBeVisible();
  await expect(dashboard.cell(after, "13")).toBeVisible();
  for (const [page, theirs] of [
    [dashboard, foreign],
    [other, before],
  ] as const) {
    await expect(page.row(theirs)).toHaveCount(0);
    expect(page.messages.join()).not.toContain(theirs);
  }
  await elsewhere.close();
});

test("a reload and a second tab ask nobody again; signing out ends both", async ({ context }) => {
  const dashboard = await signIn(context, "ada", "acme");
  const { page } = dashboard;
  await page.reload();
  await expect(dashboard.chip).toHaveText("Live");
  await expect(account(page)).toContainText("ada · acme");

  const second = new Dashboard(await context.newPage());
  await second.open();
  await expect(account(second.page)).toContainText("ada · acme");

  await account(page).getByRole("button", { name: "Sign out" }).click();
  await expect(button(page)).toBeVisible();
  await expect(dashboard.chip).toHaveCount(0);
  expect(page.url()).toBe(`${variable("DASHBOARD_URL")}/`);
  await expect(button(second.page)).toBeVisible();
  await expect(second.chip).toHaveCount(0);

  await page.reload();
  await button(page).click();
  await expect(page.getByLabel("User name")).toBeVisible();
});

test("a socket opens with a ticket only, and closes with the sign-out", async ({ browser }) => {
  const context = await browser.newContext({ bypassCSP: true });
  const page = await context.newPage();
  // Counts connections: of a page that leaves nobody hears whether its sockets were closed.
  const way = await Way.open();
  await way.lead(page, {});
  const sockets: string[] = [];
  page.on("websocket", (socket) => sockets.push(socket.url()));
  await page.goto(variable("DASHBOARD_URL"));
  await button(page).click();
  await page.getByLabel("User name").fill("ada");
  await button(page).click();
  await expect(new Dashboard(page).chip).toHaveText("Live");
  expect(sockets).toHaveLength(1);
  expect(new URL(sockets[0] ?? "").searchParams.get("ticket")).toMatch(/^[\w-]{43}$/);
  expect(way.socket.connections).toBe(1);
  await account(page).getByRole("button", { name: "Sign out" }).click();
  await expect(button(page)).toBeVisible();
  await expect.poll(() => way.socket.connections).toBe(0);
  await context.close();
  await way.close();
});

test("what the issuer does not like is said on its form, and a stranger's answer on the page", async ({
  context,
}) => {
  const page = await context.newPage();
  await page.goto(variable("DASHBOARD_URL"));
  await button(page).click();
  await page.getByLabel("User name").fill("<b>ada</b>");
  await page.getByLabel("Tenant").fill("no tenant");
  await button(page).click();
  await expect(page.getByRole("alert")).toContainText("A tenant has");
  await expect(page.getByLabel("User name")).toHaveValue("<b>ada</b>");

  await page.goto(`${variable("DASHBOARD_URL")}/?code=stolen&state=guessed`);
  await expect(page.getByRole("alert")).toContainText("not begun in this tab");
  expect(page.url()).toBe(`${variable("DASHBOARD_URL")}/`);
  await page.getByRole("button", { name: "Try again" }).click();
  await expect(page.getByLabel("User name")).toBeVisible();
});

test("nothing that was signed in with is kept in the browser", async ({ context }) => {
  const { page } = await signIn(context, "ada", "acme");
  const kept = await page.evaluate(() =>
    JSON.stringify([
      Object.entries(localStorage),
      Object.entries(sessionStorage),
      location.href,
      document.cookie,
    ]),
  );
  expect(kept).not.toMatch(/eyJ|code|verifier|token/);
});
