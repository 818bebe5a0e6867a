import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { Buckets } from "../../../lib/clouds/local/host/buckets.ts";
import { Journal } from "../../../lib/clouds/local/host/journal.ts";
import type { TransferSettings } from "../../../lib/handlers/transfer/settings.ts";
import { systemClock } from "../../../lib/runtime/clock.ts";
import type { BucketReader, BucketUploader, BucketWriter } from "../../../lib/runtime/ports.ts";
import { bucketPlan } from "../../clouds/local/plans.ts";
import { transferOf } from "./in-process.ts";

type Bucket = BucketReader & BucketWriter & BucketUploader;

/** Bytes of which every piece is another one. */
export const noise = (size: number, seed = 1): Buffer => {
  const bytes = Buffer.allocUnsafe(size);
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, size >>> 2);
  let state = seed;
  for (let index = 0; index < words.length; index += 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    words[index] = state;
  }
  bytes.fill(seed, size - (size % 4));
  return bytes;
};

/** Buckets of the local cloud, and the three functions of a transfer on them. */
export function world(settings: Partial<TransferSettings> = {}) {
  const folder = mkdtempSync(join(tmpdir(), "millrace-transfer-"));
  const journal = new Journal(folder);
  const buckets = new Buckets({ journal, clock: systemClock, onCreated: () => {} });
  onTestFinished(() => {
    journal.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const bucket = (name: string): Bucket => {
    buckets.define(bucketPlan(name));
    return { ...buckets.reader(name), ...buckets.writer(name) };
  };
  const links = { from: bucket("from"), to: bucket("to"), state: bucket("state") };
  const messages: string[] = [];
  const uploads = (): number => Number(journal.sql("SELECT count(*) AS count FROM uploads").get()?.count ?? Number.NaN);
  return { ...links, uploads, messages, transfer: transferOf(links, settings, messages) };
}
