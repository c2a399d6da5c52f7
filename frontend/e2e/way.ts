import type { Page } from "@playwright/test";
import type { Timing } from "../src/live/timing.ts";
import { variable } from "./environment.ts";
import { Network } from "./network.ts";

/**
 * Everything that a page waits for, ten times faster than usual, so that a test of half a minute takes three
 * seconds. The server's times stay as they are.
 */
export const hasty: Partial<Timing> = {
  openTimeout: 1_000,
  answerTimeout: 500,
  followUp: 500,
  quiet: { minimum: 1_500, spread: 1_000 },
  regular: { minimum: 5_000, spread: 1_000 },
  silence: 3_000,
  pause: 100,
  spread: 200,
  retry: 500,
  haste: 100,
  grace: 200,
  backoff: { minimum: 50, maximum: 3_000, stableAfter: 6_000 },
  comeback: { minimum: 50, spread: 450 },
  toleratedOutage: 3_000,
  pollSpread: 1_000,
  firstPaint: { minimum: 400, spread: 200 },
  poll: 500,
  pollTimeout: 2_000,
};

/** The way of a page to its servers, which a test can cut. */
export class Way {
  readonly socket: Network;
  readonly api: Network;

  private constructor(socket: Network, api: Network) {
    this.socket = socket;
    this.api = api;
  }

  static async open(): Promise<Way> {
    return new Way(
      await Network.to(variable("WEBSOCKET_URL")),
      await Network.to(variable("API_URL")),
    );
  }

  /** Has a page that opens from now on go this way. The page's context has to bypass the page's policy. */
  async lead(page: Page, timing: Partial<Timing>): Promise<void> {
    await page.route("**/config.json", async (route) => {
      const response = await route.fetch();
      const config = (await response.json()) as { webSocketUrl: string; apiUrl: string };
      const webSocketUrl = this.socket.through(config.webSocketUrl);
      const apiUrl = this.api.through(config.apiUrl);
      await route.fulfill({ response, json: { ...config, webSocketUrl, apiUrl, timing } });
    });
  }

  /** Nothing gets through any more, and nobody is told. */
  swallow(): void {
    this.socket.swallow();
    this.api.swallow();
  }

  restore(): void {
    this.socket.restore();
    this.api.restore();
  }

  async close(): Promise<void> {
    await Promise.all([this.socket.close(), this.api.close()]);
  }
}
