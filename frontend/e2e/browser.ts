import type { LaunchOptions } from "@playwright/test";

/** The browser of the machine: none is downloaded. CHROMIUM names another. */
export const chromiumLaunch: LaunchOptions = {
  executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium",
  args: [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
};
