import type { Locator } from "@playwright/test";
import type { Dashboard } from "./dashboard.ts";

/** Remembers each text that an element shows from now on. */
export async function listenTo(element: Locator): Promise<() => Promise<string[]>> {
  const said = await element.evaluateHandle((node) => {
    const texts = new Set([node.textContent]);
    new MutationObserver(() => texts.add(node.textContent)).observe(node, {
      subtree: true,
      childList: true,
      characterData: true,
    });
    return texts;
  });
  return () => said.evaluate((texts) => [...texts]);
}

/** Remembers of which entities a row is painted anew, added or taken away from now on. */
export async function watchRows(dashboard: Dashboard): Promise<() => Promise<string[]>> {
  const painted = await dashboard.page.getByRole("main").evaluateHandle((main) => {
    const keys = new Set<string>();
    const keyOf = (node: Node | null) => {
      const element = node instanceof Element ? node : node?.parentElement;
      return element?.closest<HTMLElement>("[data-entity]")?.dataset["entity"];
    };
    new MutationObserver((records) => {
      for (const { target, addedNodes, removedNodes } of records) {
        for (const node of [target, ...addedNodes, ...removedNodes]) {
          const key = keyOf(node);
          if (key !== undefined) keys.add(key);
        }
      }
    }).observe(main, { subtree: true, childList: true, characterData: true, attributes: true });
    return keys;
  });
  return () => painted.evaluate((keys) => [...keys]);
}
