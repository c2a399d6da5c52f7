import { browser } from "./browser.ts";
import { LiveClient, type LiveClientOptions, type Watcher } from "./live-client.ts";
import { explain, type Problem } from "./problem.ts";
import { contracts } from "./read-frame.ts";
import { catalogueSum } from "./tabs/catalogue.ts";
import { Tab } from "./tabs/tab.ts";
import { protocol } from "./tabs/words.ts";

/** With whom to connect, as whom, and how fast. */
export type Connection = Pick<LiveClientOptions, "url" | "api" | "timing">;

/** A client, and what starts and stops it. */
interface Shared {
  readonly client: LiveClient;
  readonly holder: Pick<LiveClient, "audience" | "start" | "stop">;
}

const byAddress = new Map<string, Shared>();

/**
 * Joins the one connection of this page with that address and identity, and opens it, in the way that is
 * named here, if nobody holds it yet. The function returned leaves it; it may be called twice. The socket
 * closes once the last holder has left and the task at hand is over: a component that unmounts and mounts
 * again at once, as React's StrictMode makes it do, keeps its socket.
 */
export function joinClient(to: Connection, watcher: Watcher): () => void {
  const address = keyOf(to);
  const shared = byAddress.get(address) ?? share(to);
  byAddress.set(address, shared);
  const { client, holder } = shared;
  const leave = client.watch(watcher);
  holder.start();
  return () => {
    leave();
    queueMicrotask(() => {
      if (holder.audience > 0) return;
      holder.stop();
      if (byAddress.get(address) === shared) byAddress.delete(address);
    });
  };
}

/** The page's client for that address and identity; undefined while nobody has joined it. */
export function sharedClient(to: Connection): LiveClient | undefined {
  return byAddress.get(keyOf(to))?.client;
}

/** Where the browser lets tabs agree on who connects, those with the same address and identity share a connection. */
function share(to: Connection): Shared {
  const options = {
    ...to,
    ...browser,
    warn: (problem: Problem) => {
      console.warn(`[live] ${explain(problem)}`);
    },
  };
  const { api } = to;
  // Tabs of whom nobody says who looks at them may not know the same.
  const mayShare = api?.ticket === undefined || api.identity !== undefined;
  if (!mayShare || !canShare()) {
    const client = new LiveClient(options);
    return { client, holder: client };
  }
  const tab = new Tab(options, {
    // Another build of the page may speak otherwise, read other frames, and know other attributes; and
    // one that is told of no API could not poll for the others.
    name: `live ${JSON.stringify([protocol, contracts, catalogueSum(), api !== undefined, keyOf(to)])}`,
    locks: navigator.locks,
    openChannel: (name) => new BroadcastChannel(name),
  });
  return { client: tab.client, holder: tab };
}

/** Locks exist only in pages that came over a secure connection, or from this machine. */
function canShare(): boolean {
  return (
    typeof document !== "undefined" &&
    "locks" in navigator &&
    typeof BroadcastChannel === "function"
  );
}

function keyOf({ url, api }: Connection): string {
  return JSON.stringify([addressOf(url), api?.identity ?? null]);
}

/** Which contracts a URL names makes no difference to whom it connects with: the first sync names them too. */
export function addressOf(url: string): string {
  if (!URL.canParse(url)) return url;
  const address = new URL(url);
  address.searchParams.delete("contracts");
  return address.href;
}
