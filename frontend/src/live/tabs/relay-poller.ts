import type { ViewV1 } from "@contracts/zz_types.ts";
import { ApiError } from "../http.ts";
import type { Failure, Polled, Poller, PollerOptions } from "../live-api.ts";
import type { FrameContent } from "../read-frame.ts";
import type { Notice, Request } from "./words.ts";

/** A poll that the leader has not answered yet. */
interface Pending {
  readonly poll: string;
  readonly views: readonly ViewV1[];
  readonly signal: AbortSignal;
  readonly resolve: (polled: Polled | Promise<Polled>) => void;
  readonly reject: (error: unknown) => void;
}

/** Polls by way of the leader of the tabs: it asks the API, and what it is answered is for all. If it does not, `own` does. */
export class RelayPoller implements Poller {
  readonly #link: string;
  readonly #own: Poller;
  readonly #options: PollerOptions;
  readonly #say: (request: Request) => void;
  #last = 0;
  #pending: Pending | undefined;
  #isOpen = false;

  constructor(link: string, own: Poller, options: PollerOptions, say: (request: Request) => void) {
    this.#link = link;
    this.#own = own;
    this.#options = options;
    this.#say = say;
  }

  poll(views: readonly ViewV1[], signal: AbortSignal): Promise<Polled> {
    return new Promise((resolve, reject) => {
      const poll = `${this.#link}/${++this.#last}`;
      this.#pending = { poll, views, signal, resolve, reject };
      signal.addEventListener("abort", () => {
        if (this.#pending?.poll === poll) this.#pending = undefined;
        reject(new DOMException("given up", "AbortError"));
      });
      this.#isOpen = true;
      this.#say({ do: "poll", link: this.#link, poll, views });
    });
  }

  hear(notice: Extract<Notice, { say: "polled" | "unpolled" | "unshared" | "paged" }>): void {
    if (!this.#pending) return;
    if (notice.say === "paged") {
      this.#options.onPage(nothing);
      return;
    }
    const { poll, views, signal, resolve } = this.#pending;
    if (notice.say === "unshared") {
      if (notice.poll !== poll) return;
      this.#pending = undefined;
      resolve(this.#own.poll(views, signal));
      return;
    }
    if (!notice.polls.includes(poll)) return;
    if (notice.say === "unpolled") {
      this.fail(notice.failure);
      return;
    }
    this.#pending = undefined;
    this.#options.onPage(notice.polled.content);
    resolve(notice.polled);
  }

  /** Nothing will come of what was asked. */
  fail(failure: Failure = { kind: "unavailable", retryAfterMs: 0 }): void {
    this.#pending?.reject(new ApiError(failure));
    this.#pending = undefined;
  }

  /** The leader need not ask for this tab any more. */
  forget(): void {
    this.#own.forget();
    if (this.#isOpen) this.#say({ do: "close", link: this.#link });
    this.#isOpen = false;
  }
}

const nothing: FrameContent = {
  updates: [],
  insights: [],
  control: undefined,
  sentAt: undefined,
  rejections: [],
  unread: [],
};
