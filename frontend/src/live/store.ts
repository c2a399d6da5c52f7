import {
  digest,
  entityDigestKey,
  latestInsights,
  sliceDigests,
  type DigestRow,
} from "@contracts/digest.ts";
import type { ViewV1 } from "@contracts/zz_types.ts";
import { applyInsights, noFindings, retainFindings, type Findings } from "./findings.ts";
import type { Batch, Census, Origin } from "./merge.ts";
import type { FrameContent, InsightUpdate, Rejection, Update } from "./read-frame.ts";
import { applyUpdates, emptyReplica, retainEntities, type Replica } from "./replica.ts";
import { matches } from "./view.ts";

export interface StoreOptions {
  /** Runs a function once, soon. What arrives until then is merged together. */
  readonly schedule: (run: () => void) => void;
  /** Called after each change of what is held. */
  readonly onChange: () => void;
  /** Unix milliseconds. */
  readonly now: () => number;
}

export interface SnapshotCensus {
  readonly entities: Census;
  readonly insights: Census;
  /** Of all that the views hold. */
  readonly digest?: string | undefined;
}

/** What is held, as a sync sums it up. */
export interface Summary {
  readonly digest: string;
  readonly slices: string;
}

/** So many unmerged updates are merged at once: a page in the background is rarely called back. */
const pendingLimit = 2_000;

/** Holds what the page knows. Updates that arrive together are merged together. */
export class Store {
  readonly #options: StoreOptions;
  #replica = emptyReplica;
  #findings = noFindings;
  #updates: Batch<Update>[] = [];
  #insights: Batch<InsightUpdate>[] = [];
  #rejections: Rejection[] = [];
  #waiting = 0;
  #isScheduled = false;

  constructor(options: StoreOptions) {
    this.#options = options;
  }

  /** Without what is not merged yet. */
  get replica(): Replica {
    return this.#replica;
  }

  get findings(): Findings {
    return this.#findings;
  }

  /** Merges what a frame carries, soon. */
  merge({ updates, insights, rejections }: FrameContent, origin: Origin): void {
    if (updates.length > 0) this.#updates.push({ updates, origin });
    if (insights.length > 0) this.#insights.push({ updates: insights, origin });
    this.#rejections.push(...rejections);
    this.#waiting += updates.length + insights.length;
    if (this.#waiting >= pendingLimit) this.flush();
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#options.schedule(() => {
      this.#isScheduled = false;
      this.flush();
    });
  }

  /** Merges at once what has arrived. */
  flush(): void {
    const updates = this.#updates;
    const insights = this.#insights;
    const rejections = this.#rejections;
    this.#updates = [];
    this.#insights = [];
    this.#rejections = [];
    this.#waiting = 0;
    if (updates.length + insights.length + rejections.length === 0) return;
    const now = this.#options.now();
    if (updates.length + rejections.length > 0) {
      this.#replica = applyUpdates(this.#replica, updates, rejections, now);
    }
    if (insights.length > 0) this.#findings = applyInsights(this.#findings, insights, now);
    this.#options.onChange();
  }

  /**
   * Drops what a complete snapshot of these views says is not there. Returns whether what is held then is what
   * it says.
   */
  retain(snapshot: SnapshotCensus, views: readonly ViewV1[]): boolean {
    this.flush();
    const now = this.#options.now();
    this.#replica = retainEntities(
      this.#replica,
      snapshot.entities,
      ({ type, attributes }) => matches(views, type, attributes).matched,
      now,
    );
    this.#findings = retainFindings(
      this.#findings,
      snapshot.insights,
      ({ attributes }) => matches(views, "insight", attributes).matched,
      now,
    );
    this.#options.onChange();
    const { digest: sum } = snapshot;
    return sum === undefined || sum === digest(this.#rows(views));
  }

  /** Drops all that is held, and what has arrived. */
  forget(): void {
    this.flush();
    this.#replica = emptyReplica;
    this.#findings = noFindings;
    this.#options.onChange();
  }

  /** Sums up what is held for these views; undefined where nothing is. */
  digest(views: readonly ViewV1[]): string | undefined {
    this.flush();
    const rows = this.#rows(views);
    return rows.length === 0 ? undefined : digest(rows);
  }

  /** As `digest`, and where it differs from another. */
  summary(views: readonly ViewV1[]): Summary | undefined {
    this.flush();
    const rows = this.#rows(views);
    return rows.length === 0 ? undefined : { digest: digest(rows), slices: sliceDigests(rows) };
  }

  #rows(views: readonly ViewV1[]): DigestRow[] {
    const rows: DigestRow[] = [];
    for (const { type, id, version, attributes } of this.#replica.entities.values()) {
      if (!matches(views, type, attributes).matched) continue;
      rows.push({ key: entityDigestKey(type, id), version });
    }
    const watched = this.#findings.latest.filter(
      ({ attributes }) => matches(views, "insight", attributes).matched,
    );
    rows.push(...latestInsights(watched));
    return rows;
  }
}
