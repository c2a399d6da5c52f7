import { defineConfig } from "@playwright/test";
import { chromiumLaunch } from "./e2e/browser.ts";

export default defineConfig({
  testDir: "e2e",
  globalSetup: "./e2e/global-setup.ts",
  outputDir: "test-results",
  // All tests write to the same tables of one small machine.
  workers: 1,
  forbidOnly: true,
  timeout: 60_000,
  expect: { timeout: 15_000 },
  reporter: "list",
  use: { launchOptions: chromiumLaunch, trace: "retain-on-failure" },
});
