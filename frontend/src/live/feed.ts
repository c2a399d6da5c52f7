import { applyInsights, type Findings } from "./findings.ts";
import { readFrame, type InsightUpdate, type Rejection, type Update } from "./read-frame.ts";
import { applyUpdates, type Replica } from "./replica.ts";

export interface FeedOptions {
  /** Replaces the replica by what the function makes of it. */
  readonly write: (change: (replica: Replica) => Replica) => void;
  /** Replaces the findings by what the function makes of them. */
  readonly writeFindings: (change: (findings: Findings) => Findings) => void;
  /** Runs a function once, soon. What arrives until then is written together. */
  readonly schedule: (run: () => void) => void;
  /** Unix milliseconds. */
  readonly now?: () => number;
  /** Called once for each reason why something could not be used, when it is first met. */
  readonly warn?: (reason: Rejection) => void;
}

/** What a newer server may send on purpose: counted, but nothing to warn of. */
const expected: ReadonlySet<Rejection> = new Set(["unknown_frame", "unknown_update"]);

/** So many unwritten updates are written at once: a page in the background is rarely called back. */
const pendingLimit = 2_000;

/** Turns messages from the server into writes of the replica, one write for all that arrive together. */
export class Feed {
  readonly #options: FeedOptions;
  readonly #now: () => number;
  readonly #warned = new Set<Rejection>();
  #updates: Update[] = [];
  #insights: InsightUpdate[] = [];
  #rejections: Rejection[] = [];
  #isScheduled = false;

  constructor(options: FeedOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  /** Takes the data of one message. It never throws on account of what the message holds. */
  push(data: unknown): void {
    const { updates, insights, rejections } = readFrame(data);
    this.#updates.push(...updates);
    this.#insights.push(...insights);
    this.#rejections.push(...rejections);
    for (const reason of rejections) this.#warnOnce(reason);
    if (this.#updates.length + this.#insights.length >= pendingLimit) this.flush();
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#options.schedule(() => {
      this.flush();
    });
  }

  /** Writes at once what has arrived and was not written yet. */
  flush(): void {
    this.#isScheduled = false;
    const updates = this.#updates;
    const insights = this.#insights;
    const rejections = this.#rejections;
    this.#updates = [];
    this.#insights = [];
    this.#rejections = [];
    if (updates.length + rejections.length > 0) {
      this.#options.write((replica) => applyUpdates(replica, updates, rejections, this.#now()));
    }
    if (insights.length > 0) {
      this.#options.writeFindings((findings) => applyInsights(findings, insights, this.#now()));
    }
  }

  #warnOnce(reason: Rejection): void {
    if (expected.has(reason) || this.#warned.has(reason)) return;
    this.#warned.add(reason);
    this.#options.warn?.(reason);
  }
}
