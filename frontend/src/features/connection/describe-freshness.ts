import type { Freshness } from "../../live/freshness.ts";
import { formatMinute } from "../../ui/format.ts";

/** How current the page is, in a few words. */
export function describeFreshness(freshness: Freshness): string {
  switch (freshness.kind) {
    case "live":
      return `live, ${formatSeconds(freshness.age)} s`;
    case "catching_up":
      return "catching up";
    case "stale":
      return freshness.since === undefined
        ? "stale"
        : `stale since ${formatMinute(freshness.since)}`;
    case "offline":
      return "offline";
  }
}

/** What it means, for whoever does not know. */
export function explainFreshness({ kind }: Freshness): string {
  switch (kind) {
    case "live":
      return "The age of what is shown: the server has confirmed it, or a change has come, so long ago.";
    case "catching_up":
      return "What is watched is on its way.";
    case "stale":
      return "The server does not answer, so changes may be missing.";
    case "offline":
      return "There is no connection to the server; the dashboard keeps trying.";
  }
}

/** Tenths matter only of what is fresh. */
function formatSeconds(milliseconds: number): string {
  const seconds = milliseconds / 1000;
  return seconds < 9.95 ? seconds.toFixed(1) : seconds.toFixed(0);
}
