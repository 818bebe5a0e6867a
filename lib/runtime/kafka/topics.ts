import { createTopicsV4 } from "@platformatic/kafka";
import { ask, type Caller, type Cluster } from "./cluster.ts";
import { codesOf } from "./refusals.ts";

/** A topic to be made. */
export interface NewTopic {
  readonly name: string;
  readonly partitions: number;
  /** Seconds that a record is kept. */
  readonly retention: number;
}

/** Milliseconds until the brokers have to have made it. */
const TIMEOUT = 10_000;
/** As many as the brokers' own setting says. */
const DEFAULT_REPLICAS = -1;

/**
 * Makes topics; one that is there already stays as it is. Kafka 2.4 or newer.
 *
 * @throws refused if the user may not, unavailable while no broker answers
 */
export async function makeTopics(cluster: Cluster, caller: Caller, topics: readonly NewTopic[]): Promise<void> {
  for (const { name, partitions, retention } of topics) {
    const topic = {
      name,
      numPartitions: partitions,
      replicationFactor: DEFAULT_REPLICAS,
      assignments: [],
      configs: [{ name: "retention.ms", value: String(retention * 1000) }],
    };
    await cluster.patiently(caller, `make topic ${name}`, async () => {
      try {
        await cluster.anywhere((connection) => ask(createTopicsV4.api, connection, [topic], TIMEOUT, false));
      } catch (error) {
        if (!codesOf(error).includes("TOPIC_ALREADY_EXISTS")) throw error;
      }
    });
  }
}
