import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { answerHealth } from "../../../lib/clouds/kubernetes/runtime/health.ts";

/** A port that nobody listens to. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0);
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

test("who cannot work need not start again, who hangs does", async () => {
  const port = await freePort();
  const is = { ready: true, alive: true };
  const server = answerHealth(
    { MILLRACE_HEALTH_PORT: String(port) },
    () => is.ready,
    () => is.alive,
  )!;
  await once(server, "listening");
  const ask = async (path: string) => (await fetch(`http://127.0.0.1:${port}${path}`)).status;
  expect([await ask("/healthz"), await ask("/livez")]).toEqual([200, 200]);
  is.ready = false;
  expect([await ask("/healthz"), await ask("/livez")]).toEqual([503, 200]);
  is.alive = false;
  expect([await ask("/healthz"), await ask("/livez")]).toEqual([503, 503]);
  await new Promise((resolve) => server.close(resolve));
});

test("nobody listens where nobody asks", () => {
  expect(answerHealth({}, () => true)).toBeUndefined();
});
