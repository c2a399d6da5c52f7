// @vitest-environment node: in jsdom, what crypto.subtle returns is no ArrayBuffer of the page.
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { FakeBrowser, FakeIssuer } from "../testing/fake-issuer.ts";
import type { SignInSettings } from "./settings.ts";
import { SignIn } from "./sign-in.ts";
import { SignedOut } from "./token-source.ts";

const page = "https://app.test/";
let issuer: FakeIssuer;

beforeEach(() => {
  issuer = new FakeIssuer();
  vi.stubGlobal("fetch", issuer.fetch);
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

function load(
  browser: FakeBrowser,
  more: Partial<SignInSettings> = {},
  now: () => number = () => 0,
): SignIn {
  const signIn = new SignIn({ issuer: issuer.url, clientId: "dashboard", ...more }, browser, now);
  signIn.start();
  return signIn;
}

function until(isSo: () => boolean): Promise<unknown> {
  return vi.waitUntil(isSo, { interval: 1 });
}

/** The tab loads an address, with what it has kept. */
function reload(browser: FakeBrowser, url: string): FakeBrowser {
  return new FakeBrowser(url, browser.tabs, browser.tab);
}

async function settled(signIn: SignIn): Promise<SignIn["state"]> {
  await until(() => signIn.state.kind !== "busy");
  return signIn.state;
}

/** Goes to the issuer, and returns the tab that has left. */
async function go(url = page, more: Partial<SignInSettings> = {}): Promise<FakeBrowser> {
  const browser = new FakeBrowser(url);
  const signIn = load(browser, more);
  expect(signIn.state).toEqual({ kind: "signedOut" });
  signIn.signIn();
  signIn.signIn();
  await until(() => browser.left.length > 0);
  expect(browser.left).toHaveLength(1);
  return browser;
}

/** Goes there and back. */
async function signInOnce(more: Partial<SignInSettings> = {}, now?: () => number) {
  const away = await go(page, more);
  const browser = reload(away, issuer.pass(away.destination));
  const signIn = load(browser, more, now);
  const state = await settled(signIn);
  if (state.kind !== "signedIn") throw new Error(JSON.stringify(state));
  return { browser, signIn, ...state };
}

describe("an answer is refused", () => {
  async function refused(browser: FakeBrowser, says: RegExp): Promise<void> {
    const signIn = load(browser);
    expect(await settled(signIn)).toEqual({
      kind: "signedOut",
      problem: expect.stringMatching(says) as string,
    });
    expect(new URL(browser.url).search).toBe("");
    expect(browser.left).toEqual([]);
    expect(browser.tab.text).toBe("[]");
  }

  test("that this tab did not ask for", async () => {
    const away = await go();
    await refused(new FakeBrowser(issuer.pass(away.destination)), /not begun in this tab/);
    expect(issuer.requests).toEqual([]);
  });

  test("to another question", async () => {
    const away = await go();
    const url = new URL(issuer.pass(away.destination));
    url.searchParams.set("state", "guessed");
    await refused(reload(away, url.href), /not begun in this tab/);
    expect(issuer.requests).toEqual([]);
  });

  test("that comes a second time", async () => {
    const away = await go();
    const url = issuer.pass(away.destination);
    await settled(load(reload(away, url)));
    await refused(reload(away, url), /used already/);
    expect(issuer.requests).toHaveLength(1);
  });

  test.each([
    ["of another issuer", "iss", "https://evil.test"],
    ["in which the code is an ID token too", "id_token", "x"],
  ])("%s", async (_, name, value) => {
    const away = await go();
    const url = new URL(issuer.pass(away.destination));
    url.searchParams.set(name, value);
    await refused(reload(away, url.href), /cannot be trusted|does not answer/);
    expect(issuer.requests).toEqual([]);
  });

  test.each([
    ["access_denied", /^The sign-in was called off\.$/],
    ["temporarily_unavailable", /^The sign-in service refused: temporarily unavailable\.$/],
    ["Call 555-0100 now!", /^The sign-in service refused\.$/],
  ])("that is the error %s", async (error, says) => {
    const away = await go();
    const state = new URL(away.destination).searchParams.get("state") ?? "";
    const answer = new URLSearchParams({
      error,
      state,
      iss: issuer.url,
      error_description: "Evil",
    });
    await refused(reload(away, `${page}?${answer.toString()}`), says);
  });

  test.each([
    ["for another page", { nonce: "another" }],
    ["for another client", { aud: "another" }],
    ["of another issuer", { iss: "https://evil.test" }],
    ["of nobody", { sub: undefined }],
  ])("with an ID token %s", async (_, claims) => {
    const away = await go();
    issuer.claims = { ...issuer.claims, ...claims };
    await refused(reload(away, issuer.pass(away.destination)), /cannot be trusted/);
  });

  test("where the issuer refuses the code", async () => {
    const away = await go();
    const url = issuer.pass(away.destination);
    issuer.refusal = { status: 400, error: "invalid_grant" };
    await refused(reload(away, url), /^The sign-in service refused: invalid grant\.$/);
  });
});

describe("the issuer cannot be used", () => {
  test.each([
    ["it does not answer", {}, true, /does not answer/],
    ["it is another", { issuer: "https://evil.test" }, false, /cannot be trusted/],
    ["it has no page", { authorization_endpoint: undefined }, false, /where to go/],
    ["its page is code", { authorization_endpoint: "javascript:alert(1)" }, false, /where to go/],
    ["others can read along", { authorization_endpoint: "http://x.test" }, false, /where to go/],
  ])("%s, until it is right", async (_, configuration, isDown, says) => {
    const right = issuer.configuration;
    issuer.configuration = { ...right, ...configuration };
    issuer.isDown = isDown;
    const browser = new FakeBrowser(page);
    const signIn = load(browser);
    signIn.signIn();
    const state = await settled(signIn);
    expect(state).toHaveProperty("problem", expect.stringMatching(says));
    expect(browser.left).toEqual([]);
    if (!isDown) return;
    issuer.isDown = false;
    signIn.signIn();
    await until(() => browser.left.length === 1);
  });

  test("a browser that keeps nothing is told", async () => {
    const browser = new FakeBrowser(page);
    vi.spyOn(browser.tabs, "getItem").mockImplementation(() => {
      throw new DOMException("no", "SecurityError");
    });
    expect(await settled(load(browser))).toHaveProperty("problem", expect.stringContaining("keep"));
  });
});

test("the issuer is asked as the standard says", async () => {
  const away = await go(`${page}?tab=2#x`, { scope: "openid offline_access" });
  const { searchParams, origin, pathname } = new URL(away.destination);
  expect(origin + pathname).toBe("https://sign-in.test/authorize");
  const challenge = expect.stringMatching(/^[\w-]{43}$/) as string;
  expect(Object.fromEntries(searchParams)).toEqual({
    response_type: "code",
    client_id: "dashboard",
    redirect_uri: page,
    scope: "openid offline_access",
    state: challenge,
    nonce: challenge,
    code_challenge: challenge,
    code_challenge_method: "S256",
  });
  const browser = reload(away, issuer.pass(away.destination));
  expect(await settled(load(browser))).toMatchObject({
    kind: "signedIn",
    person: { subject: "u-1", name: "ada", tenant: "acme" },
  });
  expect(browser.url).toBe(`${page}?tab=2#x`);
  expect(Object.fromEntries(issuer.requests[0] ?? [])).toEqual({
    grant_type: "authorization_code",
    client_id: "dashboard",
    redirect_uri: page,
    code: expect.stringContaining("code-") as string,
    code_verifier: challenge,
  });
});

test("no token, code or verifier is kept, or in an address, or in a log", async () => {
  const said: unknown[] = [];
  for (const level of ["log", "info", "warn", "error", "debug"] as const) {
    vi.spyOn(console, level).mockImplementation((...words) => said.push(words));
  }
  const { browser, signIn, tokens } = await signInOnce();
  await tokens.token(await tokens.token());
  signIn.signOut();
  await until(() => browser.left.length > 0);
  const verifier = issuer.requests[0]?.get("code_verifier") ?? "";
  const traces = JSON.stringify([
    browser.url,
    browser.left,
    browser.tab.text,
    browser.tabs.text,
    said,
  ]);
  expect(issuer.secrets.length).toBeGreaterThan(5);
  for (const secret of [...issuer.secrets, verifier]) expect(traces).not.toContain(secret);
});

test.each([-86_400, 86_400])(
  "a browser's clock that is %d s wrong keeps nobody out",
  async (ahead) => {
    issuer.ahead = ahead;
    const { tokens } = await signInOnce();
    const first = await tokens.token();
    expect(await tokens.token(first)).not.toBe(first);
  },
);

describe("the API gets", () => {
  const part = (token: string) =>
    JSON.parse(
      atob((token.split(".")[1] ?? "").replaceAll("-", "+").replaceAll("_", "/")),
    ) as object;

  test("the ID token, as Cognito needs it", async () => {
    issuer.claims = { sub: "u-1", "cognito:username": "ada", "custom:tenant": "acme" };
    const { tokens, person } = await signInOnce();
    expect(part(await tokens.token())).toHaveProperty("custom:tenant", "acme");
    expect(person).toEqual({ subject: "u-1", name: "ada", tenant: "acme" });
  });

  test("the access token where that is wanted", async () => {
    issuer.claims = { sub: "u-1", name: "Ada L." };
    issuer.accessClaims = { sub: "u-1", client_id: "dashboard", tenant: "acme" };
    const { tokens, person } = await signInOnce({ use: "access" });
    expect(part(await tokens.token())).toHaveProperty("client_id");
    expect(person).toEqual({ subject: "u-1", name: "Ada L.", tenant: "acme" });
  });

  test("one that cannot be read, too", async () => {
    const { tokens } = await signInOnce({ use: "access" });
    expect(await tokens.token()).toMatch(/^opaque-/);
  });
});

describe("later", () => {
  test("a reload, and a further tab, go to the issuer and ask nobody", async () => {
    const { browser } = await signInOnce();
    for (const tab of [reload(browser, page), new FakeBrowser(page, browser.tabs)]) {
      const signIn = load(tab);
      await until(() => tab.left.length > 0);
      expect(signIn.state.kind).toBe("busy");
      expect(tab.left[0]?.how).toBe("replace");
      expect(await settled(load(reload(tab, issuer.pass(tab.destination))))).toHaveProperty(
        "kind",
        "signedIn",
      );
    }
  });

  test("an issuer that does not answer then does not sign out the other tabs", async () => {
    const { browser } = await signInOnce();
    issuer.isDown = true;
    const tab = new FakeBrowser(page, browser.tabs);
    expect(await settled(load(tab))).toHaveProperty("problem", expect.stringContaining("answer"));
    expect(browser.tabs.text).toContain("yes");
  });

  test("signing out forgets all, here and in the other tabs, and ends the issuer's session", async () => {
    const { browser, signIn, tokens } = await signInOnce();
    const second = new FakeBrowser(page, browser.tabs);
    load(second);
    await until(() => second.left.length > 0);
    const secondBack = reload(second, issuer.pass(second.destination));
    const other = load(secondBack);
    const otherState = await settled(other);
    secondBack.changeTabs();
    expect(other.state.kind).toBe("signedIn");

    signIn.signOut();
    expect(signIn.state.kind).not.toBe("signedIn");
    await expect(tokens.token()).rejects.toBeInstanceOf(SignedOut);
    await until(() => browser.left.length > 0);
    const url = new URL(browser.destination);
    expect(url.origin + url.pathname).toBe("https://sign-in.test/logout");
    expect(Object.fromEntries(url.searchParams)).toEqual({
      client_id: "dashboard",
      post_logout_redirect_uri: page,
      logout_uri: page,
    });
    secondBack.changeTabs();
    expect(other.state).toEqual({ kind: "signedOut" });
    if (otherState.kind !== "signedIn") throw new Error("was not signed in");
    await expect(otherState.tokens.token()).rejects.toBeInstanceOf(SignedOut);
    expect(load(reload(browser, page)).state).toEqual({ kind: "signedOut" });
  });

  test("where the issuer ends no session, signing out stays here", async () => {
    issuer.configuration = { ...issuer.configuration, end_session_endpoint: undefined };
    const { browser, signIn } = await signInOnce();
    signIn.signOut();
    expect(await settled(signIn)).toEqual({ kind: "signedOut" });
    expect(browser.left).toEqual([]);
  });

  test("when the issuer's session has ended, the page says so", async () => {
    const { signIn, tokens } = await signInOnce();
    issuer.refusal = { status: 400, error: "invalid_grant" };
    await expect(tokens.token(await tokens.token())).rejects.toBeInstanceOf(SignedOut);
    expect(signIn.state).toEqual({ kind: "signedOut", problem: "Your session has ended." });
  });

  test.each([
    ["invalid_client", 401, undefined, /^Your session has ended\. .* refused: invalid client\.$/],
    ["invalid_client", 401, 'Basic realm="x"', /^Your session has ended\. .* refused\.$/],
    ["unauthorized_client", 400, undefined, /refused: unauthorized client\.$/],
    ["invalid_scope", 400, undefined, /refused: invalid scope\.$/],
  ])(
    "where it is refused as %s (%d, %s), the page says so",
    async (error, status, challenge, says) => {
      const { signIn, tokens } = await signInOnce();
      issuer.refusal = { status, error, ...(challenge !== undefined && { challenge }) };
      await expect(tokens.token(await tokens.token())).rejects.toBeInstanceOf(SignedOut);
      expect(signIn.state).toEqual({
        kind: "signedOut",
        problem: expect.stringMatching(says) as string,
      });
    },
  );

  test("where what comes instead cannot be trusted, the page says so", async () => {
    const { signIn, tokens } = await signInOnce();
    issuer.claims = { ...issuer.claims, aud: "another" };
    await expect(tokens.token(await tokens.token())).rejects.toBeInstanceOf(SignedOut);
    expect(signIn.state).toHaveProperty("problem", expect.stringContaining("cannot be trusted"));
  });

  test("where no ID token comes along, the one before is used to its end, and each refresh token once", async () => {
    let now = 0;
    const { signIn, tokens } = await signInOnce({}, () => now);
    const first = await tokens.token();
    issuer.refreshed = { id_token: undefined };
    now = 3_590_000;
    for (let i = 0; i < 3; i++) expect(await tokens.token()).toBe(first);
    expect(issuer.requests).toHaveLength(2);
    now = 3_600_000;
    issuer.refreshed = {};
    expect(await tokens.token()).not.toBe(first);
    const used = issuer.requests.map((form) => form.get("refresh_token"));
    expect(new Set(used).size).toBe(3);

    issuer.refreshed = { id_token: undefined };
    now = 7_200_000;
    await expect(tokens.token()).rejects.toBeInstanceOf(SignedOut);
    expect(signIn.state).toHaveProperty("problem", expect.stringContaining("no other token"));
  });

  test("where no ID token comes along for one that was rejected, the page says so", async () => {
    const { signIn, tokens } = await signInOnce();
    issuer.refreshed = { id_token: undefined };
    await expect(tokens.token(await tokens.token())).rejects.toBeInstanceOf(SignedOut);
    expect(signIn.state.kind).toBe("signedOut");
  });

  test("an answer that is no answer of the issuer is no end", async () => {
    const { signIn, tokens } = await signInOnce();
    const first = await tokens.token();
    issuer.refreshed = { access_token: undefined, id_token: undefined };
    await expect(tokens.token(first)).rejects.not.toBeInstanceOf(SignedOut);
    issuer.refreshed = {};
    issuer.refusal = { status: 400, error: "temporarily_unavailable" };
    await expect(tokens.token(first)).rejects.not.toBeInstanceOf(SignedOut);
    issuer.refusal = undefined;
    expect(await tokens.token(first)).not.toBe(first);
    expect(signIn.state.kind).toBe("signedIn");
  });

  test.each([500, 503, 429])("an answer of %d is no end", async (status) => {
    const { signIn, tokens } = await signInOnce();
    const first = await tokens.token();
    issuer.refusal = { status, error: "server_error" };
    await expect(tokens.token(first)).rejects.not.toBeInstanceOf(SignedOut);
    issuer.refusal = undefined;
    expect(await tokens.token(first)).not.toBe(first);
    expect(signIn.state.kind).toBe("signedIn");
  });

  test("whoever comes back from the issuer by the way back can sign in again", async () => {
    const browser = new FakeBrowser(page);
    const signIn = load(browser);
    signIn.signIn();
    await until(() => browser.left.length > 0);
    browser.comeBack();
    expect(signIn.state).toEqual({ kind: "signedOut" });
  });
});
