import { Consumer, type Message, MessagesStreamModes, Producer } from "@platformatic/kafka";
import { BATCH, contend, type Job, transform } from "./job.ts";

/** The client's own consumer and producer, in a bare loop: at least once, a commit for each batch. */
await contend(async ({ broker, from, to, group, count }: Job) => {
  const base = { clientId: "bench", bootstrapBrokers: [broker] };
  const consumer = new Consumer({ ...base, groupId: group });
  const producer = new Producer({ ...base, idempotent: true });
  const stream = await consumer.consume({
    topics: [from],
    mode: MessagesStreamModes.COMMITTED,
    fallbackMode: "earliest",
    autocommit: false,
    highWaterMark: 2 * BATCH,
    maxWaitTime: 200,
  });
  let left = count;
  let batch: Message[] = [];
  for await (const message of stream) {
    batch.push(message as Message);
    if (batch.length < Math.min(BATCH, left)) continue;
    const messages = batch.map(({ key, value }) => ({ topic: to, key, value: Buffer.from(transform(value)) }));
    await producer.send({ messages });
    const last = new Map(batch.map((one) => [one.partition, one]));
    const offsets = [...last.values()].map(({ partition, offset }) => ({
      topic: from,
      partition,
      offset: offset + 1n,
      leaderEpoch: -1,
    }));
    await consumer.commit({ offsets });
    left -= batch.length;
    batch = [];
    if (left === 0) break;
  }
});
