import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useMemo, type ReactNode } from "react";
import type { LiveApi } from "../live/live-api.ts";
import { contracts } from "../live/read-frame.ts";
import type { Timing } from "../live/timing.ts";
import { fillCache } from "./live-cache.ts";
import { LiveConnection } from "./use-connection.ts";

export interface LiveProviderProps {
  /** Of the WebSocket. */
  readonly url: string;
  /** Gives tickets, if they are needed; and is polled where no socket gets through. */
  readonly api?: LiveApi;
  /** What differs from the usual settings. */
  readonly timing?: Partial<Timing>;
  readonly children: ReactNode;
}

/**
 * Connects the hooks of `live.ts` below it, and `useWebSocket(url)`, with the server at `url`. A page has one
 * of these for a query cache. Another `api` or `timing` holds from the next connection on; another identity
 * is another connection at once, and needs another query cache.
 */
export function LiveProvider({ url, api, timing, children }: LiveProviderProps) {
  const client = useQueryClient();
  const connection = useMemo(
    () => ({ url: withContracts(url), ...(api && { api }), ...(timing && { timing }) }),
    [url, api, timing],
  );
  useEffect(() => fillCache(client, connection), [client, connection]);
  return <LiveConnection value={connection}>{children}</LiveConnection>;
}

/** Names in the URL which frames this page reads, so that the server sends no other before the first sync. */
function withContracts(url: string): string {
  const named = new URL(url);
  named.searchParams.set("contracts", contracts.join(","));
  return named.href;
}
