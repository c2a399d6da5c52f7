import { systemClock } from "../live/clock.ts";
import { systemBrowser, type Browser } from "./browser.ts";
import {
  newAttempt,
  Provider,
  SignInProblem,
  type Attempt,
  type Grant,
  type Person,
} from "./provider.ts";
import type { SignInSettings } from "./settings.ts";
import type { TokenSource } from "./token-source.ts";
import { Tokens } from "./tokens.ts";

/**
 * - `busy`: it is being found out, or the page is about to leave.
 * - `signedOut`: nobody is; `problem` says why that is no wonder, in plain words.
 * - `signedIn`: tokens can be had for that person.
 */
export type SignInState =
  | { readonly kind: "busy" }
  | { readonly kind: "signedOut"; readonly problem?: string }
  | { readonly kind: "signedIn"; readonly person: Person; readonly tokens: TokenSource };

/**
 * Signs people in at an OpenID Connect issuer: authorization code, PKCE, and back to this page. Tokens are in memory
 * only. After a reload, and in a further tab, the page goes to the issuer once more; where that has a session of its
 * own, it comes back at once and nobody sees a form. All tabs are signed out together.
 *
 * What is kept: in the tab, while it is away, what proves that the answer is to its own question; for all tabs, the
 * mere word that somebody is signed in.
 */
export class SignIn {
  readonly #settings: SignInSettings;
  readonly #browser: Browser;
  readonly #now: () => number;
  readonly #listeners = new Set<() => void>();
  #state: SignInState = { kind: "busy" };
  #tokens: Tokens | undefined;
  #provider: Promise<Provider> | undefined;
  #isStarted = false;

  constructor(
    settings: SignInSettings,
    browser: Browser = systemBrowser,
    now: () => number = () => systemClock.now(),
  ) {
    this.#settings = settings;
    this.#browser = browser;
    this.#now = now;
  }

  get state(): SignInState {
    return this.#state;
  }

  /** Calls back after each change of `state`. The function returned ends it. */
  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Finds out who is there. Only the first call does something. */
  start(): void {
    if (this.#isStarted) return;
    this.#isStarted = true;
    void this.#try(async () => {
      this.#browser.listen(
        () => {
          if (this.#state.kind === "signedIn" && !this.#isMarked()) this.#forget();
        },
        () => {
          if (this.#state.kind === "busy") this.#become({ kind: "signedOut" });
        },
      );
      const url = new URL(this.#browser.url);
      const { searchParams } = url;
      if (searchParams.has("state") && (searchParams.has("code") || searchParams.has("error"))) {
        await this.#return(searchParams);
      } else if (this.#isMarked()) {
        await this.#leave("replace");
      } else {
        this.#become({ kind: "signedOut" });
      }
    });
  }

  /** Goes to the issuer. */
  signIn(): void {
    if (this.#state.kind === "signedOut") void this.#try(() => this.#leave("push"));
  }

  /** Forgets the tokens at once, here and in all tabs, and then has the issuer end its session. */
  signOut(): void {
    if (this.#state.kind !== "signedIn") return;
    this.#forget();
    void this.#try(async () => {
      this.#browser.tabs.removeItem(this.#key);
      this.#become({ kind: "busy" });
      const url = (await this.#discover()).signOutUrl();
      if (url === undefined) this.#become({ kind: "signedOut" });
      else this.#browser.leave(url, "push");
    });
  }

  async #leave(how: "push" | "replace"): Promise<void> {
    this.#become({ kind: "busy" });
    const provider = await this.#discover();
    const { pathname, search, hash } = new URL(this.#browser.url);
    const attempt = newAttempt(pathname + search + hash);
    this.#browser.tab.setItem(this.#key, JSON.stringify(attempt));
    this.#browser.leave(await provider.signInUrl(attempt), how);
  }

  /** The issuer has sent the browser back. */
  async #return(parameters: URLSearchParams): Promise<void> {
    const attempt = this.#takeAttempt();
    // Whatever comes of it: a code must not stay in the address, where a reload would send it again.
    this.#browser.rename(attempt?.from ?? this.#browser.root);
    if (attempt?.state !== parameters.get("state")) {
      throw new SignInProblem("That sign-in was not begun in this tab, or has been used already.");
    }
    const provider = await this.#discover();
    const grant = await provider.redeem(parameters, attempt);
    this.#enter(provider, grant);
  }

  #enter(provider: Provider, grant: Grant): void {
    const { person } = grant;
    if (!person) throw new SignInProblem("The sign-in service does not say who you are.");
    this.#browser.tabs.setItem(this.#key, "yes");
    this.#tokens = new Tokens({
      issuer: provider.issuer,
      grant,
      person,
      refresh: (refreshToken) => provider.refresh(refreshToken),
      now: this.#now,
      onEnd: (why) => {
        const problem = ["Your session has ended.", why].filter(Boolean).join(" ");
        this.#become({ kind: "signedOut", problem });
      },
    });
    this.#become({ kind: "signedIn", person, tokens: this.#tokens });
  }

  #takeAttempt(): Attempt | undefined {
    const text = this.#browser.tab.getItem(this.#key);
    this.#browser.tab.removeItem(this.#key);
    return text === null ? undefined : (JSON.parse(text) as Attempt);
  }

  #forget(): void {
    this.#tokens?.end();
    this.#tokens = undefined;
    this.#become({ kind: "signedOut" });
  }

  /** Asks the issuer once, or once more if it did not answer. */
  async #discover(): Promise<Provider> {
    this.#provider ??= Provider.discover(this.#settings, this.#browser.root);
    try {
      return await this.#provider;
    } catch (error) {
      this.#provider = undefined;
      throw error;
    }
  }

  #isMarked(): boolean {
    return this.#browser.tabs.getItem(this.#key) !== null;
  }

  get #key(): string {
    return `sign-in ${this.#settings.clientId} ${this.#settings.issuer}`;
  }

  async #try(run: () => Promise<void>): Promise<void> {
    try {
      await run();
    } catch (error) {
      const problem =
        error instanceof SignInProblem
          ? error.message
          : "Signing in needs HTTPS, and a browser that may keep something for this page.";
      this.#become({ kind: "signedOut", problem });
    }
  }

  #become(state: SignInState): void {
    this.#state = state;
    for (const listener of this.#listeners) listener();
  }
}
