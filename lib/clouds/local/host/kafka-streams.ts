import { isDeepStrictEqual } from "node:util";
import type { FunctionPlan, PartPlan, StreamPlan } from "../../../parts/plan.ts";
import { type Clock, sleep } from "../../../runtime/clock.ts";
import type { PortWorld } from "../../../runtime/deployment.ts";
import { isRetryable, MillraceError, shortened } from "../../../runtime/errors.ts";
import type { StreamConsumed, StreamRecord } from "../../../runtime/events.ts";
import type { Log } from "../../../runtime/handler.ts";
import { kafkaStreams } from "../../../runtime/kafka/client.ts";
import type { KafkaConnection } from "../../../runtime/kafka/connection.ts";
import { consume } from "../../../runtime/kafka/consumer.ts";
import { type Kafka, KafkaStream, newKafka } from "../../../runtime/kafka/port.ts";
import { makeTopics } from "../../../runtime/kafka/topics.ts";
import type { PartitionClaim, StreamProducer, StreamReader } from "../../../runtime/ports.ts";
import { referenceTo } from "../../../runtime/stream-records.ts";
import type { StreamClient } from "../../../runtime/streams.ts";
import { backoffMilliseconds } from "../../../runtime/tasks/definition.ts";
import { type ConsumedBatch, type StreamSource, setAside } from "./consumer.ts";
import type { Functions } from "./functions.ts";
import type { LocalStreams } from "./inspect.ts";
import type { LocalClaim, LocalCommit } from "./stream-places.ts";

export interface KafkaStreamsOptions {
  readonly clock: Clock;
  /** 0 to 1, for the jitter of retries. */
  readonly random: () => number;
  readonly functions: Pick<Functions, "deliver" | "giveUp">;
  /** Sends to a failure queue. @throws `refused` if it is too large */
  readonly send: (queue: string, body: string) => void;
  readonly onConsumed: (batch: ConsumedBatch) => void;
  readonly log: Log;
}

/** Seconds until the group gives up on a process that was killed: whoever starts it again waits that long. */
const SESSION = 10;

/** One function's place in one stream. */
interface Reading {
  readonly source: StreamSource;
  readonly group: string;
  /** Ends it. */
  readonly ending: AbortController;
  readonly done: Promise<void>;
}

/**
 * The streams of a plan in a real Kafka, whatever Kafka the plan names: topics by the streams' names, groups by the
 * functions' own. The journal keeps nothing of them.
 */
export class KafkaStreams {
  readonly #options: KafkaStreamsOptions;
  readonly #connection: KafkaConnection;
  readonly #kafka: Kafka;
  readonly #closing = new AbortController();
  readonly #streams = new Map<string, StreamPlan>();
  readonly #functions = new Map<string, FunctionPlan>();
  readonly #readings = new Map<string, Reading>();
  readonly #claims = new Map<string, { readonly epoch: number; readonly claim: PartitionClaim }>();
  readonly #lags = new Map<string, number>();
  #epochs = 0;

  constructor(connection: KafkaConnection, options: KafkaStreamsOptions) {
    this.#connection = connection;
    this.#options = options;
    this.#kafka = newKafka(connection);
  }

  /** What is asked of streams from outside. */
  readonly view: LocalStreams = {
    list: () => this.#client.list(),
    append: (stream, records) => this.#client.produce(stream, records),
    read: (stream, options) => this.#client.read(stream, options),
    lag: (stream) => this.#client.lag(stream),
  };

  /**
   * Makes the topics that are missing, and consumes for the functions of these parts; batches in work finish.
   *
   * @throws unavailable if no broker answers
   */
  async define(parts: readonly PartPlan[]): Promise<void> {
    this.#streams.clear();
    for (const part of parts) if (part.kind === "stream") this.#streams.set(part.name, part);
    const made = [...this.#streams.values()].filter(({ existing }) => existing === undefined);
    await makeTopics(this.#kafka.cluster, this.#world, made);
    this.#functions.clear();
    const wanted = new Map<string, { readonly source: StreamSource; readonly group: string; readonly name: string }>();
    for (const part of parts) {
      if (part.kind !== "function") continue;
      this.#functions.set(part.name, part);
      for (const source of part.sources) {
        if (source.type !== "stream.consumed") continue;
        const group = source.group ?? part.name;
        wanted.set(`${source.stream}\0${group}\0${part.name}`, { source, group, name: part.name });
      }
    }
    for (const [key, { source, ending, done }] of this.#readings) {
      if (isDeepStrictEqual(wanted.get(key)?.source, source)) continue;
      ending.abort();
      await done;
      this.#readings.delete(key);
    }
    for (const [key, { source, group, name }] of wanted) {
      if (!this.#readings.has(key)) this.#readings.set(key, this.#read(source, group, name));
    }
  }

  /** What a function that is linked to the stream calls. */
  port(stream: string): StreamProducer & StreamReader {
    return this.#stream(stream);
  }

  async claim(ledger: string, stream: string, partition: number): Promise<LocalClaim> {
    const claim = await this.#stream(stream, ledger).claim(partition);
    this.#epochs += 1;
    this.#claims.set(keyOf(ledger, stream, partition), { epoch: this.#epochs, claim });
    return { partition, epoch: this.#epochs, ...(claim.next !== undefined && { next: claim.next }) };
  }

  async commit(ledger: string, stream: string, { partition, epoch, next, sends }: LocalCommit): Promise<void> {
    const known = this.#claims.get(keyOf(ledger, stream, partition));
    if (known?.epoch !== epoch) {
      throw new MillraceError(
        "conflict",
        `partition ${partition} of stream ${stream} was claimed by somebody else since`,
      );
    }
    const committed = sends.map(({ stream: to, records }) => ({ to: this.#stream(to), records }));
    await known.claim.commit(next, committed);
  }

  /** Records that wait for a function, as they were last counted. */
  lagOf(name: string): number {
    for (const { source, group } of this.#readingsOf(name)) void this.#countLag(name, source.stream, group);
    return this.#lags.get(name) ?? 0;
  }

  /** Takes no more records; resolves when the batches in work are over. End the processes at the same time. */
  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.all([...this.#readings.values()].map(({ done }) => done));
    this.#kafka.cluster.close();
  }

  #read(source: StreamSource, group: string, name: string): Reading {
    const { log, clock } = this.#options;
    const ending = new AbortController();
    const signal = AbortSignal.any([ending.signal, this.#closing.signal]);
    const { batch, window, from, stream } = source;
    const done = consume({
      ...{ connection: this.#connection, topic: this.#topic(stream), group, batch, window, from, signal, log, clock },
      session: SESSION,
      handle: (records) => this.#handle(name, stream, records, signal),
    }).catch((error: unknown) => log.error(`${name} does not consume ${stream} any more`, { error }));
    return { source, group, ending, done };
  }

  /** Tries as often as the function says; what is given up goes to its failure queue, if it has one. */
  async #handle(name: string, stream: string, records: readonly StreamRecord[], signal: AbortSignal): Promise<void> {
    const { functions, clock, random, onConsumed, send } = this.#options;
    const [{ partition, offset: first }, last] = [records[0]!, records.at(-1)!.offset];
    const time = new Date(clock.now()).toISOString();
    const event: StreamConsumed = {
      type: "stream.consumed",
      id: `${stream}-${partition}-${first}`,
      stream,
      records,
      time,
    };
    for (let attempt = 1; ; attempt += 1) {
      const ending = await functions.deliver(name, [event], { attempt });
      const error = "error" in ending ? ending.error : ending.failures[0]?.error;
      if (!error) return onConsumed({ function: name, stream, partition, first, last, count: records.length });
      if (signal.aborted) throw new MillraceError("interrupted", `${name} was cut short`);
      const plan = this.#functions.get(name)!;
      if (plan.failures !== undefined && (!isRetryable(error) || attempt >= plan.attempts)) {
        const failed = { error: shortened(error), attempts: attempt };
        setAside((body) => send(plan.failures!, body), event, failed);
        return functions.giveUp(plan, { event: referenceTo(event), ...failed });
      }
      await sleep(clock, backoffMilliseconds(plan.backoff, attempt, random), signal);
    }
  }

  async #countLag(name: string, stream: string, group: string): Promise<void> {
    const groups = await this.#client.lag(stream).catch(() => []);
    const found = groups.find((one) => one.group === group);
    if (found) this.#lags.set(name, found.lag);
  }

  #readingsOf(name: string): readonly Reading[] {
    return [...this.#readings].filter(([key]) => key.endsWith(`\0${name}`)).map(([, reading]) => reading);
  }

  #stream(stream: string, group?: string): KafkaStream {
    const topic = this.#topic(stream);
    const address = { kind: "stream", part: stream, topic, ...(group !== undefined && { group }) } as const;
    return new KafkaStream(address, this.#world, this.#kafka);
  }

  #topic(stream: string): string {
    const plan = this.#streams.get(stream);
    if (plan) return plan.existing ?? plan.name;
    throw new MillraceError(
      "not-found",
      `no stream ${stream}; there are: ${[...this.#streams.keys()].join(", ") || "none"}`,
    );
  }

  get #client(): StreamClient {
    const connection = async () => this.#connection;
    const places = [...this.#streams.keys()].map((stream) => ({ stream, topic: this.#topic(stream), connection }));
    return kafkaStreams(places, this.#world);
  }

  get #world(): PortWorld {
    const { clock, log } = this.#options;
    return { signal: this.#closing.signal, clock, log, files: "" };
  }
}

const keyOf = (ledger: string, stream: string, partition: number): string => `${ledger}\0${stream}\0${partition}`;
