import { beforeEach, describe, expect, test, vi } from "vitest";
import type { Grant, Person } from "./provider.ts";
import { SignedOut } from "./token-source.ts";
import { Tokens } from "./tokens.ts";

const ada: Person = { subject: "u-1", name: "ada", tenant: "acme" };
const hour = 3_600_000;

function granted(token: string, more: Partial<Grant> = {}): Grant {
  return { token, lifetime: hour, refreshToken: `refresh of ${token}`, person: ada, ...more };
}

let now: number;
const refresh = vi.fn<(refreshToken: string) => Promise<Grant | undefined>>();
const onEnd = vi.fn();

beforeEach(() => {
  now = 5_000;
  refresh.mockReset();
  onEnd.mockReset();
});

function have(grant: Grant, person: Person = ada): Tokens {
  return new Tokens({ issuer: "https://i", grant, person, refresh, now: () => now, onEnd });
}

describe("there is nothing to be had", () => {
  test.each([
    ["the issuer refuses", granted("a"), undefined],
    ["there is no refresh token", granted("a", { refreshToken: undefined }), granted("b")],
    ["it is another person's", granted("a"), granted("b", { person: { ...ada, subject: "u-2" } })],
    ["it is another tenant's", granted("a"), granted("b", { person: { ...ada, tenant: "x" } })],
  ])("where %s", async (_, first, answer) => {
    refresh.mockResolvedValue(answer);
    const tokens = have(first);
    await expect(tokens.token("a")).rejects.toBeInstanceOf(SignedOut);
    await expect(tokens.token()).rejects.toBeInstanceOf(SignedOut);
    expect(onEnd).toHaveBeenCalledTimes(1);
    expect(refresh.mock.calls.length).toBeLessThanOrEqual(1);
  });

  test("after the end, nor for whoever waits then", async () => {
    const answers: ((grant: Grant) => void)[] = [];
    refresh.mockImplementation(() => new Promise((resolve) => answers.push(resolve)));
    const tokens = have(granted("a"));
    const waiting = expect(tokens.token("a")).rejects.toBeInstanceOf(SignedOut);
    tokens.end();
    answers[0]?.(granted("b"));
    await waiting;
    await expect(tokens.token()).rejects.toBeInstanceOf(SignedOut);
    expect(onEnd).not.toHaveBeenCalled();
  });
});

describe("the issuer is out of order", () => {
  const outage = new Error("The sign-in service does not answer.");

  test("a token that is still good is used to its end", async () => {
    refresh.mockRejectedValue(outage);
    const tokens = have(granted("a"));
    now += hour - 1;
    expect(await tokens.token()).toBe("a");
    now += 1;
    await expect(tokens.token()).rejects.toBe(outage);
    refresh.mockResolvedValue(granted("b"));
    expect(await tokens.token()).toBe("b");
    expect(onEnd).not.toHaveBeenCalled();
  });

  test("one that was rejected is not", async () => {
    refresh.mockRejectedValue(outage);
    await expect(have(granted("a")).token("a")).rejects.toBe(outage);
  });
});

test("a token is replaced a minute before it expires, and a short one in its middle", async () => {
  refresh.mockResolvedValue(granted("b", { lifetime: 10_000 }));
  const tokens = have(granted("a"));
  now += hour - 60_001;
  expect(await tokens.token()).toBe("a");
  now += 1;
  expect(await tokens.token()).toBe("b");
  refresh.mockResolvedValue(granted("c", { lifetime: Infinity }));
  now += 4_999;
  expect(await tokens.token()).toBe("b");
  now += 1;
  expect(await tokens.token()).toBe("c");
  now += 1_000 * hour;
  expect(await tokens.token()).toBe("c");
});

test("whoever asks at the same time gets the same", async () => {
  refresh.mockResolvedValue(granted("b"));
  const tokens = have(granted("a"));
  expect(await Promise.all(["a", "a", "a"].map((old) => tokens.token(old)))).toEqual([
    "b",
    "b",
    "b",
  ]);
  expect(refresh).toHaveBeenCalledTimes(1);
  // One that was rejected before it was replaced is no reason to replace its successor.
  expect(await tokens.token("a")).toBe("b");
  expect(refresh).toHaveBeenCalledTimes(1);
});

test("the newest refresh token is used; without a new one, the last", async () => {
  const tokens = have(granted("a"));
  refresh.mockResolvedValueOnce(granted("b", { refreshToken: undefined, person: undefined }));
  await tokens.token("a");
  refresh.mockResolvedValueOnce(granted("c"));
  await tokens.token("b");
  refresh.mockResolvedValueOnce(granted("d"));
  await tokens.token("c");
  expect(refresh.mock.calls.flat()).toEqual(["refresh of a", "refresh of a", "refresh of c"]);
});

test("people of other tenants, and without one, have other identities", () => {
  const people = [
    ada,
    { ...ada, tenant: "x" },
    { ...ada, tenant: undefined },
    { ...ada, subject: "u-2" },
  ];
  const identities = people.map((person) => have(granted("a"), person).identity);
  expect(new Set(identities).size).toBe(4);
  expect(have(granted("b"), { ...ada, name: "Ada L." }).identity).toBe(identities[0]);
});
