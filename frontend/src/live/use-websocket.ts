import { useCallback, useInsertionEffect, useRef, useSyncExternalStore } from "react";
import type { ConnectionStatus } from "./connection.ts";
import { connectionStatus, joinConnection } from "./shared-connection.ts";

export interface WebSocketHandlers {
  /** Called with the data of each message, in order. A new function does not reopen the socket. */
  readonly onMessage?: (data: unknown) => void;
}

export interface WebSocketState {
  /** True exactly while the socket is open. */
  readonly isConnected: boolean;
  readonly status: ConnectionStatus;
}

/**
 * Keeps a WebSocket to `url` open while the component is mounted. All components of a page that name
 * the same URL share one socket. A changed `url` leaves the old socket, which closes unless others use it.
 */
export function useWebSocket(url: string, handlers: WebSocketHandlers = {}): WebSocketState {
  const latest = useRef(handlers);
  useInsertionEffect(() => {
    latest.current = handlers;
  });

  const join = useCallback(
    (onStatus: () => void) =>
      joinConnection(url, { onMessage: (data) => latest.current.onMessage?.(data), onStatus }),
    [url],
  );
  const status = useSyncExternalStore(join, () => connectionStatus(url));

  return { isConnected: status === "open", status };
}
