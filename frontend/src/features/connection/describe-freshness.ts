import type { FreshnessState } from "../../api/live.ts";
import type { Freshness } from "../../live/freshness.ts";
import { formatMinute } from "../../ui/format.ts";

/** How current the page is, or a panel, in a few words. */
export function describeFreshness(freshness: Freshness): string {
  const name = nameFreshness(freshness);
  switch (freshness.kind) {
    case "live":
      return `${name}, ${formatSeconds(freshness.age)} s`;
    case "polling":
      return `${name}, ${formatSeconds(freshness.age, 0)} s`;
    case "stale":
      return freshness.since === undefined
        ? name
        : `${name} since ${formatMinute(freshness.since)}`;
    default:
      return name;
  }
}

/** The same without what changes as time goes by. */
export function nameFreshness({ kind }: Freshness): string {
  switch (kind) {
    case "catching_up":
      return "catching up";
    case "signed_out":
      return "signed out";
    case "forbidden":
      return "not permitted";
    default:
      return kind;
  }
}

/** Its colour in the palette. */
export function toneOfFreshness({
  freshness: { kind },
  isLive,
}: FreshnessState): "success" | "warning" | "error" {
  // What is polled is right, if a little late: the socket alone is missing.
  if (kind === "polling") return "warning";
  if (!isLive) return "error";
  return kind === "live" ? "success" : "warning";
}

/** What it means, for whoever does not know. */
export function explainFreshness(freshness: Freshness): string {
  const meaning = meaningOf(freshness);
  if (!("since" in freshness) || freshness.since === undefined) return meaning;
  return `${meaning} What is shown was right at ${formatMinute(freshness.since)}.`;
}

function meaningOf({ kind }: Freshness): string {
  switch (kind) {
    case "live":
      return "The age of what is shown: so long ago the server confirmed all of it, or the newest change to it was written.";
    case "catching_up":
      return "What is watched is on its way.";
    case "stale":
      return "The server does not answer, so changes may be missing.";
    case "polling":
      return "The age of what is shown: no live connection gets through, so it is fetched every few seconds.";
    case "offline":
      return "There is no connection to the server; the dashboard keeps trying.";
    case "signed_out":
      return "The server does not know any more who looks at this page. Sign in again.";
    case "forbidden":
      return "The server lets nobody with this account in.";
  }
}

/** Tenths matter only of what is fresh. */
function formatSeconds(milliseconds: number, digits = milliseconds < 9_950 ? 1 : 0): string {
  return (milliseconds / 1000).toFixed(digits);
}
