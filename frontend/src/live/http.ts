import type { Failure } from "./live-api.ts";
import { isWait } from "./read-frame.ts";

/** The HTTP API, and who asks it. */
export interface HttpApi {
  /** Of its root, as https://api.example.com; a slash at the end makes no difference. */
  readonly url: string;
  /**
   * Gives the token that says who asks. `rejected` is one that the server did not take: another is wanted. It
   * rejects with an error whose name is `SignedOut` where nobody is signed in any more, and with any other
   * where that may pass; it is asked again later. Without this function everybody may connect, and no
   * ticket is fetched.
   */
  readonly token?: (rejected?: string) => Promise<string>;
  /** Of who asks. What is held for one is never shown to another. */
  readonly identity?: string;
  readonly fetch?: typeof globalThis.fetch;
}

/** Carries a failure, and no more of what the server said: nothing secret gets into a log. */
export class ApiError extends Error {
  readonly failure: Failure;

  constructor(failure: Failure) {
    super(
      `the API failed: ${failure.kind}${failure.status === undefined ? "" : `, ${failure.status}`}`,
    );
    this.name = "ApiError";
    this.failure = failure;
  }
}

/**
 * Asks the API, with a token where there is one, and once more with another where that is not taken.
 * Resolves to an answer of status 2xx or 304, and else rejects: with an ApiError, or as `fetch` does.
 */
export async function request(
  api: HttpApi,
  path: string,
  init: RequestInit & { readonly signal: AbortSignal },
): Promise<Response> {
  const token = await tokenOf(api);
  let response = await send(api, path, init, token);
  if (response.status === 401 && token !== undefined) {
    const other = await tokenOf(api, token);
    if (other !== token) response = await send(api, path, init, other);
  }
  if (response.ok || response.status === 304) return response;
  throw new ApiError(await readFailure(response));
}

async function tokenOf({ token: give }: HttpApi, rejected?: string): Promise<string | undefined> {
  if (!give) return undefined;
  try {
    return await give(rejected);
  } catch (error) {
    if (!(error instanceof Error) || error.name !== "SignedOut") throw error;
    throw new ApiError({ kind: "signed_out", retryAfterMs: 0 });
  }
}

function send(
  { url, fetch = globalThis.fetch }: HttpApi,
  path: string,
  init: RequestInit & { readonly signal: AbortSignal },
  token: string | undefined,
): Promise<Response> {
  init.signal.throwIfAborted();
  const headers = new Headers(init.headers);
  if (token !== undefined) headers.set("Authorization", `Bearer ${token}`);
  return fetch(url.replace(/\/$/, "") + path, { ...init, headers, credentials: "omit" });
}

async function readFailure(response: Response): Promise<Failure> {
  const { status } = response;
  if (status === 401) return { kind: "signed_out", retryAfterMs: 0, status };
  if (status === 403) return { kind: "forbidden", retryAfterMs: 0, status };
  // A gateway or proxy answers in forms of its own.
  const problem = (await response.json().catch(() => undefined)) as unknown;
  const after =
    typeof problem === "object" && problem !== null && "retry_after_ms" in problem
      ? problem.retry_after_ms
      : 0;
  return { kind: "unavailable", retryAfterMs: isWait(after) ? after : 0, status };
}
