import { mayAsk } from "../auth/address.ts";
import type { SignInSettings } from "../auth/settings.ts";
import { backoffDelay, defaultBackoff } from "../live/backoff.ts";
import { systemClock, type Clock } from "../live/clock.ts";
import { readTiming, type Timing } from "../live/timing.ts";

/** What the dashboard has to know of the installation that it is part of. */
export interface Installation {
  readonly webSocketUrl: string;
  /** Of the HTTP API, without a slash at its end. */
  readonly apiUrl?: string;
  /** Who signs people in; nobody has to where it is absent. */
  readonly signIn?: SignInSettings;
  readonly timing?: Partial<Timing>;
}

export type Configuration =
  | Installation
  /** What is wrong, in one sentence for whoever installs the dashboard. */
  | { readonly problem: string }
  /** Why it is not known yet, in one sentence. It is asked for again. */
  | { readonly trouble: string };

/** The URLs that were given when the dashboard was built. */
export interface BuiltIn {
  readonly webSocketUrl?: string | undefined;
  readonly apiUrl?: string | undefined;
}

/** How long the server may take to answer, in milliseconds. */
const patience = 5_000;

/**
 * Shows which installation this is once that is known, and until then why it is not. It goes on asking for as long
 * as that takes: what a page would do without the file may be wrong for this installation, as to connect unasked.
 */
export async function findConfiguration(
  show: (configuration: Configuration) => void,
  load: () => Promise<Configuration> = loadConfiguration,
  clock: Pick<Clock, "setTimeout"> = systemClock,
  random: () => number = Math.random,
): Promise<void> {
  for (let failures = 0; ; failures++) {
    const configuration = await load();
    show(configuration);
    if (!("trouble" in configuration)) return;
    const wait = backoffDelay(failures, random(), defaultBackoff);
    await new Promise<void>((resolve) => clock.setTimeout(resolve, wait));
  }
}

/**
 * Finds out which installation this is: `config.json` beside the page says it, so that one build serves any;
 * for a URL that it does not name, the one that was given when the dashboard was built is taken.
 */
export async function loadConfiguration(
  builtIn: BuiltIn = {
    webSocketUrl: import.meta.env["VITE_WEBSOCKET_URL"] as string | undefined,
    apiUrl: import.meta.env["VITE_API_URL"] as string | undefined,
  },
  fetch: typeof globalThis.fetch = globalThis.fetch,
): Promise<Configuration> {
  const file = await readFile(fetch);
  if (typeof file === "string") return { trouble: file };
  const webSocketUrl = file["webSocketUrl"] ?? nonEmpty(builtIn.webSocketUrl);
  const apiUrl = file["apiUrl"] ?? nonEmpty(builtIn.apiUrl);
  const { signIn, timing } = file;
  const problem =
    webSocketProblem(webSocketUrl) ??
    apiProblem(apiUrl) ??
    signInProblem(signIn, apiUrl) ??
    (signIn === undefined ? undefined : secrecyProblem(webSocketUrl as string, apiUrl as string)) ??
    timingProblem(timing);
  if (problem !== undefined) return { problem };
  return {
    webSocketUrl: webSocketUrl as string,
    ...(apiUrl !== undefined && { apiUrl: (apiUrl as string).replace(/\/+$/, "") }),
    ...(signIn !== undefined && { signIn: signIn as SignInSettings }),
    ...(timing !== undefined && { timing: readTiming(timing) }),
  };
}

type Values = Readonly<Record<string, unknown>>;

/** What the file says; nothing where there is no such file; or why nobody can tell. */
async function readFile(fetch: typeof globalThis.fetch): Promise<Values | string> {
  let response: Response;
  let text: string;
  try {
    response = await fetch(`${import.meta.env.BASE_URL}config.json`, {
      cache: "no-store",
      signal: AbortSignal.timeout(patience),
    });
    text = await response.text();
  } catch {
    return "The file config.json could not be fetched.";
  }
  if (response.status === 404) return {};
  if (!response.ok) return `The file config.json could not be fetched: ${response.status}.`;
  // Servers of single pages answer any path with the page itself.
  if (/^\s*</.test(text)) return {};
  try {
    const file: unknown = JSON.parse(text);
    return isRecord(file) ? file : {};
  } catch {
    return "The file config.json is not JSON.";
  }
}

function webSocketProblem(url: unknown): string | undefined {
  if (url === undefined) return "No WebSocket URL is configured.";
  if (isUrl(url, /^wss?:\/\//)) return undefined;
  return "The configured WebSocket URL does not start with ws:// or wss://.";
}

function apiProblem(url: unknown): string | undefined {
  if (url === undefined || isUrl(url, /^https?:\/\//)) return undefined;
  return "The configured API URL does not start with http:// or https://.";
}

function signInProblem(signIn: unknown, apiUrl: unknown): string | undefined {
  if (signIn === undefined) return undefined;
  if (!isRecord(signIn)) return "The configured sign-in is not an object.";
  const { issuer, clientId, scope, use } = signIn;
  if (!isUrl(issuer, /^https?:\/\//) || !mayAsk(new URL(issuer))) {
    return "The configured issuer does not start with https://.";
  }
  if (typeof clientId !== "string" || clientId === "") {
    return "Sign-in is configured without a client id.";
  }
  if (scope !== undefined && (typeof scope !== "string" || !scope.split(" ").includes("openid"))) {
    return "The configured scope does not contain openid.";
  }
  if (use !== undefined && use !== "id" && use !== "access") {
    return 'The configured use of tokens is neither "id" nor "access".';
  }
  if (apiUrl === undefined) return "Sign-in is configured, but no API URL to use it for.";
  return undefined;
}

/** Tokens go to the API, and tickets to the socket. */
function secrecyProblem(webSocketUrl: string, apiUrl: string): string | undefined {
  if (!mayAsk(new URL(apiUrl))) {
    return "Sign-in is configured, but the API URL does not start with https://.";
  }
  if (!mayAsk(new URL(webSocketUrl.replace(/^ws/, "http")))) {
    return "Sign-in is configured, but the WebSocket URL does not start with wss://.";
  }
  return undefined;
}

function timingProblem(timing: unknown): string | undefined {
  return timing === undefined || isRecord(timing)
    ? undefined
    : "The configured timing is not an object.";
}

function isUrl(value: unknown, start: RegExp): value is string {
  return typeof value === "string" && start.test(value) && URL.canParse(value);
}

function isRecord(value: unknown): value is Values {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === "" ? undefined : text;
}
