import { initProducerIdV1 } from "@platformatic/kafka";
import type { Batch } from "./batches.ts";
import { ask, type Caller, type Cluster } from "./cluster.ts";
import { produce } from "./messages.ts";
import { encodeBatch, sizeOf } from "./records.ts";
import { codesOf, errorOf, refusalOf } from "./refusals.ts";

/** Bytes of one request; it holds at most one batch for each partition. */
const MOST_BYTES = 8 * 2 ** 20;
/** Milliseconds that replicas may take to have a batch. */
const REPLICATION = 10_000;
/** Numbers go on at 0 behind the last one. */
const NUMBERS = 2 ** 31;
/** What a broker answers to a batch that it has already. */
const DUPLICATE = 46;
/** What brokers answer that do not know a producer any more, or not so far. */
const FORGOTTEN = ["OUT_OF_ORDER_SEQUENCE_NUMBER", "UNKNOWN_PRODUCER_ID", "INVALID_PRODUCER_EPOCH"];

/** Whom brokers know batches by. */
export interface ProducerId {
  readonly id: bigint;
  readonly epoch: number;
}

/** A batch that a partition has now, and the offset it begins at: -1 if only the answer to an earlier try knew it. */
export interface Appended {
  readonly batch: Batch;
  readonly first: number;
}

interface Producer extends ProducerId {
  /** Of the next record, by partition: a broker tells a batch that comes again from a new one by it. */
  readonly numbers: Map<string, number>;
}

interface Sent {
  readonly batch: Batch;
  /** Absent: it was not taken. */
  readonly first?: number;
  readonly error?: unknown;
}

/**
 * Appends batches, each once however often it is sent: to one partition one after the other, to several at once.
 *
 * Outside a transaction a producer whose numbers are lost is replaced by another one: a batch of which nobody knows
 * whether it arrived may then be there twice.
 */
export class Appender {
  readonly #cluster: Cluster;
  readonly #transaction: string | undefined;
  #producer: Producer | undefined;
  /** By partition, the end of what is under way. */
  readonly #tails = new Map<string, Promise<unknown>>();
  /** Those that were sent, and nobody knows whether they arrived. */
  readonly #uncertain = new Set<Batch>();

  /** @param transaction its name, and the producer that has it: nothing is there for readers until it is committed */
  constructor(cluster: Cluster, transaction?: { readonly name: string; readonly producer: ProducerId }) {
    this.#cluster = cluster;
    this.#transaction = transaction?.name;
    this.#producer = transaction && { ...transaction.producer, numbers: new Map() };
  }

  /** Whether nobody knows what became of a batch. */
  get isUncertain(): boolean {
    return this.#uncertain.size > 0;
  }

  /**
   * Resolves once as many replicas have all batches as their topics want.
   *
   * @throws what refused a batch, or `unavailable`: some of the batches may be there
   */
  async append(caller: Caller, what: string, batches: readonly Batch[]): Promise<readonly Appended[]> {
    const partitions = [...new Set(batches.map(keyOf))];
    const before = Promise.all(partitions.map((partition) => this.#tails.get(partition)));
    const result = before.then(() => this.#appendNow(caller, what, batches));
    const tail = result.catch(() => {});
    for (const partition of partitions) this.#tails.set(partition, tail);
    try {
      return await result;
    } catch (error) {
      if (this.#transaction === undefined && this.isUncertain) this.#replace();
      throw error;
    } finally {
      for (const partition of partitions) if (this.#tails.get(partition) === tail) this.#tails.delete(partition);
    }
  }

  async #appendNow(caller: Caller, what: string, batches: readonly Batch[]): Promise<readonly Appended[]> {
    const appended: Appended[] = [];
    let waiting = batches;
    while (waiting.length > 0) {
      await this.#cluster.patiently(caller, what, async () => {
        const sent = await this.#sendAll(caller, what, firstOfEach(waiting));
        const gone = new Map(sent.map((one) => [one.batch, one.first === undefined ? restOf(one) : []]));
        waiting = waiting.flatMap((batch) => gone.get(batch) ?? [batch]);
        appended.push(...sent.flatMap(({ batch, first }) => (first === undefined ? [] : [{ batch, first }])));
        const errors = sent.flatMap(({ batch, error }) => (error && gone.get(batch)!.length === 1 ? [error] : []));
        if (errors.length > 0) throw errors.find((error) => refusalOf(what, error)) ?? errors[0];
      });
    }
    return appended;
  }

  /** One batch for each partition. */
  async #sendAll(caller: Caller, what: string, batches: readonly Batch[]): Promise<readonly Sent[]> {
    const producer = await this.#asProducer(caller, what);
    const requests = await this.#byBroker(caller, batches);
    const sent = await Promise.all(requests.map((request) => this.#send(producer, request)));
    const failed = sent.flat().filter(({ error }) => error !== undefined);
    for (const { batch, error } of failed) {
      this.#cluster.forget(batch.topic);
      const isForgotten = codesOf(error).some((code) => FORGOTTEN.includes(code));
      if (isForgotten && this.#transaction === undefined) this.#replace();
    }
    return sent.flat();
  }

  /** Batches by who leads their partitions, in requests that are not too large. */
  async #byBroker(caller: Caller, batches: readonly Batch[]): Promise<readonly Request[]> {
    const requests: Request[] = [];
    for (const batch of batches) {
      const broker = await this.#cluster.leader(caller, batch.topic, batch.partition);
      const request = requests.find((one) => one.broker === broker && one.bytes + batch.bytes <= MOST_BYTES);
      if (request) {
        request.batches.push(batch);
        request.bytes += batch.bytes;
      } else {
        requests.push({ broker, batches: [batch], bytes: batch.bytes });
      }
    }
    return requests;
  }

  async #send(producer: Producer, { broker, batches }: Request): Promise<readonly Sent[]> {
    const isTransactional = this.#transaction !== undefined;
    const numberOf = (batch: Batch) => producer.numbers.get(keyOf(batch)) ?? 0;
    const encoded = batches.map((batch) => ({
      topic: batch.topic,
      partition: batch.partition,
      bytes: encodeBatch(batch.records, {
        producer: producer.id,
        epoch: producer.epoch,
        number: numberOf(batch),
        isTransactional,
      }),
    }));
    const before = new Set(batches.filter((batch) => this.#uncertain.has(batch)));
    try {
      const connection = await this.#cluster.to(broker);
      for (const batch of batches) this.#uncertain.add(batch);
      const request = { transaction: this.#transaction, timeout: REPLICATION, batches: encoded };
      const answers = await produce(connection, request);
      return batches.map((batch) => {
        const answer = answers.find(({ topic, partition }) => topic === batch.topic && partition === batch.partition);
        const error = answer?.error ?? -1;
        const isTaken = error === 0 || error === DUPLICATE;
        // Refused now, it may still be that an earlier try of it got through.
        if (isTaken || !before.has(batch)) this.#uncertain.delete(batch);
        if (!isTaken) return { batch, error: errorOf(error) };
        producer.numbers.set(keyOf(batch), (numberOf(batch) + batch.records.length) % NUMBERS);
        return { batch, first: answer!.first };
      });
    } catch (error) {
      return batches.map((batch) => ({ batch, error }));
    }
  }

  #replace(): void {
    this.#producer = undefined;
    this.#uncertain.clear();
  }

  async #asProducer(caller: Caller, what: string): Promise<Producer> {
    this.#producer ??= await this.#cluster.patiently(caller, what, async () => {
      const { producerId, producerEpoch } = await this.#cluster.anywhere((connection) =>
        ask(initProducerIdV1.api, connection, null, 0),
      );
      return { id: producerId, epoch: producerEpoch, numbers: new Map() };
    });
    return this.#producer;
  }
}

/** One after the other in a partition: the first batch of each. */
function firstOfEach(batches: readonly Batch[]): readonly Batch[] {
  const first = new Map<string, Batch>();
  for (const batch of batches) if (!first.has(keyOf(batch))) first.set(keyOf(batch), batch);
  return [...first.values()];
}

/** What is still to be sent of a batch that was not taken: a topic may take less than others in one piece. */
function restOf({ batch, error }: Sent): readonly Batch[] {
  const { records } = batch;
  if (records.length < 2 || !codesOf(error).includes("MESSAGE_TOO_LARGE")) return [batch];
  const middle = Math.floor(records.length / 2);
  return [records.slice(0, middle), records.slice(middle)].map((half) => ({
    ...batch,
    records: half,
    bytes: half.reduce((sum, record) => sum + sizeOf(record), 0),
  }));
}

const keyOf = ({ topic, partition }: Batch): string => `${topic}:${partition}`;

interface Request {
  readonly broker: string;
  readonly batches: Batch[];
  bytes: number;
}
