import {
  digest,
  digestSlice,
  digestSlices,
  entityDigestKey,
  insightDigestKey,
  sliceDigests,
} from "@contracts/digest.ts";
import type {
  InsightUpdateV1,
  ServerFrame,
  SyncCommandV1,
  UpdateV1,
  ViewV1,
} from "@contracts/zz_types.ts";
import type { Clock } from "../live/clock.ts";
import type { FakeNetwork, FakeSocket } from "./fake-socket.ts";

/** What a row is about: an entity of one of these types, or an insight. */
export type RowKind = "student" | "tutor" | "insight";

/** One state of a row. */
export interface RowState {
  readonly kind: RowKind;
  readonly id: string;
  readonly revision: number;
  /** Its health, or the risk of an insight; undefined: the row is gone. */
  readonly score: number | undefined;
}

interface Event {
  readonly before: RowState | undefined;
  readonly after: RowState;
}

/** One connection, as the server knows it. */
interface Line {
  readonly socket: FakeSocket;
  views: readonly ViewV1[];
  lastSyncId: number;
  /** How many of its commands were served. */
  served: number;
  /** What was posted to it and has not arrived. */
  readonly wire: string[];
}

/** The server's clock beside the one that it was given, in milliseconds. */
const serverStart = Date.parse("2026-11-22T10:00:00.000Z");
const epoch = serverStart;
/** Small, so that a snapshot has several parts. */
const rowsInPart = 2;

/**
 * Answers commands as the contracts say, at the pace of the test: what it is asked, what it has to tell
 * and what it posts waits until the test lets it go on. It is a model and shares no code with the page;
 * of comparisons it knows `lt` of the score alone.
 */
export class FakeServer {
  readonly #network: FakeNetwork;
  readonly #clock: Clock;
  readonly #lines = new Map<FakeSocket, Line>();
  readonly #rows = new Map<string, RowState>();
  /** Writes that connections were not told of yet. */
  readonly #events: Event[] = [];
  /** Every state that ever was. */
  readonly history: RowState[] = [];

  constructor(network: FakeNetwork, clock: Clock) {
    this.#network = network;
    this.#clock = clock;
  }

  /** Those that it can post to. */
  get lines(): readonly Line[] {
    for (const socket of this.#network.sockets) {
      if (socket.state !== "open" || this.#lines.has(socket)) continue;
      const views = [{ entity_type: "*" }];
      this.#lines.set(socket, { socket, views, lastSyncId: 0, served: 0, wire: [] });
    }
    return [...this.#lines.values()].filter(({ socket }) => socket.state === "open");
  }

  /** The latest states of the rows that these views match. */
  rows(views: readonly ViewV1[]): RowState[] {
    return [...this.#rows.values()].filter((row) => isWatched(views, row));
  }

  /** `score` undefined deletes the row. */
  write(kind: RowKind, id: string, score: number | undefined): void {
    const key = `${kind}/${id}`;
    const before = this.#rows.get(key);
    const after = { kind, id, score, revision: (before?.revision ?? 0) + 1 };
    this.#rows.set(key, after);
    this.history.push(after);
    this.#events.push({ before, after });
  }

  /** Tells all connections of one of the writes, in any order. */
  fanOut(index = 0): void {
    const lines = this.lines;
    const [event] = this.#events.splice(index, 1);
    if (!event) return;
    for (const line of lines) {
      const { before, after } = event;
      const isIn = isWatched(line.views, after);
      const wasIn = before !== undefined && isWatched(line.views, before);
      if (!isIn && !wasIn) continue;
      const reason = isIn ? undefined : after.score === undefined ? "DELETED" : "LEFT_VIEW";
      this.#post(line, this.#change(after, line.views, reason));
    }
  }

  get unsaid(): number {
    return this.#events.length;
  }

  /** Answers the next command of a connection, if it has one. */
  serve(line: Line): boolean {
    const text = line.socket.sent[line.served];
    if (text === undefined) return false;
    line.served += 1;
    const command = JSON.parse(text) as SyncCommandV1;
    if (command.sync_id <= line.lastSyncId) {
      this.#post(line, { ...this.#head("ERROR"), code: "SUPERSEDED", sync_id: command.sync_id });
      return true;
    }
    line.lastSyncId = command.sync_id;
    line.views = command.views;
    const all = this.rows(line.views);
    const held = all.map((row) => ({ key: keyOf(row), version: versionOf(row) }));
    const sum = digest(held);
    if (command.digest === sum) {
      this.#post(line, { ...this.#head("SYNCED"), sync_id: command.sync_id });
      return true;
    }
    const slices =
      command.slices === undefined ? [] : differences(sliceDigests(held), command.slices);
    const covers = command.digest === undefined || slices.length === 0 ? undefined : slices;
    const rows = all.filter((row) => covers?.includes(digestSlice(keyOf(row))) ?? true);
    const parts = Math.max(1, Math.ceil(rows.length / rowsInPart));
    for (let part = 1; part <= parts; part++) {
      const shown = rows.slice((part - 1) * rowsInPart, part * rowsInPart);
      const updates = shown.map((row) => this.#update(row, line.views, undefined));
      this.#post(line, {
        ...this.#head("SNAPSHOT"),
        sync_id: command.sync_id,
        part,
        parts,
        entities: updates.filter((update) => "entity_type" in update),
        insights: updates.filter((update) => "insight_id" in update),
        ...(covers && { covers }),
        ...(part === parts && { digest: sum }),
      });
    }
    return true;
  }

  /** Posts a frame that is about the connection. */
  tell(line: Line, frame: { type: "RESYNC" } | { type: "RECONNECT"; within_ms: number }): void {
    const { type, ...content } = frame;
    line.wire.push(JSON.stringify({ ...this.#head(type), ...content }));
  }

  /** Something posted arrives, in any order. `isCopied`: it will arrive again. */
  deliver(line: Line, index = 0, isCopied = false): boolean {
    const [text] = isCopied ? [line.wire[index]] : line.wire.splice(index, 1);
    if (text === undefined) return false;
    line.socket.serverSends(text);
    return true;
  }

  /** Does all that it has to do, and delivers it in order. */
  settle(): void {
    while (this.#events.length > 0) this.fanOut();
    for (const line of this.lines) {
      while (line.socket.state === "open" && (this.serve(line) || this.deliver(line))) continue;
    }
  }

  #change(row: RowState, views: readonly ViewV1[], reason: Removal): ServerFrame {
    const update = this.#update(row, views, reason);
    return "insight_id" in update
      ? { ...this.#head("INSIGHT_CREATED"), data: [update] }
      : { ...this.#head("METRIC_UPDATE"), data: [update] };
  }

  #update(row: RowState, views: readonly ViewV1[], reason: Removal): UpdateV1 | InsightUpdateV1 {
    const written_at = this.#now();
    const version = versionOf(row);
    const content = reason
      ? { operation: "REMOVE" as const, reason }
      : { operation: "UPSERT" as const, attributes: attributesOf(row, views) };
    const about =
      row.kind === "insight"
        ? { insight_id: insightId(row) }
        : { entity_type: row.kind, entity_id: row.id };
    return { ...about, ...content, version, written_at } as UpdateV1 | InsightUpdateV1;
  }

  #post(line: Line, frame: ServerFrame): void {
    line.wire.push(JSON.stringify(frame));
  }

  #head<T extends string>(type: T): { type: T; version: 1; timestamp: string } {
    return { type, version: 1, timestamp: this.#now() };
  }

  #now(): string {
    return new Date(serverStart + Math.round(this.#clock.now())).toISOString();
  }
}

/** The slices in which two sums of slices differ. */
function differences(a: string, b: string): number[] {
  const size = a.length / digestSlices;
  const of = (sums: string, slice: number) => sums.slice(slice * size, (slice + 1) * size);
  return Array.from({ length: digestSlices }, (_, i) => i).filter((i) => of(a, i) !== of(b, i));
}

type Removal = "DELETED" | "LEFT_VIEW" | undefined;

function isWatched(views: readonly ViewV1[], row: RowState): boolean {
  const { score } = row;
  if (score === undefined) return false;
  return views.some((view) => covers(view, row, score));
}

function covers({ entity_type, where = [] }: ViewV1, { kind }: RowState, score: number): boolean {
  if (entity_type !== "*" && entity_type !== kind) return false;
  return where.every(({ value }) => kind !== "insight" && score < Number(value));
}

/** The attributes that are sent: those that any view names which the row matches. */
export function attributesOf(row: RowState, views: readonly ViewV1[]): Record<string, unknown> {
  const score = row.score ?? NaN;
  if (row.kind === "insight") {
    const { sk: timestamp } = insightId(row);
    return {
      entity_id: row.id,
      prediction_type: "low_health_score",
      risk_band: "info",
      risk_score: score,
      timestamp,
    };
  }
  const all = { health_score: score, segment: score < 50 ? "at_risk" : "healthy" };
  const matching = views.filter((view) => covers(view, row, score));
  if (matching.some(({ fields }) => fields === undefined)) return all;
  const named = new Set(matching.flatMap(({ fields }) => fields ?? []));
  return Object.fromEntries(Object.entries(all).filter(([name]) => named.has(name)));
}

function versionOf({ revision }: RowState) {
  return { epoch, revision };
}

function insightId({ id }: RowState) {
  return { pk: `insight#${id}`, sk: "2026-11-22T09:00:00.000Z" };
}

/** As in a digest. */
export function keyOf(row: RowState): string {
  if (row.kind !== "insight") return entityDigestKey(row.kind, row.id);
  const { pk, sk } = insightId(row);
  return insightDigestKey(pk, sk);
}
