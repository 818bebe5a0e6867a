import { MillraceError } from "../errors.ts";
import { partitionOf } from "../partitioner.ts";
import type { NewRecord } from "../ports.ts";
import { toBytes } from "../stream-records.ts";
import { type PlainRecord, sizeOf } from "./records.ts";

/** Records that one partition gets in one piece. */
export interface Batch {
  readonly topic: string;
  readonly partition: number;
  readonly records: readonly PlainRecord[];
  /** At most. */
  readonly bytes: number;
}

/** Bytes of a batch: below the 1 MiB that brokers and topics take unless told otherwise. */
const MOST_BYTES = 900_000;
/** Bytes without any key that go to one partition before the next has its turn. */
const TURN = 16 * 1024;

/** Whose turn it is to get records that may go anywhere. */
export class Turns {
  #partition: number;
  #bytes = 0;

  /** @param first any number, another one in every process */
  constructor(first: number) {
    this.#partition = first;
  }

  /** A send begins: what is small spreads over the partitions, too. */
  begin(): void {
    this.#partition += 1;
    this.#bytes = 0;
  }

  of(partitions: number, bytes: number): number {
    if (this.#bytes >= TURN) this.begin();
    this.#bytes += bytes;
    return this.#partition % partitions;
  }
}

/**
 * The batches that records become, in their order in each partition.
 *
 * @param now milliseconds since 1970, for records that say no time
 * @throws `bad-input` if a record names a partition that the topic does not have
 */
export function batchesOf(
  topic: string,
  records: readonly NewRecord[],
  { partitions, now, turns }: { readonly partitions: number; readonly now: number; readonly turns: Turns },
): readonly Batch[] {
  const batches: Batch[] = [];
  const open = new Map<number, { records: PlainRecord[]; bytes: number }>();
  const close = (partition: number) => {
    const batch = open.get(partition);
    if (batch) batches.push({ topic, partition, ...batch });
    open.delete(partition);
  };
  turns.begin();
  for (const [index, record] of records.entries()) {
    const plain = plainRecord(record, index, now);
    const bytes = sizeOf(plain);
    const partition = placeOf(topic, record, plain, partitions, () => turns.of(partitions, bytes));
    if ((open.get(partition)?.bytes ?? 0) + bytes > MOST_BYTES) close(partition);
    const batch = open.get(partition);
    if (batch) {
      batch.records.push(plain);
      batch.bytes += bytes;
    } else {
      open.set(partition, { records: [plain], bytes });
    }
  }
  for (const partition of [...open.keys()]) close(partition);
  return batches;
}

const NO_HEADERS: PlainRecord["headers"] = [];

const plainRecord = ({ key, value, headers, timestamp }: NewRecord, index: number, now: number): PlainRecord => ({
  key: key === undefined ? undefined : toBytes(key),
  value: value === undefined ? undefined : toBytes(value),
  headers: headers
    ? Object.entries(headers).map(([name, content]) => [toBytes(name), toBytes(content)] as const)
    : NO_HEADERS,
  timestamp: timestamp ?? now,
  index,
});

function placeOf(
  topic: string,
  { partition }: NewRecord,
  { key }: PlainRecord,
  partitions: number,
  anywhere: () => number,
): number {
  if (partition === undefined) return key ? partitionOf(key, partitions) : anywhere();
  if (partition >= 0 && partition < partitions) return partition;
  throw new MillraceError("bad-input", `topic ${topic} has ${partitions} partitions, got partition ${partition}`);
}
