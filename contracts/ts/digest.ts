import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";

import type { Version } from "./zz_types.ts";

/** An entity or insight that a browser shows, by what names it in a digest, and its version. */
export interface DigestRow {
  readonly key: string;
  readonly version: Version;
}

/** Names an entity in a digest. Types are those of the contract, none of which has a slash. */
export function entityDigestKey(type: string, id: string): string {
  return `${type}/${escapeText(id)}`;
}

/** Names an insight in a digest: insight, a slash, and the two parts of its id with a tab between. */
export function insightDigestKey(pk: string, sk: string): string {
  return `insight/${escapeText(pk)}\t${escapeText(sk)}`;
}

/**
 * Sums up what a browser shows for its views: every entity that matches them, and those insights that
 * match and count (`latestInsights`), each once; what is gone is not among them. It is what a sync
 * carries, and a snapshot. The server works it out in the same way: contracts/digest.go says it in
 * full, and both are tested on contracts/vectors/digest.json.
 *
 * A row is a line: key, tab, epoch, tab, revision, line feed. The digest is the SHA-256 of all lines in
 * UTF-8, in the order of their bytes, of which the first 16 bytes in lower-case hexadecimal.
 */
export function digest(rows: Iterable<DigestRow>): string {
  return bytesToHex(sumOf(rows).subarray(0, 16));
}

/** Rows fall into so many slices by their keys, so that browser and server find out where they differ. */
export const digestSlices = 64;
/** So many bytes of its hash tell whether a slice is the same. */
const sliceBytes = 6;

/** The slice, counted from 0, of the row with a key: the 32-bit FNV-1a hash of its bytes, folded. */
export function digestSlice(key: string): number {
  let hash = 0x811c9dc5;
  for (const byte of encoder.encode(key)) hash = Math.imul(hash ^ byte, 0x01000193);
  return ((hash >>> 16) ^ hash) & (digestSlices - 1);
}

/** What a sync says of the slices of its rows: of each in turn the first bytes of its hash, in base64. */
export function sliceDigests(rows: Iterable<DigestRow>): string {
  const slices = Array.from({ length: digestSlices }, (): DigestRow[] => []);
  for (const row of rows) slices[digestSlice(row.key)]?.push(row);
  const sums = slices.flatMap((slice) => [...sumOf(slice).subarray(0, sliceBytes)]);
  return btoa(String.fromCharCode(...sums));
}

function sumOf(rows: Iterable<DigestRow>): Uint8Array {
  const lines = Array.from(rows, ({ key, version: { epoch, revision } }) =>
    encoder.encode(`${key}\t${epoch}\t${revision}\n`),
  );
  const hash = sha256.create();
  for (const line of lines.sort(compareBytes)) hash.update(line);
  return hash.digest();
}

/** How much older than the newest insight one may be that counts, in milliseconds. */
export const insightWindow = 24 * 60 * 60 * 1000;
/** Of more insights than these the latest count. */
export const insightLimit = 2_000;

export interface FoundInsight {
  /** As `insightDigestKey` makes it. */
  readonly key: string;
  /** Its timestamp in unix milliseconds; what is below a millisecond is dropped. */
  readonly foundAt: number;
}

/**
 * Those insights that count, of all that match the views: what is shown, in a snapshot and in a digest.
 * The latest come first; of those found in the same millisecond, the one whose key has the lower bytes.
 * Where a tenant has more than the server looks at, it leaves out the oldest, and a snapshot drops them.
 */
export function latestInsights<T extends FoundInsight>(insights: Iterable<T>): T[] {
  const sorted = [...insights].sort(
    (a, b) => b.foundAt - a.foundAt || compareBytes(encoder.encode(a.key), encoder.encode(b.key)),
  );
  const horizon = (sorted[0]?.foundAt ?? 0) - insightWindow;
  return sorted.filter(({ foundAt }) => foundAt >= horizon).slice(0, insightLimit);
}

const encoder = new TextEncoder();

/** Two different keys stay different, and each line is one: tab and line feed only separate. */
function escapeText(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\t", "\\t").replaceAll("\n", "\\n");
}

/** The order of bytes is not that of JavaScript's strings: a surrogate pair comes after U+FFFF. */
function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}
