import {
  addOffsetsToTxnV1,
  addPartitionsToTxnV1,
  type Connection,
  endTxnV1,
  initProducerIdV1,
  txnOffsetCommitV2,
} from "@platformatic/kafka";
import { MillraceError } from "../errors.ts";
import { Appender, type ProducerId } from "./appender.ts";
import type { Batch } from "./batches.ts";
import { ask, type Caller, type Cluster } from "./cluster.ts";
import { committedOf } from "./places.ts";
import { codesOf } from "./refusals.ts";

/** Milliseconds until a transaction that nobody goes on with is aborted, and readers of committed records go on. */
const TIMEOUT = 60_000;

/** Whose place in which partition. */
export interface Place {
  readonly group: string;
  readonly topic: string;
  readonly partition: number;
}

/**
 * Takes a place over. The producer of the place's transactional id gets a new epoch: Kafka refuses all that comes with an
 * older one, and aborts what was begun with it before it answers.
 *
 * @see https://kafka.apache.org/documentation/#semantics
 */
export async function takeOver(
  cluster: Cluster,
  caller: Caller,
  place: Place,
): Promise<{ readonly transaction: Transactions; readonly next: number | undefined }> {
  const { group, topic, partition } = place;
  const name = `${group}.${topic}.${partition}`;
  const what = `claim partition ${partition} of ${topic}`;
  await cluster.patiently(caller, what, () => cluster.leader(caller, topic, partition));
  const producer = await cluster.patiently(caller, what, async () => {
    const connection = await cluster.to(await cluster.coordinator(caller, "transaction", name));
    const { producerId, producerEpoch } = await ask(initProducerIdV1.api, connection, name, TIMEOUT);
    return { id: producerId, epoch: producerEpoch };
  });
  const next = await cluster.patiently(caller, what, async () => {
    const connection = await cluster.to(await cluster.coordinator(caller, "group", group));
    return (await committedOf(cluster, connection, { group, topic, partitions: [partition] })).get(partition);
  });
  return { transaction: new Transactions(cluster, name, producer, place), next };
}

/** The transactions of one place, one after the other, for as long as nobody else takes it over. */
export class Transactions {
  readonly #cluster: Cluster;
  readonly #name: string;
  readonly #producer: ProducerId;
  readonly #place: Place;
  readonly #appender: Appender;
  #underway: Promise<unknown> = Promise.resolve();
  /** Why it cannot go on. */
  #end: MillraceError | undefined;

  constructor(cluster: Cluster, name: string, producer: ProducerId, place: Place) {
    this.#cluster = cluster;
    this.#name = name;
    this.#producer = producer;
    this.#place = place;
    this.#appender = new Appender(cluster, { name, producer });
  }

  /**
   * Commits a place with batches: both or neither.
   *
   * @throws what refused it, and then nothing is committed; `conflict`, if somebody else has the place; `unavailable`, and
   *   then who takes the place over learns what is committed
   */
  commit(caller: Caller, next: number, batches: readonly Batch[]): Promise<void> {
    const result = this.#underway.then(() => this.#commitNow(caller, next, batches));
    this.#underway = result.catch(() => {});
    return result;
  }

  async #commitNow(caller: Caller, next: number, batches: readonly Batch[]): Promise<void> {
    if (this.#end) throw this.#end;
    const what = `commit partition ${this.#place.partition} of ${this.#place.topic}`;
    let isEnding = false;
    try {
      await this.#begin(caller, what, batches);
      await allDone([this.#appender.append(caller, what, batches), this.#move(caller, what, next)]);
      isEnding = true;
      await this.#finish(caller, what, true);
    } catch (error) {
      if (!isEnding && isRefusal(error) && !this.#appender.isUncertain) await this.#abort(caller, what);
      else this.#end = asEnd(error, what);
      throw error;
    }
  }

  /** The transaction begins with what it is about: one round trip, since a broker answers a connection in turn. */
  async #begin(caller: Caller, what: string, batches: readonly Batch[]): Promise<void> {
    const { id, epoch } = this.#producer;
    const topics = new Map<string, Set<number>>();
    for (const { topic, partition } of batches) topics.set(topic, (topics.get(topic) ?? new Set()).add(partition));
    const transaction = {
      transactionalId: this.#name,
      producerId: id,
      producerEpoch: epoch,
      verifyOnly: false,
      topics: [...topics].map(([name, partitions]) => ({ name, partitions: [...partitions] })),
    };
    await this.#cluster.patiently(caller, what, async () => {
      const connection = await this.#coordinator(caller);
      await allDone([
        ...(topics.size > 0 ? [ask(addPartitionsToTxnV1.api, connection, [transaction])] : []),
        ask(addOffsetsToTxnV1.api, connection, this.#name, id, epoch, this.#place.group),
      ]);
    });
  }

  async #move(caller: Caller, what: string, next: number): Promise<void> {
    const { group, topic, partition } = this.#place;
    const { id, epoch } = this.#producer;
    const place = { partitionIndex: partition, committedOffset: BigInt(next), committedLeaderEpoch: -1 };
    await this.#cluster.patiently(caller, what, async () => {
      const connection = await this.#cluster.to(await this.#cluster.coordinator(caller, "group", group));
      const topics = [{ name: topic, partitions: [{ ...place, committedMetadata: null }] }];
      await ask(txnOffsetCommitV2.api, connection, this.#name, group, id, epoch, -1, "", null, topics);
    });
  }

  async #finish(caller: Caller, what: string, isCommit: boolean): Promise<void> {
    const { id, epoch } = this.#producer;
    await this.#cluster.patiently(caller, what, async () => {
      const connection = await this.#coordinator(caller);
      await ask(endTxnV1.api, connection, this.#name, id, epoch, isCommit);
    });
  }

  /** Readers wait for a transaction that is neither committed nor aborted. */
  async #abort(caller: Caller, what: string): Promise<void> {
    try {
      await this.#finish(caller, what, false);
    } catch (error) {
      if (!codesOf(error).includes("INVALID_TXN_STATE")) this.#end = asEnd(error, what);
    }
  }

  async #coordinator(caller: Caller): Promise<Connection> {
    return this.#cluster.to(await this.#cluster.coordinator(caller, "transaction", this.#name));
  }
}

/** What comes to a coordinator when its transaction is over would begin another one, or wait there for the next one's end. */
async function allDone(works: readonly Promise<unknown>[]): Promise<void> {
  const failed = (await Promise.allSettled(works)).find(({ status }) => status === "rejected");
  if (failed) throw (failed as PromiseRejectedResult).reason;
}

/** Kafka has said no, and nothing has happened. */
const isRefusal = (error: unknown): boolean =>
  error instanceof MillraceError && error.kind !== "conflict" && error.kind !== "unavailable";

const asEnd = (error: unknown, what: string): MillraceError =>
  error instanceof MillraceError && error.kind === "conflict"
    ? error
    : new MillraceError("unavailable", `${what}: an earlier commit has failed, claim the partition again`, {
        cause: error,
      });
