import { LiveClient, type Watcher } from "./live-client.ts";

const byAddress = new Map<string, LiveClient>();

/**
 * Joins the one connection to `url` of this page, and opens it if nobody holds it yet. The function
 * returned leaves it; it may be called twice. The socket closes once the last holder has left and the
 * task at hand is over: a component that unmounts and mounts again at once, as React's StrictMode
 * makes it do, keeps its socket.
 */
export function joinClient(url: string, watcher: Watcher): () => void {
  const address = addressOf(url);
  const client = byAddress.get(address) ?? createClient(url);
  byAddress.set(address, client);
  const leave = client.watch(watcher);
  client.start();
  return () => {
    leave();
    queueMicrotask(() => {
      if (client.audience > 0) return;
      client.stop();
      if (byAddress.get(address) === client) byAddress.delete(address);
    });
  };
}

/** The page's client for `url`; undefined while nobody has joined it. */
export function sharedClient(url: string): LiveClient | undefined {
  return byAddress.get(addressOf(url));
}

function createClient(url: string): LiveClient {
  return new LiveClient({
    url,
    warn: (problem) => {
      console.warn(`[live] ${problem}`);
    },
  });
}

/** Which contracts a URL names makes no difference to whom it connects with: the first sync names them too. */
function addressOf(url: string): string {
  if (!URL.canParse(url)) return url;
  const address = new URL(url);
  address.searchParams.delete("contracts");
  return address.href;
}
