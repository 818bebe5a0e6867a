/**
 * Puts, overwrites and removes objects for ever, and says what is done: a process to be killed.
 *
 *     node putting.ts <folder> <round>
 */
import { writeSync } from "node:fs";
import { Buckets } from "../../../lib/clouds/local/host/buckets.ts";
import { Journal } from "../../../lib/clouds/local/host/journal.ts";
import { systemClock } from "../../../lib/runtime/clock.ts";
import { bucketPlan } from "./plans.ts";

const [folder, round] = process.argv.slice(2);
const journal = new Journal(folder!);
const buckets = new Buckets({ journal, clock: systemClock, onCreated: () => {} });
buckets.define(bucketPlan("media"));
const writer = buckets.writer("media");
const say = (fact: object) => writeSync(1, `${JSON.stringify(fact)}\n`);

const work = async (lane: number): Promise<never> => {
  for (let n = 0; ; n += 1) {
    const key = `${round}/${lane}/${n}`;
    const content = Buffer.alloc(n % 7 === 0 ? 2_000_000 : n * 10, key);
    const { etag, size } = await writer.put(key, content);
    say({ key, etag, size });
    await writer.put("shared", content);
    if (n % 5 === 4) {
      const old = `${round}/${lane}/${n - 2}`;
      say({ removing: old });
      await buckets.remover("media").remove(old);
    }
  }
};
say({ ready: true });
await Promise.all([work(1), work(2), work(3)]);
