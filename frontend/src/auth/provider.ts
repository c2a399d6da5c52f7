import * as oauth from "oauth4webapi";
import { mayAsk } from "./address.ts";
import { patience, type SignInSettings } from "./settings.ts";

/** What a tab has to remember while it is away, at the issuer. */
export interface Attempt {
  readonly state: string;
  readonly nonce: string;
  readonly verifier: string;
  /** Path, query and fragment of where the page was. */
  readonly from: string;
}

/** What the issuer gives. */
export interface Grant {
  /** For the API. */
  readonly token: string;
  /** Of the token, in milliseconds from when it came; Infinity if nobody says. */
  readonly lifetime: number;
  readonly refreshToken: string | undefined;
  readonly person: Person | undefined;
}

/** What comes of a refresh. An issuer need not send an ID token along: the one before is as good as it was. */
export type Renewal = Omit<Grant, "token"> & { readonly token: string | undefined };

/** Who is signed in. */
export interface Person {
  readonly subject: string;
  /** What people call them. */
  readonly name: string;
  readonly tenant: string | undefined;
}

/** What went wrong, in words for whoever sits before the page. It says nothing of tokens and codes. */
export class SignInProblem extends Error {
  override readonly name = "SignInProblem";
  /** Nothing comes of asking again. */
  readonly isFinal: boolean;

  constructor(message: string, isFinal = false) {
    super(message);
    this.isFinal = isFinal;
  }
}

const noToken = "The sign-in service gives no ID token.";

export function newAttempt(from: string): Attempt {
  return {
    state: oauth.generateRandomState(),
    nonce: oauth.generateRandomNonce(),
    verifier: oauth.generateRandomCodeVerifier(),
    from,
  };
}

/**
 * The issuer, as one page sees it. Its methods reject with a `SignInProblem`; none is to be called again
 * with the same code or refresh token.
 */
export class Provider {
  readonly #settings: SignInSettings;
  readonly #server: oauth.AuthorizationServer;
  readonly #redirectUri: string;

  private constructor(
    settings: SignInSettings,
    server: oauth.AuthorizationServer,
    redirectUri: string,
  ) {
    this.#settings = settings;
    this.#server = server;
    this.#redirectUri = redirectUri;
  }

  /** Asks the issuer where its endpoints are. */
  static async discover(settings: SignInSettings, redirectUri: string): Promise<Provider> {
    return inPlainWords(async () => {
      const issuer = new URL(settings.issuer);
      const response = await oauth.discoveryRequest(issuer, options(settings));
      const server = await oauth.processDiscoveryResponse(issuer, response);
      return new Provider(settings, server, redirectUri);
    });
  }

  get issuer(): string {
    return this.#server.issuer;
  }

  /** Where somebody signs in, and is sent back from. */
  async signInUrl(attempt: Attempt): Promise<string> {
    const url = this.#endpoint("authorization_endpoint");
    for (const [name, value] of Object.entries({
      response_type: "code",
      client_id: this.#settings.clientId,
      redirect_uri: this.#redirectUri,
      scope: this.#settings.scope ?? "openid",
      state: attempt.state,
      nonce: attempt.nonce,
      code_challenge: await oauth.calculatePKCECodeChallenge(attempt.verifier),
      code_challenge_method: "S256",
    })) {
      url.searchParams.set(name, value);
    }
    return url.href;
  }

  /**
   * Where the issuer ends its own session, if it does that. The address holds no token, so an issuer may ask
   * whether that is meant. Cognito has names of its own for where to go then.
   */
  signOutUrl(): string | undefined {
    if (this.#server.end_session_endpoint === undefined) return undefined;
    const url = this.#endpoint("end_session_endpoint");
    url.searchParams.set("client_id", this.#settings.clientId);
    url.searchParams.set("post_logout_redirect_uri", this.#redirectUri);
    url.searchParams.set("logout_uri", this.#redirectUri);
    return url.href;
  }

  /** Turns what the issuer sent the browser back with into tokens. */
  async redeem(parameters: URLSearchParams, { state, nonce, verifier }: Attempt): Promise<Grant> {
    const client = { client_id: this.#settings.clientId };
    return inPlainWords(async () => {
      const response = await oauth.authorizationCodeGrantRequest(
        this.#server,
        client,
        oauth.None(),
        oauth.validateAuthResponse(this.#server, client, parameters, state),
        this.#redirectUri,
        verifier,
        options(this.#settings),
      );
      const { token, ...rest } = await this.#read(response, (adjusted) =>
        oauth.processAuthorizationCodeResponse(this.#server, adjusted, response, {
          expectedNonce: nonce,
          requireIdToken: true,
        }),
      );
      if (token === undefined) throw new SignInProblem(noToken);
      return { token, ...rest };
    });
  }

  /** Undefined: the session has ended there. */
  async refresh(refreshToken: string): Promise<Renewal | undefined> {
    return inPlainWords(async () => {
      try {
        const response = await oauth.refreshTokenGrantRequest(
          this.#server,
          { client_id: this.#settings.clientId },
          oauth.None(),
          refreshToken,
          options(this.#settings),
        );
        return await this.#read(response, (adjusted) =>
          oauth.processRefreshTokenResponse(this.#server, adjusted, response),
        );
      } catch (error) {
        if (error instanceof oauth.ResponseBodyError && error.error === "invalid_grant") return;
        throw isRefusal(error) ? new SignInProblem(describe(error), true) : error;
      }
    });
  }

  /** Reads an answer of the token endpoint. */
  async #read(
    response: Response,
    process: (client: oauth.Client) => Promise<oauth.TokenEndpointResponse>,
  ): Promise<Renewal> {
    const raw = (await response
      .clone()
      .json()
      .catch(() => undefined)) as { access_token?: unknown; id_token?: unknown } | null | undefined;
    let answer: oauth.TokenEndpointResponse;
    try {
      answer = await process({
        client_id: this.#settings.clientId,
        [oauth.clockSkew]: skewOf(raw?.id_token),
      });
    } catch (error) {
      // These are tokens, and none that can be used: others would be like them.
      throw raw?.access_token === undefined ? error : new SignInProblem(describe(error), true);
    }
    const identity = oauth.getValidatedIdTokenClaims(answer);
    const token = this.#settings.use === "access" ? answer.access_token : answer.id_token;
    const says: Claims | undefined = claimsOf(token) ?? identity;
    return {
      token,
      lifetime: 1000 * (duration(says) ?? answer.expires_in ?? Infinity),
      refreshToken: answer.refresh_token,
      person: identity && personOf(identity, says),
    };
  }

  #endpoint(name: "authorization_endpoint" | "end_session_endpoint"): URL {
    const text = this.#server[name];
    if (text === undefined || !URL.canParse(text) || !mayAsk(new URL(text))) {
      throw new SignInProblem("The sign-in service does not say where to go.");
    }
    return new URL(text);
  }
}

function options({ issuer }: SignInSettings) {
  return {
    // Only this machine's issuer may be asked so: see mayAsk.
    // eslint-disable-next-line @typescript-eslint/no-deprecated -- deprecated so that it stands out
    [oauth.allowInsecureRequests]: issuer.startsWith("http:"),
    signal: () => AbortSignal.timeout(patience),
  };
}

type Claims = Readonly<Record<string, unknown>>;

/** What a JSON Web Token says; nothing if it is none, or cannot be read. Nobody has verified it. */
function claimsOf(token: unknown): Claims | undefined {
  try {
    const body = String(token).split(".")[1] ?? "";
    const bytes = Uint8Array.from(
      atob(body.replaceAll("-", "+").replaceAll("_", "/")),
      (character) => character.charCodeAt(0),
    );
    const claims: unknown = JSON.parse(new TextDecoder().decode(bytes));
    return typeof claims === "object" && claims !== null ? (claims as Claims) : undefined;
  } catch {
    return undefined;
  }
}

/**
 * How far the issuer's clock is ahead of ours, in seconds. It signed the token a moment ago, so a clock of the
 * browser's that is wrong keeps nobody out.
 */
function skewOf(idToken: unknown): number {
  const issuedAt = claimsOf(idToken)?.["iat"];
  return typeof issuedAt === "number" ? Math.round(issuedAt - Date.now() / 1000) : 0;
}

/** How long a token is valid, in seconds. */
function duration(claims: Claims | undefined): number | undefined {
  const [from, to] = [claims?.["iat"], claims?.["exp"]];
  return typeof from === "number" && typeof to === "number" ? to - from : undefined;
}

function personOf(identity: Claims, says: Claims | undefined): Person {
  const first = (claims: Claims | undefined, names: readonly string[]) =>
    names.map((name) => claims?.[name]).find((text) => typeof text === "string" && text !== "") as
      string | undefined;
  const subject = first(identity, ["sub"]) ?? "";
  const names = ["name", "preferred_username", "email", "cognito:username"];
  return {
    subject,
    name: first(identity, names) ?? subject,
    tenant: first(says, ["tenant", "custom:tenant"]),
  };
}

async function inPlainWords<T>(ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    // The cause stays behind: it may hold the answer of the issuer, tokens and all.
    throw error instanceof SignInProblem ? error : new SignInProblem(describe(error));
  }
}

/** Whether the issuer will say the same when it is asked again. */
function isRefusal(error: unknown): boolean {
  const isOne =
    error instanceof oauth.ResponseBodyError ||
    error instanceof oauth.WWWAuthenticateChallengeError;
  if (!isOne || error.status < 400 || error.status >= 500) return false;
  if (error.status === 408 || error.status === 429) return false;
  return !("error" in error && passing.has(error.error));
}

const passing: ReadonlySet<string> = new Set([
  "server_error",
  "slow_down",
  "temporarily_unavailable",
]);

function describe(error: unknown): string {
  if (error instanceof oauth.AuthorizationResponseError) {
    return error.error === "access_denied"
      ? "The sign-in was called off."
      : `The sign-in service refused${named(error.error)}.`;
  }
  if (error instanceof oauth.ResponseBodyError) {
    return `The sign-in service refused${named(error.error)}.`;
  }
  if (error instanceof oauth.WWWAuthenticateChallengeError) return "The sign-in service refused.";
  if (error instanceof oauth.OperationProcessingError) {
    return "The sign-in service gave an answer that cannot be trusted.";
  }
  return "The sign-in service does not answer.";
}

/** The error's code, if it looks like one: anybody can write into the address of a page. */
function named(code: string): string {
  return /^[a-z_]{1,40}$/.test(code) ? `: ${code.replaceAll("_", " ")}` : "";
}
