import { defineConfig } from "@playwright/test";
import { chromiumLaunch } from "./e2e/browser.ts";

export default defineConfig({
  testDir: "e2e",
  // Takes more than a minute, and has a script of its own: scripts/rotation.
  ...(process.env["ROTATION"] === undefined && { testIgnore: "**/rotation.spec.ts" }),
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
