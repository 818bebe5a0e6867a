import { MillraceError } from "../errors.ts";
import type { ReadOptions, StreamPage } from "../streams.ts";
import type { Caller, Cluster } from "./cluster.ts";
import { fetchBytes } from "./messages.ts";
import { extentsOf } from "./places.ts";
import { decodeBatches } from "./records.ts";
import { errorOf } from "./refusals.ts";

const DEFAULT_LIMIT = 1_000;
const MOST_RECORDS = 10_000;
/** Bytes of one page. */
const PAGE = 4 * 2 ** 20;
const OUT_OF_RANGE = 1;

/** Records of one partition as they lie there, committed ones only. @param stream what errors call it */
export async function readRecords(
  { cluster, caller, topic, stream }: ReadWorld,
  { partition, from, limit = DEFAULT_LIMIT }: ReadOptions,
): Promise<StreamPage> {
  if (!Number.isInteger(limit) || limit < 1 || limit > MOST_RECORDS) {
    throw new MillraceError("bad-input", `read ${stream}: limit: 1 to ${MOST_RECORDS} are allowed, got ${limit}`);
  }
  const [extent] = await extentsOf(cluster, caller, topic, { isCommitted: true, partitions: [partition] });
  const { first, next: end } = extent!;
  let next = Math.max(from ?? first, first);
  // Pages that hold nothing but what was aborted are passed.
  while (next < end) {
    const page = await pageAt({ cluster, caller, topic }, partition, next);
    if (page.next === next) break;
    const records = page.records.slice(0, limit);
    next = records.length < page.records.length ? records.at(-1)!.offset + 1 : page.next;
    if (records.length > 0) return { records, next };
  }
  return { records: [], next };
}

interface ReadWorld {
  readonly cluster: Cluster;
  readonly caller: Caller;
  readonly topic: string;
  readonly stream: string;
}

const pageAt = ({ cluster, caller, topic }: Omit<ReadWorld, "stream">, partition: number, from: number) =>
  cluster.patiently(caller, `read topic ${topic}`, async (): Promise<StreamPage> => {
    const connection = await cluster.to(await cluster.leader(caller, topic, partition));
    const positions = [{ topic, partition, offset: from }];
    const [answer] = await fetchBytes(connection, { positions, wait: 100, most: [PAGE, PAGE] });
    if (answer!.error === OUT_OF_RANGE) return { records: [], next: from };
    if (answer!.error === 0) return decodeBatches(answer!.bytes, { partition, from, aborted: answer!.aborted });
    cluster.forget(topic);
    throw errorOf(answer!.error);
  });
