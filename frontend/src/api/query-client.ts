import { notifyManager, QueryClient } from "@tanstack/react-query";
import { noFindings } from "../live/findings.ts";
import { emptyReplica } from "../live/replica.ts";

/** The one place that names what is in the query cache. */
export const queryKeys = {
  /** The replica of the tenant's entities; the live store fills it. Longer keys are anybody's. */
  metrics: ["metrics"],
  /** The tenant's insights of the last day, likewise. */
  insights: ["insights"],
} as const;

export function createQueryClient(): QueryClient {
  // By default observers hear of a write one timer later, which costs a frame. The store already
  // gathers what belongs together, so they hear at once.
  notifyManager.setScheduler(queueMicrotask);
  const client = new QueryClient({
    defaultOptions: { queries: { refetchOnWindowFocus: false } },
  });
  // Nothing fetches what the live store writes, so nothing could bring it back.
  client.setQueryDefaults(queryKeys.metrics, { staleTime: Infinity, gcTime: Infinity });
  client.setQueryData(queryKeys.metrics, emptyReplica);
  client.setQueryDefaults(queryKeys.insights, { staleTime: Infinity, gcTime: Infinity });
  client.setQueryData(queryKeys.insights, noFindings);
  return client;
}
