/**
 * Fills the disk of a folder that has 2 MB, and says what happened.
 *
 *     node filling.ts <folder>
 */
import { existsSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { Buckets } from "../../../lib/clouds/local/host/buckets.ts";
import { Journal } from "../../../lib/clouds/local/host/journal.ts";
import { Queues } from "../../../lib/clouds/local/host/queues.ts";
import { systemClock } from "../../../lib/runtime/clock.ts";
import { toErrorRecord } from "../../../lib/runtime/errors.ts";
import { bucketPlan, queuePlan } from "./plans.ts";

const folder = process.argv[2]!;
const journal = new Journal(folder);
const buckets = new Buckets({ journal, clock: systemClock, onCreated: () => {} });
const queues = new Queues({ journal, clock: systemClock, random: Math.random, onSent: () => {} });
buckets.define(bucketPlan("media"));
queues.define(queuePlan("work"));
const media = { ...buckets.reader("media"), ...buckets.writer("media") };

const failure = async (work: () => Promise<unknown>) => {
  try {
    await work();
    return "no failure";
  } catch (error) {
    const { kind, message } = toErrorRecord(error);
    return { kind, message };
  }
};

await media.put("a", "kept");
const put = await failure(() => media.put("big", Readable.from([Buffer.alloc(1_000_000), Buffer.alloc(3_000_000)])));

const path = join(folder, "file");
writeFileSync(path, Buffer.alloc(1_000_000), { mode: 0o444 }); // read-only: it must be copied
const file = { ...((await failure(() => media.putFile("big", path))) as object), stillThere: existsSync(path) };

const queue = await failure(async () => {
  for (;;) queues.sendNow("work", "x".repeat(50_000));
});
const staged = readdirSync(join(folder, "staging"));
const before = String(await media.get("a"));
const objects = (await media.list()).objects.map(({ key }) => key);
rmSync(path);
const { size } = await media.put("big", Buffer.alloc(700_000, "x"));
console.log(JSON.stringify({ put, file, queue, staged, before, objects, afterRoom: size }));
