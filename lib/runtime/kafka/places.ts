import { type Connection, listOffsetsV4, offsetFetchV5, offsetFetchV7 } from "@platformatic/kafka";
import { ask, type Caller, type Cluster } from "./cluster.ts";

/** The place before which everything is gone, and the place of what comes next: for all readers, or of committed records. */
const FIRST = -2n;
const NEXT = -1n;

/** A partition's first and next offset. */
export interface Extent {
  readonly partition: number;
  readonly first: number;
  readonly next: number;
}

/**
 * Where partitions begin and end.
 *
 * @param isCommitted whether they end where a transaction is still open
 */
export async function extentsOf(
  cluster: Cluster,
  caller: Caller,
  topic: string,
  { isCommitted, partitions }: { readonly isCommitted: boolean; readonly partitions?: readonly number[] },
): Promise<readonly Extent[]> {
  const what = `where topic ${topic} begins and ends`;
  const asked = partitions ?? [
    ...Array(await cluster.patiently(caller, what, () => cluster.partitions(caller, topic))).keys(),
  ];
  return Promise.all(
    asked.map((partition) =>
      cluster.patiently(caller, what, async () => {
        const connection = await cluster.to(await cluster.leader(caller, topic, partition));
        const offsetAt = async (timestamp: bigint) => {
          const place = { partitionIndex: partition, currentLeaderEpoch: -1, timestamp };
          const topics = [{ name: topic, partitions: [place] }];
          const answer = await ask(listOffsetsV4.api, connection, -1, isCommitted ? 1 : 0, topics).catch((error) => {
            cluster.forget(topic);
            throw error;
          });
          return Number(answer.topics[0]!.partitions[0]!.offset);
        };
        const [first, next] = await Promise.all([offsetAt(FIRST), offsetAt(NEXT)]);
        return { partition, first, next };
      }),
    ),
  );
}

/**
 * The places of a group that were ever committed, by partition, as its coordinator has them. Kafka 2.5 and newer waits
 * (`UNSTABLE_OFFSET_COMMIT`) for what is being committed.
 */
export async function committedOf(
  cluster: Cluster,
  connection: Connection,
  {
    group,
    topic,
    partitions,
  }: { readonly group: string; readonly topic: string; readonly partitions: readonly number[] },
): Promise<ReadonlyMap<number, number>> {
  const api = (await cluster.knows(connection, offsetFetchV7.api)) ? offsetFetchV7.api : offsetFetchV5.api;
  const asked = [{ groupId: group, topics: [{ name: topic, partitionIndexes: [...partitions] }] }];
  const { topics } = await ask(api, connection, asked as never, true);
  const places = topics
    .flatMap((one) => one.partitions)
    .map((one) => [one.partitionIndex, Number(one.committedOffset)] as const);
  return new Map(places.filter(([, offset]) => offset >= 0));
}
