import { contend, type Job, PARTITIONS, transform } from "./job.ts";
import { loadKafkaJs, type Sent } from "./kafkajs-package.ts";

/** Bytes of one send: kafkajs makes one batch of it, and topics take 1 MiB. */
const MOST_BYTES = 900_000;

/**
 * kafkajs by hand, with care: whole batches, partitions side by side, sends that fit, and a commit after each batch of
 * what was sent: at least once.
 */
await contend(async ({ broker, from, to, group, count }: Job) => {
  const kafka = new (loadKafkaJs().Kafka)({ clientId: "bench", brokers: [broker], logLevel: 1 });
  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 5 });
  const consumer = kafka.consumer({ groupId: group, maxWaitTimeInMs: 200, readUncommitted: false });
  await Promise.all([producer.connect(), consumer.connect()]);
  await consumer.subscribe({ topic: from, fromBeginning: true });
  let left = count;
  await new Promise<void>((resolve, reject) => {
    const eachBatch: Parameters<typeof consumer.run>[0]["eachBatch"] = async ({ batch, ...control }) => {
      for (const messages of chunks(
        batch.messages.map(({ key, value }) => ({ key, value: transform(value) })),
        MOST_BYTES,
      )) {
        await producer.send({ topic: to, acks: -1, messages });
        await control.heartbeat();
      }
      const last = batch.messages.at(-1)!;
      control.resolveOffset(last.offset);
      const offset = String(BigInt(last.offset) + 1n);
      await control.commitOffsetsIfNecessary({
        topics: [{ topic: from, partitions: [{ partition: batch.partition, offset }] }],
      });
      left -= batch.messages.length;
      if (left === 0) resolve();
    };
    const run = { autoCommit: false, eachBatchAutoResolve: false, partitionsConsumedConcurrently: PARTITIONS };
    consumer.run({ ...run, eachBatch }).catch(reject);
  });
});

function* chunks(messages: readonly Sent[], most: number): Generator<readonly Sent[]> {
  let [begin, bytes] = [0, 0];
  for (const [index, { key, value }] of messages.entries()) {
    const size = (key?.length ?? 0) + value.length + 20;
    if (bytes + size > most && index > begin) {
      yield messages.slice(begin, index);
      [begin, bytes] = [index, 0];
    }
    bytes += size;
  }
  yield messages.slice(begin);
}
