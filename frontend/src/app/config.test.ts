import { expect, test } from "vitest";
import { loadConfiguration } from "./config.ts";

function serving(body: string, status = 200): typeof fetch {
  return () => Promise.resolve(new Response(body, { status }));
}
const notFound = serving("", 404);
const builtIn = "ws://built.test/prod";

test("the file decides", async () => {
  const file = serving('{"webSocketUrl":"wss://file.test/prod","later":1}');
  expect(await loadConfiguration(builtIn, file)).toEqual({ webSocketUrl: "wss://file.test/prod" });
});

test.each([
  ["is missing", notFound],
  ["is the page itself", serving("<!doctype html>")],
  ["is null", serving("null")],
  ["names no URL", serving("{}")],
  ["cannot be fetched", () => Promise.reject(new TypeError("refused"))],
])("where the file %s, the URL given at build time is used", async (_, fetch) => {
  expect(await loadConfiguration(builtIn, fetch)).toEqual({ webSocketUrl: builtIn });
});

test("with neither, it says what is missing", async () => {
  expect(await loadConfiguration("", notFound)).toEqual({
    problem: "No WebSocket URL is configured.",
  });
});

test.each(["https://file.test", "ws://", "nonsense", 7])("%s is no WebSocket URL", async (url) => {
  const file = serving(JSON.stringify({ webSocketUrl: url }));
  expect(await loadConfiguration(builtIn, file)).toHaveProperty("problem");
});
