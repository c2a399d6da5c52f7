import { expect } from "@playwright/test";
import { test } from "./dashboard.ts";

test("an insight appears, is corrected, and goes", async ({ dashboard, insights, id }) => {
  const panel = dashboard.page.getByRole("region", { name: "Insights" });
  const item = panel.getByRole("listitem").filter({ hasText: id });
  const at = new Date().toISOString();
  const found = { prediction_type: "low_health_score", explanation: "Health is 41." };

  await insights.put(id, at, { ...found, risk_score: 83.5 });
  await expect(item).toContainText("Low health");
  await expect(item).toContainText("critical 83.5");
  await expect(item).toContainText("Health is 41.");

  await insights.put(id, at, { ...found, risk_score: 61 });
  await expect(item).toContainText("warning 61");
  await panel.getByRole("button", { name: /^critical/ }).click();
  await expect(item).toHaveCount(0);
  await panel.getByRole("button", { name: /^critical/ }).click();
  await expect(item).toHaveCount(1);

  await insights.delete(id, at);
  await expect(item).toHaveCount(0);
});
