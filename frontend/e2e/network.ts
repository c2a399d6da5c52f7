import { once } from "node:events";
import { createServer, connect, type AddressInfo, type Socket } from "node:net";

/**
 * A network between a page and a server, as the browser meets it: it carries bytes, or swallows them
 * without a word, as a dead router does, or refuses to connect.
 */
export class Network {
  readonly #server = createServer({ pauseOnConnect: true });
  readonly #target: { readonly host: string; readonly port: number };
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  #state: "open" | "swallowing" | "refusing" = "open";

  private constructor(target: URL) {
    this.#target = { host: target.hostname, port: Number(target.port) };
    this.#server.on("connection", (near) => {
      this.#accept(near);
    });
  }

  static async to(address: string): Promise<Network> {
    const network = new Network(new URL(address));
    network.#server.listen(0, "127.0.0.1");
    await once(network.#server, "listening");
    return network;
  }

  /** `address` as it is reached through this network. */
  through(address: string): string {
    const url = new URL(address);
    url.host = `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
    return url.href;
  }

  /** How many connections there are at the moment. */
  get connections(): number {
    return this.#pairs.size;
  }

  /** From now on nothing gets through, and nobody is told. */
  swallow(): void {
    this.#state = "swallowing";
    for (const pair of this.#pairs) for (const socket of pair) socket.pause();
  }

  /** From now on nobody can connect. What is connected stays. */
  refuse(): void {
    this.#state = "refusing";
  }

  /** All is well again; what was swallowed arrives late, as by TCP. */
  restore(): void {
    this.#state = "open";
    for (const pair of this.#pairs) for (const socket of pair) socket.resume();
  }

  /** Whoever connects from now on gets through; what is connected never hears another word. */
  forget(): void {
    this.swallow();
    this.#state = "open";
  }

  /** Ends all connections at once. */
  drop(): void {
    for (const [near, far] of this.#pairs) {
      near.resetAndDestroy();
      far.destroy();
    }
  }

  async close(): Promise<void> {
    this.#server.close();
    this.drop();
    await once(this.#server, "close");
  }

  #accept(near: Socket): void {
    if (this.#state === "refusing") {
      near.resetAndDestroy();
      return;
    }
    const far = connect({ ...this.#target, noDelay: true });
    const pair = [near, far] as const;
    this.#pairs.add(pair);
    near.setNoDelay(true);
    for (const [from, to] of [pair, [far, near] as const]) {
      from.on("data", (bytes) => to.write(bytes));
      from.on("end", () => to.end());
      from.on("error", () => undefined);
      from.on("close", () => {
        this.#pairs.delete(pair);
        to.destroy();
      });
      if (this.#state === "open") from.resume();
      else from.pause();
    }
  }
}
