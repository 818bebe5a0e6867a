import { randomUUID } from "node:crypto";
import { createTopicsV3 } from "@platformatic/kafka";
import { systemClock } from "../../lib/runtime/clock.ts";
import type { LinkAddress, PortWorld } from "../../lib/runtime/deployment.ts";
import type { StreamRecord } from "../../lib/runtime/events.ts";
import type { Log } from "../../lib/runtime/handler.ts";
import { kafkaStreams } from "../../lib/runtime/kafka/client.ts";
import { ask } from "../../lib/runtime/kafka/cluster.ts";
import type { KafkaConnection } from "../../lib/runtime/kafka/connection.ts";
import { type Kafka, KafkaStream, newKafka } from "../../lib/runtime/kafka/port.ts";
import type { StreamClient } from "../../lib/runtime/streams.ts";
import { type KafkaServer, startKafka } from "./servers/index.ts";

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };

/** What ports are given in these tests. */
export const world = (signal: AbortSignal = new AbortController().signal): PortWorld => ({
  signal,
  clock: systemClock,
  log: silent,
  files: "/nowhere",
});

/** A real broker, and what is made on it. */
export class KafkaWorld {
  readonly server: KafkaServer;
  readonly connection: KafkaConnection;
  readonly #kafkas: Kafka[] = [];

  private constructor(server: KafkaServer) {
    this.server = server;
    this.connection = { brokers: [server.broker], tls: false };
  }

  static async start(options?: Parameters<typeof startKafka>[0]): Promise<KafkaWorld> {
    return new KafkaWorld(await startKafka(options));
  }

  async stop(): Promise<void> {
    for (const { cluster } of this.#kafkas) cluster.close();
    await this.server.stop();
  }

  /** One more process, as far as the broker can tell. */
  kafka(options?: Parameters<typeof newKafka>[1]): Kafka {
    const kafka = newKafka(this.connection, options);
    this.#kafkas.push(kafka);
    return kafka;
  }

  /** A new topic, by a name that no other has. */
  async topic(partitions: number, configs: Readonly<Record<string, string>> = {}): Promise<string> {
    const name = `t-${randomUUID()}`;
    const topic = {
      name,
      numPartitions: partitions,
      replicationFactor: 1,
      assignments: [],
      configs: Object.entries(configs).map(([key, value]) => ({ name: key, value })),
    };
    const { cluster } = this.kafka();
    await cluster.anywhere((connection) => ask(createTopicsV3.api, connection, [topic], 10_000, false));
    return name;
  }

  stream(topic: string, { group, kafka = this.kafka(), part = topic }: StreamOptions = {}): KafkaStream {
    const address: LinkAddress = { kind: "stream", part, topic, ...(group !== undefined && { group }) };
    return new KafkaStream(address, world(), kafka);
  }

  client(...topics: readonly string[]): StreamClient {
    return kafkaStreams(
      topics.map((topic) => ({ stream: topic, topic, connection: async () => this.connection })),
      world(),
    );
  }

  /** All committed records of a topic, by partition and offset. */
  async read(topic: string): Promise<readonly StreamRecord[]> {
    const client = this.client(topic);
    const [info] = await client.list();
    const all: StreamRecord[] = [];
    for (const { partition } of info!.partitions) {
      for (let from = 0; ; ) {
        const page = await client.read(topic, { partition, from, limit: 10_000 });
        all.push(...page.records);
        if (page.records.length === 0) break;
        from = page.next;
      }
    }
    return all;
  }
}

interface StreamOptions {
  readonly group?: string;
  readonly kafka?: Kafka;
  readonly part?: string;
}
