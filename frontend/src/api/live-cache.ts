import type { QueryClient } from "@tanstack/react-query";
import type { Findings } from "../live/findings.ts";
import type { Replica } from "../live/replica.ts";
import { joinClient, sharedClient, type Connection } from "../live/shared-client.ts";
import { Invalidator } from "./invalidator.ts";
import { queryKeys } from "./query-client.ts";

/** Keeps the query cache the same as what the page's live client for that connection holds. The function returned ends it. */
export function fillCache(client: QueryClient, connection: Connection): () => void {
  const metrics = new Invalidator(client, queryKeys.metrics);
  const insights = new Invalidator(client, queryKeys.insights);
  let replica: Replica | undefined;
  let findings: Findings | undefined;

  const onData = () => {
    const live = sharedClient(connection);
    if (live && live.replica !== replica) {
      const isOther = live.replica.entities !== replica?.entities;
      replica = live.replica;
      client.setQueryData<Replica>(queryKeys.metrics, replica);
      // Where updates were only counted, nobody's page is out of date.
      if (isOther) metrics.changed();
    }
    if (live && live.findings !== findings) {
      findings = live.findings;
      client.setQueryData<Findings>(queryKeys.insights, findings);
      insights.changed();
    }
  };
  const leave = joinClient(connection, { onData });
  // Others may have joined earlier.
  onData();
  return () => {
    leave();
    metrics.stop();
    insights.stop();
  };
}
