import { expect, describe, test } from "vitest";
import { contracts, readFrame } from "./read-frame.ts";

/** Every example and reject of every frame, by its path below contracts/. */
const examples = documents(
  import.meta.glob<string>("../../../contracts/examples/frames/*/v1/*.json", {
    eager: true,
    query: "?raw",
    import: "default",
  }),
);
const rejects = documents(
  import.meta.glob<string>("../../../contracts/rejects/frames/*/v1/*.json", {
    eager: true,
    query: "?raw",
    import: "default",
  }),
);

function documents(files: Record<string, string>): [string, string][] {
  return Object.entries(files).map(([path, text]) => [path.replace(/^.*contracts\//, ""), text]);
}

/** The document as a later producer of the same major version may send it. */
function withFieldsOfTheFuture(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withFieldsOfTheFuture);
  if (typeof value !== "object" || value === null) return value;
  const later = Object.entries(value).map(([name, inner]) => [name, withFieldsOfTheFuture(inner)]);
  return { ...(Object.fromEntries(later) as object), x_future: { of: ["any", 1, null] } };
}

test("there are examples to read", () => {
  expect(examples.length).toBeGreaterThan(20);
  expect(rejects.length).toBeGreaterThan(50);
});

/** How many entities and insights a frame names. */
function count(document: object): number {
  const lists = Object.entries(document).map(([name, value]: [string, unknown]) =>
    ["data", "entities", "insights"].includes(name) && Array.isArray(value) ? value.length : 0,
  );
  return lists.reduce((sum, length) => sum + length, 0);
}

describe("reads every example of every frame", () => {
  test.each(examples)("%s", (_, text) => {
    const content = readFrame(text);
    expect(content.rejections).toEqual([]);
    const document = JSON.parse(text) as { type: string; timestamp: string };
    expect(content.updates.length + content.insights.length).toBe(count(document));
    expect(content.sentAt).toBe(Date.parse(document.timestamp));
    const isChange = contracts.includes(`${document.type}/1`);
    expect(content.control?.type).toBe(isChange ? undefined : document.type);
    expect(readFrame(JSON.stringify(withFieldsOfTheFuture(JSON.parse(text))))).toEqual(content);
  });
});

describe("survives every reject", () => {
  test.each(rejects)("%s", (_, text) => {
    const { instance } = JSON.parse(text) as { instance: unknown };
    expect(() => readFrame(JSON.stringify(instance))).not.toThrow();
  });
});

test("values of a later contract are kept", () => {
  for (const [path, text] of examples) {
    const later = text
      .replaceAll('"critical"', '"beyond_critical"')
      .replaceAll('"high_ib_call_frequency"', '"a_later_rule"')
      .replaceAll('"healthy"', '"a_later_segment"')
      .replaceAll('"DELETED"', '"A_LATER_REASON"')
      .replaceAll('"BEHIND"', '"A_LATER_REASON"')
      .replaceAll('"RATE_LIMITED"', '"A_LATER_CODE"');
    expect(readFrame(later).rejections, path).toEqual([]);
  }
});

test("what the page names is what it reads", () => {
  for (const name of contracts) {
    const [type, version] = name.split("/");
    expect(
      readFrame(JSON.stringify({ type, version: Number(version), data: [] })).rejections,
    ).toEqual([]);
    const next = JSON.stringify({ type, version: Number(version) + 1, data: [] });
    expect(readFrame(next).rejections).toEqual(["unknown_version"]);
  }
});
