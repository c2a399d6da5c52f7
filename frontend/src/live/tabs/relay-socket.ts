import type { Socket } from "../live-client.ts";
import type { Request } from "./words.ts";

/** A socket that the leader of the tabs stands in for. */
export class RelaySocket implements Socket {
  readonly #link: string;
  readonly #say: (request: Request) => void;
  onopen: Socket["onopen"] = null;
  onmessage: Socket["onmessage"] = null;
  onclose: Socket["onclose"] = null;

  constructor(link: string, say: (request: Request) => void) {
    this.#link = link;
    this.#say = say;
    say({ do: "open", link });
  }

  send(data: string): void {
    this.#say({ do: "send", link: this.#link, data });
  }

  close(): void {
    this.#say({ do: "close", link: this.#link });
  }
}
