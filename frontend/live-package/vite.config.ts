import { fileURLToPath } from "node:url";
import { defineConfig, mergeConfig } from "vite";
import usual from "../vite.config.ts";

/** The HTTP side, and the sharing between tabs: they are in the files of their entries alone. */
const isOptional =
  /\/live\/(address|browser|http|http-api|poller|problem|select|shared-client|ticket|worker-timers)\.ts$|\/live\/tabs\//;

/** Makes the JavaScript of the package; build.ts makes the rest of it. */
export default mergeConfig(
  usual,
  defineConfig({
    root: fileURLToPath(new URL("..", import.meta.url)),
    // The worker is found beside the file that starts it.
    base: "./",
    logLevel: "warn",
    build: {
      lib: {
        entry: {
          index: "src/live/index.ts",
          browser: "src/live/browser.ts",
          http: "src/live/http-api.ts",
          problem: "src/live/problem.ts",
          select: "src/live/select.ts",
          tabs: "src/live/shared-client.ts",
        },
        formats: ["es"],
      },
      copyPublicDir: false,
      rolldownOptions: {
        external: /^@noble\/hashes/,
        output: {
          minify: true,
          // sideEffects in package.json says what bundlers may drop.
          comments: false,
          chunkFileNames: "[name].js",
          codeSplitting: {
            groups: [
              { name: "core", test: (id: string) => !isOptional.test(id) },
              { name: "surroundings", test: /\/live\/(browser|worker-timers)\.ts$/ },
              // Both of the other entries ask by HTTP.
              { name: "request", test: /\/live\/http\.ts$/ },
            ],
          },
        },
      },
    },
  }),
);
