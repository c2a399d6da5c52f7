import { digest as digestOf } from "@contracts/digest.ts";
import type { InsightID, ServerFrame, SyncCommandV1, ViewV1 } from "@contracts/zz_types.ts";
import type { Findings } from "../findings.ts";
import type { Replica } from "../replica.ts";
import { matches } from "../view.ts";
import { viewsKey } from "../watched-views.ts";

/** What a live client holds. */
export interface Holdings {
  readonly replica: Replica;
  readonly findings: Findings;
  digest(views: readonly ViewV1[]): string | undefined;
}

/** So many rows are sent at once. The server sends about as many. */
const rowsInPart = 100;

/** What there is to say of some views. */
interface Sheet {
  readonly key: string;
  readonly replica: Replica;
  readonly findings: Findings;
  readonly digest: string;
  /** Of each part of a snapshot the members that are of no sync in particular, as JSON. */
  parts?: readonly string[];
}

/** Keeps what was answered last: most tabs watch the same, and after a change of leader all ask at once. */
export class Sheets {
  #last: Sheet | undefined;

  sheet(views: readonly ViewV1[], holdings: Holdings): Sheet {
    const key = viewsKey(views);
    // Summing up, be it nothing, merges what has arrived: it comes before anything is read.
    holdings.digest([]);
    const { replica, findings } = holdings;
    const { key: lastKey, replica: lastReplica, findings: lastFindings } = this.#last ?? {};
    if (this.#last && key === lastKey && replica === lastReplica && findings === lastFindings) {
      return this.#last;
    }
    const digest = holdings.digest(views) ?? digestOf([]);
    this.#last = { key, replica, findings, digest };
    return this.#last;
  }
}

/**
 * Answers a sync as the server would that holds the same: the texts of a SYNCED, or of all parts of a
 * SNAPSHOT. An attribute too many does no harm. `timestamp` is when what is held was right, by the
 * server's clock.
 */
export function answer(
  { sync_id, views, digest }: SyncCommandV1,
  holdings: Holdings,
  timestamp: string,
  sheets = new Sheets(),
): string[] {
  const sheet = sheets.sheet(views, holdings);
  const head = { version: 1, timestamp, sync_id } as const;
  if (digest === sheet.digest) {
    const synced: ServerFrame = { ...head, type: "SYNCED" };
    return [JSON.stringify(synced)];
  }
  sheet.parts ??= partsOf(sheet, views);
  const start = JSON.stringify({ ...head, type: "SNAPSHOT" }).slice(0, -1);
  return sheet.parts.map((part) => `${start},${part.slice(1)}`);
}

type Snapshot = Extract<ServerFrame, { type: "SNAPSHOT" }>;

function partsOf({ replica, findings, digest }: Sheet, views: readonly ViewV1[]): string[] {
  const entities = [...replica.entities.values()]
    .filter(({ type, attributes }) => matches(views, type, attributes).matched)
    .map(({ type, id, version, attributes, writtenAt }) => ({
      entity_type: type,
      entity_id: id,
      operation: "UPSERT" as const,
      version,
      attributes,
      written_at: writtenAt,
    }));
  const insights = findings.latest
    .filter(({ attributes }) => matches(views, "insight", attributes).matched)
    .map(({ key, version, attributes }) => ({
      insight_id: insightId(key),
      operation: "UPSERT" as const,
      version,
      attributes,
      // When exactly it was written nobody has kept. It was found before.
      written_at: attributes.timestamp,
    }));
  const parts = Math.max(1, Math.ceil((entities.length + insights.length) / rowsInPart));
  return Array.from({ length: parts }, (_, i) => {
    const [from, to] = [i * rowsInPart, (i + 1) * rowsInPart];
    const part: Omit<Snapshot, "type" | "version" | "timestamp" | "sync_id"> = {
      part: i + 1,
      parts,
      entities: entities.slice(from, to),
      insights: insights.slice(
        Math.max(0, from - entities.length),
        Math.max(0, to - entities.length),
      ),
      ...(i + 1 === parts && { digest }),
    };
    return JSON.stringify(part);
  });
}

/** Reads what `insightDigestKey` has made. */
function insightId(key: string): InsightID {
  const [pk = "", sk = ""] = key
    .slice(key.indexOf("/") + 1)
    .split("\t")
    .map((part) => part.replace(/\\(.)/g, (_, letter: string) => escapes[letter] ?? letter));
  return { pk, sk };
}

const escapes: Readonly<Record<string, string>> = { t: "\t", n: "\n" };
