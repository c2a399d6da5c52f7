import { describe, expect, test } from "vitest";
import { VirtualClock } from "../testing/virtual-clock.ts";
import { findConfiguration, loadConfiguration, type Configuration } from "./config.ts";

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
  ["is the page itself", serving("\n<!doctype html>")],
  ["is null", serving("null")],
  ["names no URL", serving("{}")],
])("where the file %s, the URL given at build time is used", async (_, fetch) => {
  expect(await loadConfiguration(builtIn, fetch)).toEqual(builtIn);
});

test.each<[string, typeof fetch]>([
  ["the server is out of order", serving("{}", 503)],
  ["it says so with a page", serving("<!doctype html>", 502)],
  ["it lets nobody read it", serving("", 403)],
  ["there is no network", () => Promise.reject(new TypeError("refused"))],
  ["it breaks off", serving('{"webSocketUrl":"wss://fi')],
])("where %s, nobody knows whether there is a file, and none is assumed", async (_, fetch) => {
  expect(await loadConfiguration(builtIn, fetch)).toEqual({
    trouble: expect.stringMatching(/^[A-Z].*config\.json.*[.]$/) as string,
  });
});

test("it is asked for ever less often until it is known, and the page says why it is not", async () => {
  const clock = new VirtualClock();
  const trouble = { trouble: "It is away." };
  const installation = { webSocketUrl: "wss://file.test" };
  const answers: Configuration[] = [...Array<Configuration>(8).fill(trouble), installation];
  const shown: [number, Configuration][] = [];
  const load = () => Promise.resolve(answers.shift() ?? trouble);
  void findConfiguration(
    (configuration) => shown.push([clock.now(), configuration]),
    load,
    clock,
    () => 0.999_999,
  );
  const start = clock.now();
  for (let passed = 0; passed < 300_000; passed += 500) {
    for (let turn = 0; turn < 5; turn++) await Promise.resolve();
    clock.advance(500);
  }
  expect(shown.map(([at]) => Math.round((at - start) / 1_000))).toEqual([
    0, 1, 3, 7, 15, 31, 61, 91, 121,
  ]);
  expect(shown.map(([, configuration]) => configuration)).toEqual([
    ...Array<Configuration>(8).fill(trouble),
    installation,
  ]);
  expect(clock.pending).toBe(0);
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
    [
      "a token in the clear",
      { apiUrl: "http://api.test", signIn },
      "API URL does not start with https",
    ],
    [
      "a ticket in the clear",
      { apiUrl, signIn, webSocketUrl: "ws://file.test/prod" },
      "WebSocket URL does not start with wss",
    ],
    [
      "a socket that looks like this machine",
      { apiUrl, signIn, webSocketUrl: "ws://127.0.0.1.evil.test" },
      "wss",
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

  test("where nobody signs in, nothing is secret", async () => {
    const open = { webSocketUrl: "ws://file.test", apiUrl: "http://api.test" };
    expect(await load(open)).toEqual(open);
  });

  test("an API and a socket on this machine may be read along", async () => {
    const here = { webSocketUrl: "ws://127.0.0.1:1/prod", apiUrl: "http://localhost:2", signIn };
    expect(await load(here)).toEqual(here);
  });

  test("what was given at build time is no exception", async () => {
    const clear = { webSocketUrl: "ws://built.test", apiUrl };
    const file = serving(JSON.stringify({ signIn }));
    expect(await loadConfiguration(clear, file)).toHaveProperty("problem");
  });

  test("an API may be given at build time", async () => {
    const both = { ...builtIn, apiUrl: "https://built.test" };
    expect(await loadConfiguration(both, notFound)).toEqual(both);
    expect(await loadConfiguration(both, serving(JSON.stringify({ apiUrl })))).toEqual({
      ...builtIn,
      apiUrl,
    });
  });
});
