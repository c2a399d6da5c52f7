import { digest as digestOf } from "@contracts/digest.ts";
import type { InsightID, ServerFrame, SyncCommandV1, ViewV1 } from "@contracts/zz_types.ts";
import type { Findings } from "../findings.ts";
import type { Replica } from "../replica.ts";
import { matches } from "../view.ts";

/** What a live client holds. */
export interface Holdings {
  readonly replica: Replica;
  readonly findings: Findings;
  digest(views: readonly ViewV1[]): string | undefined;
}

/** So many rows are sent at once. The server sends about as many. */
const rowsInPart = 100;

/**
 * Answers a sync as the server would that holds the same: the texts of a SYNCED, or of all parts of a
 * SNAPSHOT. An attribute too many does no harm. `timestamp` is when what is held was right, by the
 * server's clock.
 */
export function answer(
  { sync_id, views, digest }: SyncCommandV1,
  holdings: Holdings,
  timestamp: string,
): string[] {
  // It merges what has arrived, so it comes before anything is read.
  const held = holdings.digest(views) ?? digestOf([]);
  const head = { version: 1, timestamp, sync_id } as const;
  if (digest === held) return [text({ ...head, type: "SYNCED" })];

  const entities = [...holdings.replica.entities.values()]
    .filter(({ type, attributes }) => matches(views, type, attributes).matched)
    .map(({ type, id, version, attributes, writtenAt }) => ({
      entity_type: type,
      entity_id: id,
      operation: "UPSERT" as const,
      version,
      attributes,
      written_at: writtenAt,
    }));
  const insights = holdings.findings.latest
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
    return text({
      ...head,
      type: "SNAPSHOT",
      part: i + 1,
      parts,
      entities: entities.slice(from, to),
      insights: insights.slice(
        Math.max(0, from - entities.length),
        Math.max(0, to - entities.length),
      ),
      ...(i + 1 === parts && { digest: held }),
    });
  });
}

function text(frame: ServerFrame): string {
  return JSON.stringify(frame);
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
