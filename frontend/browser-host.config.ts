import { fileURLToPath } from "node:url";
import { defineConfig, mergeConfig } from "vitest/config";
import usual from "./vite.config.ts";

/** Makes one file for Node of src/testing/browser-host.ts, with all that it needs. */
export default mergeConfig(
  usual,
  defineConfig({
    root: fileURLToPath(new URL(".", import.meta.url)),
    logLevel: "warn",
    ssr: { noExternal: true },
    build: { ssr: "src/testing/browser-host.ts", sourcemap: false, copyPublicDir: false },
  }),
);
