import { QueryClientProvider } from "@tanstack/react-query";
import { useMemo, useState, type ReactNode } from "react";
import { LiveProvider } from "../api/live-provider.tsx";
import { createQueryClient } from "../api/query-client.ts";
import type { TokenSource } from "../auth/token-source.ts";
import { httpApi } from "../live/http-api.ts";
import type { LiveApi } from "../live/live-api.ts";
import type { Installation } from "./config.ts";
import { Dashboard } from "./dashboard.tsx";

export interface LiveDashboardProps {
  readonly installation: Installation;
  /** Of whoever is signed in. Another person's needs another `key`: nothing of the one's data is for the other. */
  readonly tokens?: TokenSource;
  /** Stands in the header. */
  readonly account?: ReactNode;
}

/** The dashboard with its connection, and a cache of its own. */
export function LiveDashboard({ installation, tokens, account }: LiveDashboardProps) {
  const { webSocketUrl, apiUrl, timing } = installation;
  const [client] = useState(createQueryClient);
  const api = useMemo(
    () => (apiUrl === undefined ? undefined : apiOf(apiUrl, tokens)),
    [apiUrl, tokens],
  );
  return (
    <QueryClientProvider client={client}>
      <LiveProvider url={webSocketUrl} {...(api && { api })} {...(timing && { timing })}>
        <Dashboard webSocketUrl={webSocketUrl} account={account} />
      </LiveProvider>
    </QueryClientProvider>
  );
}

function apiOf(url: string, tokens: TokenSource | undefined): LiveApi {
  if (!tokens) return httpApi({ url });
  return httpApi({
    url,
    token: (rejected) => tokens.token(rejected),
    identity: tokens.identity,
  });
}
