import type { Version } from "./zz_types.ts";

/**
 * Orders two states of one entity: negative as a is older than b, 0 as they are the same state,
 * positive as a is newer. Epoch first, then revision; time plays no part.
 */
export function compareVersions(a: Version, b: Version): -1 | 0 | 1 {
  return compare(a.epoch, b.epoch) || compare(a.revision, b.revision);
}

function compare(a: number, b: number): -1 | 0 | 1 {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
