/** The page became visible or hidden, or the network came or went. */
export type PageChange = "visible" | "hidden" | "online" | "offline";

/** What a live client has to know of the page that it runs in. */
export interface Page {
  /** False while nobody can see it: a tab in the background. */
  isVisible(): boolean;
  /** Calls back after each change. The function returned ends it. */
  listen(onChange: (change: PageChange) => void): () => void;
}
