import type { Socket, SocketConstructor } from "../live/live-client.ts";

/** A WebSocket whose network is the test. */
export class FakeSocket implements Socket {
  readonly url: string;
  /** What the page has sent, in order. */
  readonly sent: string[] = [];
  state: "connecting" | "open" | "closed" = "connecting";
  onopen: Socket["onopen"] = null;
  onmessage: Socket["onmessage"] = null;
  onclose: Socket["onclose"] = null;

  constructor(url: string) {
    this.url = url;
  }

  send(data: string): void {
    if (this.state === "connecting") throw new DOMException("not open yet", "InvalidStateError");
    if (this.state === "open") this.sent.push(data);
  }

  close(): void {
    this.state = "closed";
  }

  serverAccepts(): void {
    this.state = "open";
    this.onopen?.(new Event("open"));
  }

  serverSends(data: unknown): void {
    this.onmessage?.(new MessageEvent("message", { data }));
  }

  serverCloses(): void {
    this.state = "closed";
    this.onclose?.(new CloseEvent("close"));
  }
}

/** Makes fake sockets and remembers all of them. */
export class FakeNetwork {
  readonly sockets: FakeSocket[] = [];
  /** Takes the place of the browser's constructor. */
  readonly WebSocket: SocketConstructor;

  constructor() {
    const { sockets } = this;
    this.WebSocket = class extends FakeSocket {
      constructor(url: string) {
        super(url);
        sockets.push(this);
      }
    };
  }

  get latest(): FakeSocket {
    const socket = this.sockets.at(-1);
    if (!socket) throw new Error("no socket was opened");
    return socket;
  }

  /** Those that are not closed. */
  get alive(): FakeSocket[] {
    return this.sockets.filter(({ state }) => state !== "closed");
  }
}
