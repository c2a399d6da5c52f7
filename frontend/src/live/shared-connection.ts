import { Connection, type ConnectionStatus } from "./connection.ts";

interface Shared {
  readonly connection: Connection;
  readonly watchers: Set<ConnectionWatcher>;
}

/** What a holder of a shared connection hears. */
export interface ConnectionWatcher {
  readonly onMessage: (data: unknown) => void;
  readonly onStatus: () => void;
}

const byUrl = new Map<string, Shared>();

/**
 * Joins the one connection to `url` of this page, and opens it if nobody holds it yet. The function
 * returned leaves it; it may be called twice. The socket closes once the last holder has left and the
 * task at hand is over: a component that unmounts and mounts again at once, as React's StrictMode
 * makes it do, keeps its socket.
 */
export function joinConnection(url: string, watcher: ConnectionWatcher): () => void {
  const shared = byUrl.get(url) ?? openShared(url);
  shared.watchers.add(watcher);
  shared.connection.start();
  return () => {
    shared.watchers.delete(watcher);
    queueMicrotask(() => {
      if (shared.watchers.size > 0) return;
      shared.connection.stop();
      if (byUrl.get(url) === shared) byUrl.delete(url);
    });
  };
}

/** The status of the page's connection to `url`; `stopped` where there is none. */
export function connectionStatus(url: string): ConnectionStatus {
  return byUrl.get(url)?.connection.status ?? "stopped";
}

function openShared(url: string): Shared {
  const watchers = new Set<ConnectionWatcher>();
  const connection = new Connection({
    url,
    onMessage: (data) => {
      for (const watcher of watchers) watcher.onMessage(data);
    },
    onStatus: () => {
      for (const watcher of watchers) watcher.onStatus();
    },
  });
  const shared = { connection, watchers };
  byUrl.set(url, shared);
  return shared;
}
