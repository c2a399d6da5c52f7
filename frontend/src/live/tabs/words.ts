/**
 * What tabs say to each other. Only tabs that run the same protocol share a channel: its name says so.
 * A link is a relayed socket; its name is unique among all tabs.
 */
export type Word = Request | Notice;

/** What a follower says to whoever leads. Each is answered at once, if only by `here`. */
export type Request =
  | { readonly do: "open" | "close"; readonly link: string }
  | { readonly do: "send"; readonly link: string; readonly data: string }
  | { readonly do: "ask" };

/** What the leader says. */
export type Notice = { readonly from: string } & (
  | {
      /**
       * - `up`: it is connected. `down`: it is not, and no link is open.
       * - `here`: it was asked something, and is alive.
       * - `gone`: it leads no longer.
       */
      readonly say: "up" | "down" | "here" | "gone";
    }
  | { readonly say: "opened" | "closed"; readonly link: string }
  /** Without a link: to all of them. */
  | { readonly say: "message"; readonly link?: string; readonly data: unknown }
);

/** Goes into the name of a channel: a tab hears only those that speak as it does. */
export const protocol = 1;

/** The part of the browser's BroadcastChannel that is used. */
export interface Channel {
  onmessage: ((event: MessageEvent) => void) | null;
  postMessage(word: Word): void;
  close(): void;
}
