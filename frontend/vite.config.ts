import { fileURLToPath } from "node:url";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

// contracts/ lies outside this folder, so what it imports is found from here.
const fromHere = [
  "@asyncapi/parser",
  "@noble/hashes",
  "ajv",
  "ajv-formats",
  "fast-check",
  "vitest",
];

function path(relative: string): string {
  return fileURLToPath(new URL(relative, import.meta.url));
}

export default defineConfig({
  plugins: [react()],
  resolve: {
    alias: {
      "@contracts": path("../contracts/ts"),
      // Where nothing is built yet, as in unit tests.
      "#live": path("src/live/index.ts"),
      "#live-http": path("src/live/http-api.ts"),
      "#live-problem": path("src/live/problem.ts"),
      "#live-select": path("src/live/select.ts"),
    },
    dedupe: fromHere,
  },
  server: { fs: { allow: [".."] } },
  build: {
    target: "es2023",
    sourcemap: true,
    chunkSizeWarningLimit: 700,
  },
  test: {
    include: ["{src,live-package,tail}/**/*.test.{ts,tsx}", "../contracts/ts/**/*.test.ts"],
    environment: "jsdom",
    setupFiles: ["./src/test-setup.ts"],
    restoreMocks: true,
  },
});
