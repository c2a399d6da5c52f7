import { fileURLToPath } from "node:url";
import { defineConfig, mergeConfig } from "vite";
import usual from "../vite.config.ts";

/** The HTTP side, and the sharing between tabs: they are in the files of their entries alone. */
const isOptional =
  /\/live\/(http|http-api|poller|select|shared-client|ticket|worker-timers)\.ts$|\/live\/tabs\//;

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
          http: "src/live/http-api.ts",
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
          chunkFileNames: "[name].js",
          codeSplitting: {
            groups: [
              { name: "core", test: (id: string) => !isOptional.test(id) },
              // Both of the other entries ask by HTTP.
              { name: "request", test: /\/live\/http\.ts$/ },
            ],
          },
        },
      },
    },
  }),
);
