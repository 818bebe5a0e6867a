/**
 * A transfer in a process of its own, to be killed: `transfer-process.ts <endpoint> <region> <from> <to> <state> <key>`,
 * with the store's keys in the environment. Through its two workers, in pieces of 5 MiB, one at a time each.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { port } from "../../lib/clouds/aws/runtime/s3.ts";
import { systemClock } from "../../lib/runtime/clock.ts";
import { MB, transferOf } from "../handlers/transfer/in-process.ts";

const [endpoint, region, from, to, state, key] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string,
  string,
];
const files = mkdtempSync(join(tmpdir(), "millrace-transfer-"));
process.once("exit", () => rmSync(files, { recursive: true, force: true }));
const keys = () => async () => ({
  accessKeyId: process.env.AWS_ACCESS_KEY_ID!,
  secretAccessKey: process.env.AWS_SECRET_ACCESS_KEY!,
});
const log = { debug() {}, info() {}, warn() {}, error() {} };
const open = (bucket: string) =>
  port(
    { kind: "bucket", part: bucket, bucket, region, endpoint },
    { signal: new AbortController().signal, clock: systemClock, log, files, credentials: keys() },
  );
const links = { from: open(from), to: open(to), state: open(state) };
const made = await transferOf(links, { workers: 2, buffer: 5 * MB, overwrites: "always" })({ prefix: key });
console.log(JSON.stringify(made));
