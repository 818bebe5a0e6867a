import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";

/** What is to become another: what the server is sent, or what it answers. */
export type Corrupted = "sent" | "answered";

/** A line to a server on which a bit of what is long falls over. */
export async function corrupting(target: string) {
  let toCorrupt: { readonly what: Corrupted; times: number } = { what: "sent", times: 0 };
  let corrupted = 0;
  const taint = (what: Corrupted, body: Buffer): Buffer => {
    if (toCorrupt.what !== what || toCorrupt.times <= 0 || body.length < LEAST) return body;
    toCorrupt.times -= 1;
    corrupted += 1;
    const other = Buffer.from(body);
    other[other.length >> 1]! ^= 1;
    return other;
  };
  const server = createServer(async (incoming, outgoing) => {
    const body = taint("sent", await buffer(incoming));
    const { hostname, port } = new URL(target);
    const { method, url: path, headers } = incoming;
    // The host's name is signed.
    request({ hostname, port, method, path, headers }, async (answer) => {
      const content = taint("answered", await buffer(answer));
      outgoing.writeHead(answer.statusCode ?? 500, answer.headers).end(content);
    }).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    /** So many bodies from now on are other ones. */
    corrupt(what: Corrupted, times = Number.POSITIVE_INFINITY): void {
      toCorrupt = { what, times };
    },
    corrupted: () => corrupted,
    close: () =>
      new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
      }),
  };
}

/** Bytes: lists and errors stay as they are. */
const LEAST = 64 * 1024;
