import { systemClock } from "../../lib/runtime/clock.ts";
import type { LinkAddress } from "../../lib/runtime/deployment.ts";
import type { StreamRecord } from "../../lib/runtime/events.ts";
import { consume } from "../../lib/runtime/kafka/consumer.ts";
import { port } from "../../lib/runtime/kafka/port.ts";
import type { NewRecord, PartitionClaim, StreamProducer } from "../../lib/runtime/ports.ts";
import { BATCH, contend, type Job, transform } from "./job.ts";

/** Ours: `node millrace.ts <job> once|exactly`. */
const isExact = process.argv[3] === "exactly";
const log = { debug() {}, info() {}, warn: console.error, error: console.error };

await contend(async ({ broker, from, to, group, count }: Job) => {
  const world = { signal: new AbortController().signal, clock: systemClock, log, files: "/nowhere" };
  const at = (topic: string): LinkAddress => ({
    kind: "stream",
    part: topic,
    topic,
    brokers: broker,
    tls: "false",
    group: `${group}-done`,
  });
  const [source, target] = [port(at(from), world), port(at(to), world)];
  const claims = new Map<number, Promise<PartitionClaim>>();
  const claimOf = (partition: number) => {
    const claim = claims.get(partition) ?? source.claim(partition);
    claims.set(partition, claim);
    return claim;
  };
  const done = new AbortController();
  let left = count;
  await consume({
    connection: { brokers: [broker], tls: false },
    topic: from,
    group,
    batch: BATCH,
    window: 0.2,
    from: "earliest",
    signal: done.signal,
    log,
    handle: async (records) => {
      if (isExact) await copyOnce(await claimOf(records[0]!.partition), records, target);
      else await target.send(priced(records));
      left -= records.length;
      if (left === 0) done.abort();
    },
  });
});

async function copyOnce(claim: PartitionClaim, records: readonly StreamRecord[], target: StreamProducer) {
  const fresh = records.filter(({ offset }) => offset >= (claim.next ?? 0));
  if (fresh.length === 0) return;
  await claim.commit(fresh.at(-1)!.offset + 1, [{ to: target, records: priced(fresh) }]);
}

function priced(records: readonly StreamRecord[]): readonly NewRecord[] {
  return records.map(({ key, value }) => ({ ...(key && { key }), value: transform(value!) }));
}
