import type { ViewV1 } from "@contracts/zz_types.ts";
import { ApiError, request, type HttpApi } from "./http.ts";
import {
  failureOf,
  type Failure,
  type Polled,
  type Poller,
  type PollerOptions,
} from "./live-api.ts";
import { isWhole, readContent, type FrameContent } from "./read-frame.ts";

/** Pages of one poll; each has at most a thousand rows. */
const pageLimit = 100;

interface Page {
  readonly content: FrameContent;
  readonly next: string | undefined;
  readonly etag: string | null;
}

/**
 * Asks the HTTP API for all that is watched. Pages that have not changed since the last time are not sent again, also
 * where that poll was given up before its end: on a slow line each comes further than the one before.
 */
export class HttpPoller implements Poller {
  readonly #api: HttpApi;
  readonly #options: PollerOptions;
  /** The latest of each path; those that came last come last. */
  #pages = new Map<string, Page>();

  constructor(api: HttpApi, options: PollerOptions) {
    this.#api = api;
    this.#options = options;
  }

  /** It rejects as `request` does, and where there is no end of pages. */
  async poll(views: readonly ViewV1[], signal: AbortSignal): Promise<Polled> {
    const pages = new Map<string, Page>();
    // Who asks for everything gets all that there is to see. Entities, or insights, may not be among it.
    const isEverything = views.some(({ entity_type }) => entity_type === "*");
    let refusal: Failure | undefined;
    for (const path of pathsFor(views)) {
      try {
        await this.#readAll(path, pages, signal);
      } catch (error) {
        const failure = failureOf(error);
        if (failure.kind !== "forbidden") throw error;
        refusal ??= failure;
      }
      if (refusal && pages.size > 0 && !isEverything) throw new ApiError(refusal);
    }
    // Nothing of it may be seen, also what was seen before.
    if (refusal && pages.size === 0) throw new ApiError({ ...refusal, mustForget: true });
    this.#pages = pages;
    return combine([...pages.values()].map(({ content }) => content));
  }

  /** Follows the cursors, and adds each page. */
  async #readAll(path: string, pages: Map<string, Page>, signal: AbortSignal): Promise<void> {
    let next: string | undefined = path;
    while (next !== undefined) {
      if (pages.size === pageLimit) throw new ApiError({ kind: "unavailable", retryAfterMs: 0 });
      const page: Page = await this.#read(next, signal);
      signal.throwIfAborted();
      this.#options.onPage(page.content);
      pages.set(next, page);
      this.#keep(next, page);
      next = page.next === undefined ? undefined : withCursor(path, page.next);
    }
  }

  #keep(path: string, page: Page): void {
    this.#pages.delete(path);
    this.#pages.set(path, page);
    const [oldest] = this.#pages.keys();
    if (this.#pages.size > pageLimit && oldest !== undefined) this.#pages.delete(oldest);
  }

  /** Has all pages sent again next time. */
  forget(): void {
    this.#pages = new Map();
  }

  async #read(path: string, signal: AbortSignal): Promise<Page> {
    const known = this.#pages.get(path);
    const headers = known?.etag ? { "If-None-Match": known.etag } : undefined;
    const askedAt = this.#options.time();
    const response = await request(this.#api, path, {
      signal,
      ...(headers && { headers }),
    });
    // It was right at some time after it was asked for.
    if (response.status === 304 && known) {
      return { ...known, content: { ...known.content, sentAt: askedAt } };
    }
    const page = readPage(path, (await response.json()) as unknown);
    if (page) return { ...page, etag: response.headers.get("ETag") };
    throw new ApiError({ kind: "unavailable", retryAfterMs: 0, status: response.status });
  }
}

/** See contracts/schemas/http/metrics and insights. */
function readPage(path: string, body: unknown): Omit<Page, "etag"> | undefined {
  if (typeof body !== "object" || body === null) return undefined;
  const type = path.startsWith("/insights") ? "INSIGHT_CREATED" : "METRIC_UPDATE";
  // Its rows are those of a frame.
  const content = readContent({ ...body, type });
  const isPage = !content.rejections.some((reason) => !ofRows.has(reason));
  const next = "next" in body ? body.next : undefined;
  if (!isPage || content.sentAt === undefined) return undefined;
  if (next !== undefined && (typeof next !== "string" || next === "")) return undefined;
  return { content, next };
}

const ofRows: ReadonlySet<string> = new Set(["unknown_update", "malformed_update"]);

function combine(pages: readonly FrameContent[]): Polled {
  const rejections = pages.flatMap((page) => page.rejections);
  const unread = pages.flatMap((page) => page.unread);
  const first = Math.min(...pages.map(({ sentAt = Infinity }) => sentAt));
  return {
    content: {
      updates: pages.flatMap(({ updates }) => updates),
      insights: pages.flatMap(({ insights }) => insights),
      control: undefined,
      sentAt: first === Infinity ? undefined : first,
      rejections,
      unread,
    },
    isWhole: isWhole(unread),
  };
}

/**
 * What to ask for, so that all of these views can be shown. Of an entity type that several views watch, all
 * is asked for: an entity that moves from one to the other between two answers would be in neither.
 */
export function pathsFor(views: readonly ViewV1[]): string[] {
  const watching = (type: string) => views.filter(({ entity_type }) => entity_type === type);
  const all = watching("*");
  if (all.length > 0) return [metricsPath("*", all), "/insights"];
  const types = new Set(views.map(({ entity_type }) => entity_type));
  return Array.from(types, (type) =>
    type === "insight" ? insightsPath(watching(type)) : metricsPath(type, watching(type)),
  );
}

function metricsPath(type: string, [view, ...others]: readonly ViewV1[]): string {
  const query = new URLSearchParams();
  if (type !== "*") query.set("entity_type", type);
  if (others.length === 0) {
    if (view?.where) query.set("where", JSON.stringify(view.where));
    if (view?.fields) query.set("fields", view.fields.join(","));
  }
  return withQuery("/metrics", query);
}

/** Of the comparisons only the one that narrows most can be asked for here. */
function insightsPath([view, ...others]: readonly ViewV1[]): string {
  const query = new URLSearchParams();
  const risk = view?.where?.find(
    ({ attribute, operator }) => attribute === "risk_score" && operator === "ge",
  );
  if (risk && others.length === 0) query.set("min_risk", String(risk.value));
  return withQuery("/insights", query);
}

function withQuery(path: string, query: URLSearchParams): string {
  return query.size === 0 ? path : `${path}?${query}`;
}

function withCursor(path: string, cursor: string): string {
  return `${path}${path.includes("?") ? "&" : "?"}cursor=${encodeURIComponent(cursor)}`;
}
