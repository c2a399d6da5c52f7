import type { Page, PageChange } from "../live/page.ts";

/** A page that the test shows and hides. */
export class FakePage implements Page {
  #isVisible = true;
  readonly #listeners = new Set<(change: PageChange) => void>();

  isVisible(): boolean {
    return this.#isVisible;
  }

  listen(onChange: (change: PageChange) => void): () => void {
    this.#listeners.add(onChange);
    return () => {
      this.#listeners.delete(onChange);
    };
  }

  get listeners(): number {
    return this.#listeners.size;
  }

  becomes(change: PageChange): void {
    if (change === "visible" || change === "hidden") this.#isVisible = change === "visible";
    for (const tell of [...this.#listeners]) tell(change);
  }
}
