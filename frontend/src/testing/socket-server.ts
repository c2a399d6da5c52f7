import { createHash } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";

/** A WebSocket server on loopback, for programs in processes of their own. It knows text up to 64 KB, and no fragments. */
export interface SocketServer {
  readonly url: string;
  close(): void;
}

/** Serves each client: `onText` is told what it said, and may answer it. */
export async function serveSockets(
  onText: (text: string, answer: (text: string) => void) => void,
): Promise<SocketServer> {
  const server = createServer();
  const sockets = new Set<Duplex>();
  server.on("upgrade", (request, socket: Duplex) => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => sockets.delete(socket));
    socket.write(
      [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        `Sec-WebSocket-Accept: ${accept(request.headers["sec-websocket-key"] ?? "")}`,
        "",
        "",
      ].join("\r\n"),
    );
    let rest = Buffer.alloc(0);
    socket.on("data", (chunk: Buffer) => {
      rest = Buffer.concat([rest, chunk]);
      for (let frame = read(rest); frame; frame = read(rest)) {
        rest = rest.subarray(frame.length);
        if (frame.opcode === 1)
          onText(frame.payload.toString(), (text) => socket.write(encode(text)));
        else if (frame.opcode === 8) socket.end();
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

/** See RFC 6455, 1.3. */
function accept(key: string): string {
  const magic = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  return createHash("sha1")
    .update(key + magic)
    .digest("base64");
}

/** The first frame of what a client has sent, if all of it is there; see RFC 6455, 5.2. */
function read(bytes: Buffer): { opcode: number; payload: Buffer; length: number } | undefined {
  if (bytes.length < 6) return undefined;
  const short = (bytes[1] ?? 0) & 0x7f;
  const start = short === 126 ? 4 : 2;
  const size = short === 126 ? bytes.readUInt16BE(2) : short;
  const length = start + 4 + size;
  if (bytes.length < length) return undefined;
  const mask = bytes.subarray(start, start + 4);
  const payload = bytes.subarray(start + 4, length).map((byte, i) => byte ^ (mask[i % 4] ?? 0));
  return { opcode: (bytes[0] ?? 0) & 0x0f, payload: Buffer.from(payload), length };
}

function encode(text: string): Buffer {
  const payload = Buffer.from(text);
  const head = Buffer.alloc(payload.length < 126 ? 2 : 4);
  head[0] = 0x81;
  head[1] = payload.length < 126 ? payload.length : 126;
  if (head.length === 4) head.writeUInt16BE(payload.length, 2);
  return Buffer.concat([head, payload]);
}
