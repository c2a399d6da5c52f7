import fc from "fast-check";
import { describe, expect, test } from "vitest";

import {
  digest,
  digestSlice,
  digestSlices,
  entityDigestKey,
  insightDigestKey,
  insightLimit,
  insightWindow,
  latestInsights,
  sliceDigests,
} from "./digest.ts";
import type { InsightID, Version } from "./zz_types.ts";

type Row = { readonly version: Version } & (
  { readonly type: string; readonly id: string } | InsightID
);

interface Vectors {
  readonly digests: readonly {
    readonly why: string;
    readonly rows: readonly Row[];
    readonly text: string;
    readonly digest: string;
    /** Those that are not empty. */
    readonly slices: Readonly<Record<string, string>>;
  }[];
  readonly insights: readonly {
    readonly why: string;
    readonly insights: readonly (InsightID & { readonly timestamp: string })[];
    /** Those that count, by their place among the insights. */
    readonly latest: readonly number[];
  }[];
}

const files = import.meta.glob<string>("../vectors/digest.json", {
  eager: true,
  query: "?raw",
  import: "default",
});
const vectors = JSON.parse(files["../vectors/digest.json"] ?? "") as Vectors;

function keyOf(row: Row): string {
  return "type" in row ? entityDigestKey(row.type, row.id) : insightDigestKey(row.pk, row.sk);
}

describe("digest", () => {
  test.each(vectors.digests)("$why", ({ rows, text, digest: expected }) => {
    const keyed = rows.map((row) => ({ key: keyOf(row), version: row.version }));
    expect(digest(keyed)).toBe(expected);
    expect(digest(keyed.reverse())).toBe(expected);
    for (const { key } of keyed) expect(text).toContain(`${key}\t`);
  });

  test.each(vectors.digests)("slices of $why", ({ rows, slices }) => {
    const keyed = rows.map((row) => ({ key: keyOf(row), version: row.version }));
    const empty = sliceDigests([]).slice(0, 8);
    const expected = Array.from({ length: digestSlices }, (_, i) => slices[i] ?? empty).join("");
    expect(sliceDigests(keyed)).toBe(expected);
    expect(sliceDigests(keyed.reverse())).toBe(expected);
    for (const { key } of keyed) expect(slices).toHaveProperty(String(digestSlice(key)));
  });

  test("different ids have different keys", () => {
    const text = fc.stringMatching(/^[ab\\tn\t\n/]{1,6}$/);
    fc.assert(
      fc.property(text, text, (a, b) => {
        expect(entityDigestKey("student", a) === entityDigestKey("student", b)).toBe(a === b);
        expect(entityDigestKey("student", a)).not.toMatch(/[\t\n]/);
      }),
    );
  });
});

describe("latestInsights", () => {
  test.each(vectors.insights)("$why", ({ insights, latest }) => {
    const found = insights.map(({ pk, sk, timestamp }) => ({
      key: insightDigestKey(pk, sk),
      foundAt: Date.parse(timestamp),
    }));
    const expected = latest.map((i) => found[i]);
    expect(latestInsights(found)).toEqual(expected);
    expect(latestInsights([...found].reverse())).toEqual(expected);
  });

  test("no more than the limit", () => {
    const found = Array.from({ length: insightLimit + 2 }, (_, i) => ({
      key: insightDigestKey(`insight#${i}`, "2026-11-22T10:00:00.000Z"),
      foundAt: 1_795_000_000_000 + i,
    }));
    expect(latestInsights(found)).toEqual(found.slice(2).reverse());
    expect(insightWindow).toBe(86_400_000);
  });
});
