import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useMemo, type ReactNode } from "react";
import { contracts } from "../live/read-frame.ts";
import { fillCache } from "./live-cache.ts";
import { LiveUrl } from "./live.ts";

export interface LiveProviderProps {
  /** Of the WebSocket. */
  readonly url: string;
  readonly children: ReactNode;
}

/** Connects the hooks of `live.ts` below it with the server at `url`. A page has one of these for a query cache. */
export function LiveProvider({ url, children }: LiveProviderProps) {
  const client = useQueryClient();
  const named = useMemo(() => withContracts(url), [url]);
  useEffect(() => fillCache(client, named), [client, named]);
  return <LiveUrl value={named}>{children}</LiveUrl>;
}

/** Names in the URL which frames this page reads, so that the server sends no other before the first sync. */
function withContracts(url: string): string {
  const named = new URL(url);
  named.searchParams.set("contracts", contracts.join(","));
  return named.href;
}
