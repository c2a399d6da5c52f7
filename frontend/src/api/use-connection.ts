import { createContext, useContext, useMemo } from "react";
import { addressOf, type Connection } from "../live/shared-client.ts";

/** What the page is configured to connect with. */
export const LiveConnection = createContext<Connection | undefined>(undefined);

/**
 * How to connect to `url`: as the page is configured to, where it is configured for that address. Another
 * address gets no ticket of ours.
 */
export function useConnection(url: string): Connection {
  const configured = useContext(LiveConnection);
  return useMemo(
    () => (configured && addressOf(configured.url) === addressOf(url) ? configured : { url }),
    [configured, url],
  );
}
