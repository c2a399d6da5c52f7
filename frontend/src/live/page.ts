/** The page became visible or hidden, or the network came or went. */
export type PageChange = "visible" | "hidden" | "online" | "offline";

/** What a live client has to know of the page that it runs in. */
export interface Page {
  /** False while nobody can see it: a tab in the background. */
  isVisible(): boolean;
  /** Calls back after each change. The function returned ends it. */
  listen(onChange: (change: PageChange) => void): () => void;
}

/** What runs without a page, as a script, is always looked at, and learns of the network from its socket alone. */
const noPage: Page = {
  isVisible: () => true,
  listen: () => () => undefined,
};

/** The page that this runs in, if it runs in one. */
export function currentPage(): Page {
  return typeof document === "undefined" ? noPage : browserPage;
}

const browserPage: Page = {
  isVisible,
  listen: (onChange) => {
    const listening = new AbortController();
    const { signal } = listening;
    document.addEventListener(
      "visibilitychange",
      () => {
        onChange(isVisible() ? "visible" : "hidden");
      },
      { signal },
    );
    for (const change of ["online", "offline"] as const) {
      const tell = () => {
        onChange(change);
      };
      window.addEventListener(change, tell, { signal });
    }
    return () => {
      listening.abort();
    };
  },
};

function isVisible(): boolean {
  return document.visibilityState !== "hidden";
}
