export type Configuration =
  | { readonly webSocketUrl: string }
  /** What is wrong, in one sentence for whoever installs the dashboard. */
  | { readonly problem: string };

/** How long the server may take to answer, in milliseconds. */
const patience = 5_000;

/**
 * Finds out which WebSocket to listen to: `config.json` beside the page says it, so that one build
 * serves any installation; without one, the URL that was given when the dashboard was built.
 */
export async function loadConfiguration(
  builtIn: string | undefined = import.meta.env["VITE_WEBSOCKET_URL"] as string | undefined,
  fetch: typeof globalThis.fetch = globalThis.fetch,
): Promise<Configuration> {
  const file = await readFile(fetch);
  const candidate = file ?? (builtIn === "" ? undefined : builtIn);
  if (candidate === undefined) return { problem: "No WebSocket URL is configured." };
  if (typeof candidate !== "string" || !isWebSocketUrl(candidate)) {
    return { problem: "The configured WebSocket URL does not start with ws:// or wss://." };
  }
  return { webSocketUrl: candidate };
}

/** The `webSocketUrl` of the file; nothing where there is no such file, or it names none. */
async function readFile(fetch: typeof globalThis.fetch): Promise<unknown> {
  try {
    const response = await fetch(`${import.meta.env.BASE_URL}config.json`, {
      cache: "no-store",
      signal: AbortSignal.timeout(patience),
    });
    if (!response.ok) return undefined;
    // Servers of single pages answer any path with the page itself: that is not JSON, and throws.
    const file: unknown = await response.json();
    return typeof file === "object" && file !== null && "webSocketUrl" in file
      ? file.webSocketUrl
      : undefined;
  } catch {
    return undefined;
  }
}

function isWebSocketUrl(text: string): boolean {
  return /^wss?:\/\//.test(text) && URL.canParse(text);
}
