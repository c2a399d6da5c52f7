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

const isRead = (path: string) => /frames\/(metric-update|insight-created)\//.test(path);

/** The document as a later producer of the same major version may send it. */
function withFieldsOfTheFuture(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withFieldsOfTheFuture);
  if (typeof value !== "object" || value === null) return value;
  const later = Object.entries(value).map(([name, inner]) => [name, withFieldsOfTheFuture(inner)]);
  return { ...(Object.fromEntries(later) as object), x_future: { of: ["any", 1, null] } };
}

test("there are examples to read", () => {
  expect(examples.filter(([path]) => isRead(path)).length).toBeGreaterThan(8);
  expect(rejects.filter(([path]) => isRead(path)).length).toBeGreaterThan(20);
});

describe("reads every example of a frame that the page names", () => {
  test.each(examples.filter(([path]) => isRead(path)))("%s", (_, text) => {
    const { updates, insights, rejections } = readFrame(text);
    expect(rejections).toEqual([]);
    const { data } = JSON.parse(text) as { data: unknown[] };
    expect(updates.length + insights.length).toBe(data.length);
    expect(readFrame(JSON.stringify(withFieldsOfTheFuture(JSON.parse(text))))).toEqual({
      updates,
      insights,
      rejections,
    });
  });
});

describe("leaves every other frame alone", () => {
  test.each(examples.filter(([path]) => !isRead(path)))("%s", (_, text) => {
    expect(readFrame(text)).toEqual({ updates: [], insights: [], rejections: ["unknown_frame"] });
  });
});

describe("survives every reject", () => {
  test.each(rejects)("%s", (_, text) => {
    const { instance } = JSON.parse(text) as { instance: unknown };
    expect(() => readFrame(JSON.stringify(instance))).not.toThrow();
  });
});

test("values of a later contract are kept", () => {
  for (const [path, text] of examples.filter(([each]) => isRead(each))) {
    const later = text
      .replaceAll('"critical"', '"beyond_critical"')
      .replaceAll('"high_ib_call_frequency"', '"a_later_rule"')
      .replaceAll('"healthy"', '"a_later_segment"')
      .replaceAll('"DELETED"', '"A_LATER_REASON"');
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
