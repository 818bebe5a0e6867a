import type { LinkAddress } from "../../lib/runtime/deployment.ts";
import type { StreamRecord } from "../../lib/runtime/events.ts";
import { consume } from "../../lib/runtime/kafka/consumer.ts";
import { port } from "../../lib/runtime/kafka/port.ts";
import { world } from "../real/kafka-world.ts";

/**
 * A process that copies a topic with claims until it is killed: `node kafka-copier.ts <broker> <from> <to>`. It keeps no
 * claim from one batch to the next, as a function does that may be another process each time.
 */
const [broker, from, to] = process.argv.slice(2) as [string, string, string];
const at = (topic: string): LinkAddress => ({
  ...{ kind: "stream", part: topic, topic, brokers: broker, tls: "false", group: `${from}-done` },
});
const [source, target] = [port(at(from), world()), port(at(to), world())];

async function copy(records: readonly StreamRecord[]): Promise<void> {
  const claim = await source.claim(records[0]!.partition);
  const fresh = records.filter(({ offset }) => offset >= (claim.next ?? 0));
  if (fresh.length === 0) return;
  const copies = fresh.map(({ key, value }) => ({ ...(key && { key }), ...(value && { value }) }));
  await claim.commit(fresh.at(-1)!.offset + 1, [{ to: target, records: copies }]);
}

await consume({
  connection: { brokers: [broker], tls: false },
  topic: from,
  group: `${from}-group`,
  batch: 200,
  window: 0.1,
  from: "earliest",
  signal: new AbortController().signal,
  handle: copy,
  log: world().log,
  session: 6,
});
