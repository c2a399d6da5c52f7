import { act, render, screen, within, type RenderResult } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { StrictMode } from "react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { systemBrowser } from "../auth/browser.ts";
import { FakeBrowser, FakeIssuer } from "../testing/fake-issuer.ts";
import { ticket } from "../testing/fake-api.ts";
import { FakeNetwork } from "../testing/fake-socket.ts";
import { synced } from "../testing/wire.ts";
import { App } from "./app.tsx";

const page = "https://app.test/";
let issuer: FakeIssuer;
let network: FakeNetwork;
let asked: Headers[];

beforeEach(() => {
  issuer = new FakeIssuer();
  network = new FakeNetwork();
  asked = [];
  vi.stubGlobal("WebSocket", network.WebSocket);
  vi.stubGlobal("fetch", async (url: string, init?: RequestInit) => {
    if (url !== "https://api.test/tickets") return issuer.fetch(url, init);
    asked.push(new Headers(init?.headers));
    return Response.json(ticket(), { status: 201 });
  });
  // What crypto.subtle of Node's returns is no ArrayBuffer of jsdom's.
  const digest = crypto.subtle.digest.bind(crypto.subtle);
  vi.spyOn(crypto.subtle, "digest").mockImplementation(
    async (...of) => Uint8Array.from(new Uint8Array(await digest(...of))).buffer,
  );
});
afterEach(() => {
  vi.unstubAllGlobals();
});

function load(browser: FakeBrowser): RenderResult {
  for (const name of ["url", "root", "tab", "tabs"] as const) {
    vi.spyOn(systemBrowser, name, "get").mockImplementation(() => browser[name]);
  }
  for (const name of ["leave", "rename", "listen"] as const) {
    vi.spyOn(systemBrowser, name).mockImplementation(browser[name].bind(browser));
  }
  return render(
    <StrictMode>
      <App
        configuration={{
          webSocketUrl: "wss://server.test/prod",
          apiUrl: "https://api.test",
          signIn: { issuer: issuer.url, clientId: "dashboard" },
        }}
      />
    </StrictMode>,
  );
}

/** Comes to the page, goes to the issuer and comes back. */
async function signIn(): Promise<FakeBrowser> {
  const away = new FakeBrowser(page);
  const { unmount } = load(away);
  await userEvent.click(await screen.findByRole("button", { name: "Sign in" }));
  expect(await screen.findByRole("button", { name: "Signing in…" })).toBeVisible();
  await vi.waitUntil(() => away.left.length > 0, { interval: 1 });
  unmount();
  const browser = new FakeBrowser(issuer.pass(away.destination), away.tabs, away.tab);
  load(browser);
  return browser;
}

test("whoever is not signed in sees no dashboard, and opens no socket", async () => {
  load(new FakeBrowser(page));
  expect(await screen.findByRole("heading", { name: "IOps Dashboard" })).toBeVisible();
  expect(screen.getByText("You sign in at issuer.test and come back.")).toBeVisible();
  expect(screen.queryByRole("status", { name: "Connection" })).toBeNull();
  expect(screen.queryByRole("alert")).toBeNull();
  expect(network.sockets).toEqual([]);
  expect(asked).toEqual([]);
});

test("what went wrong is said, and can be tried again", async () => {
  issuer.isDown = true;
  const browser = new FakeBrowser(page);
  load(browser);
  await userEvent.click(await screen.findByRole("button", { name: "Sign in" }));
  expect(await screen.findByRole("alert")).toHaveTextContent(
    "The sign-in service does not answer.",
  );
  issuer.isDown = false;
  await userEvent.click(screen.getByRole("button", { name: "Try again" }));
  await vi.waitUntil(() => browser.left.length > 0, { interval: 1 });
});

test("whoever is signed in sees the dashboard, and who they are, until they sign out", async () => {
  const browser = await signIn();
  const account = await screen.findByRole("group", { name: "Account" });
  expect(account).toHaveTextContent("ada · acme");
  await vi.waitUntil(() => network.sockets.length > 0, { interval: 1 });
  expect(asked).toHaveLength(1);
  expect(issuer.secrets).toContain(asked[0]?.get("Authorization")?.replace("Bearer ", ""));
  expect(network.latest.url).toContain("ticket=");
  act(() => {
    network.latest.serverAccepts();
    network.latest.serverSends(synced(1));
  });
  expect(screen.getByRole("status", { name: "Connection" })).toHaveTextContent("Live");
  expect(issuer.requests).toHaveLength(1);

  await userEvent.click(within(account).getByRole("button", { name: "Sign out" }));
  expect(screen.queryByRole("status", { name: "Connection" })).toBeNull();
  await vi.waitUntil(() => network.alive.length === 0, { interval: 1 });
  await vi.waitUntil(() => browser.left.length > 0, { interval: 1 });
  expect(browser.destination).toMatch(/^https:\/\/sign-in\.test\/logout\?/);
});

test("when the session has ended the page says so instead of the dashboard", async () => {
  await signIn();
  await screen.findByRole("group", { name: "Account" });
  await vi.waitUntil(() => network.sockets.length > 0, { interval: 1 });
  issuer.refusal = { status: 400, error: "invalid_grant" };
  vi.stubGlobal("fetch", (url: string, init?: RequestInit) =>
    url === "https://api.test/tickets"
      ? Promise.resolve(new Response(null, { status: 401 }))
      : issuer.fetch(url, init),
  );
  act(() => {
    network.latest.serverCloses();
  });
  expect(await screen.findByRole("alert", {}, { timeout: 5_000 })).toHaveTextContent(
    "Your session has ended.",
  );
  expect(screen.getByRole("button", { name: "Try again" })).toBeVisible();
});
