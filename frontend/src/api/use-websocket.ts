import { useCallback, useInsertionEffect, useRef, useSyncExternalStore } from "react";
import type { ConnectionStatus } from "../live/live-client.ts";
import { joinClient, sharedClient } from "../live/shared-client.ts";
import { useConnection } from "./use-connection.ts";

export interface WebSocketHandlers {
  /** Called with the data of each message, in order. A new function does not reopen the socket. */
  readonly onMessage?: (data: unknown) => void;
}

export interface WebSocketState {
  /** True exactly while a socket is open. */
  readonly isConnected: boolean;
  readonly status: ConnectionStatus;
}

/**
 * Keeps a WebSocket to `url` open while the component is mounted. All components of a page that name
 * the same URL share one socket. A changed `url` leaves the old socket, which closes unless others use
 * it. What is heard is what the page's hooks watch; where none of them watches anything, it is everything.
 * Below a `LiveProvider` for that URL it connects as that is told to: with a ticket, if need be.
 */
export function useWebSocket(url: string, handlers: WebSocketHandlers = {}): WebSocketState {
  const connection = useConnection(url);
  const latest = useRef(handlers);
  useInsertionEffect(() => {
    latest.current = handlers;
  });

  const join = useCallback(
    (onState: () => void) =>
      joinClient(connection, { onMessage: (data) => latest.current.onMessage?.(data), onState }),
    [connection],
  );
  const status = useSyncExternalStore(
    join,
    () => sharedClient(connection)?.state.status ?? "stopped",
  );

  return { isConnected: status === "open", status };
}
