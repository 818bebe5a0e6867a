import { randomInt } from "node:crypto";
import { field, type LinkAddress, type PortWorld } from "../deployment.ts";
import { MillraceError } from "../errors.ts";
import type { NewRecord, PartitionClaim, StreamClaimer, StreamProducer, StreamReader, StreamSend } from "../ports.ts";
import type { ReadOptions, RecordPlace, StreamPage } from "../streams.ts";
import { type Appended, Appender } from "./appender.ts";
import { type Batch, batchesOf, Turns } from "./batches.ts";
import { type Transactions, takeOver } from "./claims.ts";
import { Cluster } from "./cluster.ts";
import { connectionOf, type KafkaConnection, type KafkaUser, readUser } from "./connection.ts";
import { readRecords } from "./reading.ts";

/** What the port of a stream needs beside what all ports get. */
export interface KafkaWorld extends PortWorld {
  /** @default nobody is asked who connects */
  readonly user?: KafkaUser;
}

/** The world of a port whose Kafka asks who connects, as a secret's text says it. */
export const worldBy = (secret: string, world: PortWorld, part: string): KafkaWorld => ({
  ...world,
  user: readUser(secret, part),
});

/**
 * A stream that lies in a Kafka, wherever that is.
 *
 * Who may claim keeps its place 7 days after the last commit, unless the broker is told otherwise
 * (`offsets.retention.minutes`).
 */
export const port = (address: LinkAddress, world: KafkaWorld): StreamProducer & StreamClaimer & StreamReader =>
  new KafkaStream(address, world, sharedKafka(connectionOf(address, world.user)));

/** What all streams of one Kafka share. */
export interface Kafka {
  readonly cluster: Cluster;
  readonly appender: Appender;
  readonly turns: Turns;
}

/**
 * Connections are the process's own, since ports go with their invocation and connections are to outlive it; so is the
 * producer by whose numbers brokers know batches. An idle connection keeps no process alive.
 */
const kafkas = new Map<string, Kafka>();

/** The one for a connection. */
export function sharedKafka(connection: KafkaConnection): Kafka {
  const key = JSON.stringify(connection);
  const known = kafkas.get(key);
  if (known) return known;
  const kafka = newKafka(connection);
  kafkas.set(key, kafka);
  return kafka;
}

/** @param options those of {@link Cluster} */
export function newKafka(connection: KafkaConnection, options?: ConstructorParameters<typeof Cluster>[1]): Kafka {
  const cluster = new Cluster(connection, options);
  return { cluster, appender: new Appender(cluster), turns: new Turns(randomInt(2 ** 30)) };
}

/** A stream by its topic. */
export class KafkaStream implements StreamProducer, StreamClaimer, StreamReader {
  readonly stream: string;
  readonly topic: string;
  readonly #address: LinkAddress;
  readonly #world: PortWorld;
  readonly #kafka: Kafka;

  constructor(address: LinkAddress, world: PortWorld, kafka: Kafka) {
    this.stream = address.part;
    this.topic = field(address, "topic");
    this.#address = address;
    this.#world = world;
    this.#kafka = kafka;
  }

  async send(records: readonly NewRecord[]): Promise<void> {
    await this.#append(records);
  }

  /** Sends, and says where each record lies. */
  async append(records: readonly NewRecord[]): Promise<readonly RecordPlace[]> {
    const places: RecordPlace[] = [];
    for (const { batch, first } of await this.#append(records)) {
      batch.records.forEach(({ index }, place) => {
        places[index] = { partition: batch.partition, offset: first + place };
      });
    }
    return places;
  }

  read(options: ReadOptions): Promise<StreamPage> {
    const { topic, stream } = this;
    return readRecords({ cluster: this.#kafka.cluster, caller: this.#world, topic, stream }, options);
  }

  async claim(partition: number): Promise<PartitionClaim> {
    const place = { group: field(this.#address, "group"), topic: this.topic, partition };
    const { transaction, next } = await takeOver(this.#kafka.cluster, this.#world, place);
    return new Claim(partition, next, (upTo, sends) => this.#commit(transaction, upTo, sends));
  }

  async #append(records: readonly NewRecord[]): Promise<readonly Appended[]> {
    const batches = await this.#batches(records);
    return this.#kafka.appender.append(this.#world, `append to stream ${this.stream}`, batches);
  }

  async #commit(transaction: Transactions, next: number, sends: readonly StreamSend[]): Promise<void> {
    const batches = await Promise.all(sends.map(({ to, records }) => this.#own(to).#batches(records)));
    await transaction.commit(this.#world, next, batches.flat());
  }

  #own(to: StreamProducer): KafkaStream {
    if (to instanceof KafkaStream && isSame(to.#kafka.cluster, this.#kafka.cluster)) return to;
    throw new MillraceError(
      "refused",
      `commit with stream ${this.stream}: stream ${to.stream} lies in another Kafka, or is reached as another user; one commit is of one Kafka`,
    );
  }

  async #batches(records: readonly NewRecord[]): Promise<readonly Batch[]> {
    if (records.length === 0) return [];
    const { cluster, turns } = this.#kafka;
    const what = `append to stream ${this.stream}`;
    const partitions = await cluster.patiently(this.#world, what, () => cluster.partitions(this.#world, this.topic));
    return batchesOf(this.topic, records, { partitions, now: this.#world.clock.now(), turns });
  }
}

const isSame = (one: Cluster, other: Cluster): boolean =>
  JSON.stringify(one.connection) === JSON.stringify(other.connection);

class Claim implements PartitionClaim {
  readonly partition: number;
  readonly #commit: (next: number, sends: readonly StreamSend[]) => Promise<void>;
  #next: number | undefined;

  constructor(
    partition: number,
    next: number | undefined,
    commit: (next: number, sends: readonly StreamSend[]) => Promise<void>,
  ) {
    this.partition = partition;
    this.#next = next;
    this.#commit = commit;
  }

  get next(): number | undefined {
    return this.#next;
  }

  async commit(next: number, sends: readonly StreamSend[] = []): Promise<void> {
    await this.#commit(next, sends);
    this.#next = next;
  }
}
