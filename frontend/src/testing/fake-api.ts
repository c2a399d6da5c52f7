import type { HttpApi } from "../live/http.ts";

/** A request that waits for the test. */
export class FakeRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: Headers;
  state: "waiting" | "answered" | "aborted" = "waiting";
  readonly #resolve: (response: Response) => void;
  readonly #reject: (error: unknown) => void;

  constructor(
    url: string,
    init: RequestInit,
    resolve: (response: Response) => void,
    reject: (error: unknown) => void,
  ) {
    const { pathname, searchParams } = new URL(url);
    this.method = init.method ?? "GET";
    this.path = pathname;
    this.query = searchParams;
    this.headers = new Headers(init.headers);
    this.#resolve = resolve;
    this.#reject = reject;
    init.signal?.addEventListener("abort", () => {
      if (this.state === "waiting") this.state = "aborted";
      reject(new DOMException("aborted", "AbortError"));
    });
  }

  get token(): string | undefined {
    return this.headers.get("Authorization")?.replace("Bearer ", "");
  }

  /** `body` undefined: it is no JSON. Its stream takes no time, so that tests need not wait for it. */
  answer(status: number, body?: unknown, headers: Record<string, string> = {}): void {
    this.state = "answered";
    const json = () =>
      body === undefined ? Promise.reject(new SyntaxError("no JSON")) : Promise.resolve(body);
    const ok = status >= 200 && status < 300;
    this.#resolve({ status, ok, headers: new Headers(headers), json } as Response);
  }

  /** The network fails. */
  fail(): void {
    this.state = "answered";
    this.#reject(new TypeError("fetch failed"));
  }
}

/** An HTTP API whose server and network are the test. */
export class FakeApi {
  readonly requests: FakeRequest[] = [];
  readonly fetch: NonNullable<HttpApi["fetch"]> = (input, init = {}) =>
    new Promise((resolve, reject) => {
      this.requests.push(new FakeRequest(input as string, init, resolve, reject));
    });

  /** Those that are neither answered nor aborted. */
  get waiting(): FakeRequest[] {
    return this.requests.filter(({ state }) => state === "waiting");
  }

  get latest(): FakeRequest {
    const request = this.requests.at(-1);
    if (!request) throw new Error("nothing was asked");
    return request;
  }
}

/** Lets everything happen that waits for nothing but promises. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 30; turn++) await Promise.resolve();
}

/** The answer to POST /tickets. Another letter makes another ticket. */
export function ticket(letter = "T"): object {
  const timestamp = "2026-11-22T10:00:00.000Z";
  const expires_at = "2026-11-22T10:00:30.000Z";
  return { version: 1, ticket: letter.repeat(43), expires_at, timestamp };
}
