import { compareVersions } from "@contracts/version.ts";
import type { Version } from "@contracts/zz_types.ts";
import type { InsightAttributes, InsightUpdate } from "./read-frame.ts";
import { TombstoneDraft, type Tombstones } from "./tombstones.ts";

export interface Finding {
  /** Names the insight among all of the tenant. */
  readonly key: string;
  readonly version: Version;
  /** When it was found, by the writer's clock. Unix milliseconds. */
  readonly foundAt: number;
  readonly attributes: InsightAttributes;
}

/** What this page knows of the tenant's insights. It is a value, like the replica of the entities. */
export interface Findings {
  /** The latest found first. */
  readonly latest: readonly Finding[];
  readonly tombstones: Tombstones;
}

export const noFindings: Findings = { latest: [], tombstones: new Map() };

/** How old the oldest insight may be beside the newest one that is known, in milliseconds. */
export const findingLifetime = 24 * 60 * 60 * 1000;
/** Beyond this many the oldest are forgotten early: memory is bounded. */
export const findingLimit = 2_000;

/**
 * Applies updates of insights: of each the highest version wins, whatever order they come in and
 * however often. `now` is in unix milliseconds.
 */
export function applyInsights(
  findings: Findings,
  updates: readonly InsightUpdate[],
  now: number,
): Findings {
  const known = new Map(findings.latest.map((finding) => [finding.key, finding]));
  const tombstones = new TombstoneDraft(findings.tombstones, now);
  let hasChanged = false;
  for (const update of updates) {
    const held = known.get(update.key)?.version ?? tombstones.version(update.key);
    if (held && compareVersions(update.version, held) <= 0) continue;
    hasChanged = true;
    if (update.operation === "REMOVE") {
      known.delete(update.key);
      tombstones.bury(update.key, update.version);
      continue;
    }
    tombstones.unearth(update.key);
    const { key, version, attributes } = update;
    known.set(key, { key, version, attributes, foundAt: Date.parse(attributes.timestamp) });
  }
  if (!hasChanged) return findings;
  const sorted = [...known.values()].sort(
    (a, b) => b.foundAt - a.foundAt || (a.key < b.key ? -1 : 1),
  );
  const horizon = (sorted[0]?.foundAt ?? 0) - findingLifetime;
  return {
    latest: sorted.filter(({ foundAt }) => foundAt >= horizon).slice(0, findingLimit),
    tombstones: tombstones.finish(),
  };
}
