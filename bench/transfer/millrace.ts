/**
 * A run of ours in one process: `millrace.ts <endpoint> <region> <server|through> <key>`, from `bench-from` to
 * `bench-to`, with the server's keys in the environment. Says what it took.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { port } from "../../lib/clouds/aws/runtime/s3.ts";
import { systemClock } from "../../lib/runtime/clock.ts";
import { transferOf } from "../../test/handlers/transfer/in-process.ts";

const [endpoint, region, way, key] = process.argv.slice(2) as [string, string, "server" | "through", string];
const files = mkdtempSync(join(tmpdir(), "millrace-bench-"));
const credentials = {
  accessKeyId: process.env.AWS_ACCESS_KEY_ID!,
  secretAccessKey: process.env.AWS_SECRET_ACCESS_KEY!,
};
const keys = async () => credentials;
const log = { debug() {}, info() {}, warn() {}, error() {} };
const world = { signal: new AbortController().signal, clock: systemClock, log, files };
// Buckets with keys of their own are out of the store's reach, as far as the ports know.
const open = (bucket: string, own = keys) =>
  port({ kind: "bucket", part: bucket, bucket: `bench-${bucket}`, region, endpoint }, { ...world, credentials: own });

try {
  const links = {
    from: open("from"),
    to: open("to", way === "server" ? keys : async () => credentials),
    state: open("state"),
  };
  const transfer = transferOf(links, { workers: 8, piece: 16 * 2 ** 20, buffer: 512 * 2 ** 20, overwrites: "always" });
  const [begun, began] = [process.cpuUsage(), performance.now()];
  const { bytes } = await transfer({ object: key }, { run: `run-${process.pid}` });
  const wall = (performance.now() - began) / 1000;
  const { user, system } = process.cpuUsage(begun);
  console.log(JSON.stringify({ wall, cpu: (user + system) / 1e6, bytes }));
} finally {
  rmSync(files, { recursive: true, force: true });
}
