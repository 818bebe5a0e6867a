import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { afterEach, expect, test } from "vitest";
import { systemClock } from "../../lib/runtime/clock.ts";
import { sidecar } from "../../lib/runtime/sidecar.ts";

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

async function serve(listener: RequestListener, port = 0): Promise<number> {
  const server = createServer(listener);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}

async function freePort(): Promise<number> {
  const port = await serve(() => {});
  await new Promise((resolve) => servers.pop()!.close(resolve));
  return port;
}

const silent = { debug() {}, info() {}, warn() {}, error() {} };

const beside = (port: number, timeout = 60, starting = 10_000, signal = new AbortController().signal) =>
  sidecar(
    { kind: "function", part: "score", url: `http://127.0.0.1:${port}`, timeout: String(timeout) },
    { signal, clock: systemClock, log: silent, files: tmpdir() },
    starting,
  );

test("a program that is still starting is waited for, and then called once", async () => {
  const port = await freePort();
  const answer = beside(port).invoke({ pixels: [1] });
  await new Promise((resolve) => setTimeout(resolve, 300));
  const calls: string[] = [];
  await serve((request, response) => {
    calls.push(`${request.method} ${request.url}`);
    request.pipe(response);
  }, port);
  expect(await answer).toEqual({ pixels: [1] });
  expect(calls).toEqual(["POST /invoke"]);
});

test("one that never listens is given up", async () => {
  const port = await freePort();
  await expect(beside(port, 60, 300).invoke(1)).rejects.toMatchObject({
    kind: "unavailable",
    message: `nothing listens at http://127.0.0.1:${port}, 0.3 seconds after it was asked`,
  });
});

test("one that takes longer than its time is timed out; a caller that ends ends the wait", async () => {
  const port = await serve(() => {});
  await expect(beside(port, 0.2).invoke(1)).rejects.toMatchObject({
    kind: "timed-out",
    message: "the program took longer than its 0.2 seconds",
  });
  const ending = new AbortController();
  const answer = beside(port, 60, 10_000, ending.signal).invoke(1);
  ending.abort(new Error("the run is stopped"));
  await expect(answer).rejects.toThrow("the run is stopped");
});

test("one that fails says so in its own words; one that goes away is unavailable", async () => {
  const failing = await serve((_, response) => {
    response.statusCode = 500;
    response.end(
      JSON.stringify({ errorType: "ValueError", errorMessage: "there are no rows", stackTrace: ["line 3"] }),
    );
  });
  await expect(beside(failing).invoke([])).rejects.toMatchObject({
    kind: "failed",
    message: "the program failed: ValueError: there are no rows",
  });
  const dying = await serve((request) => request.socket.destroy());
  await expect(beside(dying).invoke([])).rejects.toMatchObject({ kind: "unavailable" });
});
