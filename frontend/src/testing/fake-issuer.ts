import type { Browser } from "../auth/browser.ts";

/** What an issuer keeps of a sign-in that it has let through. */
interface Passed {
  readonly nonce: string;
  readonly challenge: string;
  readonly redirectUri: string;
}

/** An OpenID Connect issuer whose answers a test may change. Nothing that it says is signed. */
export class FakeIssuer {
  readonly url = "https://issuer.test/pool";
  /** The bodies of the requests for tokens, in order. */
  readonly requests: URLSearchParams[] = [];
  /** Every token and code that it gave. */
  readonly secrets: string[] = [];
  isDown = false;
  /** Instead of an answer of the token endpoint. */
  refusal:
    { readonly status: number; readonly error: string; readonly challenge?: string } | undefined;
  configuration: Record<string, unknown> = {
    issuer: this.url,
    authorization_endpoint: "https://sign-in.test/authorize",
    token_endpoint: "https://sign-in.test/token",
    end_session_endpoint: "https://sign-in.test/logout",
  };
  /** In seconds. */
  lifetime = 3600;
  /** By how much its clock is ahead of the browser's, in seconds. */
  ahead = 0;
  claims: Record<string, unknown> = { sub: "u-1", preferred_username: "ada", tenant: "acme" };
  accessClaims: Record<string, unknown> | undefined;
  givesRefreshTokens = true;
  /** What differs in an answer to a refresh. */
  refreshed: Record<string, unknown> = {};
  readonly #passed = new Map<string, Passed>();
  #count = 0;

  /** Somebody signs in. Returns where the browser is sent back to. */
  pass(signInUrl: string): string {
    const asked = new URL(signInUrl).searchParams;
    const get = (name: string) => asked.get(name) ?? "";
    const code = this.#secret("code");
    const redirectUri = get("redirect_uri");
    this.#passed.set(code, { nonce: get("nonce"), challenge: get("code_challenge"), redirectUri });
    return `${redirectUri}?${new URLSearchParams({ code, state: get("state"), iss: this.url }).toString()}`;
  }

  readonly fetch = async (input: unknown, init?: RequestInit): Promise<Response> => {
    if (this.isDown) throw new TypeError("Failed to fetch");
    const url = String(input);
    if (url === `${this.url}/.well-known/openid-configuration`) {
      return Response.json(this.configuration);
    }
    if (url !== "https://sign-in.test/token" || init?.method !== "POST") {
      return new Response(null, { status: 404 });
    }
    const form = new URLSearchParams(String(init.body as URLSearchParams));
    this.requests.push(form);
    if (this.refusal) {
      const { status, error, challenge } = this.refusal;
      const headers = challenge === undefined ? {} : { "WWW-Authenticate": challenge };
      return Response.json({ error }, { status, headers });
    }
    const code = form.get("code");
    const passed = code === null ? undefined : this.#passed.get(code);
    if (form.get("grant_type") === "authorization_code") {
      this.#passed.delete(code ?? "");
      const verifier = form.get("code_verifier") ?? "";
      if (
        passed?.challenge !== (await challengeOf(verifier)) ||
        passed.redirectUri !== form.get("redirect_uri")
      ) {
        return Response.json({ error: "invalid_grant" }, { status: 400 });
      }
    }
    return Response.json({
      access_token: this.accessClaims ? this.#token(this.accessClaims) : this.#secret("opaque"),
      token_type: "Bearer",
      expires_in: this.lifetime,
      id_token: this.#token({
        ...(passed && { nonce: passed.nonce }),
        aud: "dashboard",
        ...this.claims,
      }),
      ...(this.givesRefreshTokens && { refresh_token: this.#secret("refresh") }),
      ...(form.get("grant_type") === "refresh_token" && this.refreshed),
    });
  };

  #token(claims: Record<string, unknown>): string {
    const iat = Math.floor(Date.now() / 1000) + this.ahead;
    const all = { iss: this.url, iat, exp: iat + this.lifetime, jti: ++this.#count, ...claims };
    const token = [{ alg: "RS256" }, all, "unsigned"].map(encode).join(".");
    this.secrets.push(token);
    return token;
  }

  #secret(name: string): string {
    const secret = `${name}-${++this.#count}-${crypto.randomUUID()}`;
    this.secrets.push(secret);
    return secret;
  }
}

async function challengeOf(verifier: string): Promise<string> {
  const sum = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier));
  return base64url(String.fromCharCode(...new Uint8Array(sum)));
}

function encode(part: unknown): string {
  return base64url(String.fromCharCode(...new TextEncoder().encode(JSON.stringify(part))));
}

function base64url(binary: string): string {
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** A tab that goes nowhere, and tells where it would have gone. */
export class FakeBrowser implements Browser {
  url: string;
  readonly root = "https://app.test/";
  /** Where it left to, in order. */
  readonly left: { readonly url: string; readonly how: "push" | "replace" }[] = [];
  readonly tab: MapStorage;
  readonly tabs: MapStorage;
  changeTabs = () => {};
  comeBack = () => {};

  /** What is kept outlives a reload: give it to the next one. */
  constructor(url: string, tabs = new MapStorage(), tab = new MapStorage()) {
    this.url = url;
    this.tabs = tabs;
    this.tab = tab;
  }

  leave(url: string, how: "push" | "replace"): void {
    this.left.push({ url, how });
  }

  rename(url: string): void {
    this.url = new URL(url, this.url).href;
  }

  listen(onTabs: () => void, onReturn: () => void): void {
    this.changeTabs = onTabs;
    this.comeBack = onReturn;
  }

  /** Where it left to last. */
  get destination(): string {
    return this.left.at(-1)?.url ?? "nowhere";
  }
}

export class MapStorage {
  readonly #items = new Map<string, string>();
  getItem(key: string): string | null {
    return this.#items.get(key) ?? null;
  }
  setItem(key: string, value: string): void {
    this.#items.set(key, value);
  }
  removeItem(key: string): void {
    this.#items.delete(key);
  }
  get text(): string {
    return JSON.stringify([...this.#items]);
  }
}
