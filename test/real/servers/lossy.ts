import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";

/** A line to a server on which an answer can get lost. */
export async function lossy(target: string) {
  let toLose = 0;
  let lost = 0;
  let toRefuse = 0;
  const server = createServer(async (incoming, outgoing) => {
    const body = await buffer(incoming);
    if (toRefuse > 0) {
      toRefuse -= 1;
      outgoing.writeHead(503).end();
      return;
    }
    const { hostname, port } = new URL(target);
    const { method, url: path, headers } = incoming;
    // The host's name is signed.
    request({ hostname, port, method, path, headers }, async (answer) => {
      const content = await buffer(answer);
      if (toLose > 0) {
        toLose -= 1;
        lost += 1;
        incoming.socket.destroy();
        return;
      }
      outgoing.writeHead(answer.statusCode ?? 500, answer.headers).end(content);
    }).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    /** The server does what it is asked next, and nobody hears of it. */
    loseNext(): void {
      toLose += 1;
    },
    lost: () => lost,
    /** So many requests are answered with 503, and go no further. */
    refuseNext(times: number): void {
      toRefuse += times;
    },
    toRefuse: () => toRefuse,
    close: () =>
      new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
      }),
  };
}
