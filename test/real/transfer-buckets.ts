import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CreateBucketCommand, ListMultipartUploadsCommand, S3Client } from "@aws-sdk/client-s3";
import { onTestFinished } from "vitest";
import { port } from "../../lib/clouds/aws/runtime/s3.ts";
import { systemClock } from "../../lib/runtime/clock.ts";
import type { Log } from "../../lib/runtime/handler.ts";
import type { S3Server } from "./servers/s3.ts";

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };
let made = 0;

/**
 * Three buckets of one store.
 *
 * @param isOne whether both are reached by the same keys, as far as the ports know
 * @param endpoint where the ports reach it
 */
export async function transferBuckets(store: S3Server, isOne: boolean, endpoint = store.url) {
  made += 1;
  const files = await mkdtemp(join(tmpdir(), "millrace-transfer-"));
  onTestFinished(() => rm(files, { recursive: true, force: true }));
  const { region } = store;
  const client = new S3Client({ region, endpoint: store.url, credentials: store.credentials, forcePathStyle: true });
  const keys = async () => store.credentials;
  const open = async (part: string, credentials = keys) => {
    const bucket = `${part}-${made}`;
    await client.send(new CreateBucketCommand({ Bucket: bucket }));
    const world = { signal: new AbortController().signal, clock: systemClock, log: silent, files, credentials };
    return port({ kind: "bucket", part, bucket, region, endpoint }, world);
  };
  const from = await open("from");
  const to = await open("to", isOne ? keys : async () => store.credentials);
  const state = await open("state");
  const names = { from: `from-${made}`, to: `to-${made}`, state: `state-${made}` };
  const uploads = async () => {
    const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket: names.to }));
    return Uploads.length;
  };
  return { from, to, state, uploads, names, client };
}
