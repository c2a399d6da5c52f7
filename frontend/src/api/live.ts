import { skipToken, useQuery, useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useState } from "react";
import { Feed } from "../live/feed.ts";
import { noFindings, type Findings } from "../live/findings.ts";
import { onNextFrame } from "../live/next-frame.ts";
import { contracts } from "../live/read-frame.ts";
import { emptyReplica, type Replica } from "../live/replica.ts";
import { useWebSocket, type WebSocketState } from "../live/use-websocket.ts";
import { queryKeys } from "./query-client.ts";

/**
 * Feeds the query cache from the WebSocket at `url` while the component is mounted. One component of
 * a page does this; any number read with `useMetrics` and `useInsights`.
 */
export function useLiveFeed(url: string): WebSocketState {
  const client = useQueryClient();
  const [feed] = useState(
    () =>
      new Feed({
        write: (change) => {
          client.setQueryData<Replica>(queryKeys.metrics, (replica) =>
            change(replica ?? emptyReplica),
          );
        },
        writeFindings: (change) => {
          client.setQueryData<Findings>(queryKeys.insights, (findings) =>
            change(findings ?? noFindings),
          );
        },
        schedule: onNextFrame,
        warn: (reason) => {
          console.warn(
            `[live] cannot use what the server sent: ${reason}. It is left out and counted.`,
          );
        },
      }),
  );
  useEffect(
    () => () => {
      feed.flush();
    },
    [feed],
  );
  const onMessage = useCallback(
    (data: unknown) => {
      feed.push(data);
    },
    [feed],
  );
  return useWebSocket(withContracts(url), { onMessage });
}

/** Names in the URL which frames this page reads, so that the server sends no other. */
export function withContracts(url: string): string {
  const named = new URL(url);
  named.searchParams.set("contracts", contracts.join(","));
  return named.href;
}

/**
 * Reads the replica. The component renders again only when what `select` returns has changed, so
 * `select` is a stable function that takes out little. It may not return undefined.
 */
export function useMetrics<T>(select: (replica: Replica) => T): T {
  const { data } = useQuery<Replica, Error, T>({
    queryKey: queryKeys.metrics,
    queryFn: skipToken,
    select,
  });
  // There is always a replica, an empty one at first; only the types do not know.
  return data as T;
}

/** Reads the insights, under the same rules. */
export function useInsights<T>(select: (findings: Findings) => T): T {
  const { data } = useQuery<Findings, Error, T>({
    queryKey: queryKeys.insights,
    queryFn: skipToken,
    select,
  });
  return data as T;
}

/** Returns a function that reads the replica as it is at the moment of the call. It is always the same function. */
export function useReplicaReader(): () => Replica {
  const client = useQueryClient();
  return useCallback(
    () => client.getQueryData<Replica>(queryKeys.metrics) ?? emptyReplica,
    [client],
  );
}
