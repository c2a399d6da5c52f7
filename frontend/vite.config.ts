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

export default defineConfig({
  plugins: [react()],
  resolve: {
    alias: { "@contracts": fileURLToPath(new URL("../contracts/ts", import.meta.url)) },
    dedupe: fromHere,
  },
  server: { fs: { allow: [".."] } },
  build: {
    target: "es2023",
    sourcemap: true,
    chunkSizeWarningLimit: 700,
  },
  test: {
    include: ["src/**/*.test.{ts,tsx}", "../contracts/ts/**/*.test.ts"],
    environment: "jsdom",
    setupFiles: ["./src/test-setup.ts"],
    restoreMocks: true,
  },
});
