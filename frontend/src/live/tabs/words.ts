import type { ViewV1 } from "@contracts/zz_types.ts";
import type { Failure, Polled } from "../live-api.ts";
import type { Denial } from "../session.ts";

/**
 * What tabs say to each other. Only tabs that run the same protocol share a channel: its name says so.
 * A link is a relayed socket; its name is unique among all tabs.
 */
export type Word = Request | Notice;

/** What a follower says to whoever leads. Each is answered at once, if only by `here`. */
export type Request =
  | { readonly do: "open" | "close"; readonly link: string }
  | { readonly do: "send"; readonly link: string; readonly data: string }
  /** Wants what the next poll brings. All polls of a tab are of one link; the name of each is unique. */
  | {
      readonly do: "poll";
      readonly link: string;
      readonly poll: string;
      readonly views: readonly ViewV1[];
    }
  | { readonly do: "ask" };

/** What the leader says of itself, as soon as it leads and after each change. Unless it is `up`, no link is open. */
export type Standing =
  | { readonly say: "up" | "down" }
  /** It is not connected because the server lets nobody in. `isForgotten`: it has dropped what it held. */
  | { readonly say: "denied"; readonly kind: Denial; readonly isForgotten: boolean };

/** What the leader says. */
export type Notice = { readonly from: string } & (
  | Standing
  /** It was asked something, and is alive; or it leads no longer. */
  | { readonly say: "here" | "gone" }
  /** A page of a poll has come, and others will. */
  | { readonly say: "paged" }
  /** The leader does not poll: whoever wants to may do so itself. */
  | { readonly say: "unshared"; readonly poll: string }
  /** What came of these polls. */
  | { readonly say: "polled"; readonly polls: readonly string[]; readonly polled: Polled }
  | { readonly say: "unpolled"; readonly polls: readonly string[]; readonly failure: Failure }
  | { readonly say: "opened" | "closed"; readonly link: string }
  /** Without a link: to all of them. */
  | { readonly say: "message"; readonly link?: string; readonly data: unknown }
);

/** Goes into the name of a channel: a tab hears only those that speak as it does. */
export const protocol = 2;

/** The part of the browser's BroadcastChannel that is used. */
export interface Channel {
  onmessage: ((event: MessageEvent) => void) | null;
  postMessage(word: Word): void;
  close(): void;
}
