import { listGroupsV2 } from "@platformatic/kafka";
import type { PortWorld } from "../deployment.ts";
import { MillraceError } from "../errors.ts";
import type { NewRecord } from "../ports.ts";
import type { GroupLag, ReadOptions, RecordPlace, StreamClient, StreamInfo, StreamPage } from "../streams.ts";
import { ask, type Cluster } from "./cluster.ts";
import type { KafkaConnection } from "./connection.ts";
import { committedOf, extentsOf } from "./places.ts";
import { KafkaStream, sharedKafka } from "./port.ts";
import { readRecords } from "./reading.ts";

/** A stream that lies in a Kafka. */
export interface KafkaStreamPlace {
  /** Its logical name. */
  readonly stream: string;
  readonly topic: string;
  /** Asked when something is to be done with it. */
  readonly connection: () => Promise<KafkaConnection>;
}

/** Looks into streams that lie in Kafkas, in the order given. */
export const kafkaStreams = (streams: readonly KafkaStreamPlace[], world: PortWorld): StreamClient =>
  new KafkaStreams(streams, world);

class KafkaStreams implements StreamClient {
  readonly #streams: readonly KafkaStreamPlace[];
  readonly #world: PortWorld;

  constructor(streams: readonly KafkaStreamPlace[], world: PortWorld) {
    this.#streams = streams;
    this.#world = world;
  }

  list(): Promise<readonly StreamInfo[]> {
    return Promise.all(
      this.#streams.map(async ({ stream, topic, connection }) => {
        const { cluster } = sharedKafka(await connection());
        return { stream, partitions: await extentsOf(cluster, this.#world, topic, { isCommitted: false }) };
      }),
    );
  }

  async produce(stream: string, records: readonly NewRecord[]): Promise<readonly RecordPlace[]> {
    const { topic, connection } = this.#find(stream);
    const port = new KafkaStream({ kind: "stream", part: stream, topic }, this.#world, sharedKafka(await connection()));
    return port.append(records);
  }

  async read(stream: string, options: ReadOptions): Promise<StreamPage> {
    const { topic, connection } = this.#find(stream);
    const { cluster } = sharedKafka(await connection());
    return readRecords({ cluster, caller: this.#world, topic, stream }, options);
  }

  async lag(stream: string): Promise<readonly GroupLag[]> {
    const { topic, connection } = this.#find(stream);
    const { cluster } = sharedKafka(await connection());
    const extents = await extentsOf(cluster, this.#world, topic, { isCommitted: true });
    const partitions = extents.map(({ partition }) => partition);
    const places = await cluster.patiently(this.#world, `groups of topic ${topic}`, () =>
      placesIn(cluster, topic, partitions),
    );
    return places.map(({ group, committed }) => {
      const lags = extents.flatMap(({ partition, next: end }) => {
        const next = committed.get(partition);
        return next === undefined ? [] : [{ partition, next, lag: Math.max(0, end - next) }];
      });
      return { group, partitions: lags, lag: lags.reduce((sum, { lag }) => sum + lag, 0) };
    });
  }

  #find(stream: string): KafkaStreamPlace {
    const found = this.#streams.find((one) => one.stream === stream);
    if (found) return found;
    throw new MillraceError("not-found", `there is no stream "${stream}"`);
  }
}

/** The groups that have a place in a topic, by name; every broker knows those it coordinates. */
async function placesIn(cluster: Cluster, topic: string, partitions: readonly number[]) {
  const brokers = await cluster.brokers();
  const places = await Promise.all(
    brokers.map(async (broker) => {
      const connection = await cluster.to(broker);
      const { groups } = await ask(listGroupsV2.api, connection, [], []);
      return Promise.all(
        groups.map(async ({ groupId: group }) => ({
          group,
          committed: await committedOf(cluster, connection, { group, topic, partitions }),
        })),
      );
    }),
  );
  return places
    .flat()
    .filter(({ committed }) => committed.size > 0)
    .sort((one, other) => (one.group < other.group ? -1 : 1));
}
