import { createInterface } from "node:readline";
import { toErrorRecord } from "../../lib/runtime/errors.ts";
import { kafkaStreams } from "../../lib/runtime/kafka/client.ts";
import { KafkaStream, newKafka } from "../../lib/runtime/kafka/port.ts";
import { world } from "./kafka-world.ts";

/**
 * A process that works with claims, to be killed. `node kafka-child.ts <broker> <from> <to> <group>`; what it reads from
 * its standard input it does, a line after the other, and says what came of it:
 *
 * - `claim`: claims partition 0 of the first topic
 * - `commit <next> <records> <bytes>`: commits with that many records of that size, to both partitions of the second
 * - `copy <batch>`: copies the first topic's partition 0 into the second, a commit for each batch, until it is at its end
 */
const [broker, from, to, group] = process.argv.slice(2) as [string, string, string, string];
const connection = { brokers: [broker], tls: false };
const kafka = newKafka(connection);
const source = new KafkaStream({ kind: "stream", part: "from", topic: from, group }, world(), kafka);
const target = new KafkaStream({ kind: "stream", part: "to", topic: to }, world(), kafka);
const client = kafkaStreams([{ stream: "from", topic: from, connection: async () => connection }], world());
let claim = await source.claim(0);

const DO: Readonly<Record<string, (...args: readonly number[]) => Promise<string>>> = {
  claim: async () => {
    claim = await source.claim(0);
    return `claimed ${claim.next}`;
  },
  commit: async (next, records, bytes) => {
    const value = Buffer.alloc(bytes!, "x");
    const sent = Array.from({ length: records! }, (_, index) => ({ partition: index % 2, value }));
    await claim.commit(next!, [{ to: target, records: sent }]);
    return `committed ${next}`;
  },
  copy: async (batch) => {
    for (;;) {
      const { records } = await client.read("from", { partition: 0, from: claim.next ?? 0, limit: batch! });
      if (records.length === 0) return "copied";
      const sends = records.map(({ value, offset }) => ({ partition: offset % 2, value: value! }));
      await claim.commit(records.at(-1)!.offset + 1, [{ to: target, records: sends }]);
      console.log(`at ${claim.next}`);
    }
  },
};

console.log(`claimed ${claim.next}`);
for await (const line of createInterface({ input: process.stdin })) {
  const [what, ...args] = line.split(" ") as [string, ...string[]];
  console.log(await DO[what]!(...args.map(Number)).catch((error: unknown) => toErrorRecord(error).kind));
}
process.exit(0);
