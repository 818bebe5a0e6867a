import { type Connection, groupByProperty, type Reader, Writer } from "@platformatic/kafka";

/**
 * The two messages that carry records. The client makes objects of each record on the way; here the bytes of whole
 * batches pass.
 */

/** What a partition gets. */
export interface PartitionBatch {
  readonly topic: string;
  readonly partition: number;
  /** A batch, as Kafka keeps it. */
  readonly bytes: Buffer;
}

/** What a partition said to its batch. */
export interface PartitionAnswer {
  readonly topic: string;
  readonly partition: number;
  /** One of Kafka's error codes; 0 is none. */
  readonly error: number;
  /** The offset of the batch's first record. */
  readonly first: number;
}

const PRODUCE = { key: 0, version: 7 } as const;
const ALL_REPLICAS = -1;

/**
 * Appends a batch to each of some partitions. https://kafka.apache.org/protocol#The_Messages_Produce
 *
 * @param request.timeout milliseconds that replicas may take
 */
export function produce(
  connection: Connection,
  request: {
    readonly transaction: string | undefined;
    readonly timeout: number;
    readonly batches: readonly PartitionBatch[];
  },
): Promise<readonly PartitionAnswer[]> {
  const topics = groupByProperty<string, PartitionBatch>(request.batches, "topic");
  const write = () =>
    Writer.create()
      .appendString(request.transaction, false)
      .appendInt16(ALL_REPLICAS)
      .appendInt32(request.timeout)
      .appendArray(
        topics,
        (writer, [topic, batches]) =>
          void writer
            .appendString(topic, false)
            .appendArray(
              batches,
              (inner, { partition, bytes }) =>
                void inner.appendInt32(partition).appendInt32(bytes.length).append(bytes),
              false,
              false,
            ),
        false,
        false,
      );
  const read = (reader: Reader): readonly PartitionAnswer[] =>
    reader
      .readArray(
        (outer) => {
          const topic = outer.readString(false);
          return outer.readArray((inner) => readAnswer(inner, topic), false, false);
        },
        false,
        false,
      )
      .flat();
  return exchange(connection, PRODUCE, write, read);
}

function readAnswer(reader: Reader, topic: string): PartitionAnswer {
  const partition = reader.readInt32();
  const error = reader.readInt16();
  const first = Number(reader.readInt64());
  reader.skip(16); // when it was appended, and where the partition begins
  return { topic, partition, error, first };
}

/** Where a partition is read on. */
export interface Position {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
}

/** What a partition has there. */
export interface PartitionBytes {
  readonly topic: string;
  readonly partition: number;
  readonly error: number;
  /** Batches, the first of which may begin before the position. */
  readonly bytes: Buffer;
  /** Transactions that came to nothing, by producer and first offset. */
  readonly aborted: readonly { readonly producer: bigint; readonly first: number }[];
}

const FETCH = { key: 1, version: 10 } as const;
const READ_COMMITTED = 1;

/**
 * Batches of partitions that one broker leads; committed ones only. https://kafka.apache.org/protocol#The_Messages_Fetch
 *
 * @param request.wait milliseconds that the broker waits for the first byte
 * @param request.most bytes of all, and of each partition; one batch comes, however large
 */
export function fetchBytes(
  connection: Connection,
  request: { readonly positions: readonly Position[]; readonly wait: number; readonly most: readonly [number, number] },
): Promise<readonly PartitionBytes[]> {
  const topics = groupByProperty<string, Position>(request.positions, "topic");
  const [most, mostOfEach] = request.most;
  const write = () =>
    Writer.create()
      .appendInt32(-1) // no replica
      .appendInt32(request.wait)
      .appendInt32(1)
      .appendInt32(most)
      .appendInt8(READ_COMMITTED)
      .appendInt32(0) // no session:
      .appendInt32(-1) // every request says all
      .appendArray(
        topics,
        (writer, [topic, positions]) =>
          void writer.appendString(topic, false).appendArray(
            positions,
            (inner, { partition, offset }) =>
              void inner
                .appendInt32(partition)
                .appendInt32(-1) // whatever the leader's epoch is
                .appendInt64(BigInt(offset))
                .appendInt64(-1n)
                .appendInt32(mostOfEach),
            false,
            false,
          ),
        false,
        false,
      )
      .appendInt32(0); // nothing to forget
  const read = (reader: Reader): readonly PartitionBytes[] => {
    reader.skip(10); // throttling, an error of sessions, the session
    return reader
      .readArray(
        (outer) => {
          const topic = outer.readString(false);
          return outer.readArray((inner) => readBytes(inner, topic), false, false);
        },
        false,
        false,
      )
      .flat();
  };
  return exchange(connection, FETCH, write, read);
}

function readBytes(reader: Reader, topic: string): PartitionBytes {
  const partition = reader.readInt32();
  const error = reader.readInt16();
  reader.skip(24); // where the partition ends, for readers of all and of committed records, and where it begins
  const aborted = reader.readNullableArray(
    (inner) => ({ producer: inner.readInt64(), first: Number(inner.readInt64()) }),
    false,
    false,
  );
  return { topic, partition, error, aborted: aborted ?? [], bytes: reader.readNullableBytes(false) ?? NONE };
}

const NONE = Buffer.alloc(0);

function exchange<Answer>(
  connection: Connection,
  { key, version }: { readonly key: number; readonly version: number },
  write: () => Writer,
  read: (reader: Reader) => Answer,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const parse = (_id: number, _key: number, _version: number, reader: Reader) => read(reader);
    connection.send(key, version, write, parse, false, false, (error: Error | null, answer?: Answer) =>
      error ? reject(error) : resolve(answer as Answer),
    );
  });
}
