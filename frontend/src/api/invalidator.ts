import type { QueryClient } from "@tanstack/react-query";

/** Queries are told at most this often that they are out of date, in milliseconds. */
const pause = 1_000;

/**
 * Tells the queries below a key that the live store does not fill, those with a longer key, that what they
 * fetched is out of date: at once after a first change, and once for all that follow within a second.
 */
export class Invalidator {
  readonly #client: QueryClient;
  readonly #key: readonly unknown[];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isDue = false;

  constructor(client: QueryClient, key: readonly unknown[]) {
    this.#client = client;
    this.#key = key;
  }

  changed(): void {
    this.#isDue = true;
    if (this.#timer === undefined) this.#tell();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#isDue = false;
  }

  #tell(): void {
    this.#timer = undefined;
    if (!this.#isDue) return;
    this.#isDue = false;
    this.#timer = setTimeout(() => {
      this.#tell();
    }, pause);
    void this.#client.invalidateQueries({
      queryKey: this.#key,
      predicate: ({ queryKey }) => queryKey.length > this.#key.length,
    });
  }
}
