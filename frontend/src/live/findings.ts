import { insightLimit, latestInsights } from "@contracts/digest.ts";
import type { Version } from "@contracts/zz_types.ts";
import { isKept, judge, unite, type Batch, type Census, type Origin } from "./merge.ts";
import type { InsightAttributes, InsightUpdate } from "./read-frame.ts";
import { TombstoneDraft, type Tombstones } from "./tombstones.ts";

export interface Finding {
  /** Names the insight among all of the tenant, as in a digest. */
  readonly key: string;
  readonly version: Version;
  /** When it was found, by the writer's clock. Unix milliseconds. */
  readonly foundAt: number;
  readonly attributes: InsightAttributes;
  /** The number of the message that brought this version. */
  readonly message: number;
}

/** What this page knows of the tenant's insights. It is a value, like the replica of the entities. */
export interface Findings {
  /** Those that count, the latest found first: memory is bounded. */
  readonly latest: readonly Finding[];
  /**
   * What a snapshot has named and what does not count yet: it will, if the snapshot, once it is complete,
   * shows that a later one is gone.
   */
  readonly spare: readonly Finding[];
  readonly tombstones: Tombstones;
}

export const noFindings: Findings = { latest: [], spare: [], tombstones: new Map() };

/**
 * Applies updates of insights: of each the highest version wins, whatever order they come in and
 * however often, and attributes of the same version are united. `now` is in unix milliseconds.
 */
export function applyInsights(
  findings: Findings,
  batches: readonly Batch<InsightUpdate>[],
  now: number,
): Findings {
  const draft = new Draft(findings, now);
  for (const { updates, origin } of batches) {
    for (const update of updates) draft.apply(update, origin);
  }
  return draft.finish();
}

/** Drops the insights that a complete snapshot says are not there: `isKept` tells which stay. */
export function retainFindings(
  findings: Findings,
  census: Census,
  isWatched: (finding: Finding) => boolean,
  now: number,
): Findings {
  const draft = new Draft(findings, now);
  const drop = (finding: Finding, isSummed: boolean) => {
    const { key, message } = finding;
    const held = { digestKey: key, message, isSummed };
    if (!isKept(census, census.named.has(key), held)) draft.drop(finding, census.message);
  };
  for (const finding of findings.latest) drop(finding, isWatched(finding));
  for (const finding of findings.spare) drop(finding, false);
  return draft.finish();
}

class Draft {
  readonly #base: Findings;
  readonly #known: Map<string, Finding>;
  readonly #spare: Set<string>;
  readonly #tombstones: TombstoneDraft;
  #hasChanged = false;

  constructor(base: Findings, now: number) {
    this.#base = base;
    this.#known = new Map([...base.spare, ...base.latest].map((finding) => [finding.key, finding]));
    this.#spare = new Set(base.spare.map(({ key }) => key));
    this.#tombstones = new TombstoneDraft(base.tombstones, now);
  }

  apply(update: InsightUpdate, origin: Origin): void {
    const { key, version } = update;
    const held = this.#known.get(key);
    const verdict = judge(update, origin, held, this.#tombstones.get(key));
    if (verdict === "older") return;
    if (update.operation === "REMOVE") {
      this.drop(update, origin.message);
      return;
    }
    const { attributes } = update;
    if (verdict === "same" && held) {
      const united = unite(held.attributes, attributes);
      if (united === held.attributes) return;
      this.#hasChanged = true;
      this.#known.set(key, { ...held, attributes: united });
      return;
    }
    this.#hasChanged = true;
    this.#tombstones.unearth(key);
    const { message, asked } = origin;
    if (asked) this.#spare.add(key);
    this.#known.set(key, {
      key,
      version,
      attributes,
      foundAt: Date.parse(attributes.timestamp),
      message,
    });
  }

  drop({ key, version }: Pick<Finding, "key" | "version">, message: number): void {
    this.#hasChanged = true;
    this.#known.delete(key);
    this.#tombstones.bury(key, version, message);
  }

  finish(): Findings {
    if (!this.#hasChanged) return this.#base;
    const latest = latestInsights(this.#known.values());
    for (const { key } of latest) this.#known.delete(key);
    const spare = [...this.#known.values()]
      .filter(({ key }) => this.#spare.has(key))
      .slice(-insightLimit);
    for (const { key } of spare) this.#known.delete(key);
    // Of what counts no more the version is kept: a late update must not show an older one, once a later insight is gone.
    for (const finding of this.#known.values()) this.drop(finding, finding.message);
    return {
      latest,
      spare,
      tombstones: this.#tombstones.finish(),
    };
  }
}
