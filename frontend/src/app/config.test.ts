import { describe, expect, test } from "vitest";
import { loadConfiguration } from "./config.ts";

function serving(body: string, status = 200): typeof fetch {
  return () => Promise.resolve(new Response(body, { status }));
}
const notFound = serving("", 404);
const builtIn = { webSocketUrl: "ws://built.test/prod" };

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
  expect(await loadConfiguration(builtIn, fetch)).toEqual(builtIn);
});

test("with neither, it says what is missing", async () => {
  expect(await loadConfiguration({ webSocketUrl: "", apiUrl: "" }, notFound)).toEqual({
    problem: "No WebSocket URL is configured.",
  });
});

test.each(["https://file.test", "ws://", "nonsense", 7])("%s is no WebSocket URL", async (url) => {
  const file = serving(JSON.stringify({ webSocketUrl: url }));
  expect(await loadConfiguration(builtIn, file)).toHaveProperty("problem");
});

describe("with more than a WebSocket", () => {
  const webSocketUrl = "wss://file.test/prod";
  const apiUrl = "https://api.test";
  const signIn = { issuer: "https://issuer.test/pool", clientId: "dashboard" };
  const load = (file: object) =>
    loadConfiguration(builtIn, serving(JSON.stringify({ webSocketUrl, ...file })));

  test.each([
    ["an API without a scheme", { apiUrl: "api.test" }, "API URL"],
    ["an API of WebSockets", { apiUrl: "wss://api.test" }, "API URL"],
    ["an API that is no text", { apiUrl: 7 }, "API URL"],
    ["sign-in without an API", { signIn }, "no API URL"],
    ["sign-in by a word", { apiUrl, signIn: "yes" }, "not an object"],
    ["no issuer", { apiUrl, signIn: { clientId: "x" } }, "issuer"],
    [
      "an issuer that others can read along",
      { apiUrl, signIn: { ...signIn, issuer: "http://issuer.test" } },
      "https",
    ],
    [
      "an issuer that looks like this machine",
      { apiUrl, signIn: { ...signIn, issuer: "http://localhost.evil.test" } },
      "https",
    ],
    [
      "an issuer that is code",
      { apiUrl, signIn: { ...signIn, issuer: "javascript://localhost" } },
      "https",
    ],
    ["no client", { apiUrl, signIn: { issuer: signIn.issuer } }, "client id"],
    ["an empty client", { apiUrl, signIn: { ...signIn, clientId: "" } }, "client id"],
    ["a scope without openid", { apiUrl, signIn: { ...signIn, scope: "email" } }, "openid"],
    ["another use", { apiUrl, signIn: { ...signIn, use: "both" } }, "access"],
    ["timing that is a number", { timing: 5 }, "timing"],
  ])("%s is a problem", async (_, file, says) => {
    const configuration = await load(file);
    expect(configuration).toEqual({ problem: expect.stringMatching(/^[A-Z].*[.]$/) as string });
    expect(configuration).toHaveProperty("problem", expect.stringContaining(says));
  });

  test("all of it is read", async () => {
    const timing = { silence: 3_000, unknown: 1 };
    const full = { ...signIn, scope: "openid offline_access", use: "access" };
    expect(await load({ apiUrl: `${apiUrl}/`, signIn: full, timing })).toEqual({
      webSocketUrl,
      apiUrl,
      signIn: full,
      timing: { silence: 3_000 },
    });
  });

  test.each(["http://127.0.0.1:4321", "http://localhost:4321", "http://[::1]:4321"])(
    "an issuer on this machine may be at %s",
    async (issuer) => {
      expect(await load({ apiUrl, signIn: { ...signIn, issuer } })).not.toHaveProperty("problem");
    },
  );

  test("an API may be given at build time", async () => {
    const both = { ...builtIn, apiUrl: "https://built.test" };
    expect(await loadConfiguration(both, notFound)).toEqual(both);
    expect(await loadConfiguration(both, serving(JSON.stringify({ apiUrl })))).toEqual({
      ...builtIn,
      apiUrl,
    });
  });
});
