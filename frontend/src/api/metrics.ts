import { skipToken, useQuery, useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useState } from "react";
import { Feed } from "../live/feed.ts";
import { onNextFrame } from "../live/next-frame.ts";
import { emptyReplica, type Replica } from "../live/replica.ts";
import { useWebSocket, type WebSocketState } from "../live/use-websocket.ts";
import { queryKeys } from "./query-client.ts";

/**
 * Feeds the query cache from the WebSocket at `url` while the component is mounted. One component of
 * a page does this; any number read with `useMetrics`.
 */
export function useMetricsFeed(url: string): WebSocketState {
  const client = useQueryClient();
  const [feed] = useState(
    () =>
      new Feed({
        write: (change) => {
          client.setQueryData<Replica>(queryKeys.metrics, (replica) =>
            change(replica ?? emptyReplica),
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
  return useWebSocket(url, { onMessage });
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

/** Returns a function that reads the replica as it is at the moment of the call. It is always the same function. */
export function useReplicaReader(): () => Replica {
  const client = useQueryClient();
  return useCallback(
    () => client.getQueryData<Replica>(queryKeys.metrics) ?? emptyReplica,
    [client],
  );
}
