import type { ViewV1 } from "@contracts/zz_types.ts";
import { skipToken, useQuery, useQueryClient } from "@tanstack/react-query";
import { useCallback, useContext, useEffect, useMemo, useSyncExternalStore } from "react";
import type { Finding, Findings } from "../live/findings.ts";
import type { Freshness, Part } from "../live/freshness.ts";
import type { LiveClient } from "../live/live-client.ts";
import { emptyReplica, type Entity, type Replica } from "../live/replica.ts";
import { entitiesIn, findingsIn } from "../live/select.ts";
import { joinClient, sharedClient, type Connection } from "../live/shared-client.ts";
import { everything } from "../live/watched-views.ts";
import { queryKeys } from "./query-client.ts";
import { LiveConnection } from "./use-connection.ts";

/**
 * The entities that match a view, by type and id, kept up to date while the component is mounted. It
 * renders again only when one of them has changed.
 */
export function useLiveMetrics(view: ViewV1): readonly Entity[] {
  const text = JSON.stringify(view);
  useWatch(text);
  const select = useMemo(() => entitiesIn(JSON.parse(text) as ViewV1), [text]);
  return useReplica(select);
}

/** What an insight must be like; all that is there, where it says nothing. */
export type InsightFilter = Omit<ViewV1, "entity_type">;

/** The insights of the last day that pass a filter, the latest found first, under the same rules. */
export function useInsights(filter: InsightFilter = {}): readonly Finding[] {
  const text = JSON.stringify({ ...filter, entity_type: "insight" } satisfies ViewV1);
  useWatch(text);
  const select = useMemo(() => findingsIn(JSON.parse(text) as ViewV1), [text]);
  return useFindings(select);
}

const everythingText = JSON.stringify(everything);

/**
 * Reads the whole replica, and keeps all of it up to date. The component renders again only when what
 * `select` returns has changed, so `select` is a stable function that takes out little. It may not
 * return undefined.
 */
export function useMetrics<T>(select: (replica: Replica) => T): T {
  useWatch(everythingText);
  return useReplica(select);
}

/** Returns a function that reads the replica as it is at the moment of the call. It is always the same function. */
export function useReplicaReader(): () => Replica {
  const client = useQueryClient();
  return useCallback(
    () => client.getQueryData<Replica>(queryKeys.metrics) ?? emptyReplica,
    [client],
  );
}

/** Whether all that is watched was here at least once. */
export function useIsComplete(): boolean {
  const connection = useContext(LiveConnection);
  const subscribe = useCallback(
    (onState: () => void) => (connection ? joinClient(connection, { onState }) : noop),
    [connection],
  );
  return useSyncExternalStore(subscribe, () => clientOf(connection)?.state.isComplete ?? false);
}

export interface FreshnessState {
  readonly freshness: Freshness;
  /** The page is live, or was a moment ago and catches up. */
  readonly isLive: boolean;
}

/** How current the page is, or what one of its panels shows, now and again each second. */
export function useFreshness(part?: Part): FreshnessState {
  const connection = useContext(LiveConnection);
  const { subscribe, read } = useMemo(() => followFreshness(connection, part), [connection, part]);
  return useSyncExternalStore(subscribe, read);
}

/**
 * The time in unix milliseconds, to the second, by the server's clock: that of the browser may be wrong.
 * The component renders again each second.
 */
export function useTime(): number {
  const connection = useContext(LiveConnection);
  return useSyncExternalStore(everySecond, () => {
    const time = clientOf(connection)?.time() ?? Date.now();
    return Math.floor(time / second) * second;
  });
}

const second = 1_000;
const listeners = new Set<() => void>();
let ticker: ReturnType<typeof setInterval> | undefined;

/** All of a page hear the same tick, so that no two of its ages are of different moments. */
function everySecond(onTick: () => void): () => void {
  listeners.add(onTick);
  ticker ??= setInterval(() => {
    for (const tell of listeners) tell();
  }, second);
  return () => {
    listeners.delete(onTick);
    if (listeners.size > 0) return;
    clearInterval(ticker);
    ticker = undefined;
  };
}

function followFreshness(connection: Connection | undefined, part: Part | undefined) {
  let latest: FreshnessState = {
    freshness: { kind: "offline", since: undefined },
    isLive: false,
  };
  return {
    read: () => latest,
    subscribe: (onChange: () => void) => {
      if (!connection) return noop;
      const refresh = () => {
        const live = sharedClient(connection);
        if (!live) return;
        latest = { freshness: live.freshness(part), isLive: live.isLive() };
        onChange();
      };
      const leave = joinClient(connection, { onState: refresh });
      const rest = everySecond(() => {
        sharedClient(connection)?.wake();
        refresh();
      });
      refresh();
      return () => {
        rest();
        leave();
      };
    },
  };
}

/** Watches a view, given as JSON so that an equal one is the same, while the component is mounted. */
function useWatch(view: string): void {
  const connection = useContext(LiveConnection);
  useEffect(
    () => connection && joinClient(connection, { view: JSON.parse(view) as ViewV1 }),
    [connection, view],
  );
}

// There is always something in the cache, empty at first; only the types do not know.

function useReplica<T>(select: (replica: Replica) => T): T {
  return useQuery<Replica, Error, T>({ queryKey: queryKeys.metrics, queryFn: skipToken, select })
    .data as T;
}

function useFindings<T>(select: (findings: Findings) => T): T {
  return useQuery<Findings, Error, T>({ queryKey: queryKeys.insights, queryFn: skipToken, select })
    .data as T;
}

function clientOf(connection: Connection | undefined): LiveClient | undefined {
  return connection && sharedClient(connection);
}

function noop(): void {
  // There is nothing to leave.
}
