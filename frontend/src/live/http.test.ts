import { beforeEach, describe, expect, test, vi } from "vitest";
import { FakeApi, settle, ticket } from "../testing/fake-api.ts";
import { withTicket } from "./address.ts";
import type { HttpApi } from "./http.ts";
import { failureOf, type Failure } from "./live-api.ts";
import { fetchTicket } from "./ticket.ts";

let server: FakeApi;
let stopping: AbortController;
const token = vi.fn<(rejected?: string) => Promise<string>>();

beforeEach(() => {
  server = new FakeApi();
  stopping = new AbortController();
  token.mockReset();
  token.mockResolvedValue("old");
});

function api(overrides: Partial<HttpApi> = {}): HttpApi {
  return { url: "https://api.test/v1/", token, fetch: server.fetch, ...overrides };
}

/** What comes of it, once the server has done that. */
async function fetching(...answers: (() => void)[]): Promise<string | Failure> {
  const outcome = fetchTicket(api(), stopping.signal).catch(failureOf);
  for (const answer of answers) {
    await settle();
    answer();
  }
  return outcome;
}

function answer(status: number, body?: unknown): () => void {
  return () => {
    server.latest.answer(status, body);
  };
}

class SignedOut extends Error {
  override readonly name = "SignedOut";
}

describe("no ticket", () => {
  test("where the token is not taken, and another one neither", async () => {
    token.mockResolvedValueOnce("old").mockResolvedValueOnce("new");
    expect(await fetching(answer(401), answer(401))).toMatchObject({ kind: "signed_out" });
    expect(token.mock.calls).toEqual([[undefined], ["old"]]);
    expect(server.requests.map((request) => request.token)).toEqual(["old", "new"]);
  });

  test("where there is no other token: the same is not sent twice", async () => {
    expect(await fetching(answer(401))).toMatchObject({ kind: "signed_out" });
    expect(server.requests).toHaveLength(1);
  });

  test("where nobody is signed in; then nothing is sent", async () => {
    token.mockRejectedValue(new SignedOut());
    expect(await fetching()).toMatchObject({ kind: "signed_out" });
    expect(server.requests).toHaveLength(0);
  });

  test("where nobody can tell who is signed in, for now", async () => {
    token.mockRejectedValue(new Error("the issuer does not answer"));
    expect(await fetching()).toEqual({ kind: "unavailable", retryAfterMs: 0 });
  });

  test("where who asks may not", async () => {
    expect(await fetching(answer(403))).toMatchObject({ kind: "forbidden" });
  });

  test.each<[number, unknown, number]>([
    [429, { code: "RATE_LIMITED", retry_after_ms: 12_000 }, 12_000],
    [429, { retry_after_ms: -1 }, 0],
    [429, { retry_after_ms: "12" }, 0],
    [429, { retry_after_ms: 3_600_001 }, 0],
    [503, undefined, 0],
    [500, null, 0],
    [404, {}, 0],
  ])("where the server answers %d %j: later", async (status, problem, retryAfterMs) => {
    const failure = await fetching(answer(status, problem));
    expect(failure).toEqual({ kind: "unavailable", retryAfterMs, status });
  });

  test("where the network fails: later", async () => {
    const failure = await fetching(() => {
      server.latest.fail();
    });
    expect(failure).toEqual({ kind: "unavailable", retryAfterMs: 0 });
  });

  test.each([
    undefined,
    null,
    {},
    { ...ticket(), version: 2 },
    { ...ticket(), ticket: "short" },
    { ...ticket(), ticket: `${"T".repeat(43)}&x=1` },
    { ...ticket(), ticket: 7 },
  ])("where the answer is none: %j", async (body) => {
    expect(await fetching(answer(201, body))).toMatchObject({ kind: "unavailable" });
  });
});

test("a ticket is asked for with a token, and comes", async () => {
  expect(await fetching(answer(201, ticket()))).toBe("T".repeat(43));
  const { method, path } = server.latest;
  expect([method, path, server.latest.token]).toEqual(["POST", "/v1/tickets", "old"]);
});

test("after an abort nothing more is asked", async () => {
  const outcome = fetchTicket(api(), stopping.signal).catch(() => "aborted");
  stopping.abort();
  expect(await outcome).toBe("aborted");
  expect(server.requests).toHaveLength(0);
});

test("an abort ends what was asked", async () => {
  const outcome = fetchTicket(api(), stopping.signal).catch(() => "aborted");
  await settle();
  stopping.abort();
  expect(await outcome).toBe("aborted");
  expect(server.latest.state).toBe("aborted");
});

test("the ticket stands beside what the address says already", () => {
  expect(withTicket("wss://server.test/prod?contracts=A/1&ticket=old", "new")).toBe(
    "wss://server.test/prod?contracts=A%2F1&ticket=new",
  );
});
