/** What signing in needs of the browser. */
export interface Browser {
  /** Where the page is now. */
  readonly url: string;
  /** The root of the page, with a slash at its end. */
  readonly root: string;
  /** Leaves the page. With `replace` the way back does not lead to it. */
  leave(url: string, how: "push" | "replace"): void;
  /** Writes another address over that of the page. */
  rename(url: string): void;
  /** Kept for this tab, and for all tabs of this origin. */
  readonly tab: Pick<Storage, "getItem" | "setItem" | "removeItem">;
  readonly tabs: Pick<Storage, "getItem" | "setItem" | "removeItem">;
  /** Calls back when another tab changed `tabs`, and when the page is shown again as it was left. */
  listen(onTabs: () => void, onReturn: () => void): void;
}

export const systemBrowser: Browser = {
  get url() {
    return location.href;
  },
  get root() {
    return new URL(import.meta.env.BASE_URL, location.origin).href;
  },
  leave: (url, how) => {
    if (how === "push") location.assign(url);
    else location.replace(url);
  },
  rename: (url) => {
    history.replaceState(null, "", url);
  },
  // These throw where the browser is set to keep nothing.
  get tab() {
    return sessionStorage;
  },
  get tabs() {
    return localStorage;
  },
  listen: (onTabs, onReturn) => {
    window.addEventListener("storage", onTabs);
    window.addEventListener("pageshow", ({ persisted }) => {
      if (persisted) onReturn();
    });
  },
};
