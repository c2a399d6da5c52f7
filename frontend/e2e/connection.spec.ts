import { expect, type WebSocketRoute } from "@playwright/test";
import { Dashboard, test } from "./dashboard.ts";
import { variable } from "./environment.ts";

/** Puts the test between the page and the server. */
async function intercept(dashboard: Dashboard): Promise<WebSocketRoute[]> {
  const routes: WebSocketRoute[] = [];
  const isServer = (url: URL) => url.href.startsWith(variable("WEBSOCKET_URL"));
  await dashboard.page.routeWebSocket(isServer, (route) => {
    route.connectToServer();
    routes.push(route);
  });
  return routes;
}

test("a page opens one socket", async ({ page }) => {
  let sockets = 0;
  page.on("websocket", () => (sockets += 1));
  await new Dashboard(page).open();
  expect(sockets).toBe(1);
});

test("says Disconnected while it is, and finds its way back", async ({ page, table, id }) => {
  const dashboard = new Dashboard(page);
  const routes = await intercept(dashboard);
  await dashboard.open();
  await routes[0]?.close({ code: 1001, reason: "going away" });
  await expect(dashboard.chip).toHaveText("Disconnected");
  await expect(dashboard.chip).toHaveText("Live");
  expect(routes).toHaveLength(2);
  await table.update("student", id, { health_score: 66 });
  await expect(dashboard.cell(id, "66")).toBeVisible();
});

test("a malformed frame does not stop the next", async ({ page, table, id }) => {
  const dashboard = new Dashboard(page);
  const failures: Error[] = [];
  page.on("pageerror", (error) => failures.push(error));
  const [route] = await intercept(dashboard).then(async (routes) => {
    await dashboard.open();
    return routes;
  });
  for (const bad of ["{", "null", '{"type":"METRIC_UPDATE","version":1,"data":[{}]}', "[]"]) {
    route?.send(bad);
  }
  await table.update("student", id, { health_score: 67 });
  await expect(dashboard.cell(id, "67")).toBeVisible();
  expect(failures).toEqual([]);
});

test("without a server address the page says what to do", async ({ page }) => {
  await page.route("**/config.json", (route) => route.fulfill({ status: 404 }));
  await page.goto(variable("DASHBOARD_URL"));
  await expect(page.getByRole("main")).toContainText("config.json");
});
