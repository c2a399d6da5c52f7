import type { ViewV1 } from "@contracts/zz_types.ts";
import type { ApiError } from "./http.ts";
import type { FrameContent } from "./read-frame.ts";

/**
 * What stands beside the WebSocket: it gives tickets, and what is watched where no socket gets through. `httpApi`
 * makes one. What it does rejects with an ApiError, or with any other error where that may pass.
 */
export interface LiveApi {
  /** Of who asks. What is held for one is never shown to another. */
  readonly identity?: string;
  /**
   * Turns the address of the WebSocket into one that opens a socket once, within seconds: it has a ticket in it.
   * Without this function everybody may connect.
   */
  readonly ticket?: (url: string, signal: AbortSignal) => Promise<string>;
  /** Made once for each client. */
  readonly poller: (options: PollerOptions) => Poller;
}

export interface PollerOptions {
  /** Told of each page as it comes. */
  readonly onPage: (content: FrameContent) => void;
  /** The server's time, in unix milliseconds; undefined while it is not known. */
  readonly time: () => number | undefined;
}

/** Asks for all that is watched. */
export interface Poller {
  poll(views: readonly ViewV1[], signal: AbortSignal): Promise<Polled>;
  /** Has everything sent again next time. */
  forget(): void;
}

export interface Polled {
  /** As of the page that was read first. */
  readonly content: FrameContent;
  /** The key of all that was sent could be read: what it does not name is not there. */
  readonly isWhole: boolean;
}

/** Why the API did not do what it was asked. */
export interface Failure {
  /**
   * - `signed_out`: it does not know who asks, also with another token.
   * - `forbidden`: whoever asks may not.
   * - `unavailable`: it may do so later.
   */
  readonly kind: "signed_out" | "forbidden" | "unavailable";
  /** When to ask again, at the earliest; 0: it does not say. */
  readonly retryAfterMs: number;
  /** Of the answer; undefined: there was none. */
  readonly status?: number;
  /** What was seen before may not be seen any more either. */
  readonly mustForget?: boolean;
}

/** What went wrong, whatever was thrown: where nothing is known, it may work later. */
export function failureOf(error: unknown): Failure {
  // Not by its class: that may come from another copy of this program.
  return error instanceof Error && "failure" in error
    ? (error as ApiError).failure
    : { kind: "unavailable", retryAfterMs: 0 };
}
