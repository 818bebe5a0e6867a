import type { FunctionPlan, SourcePlan } from "../../../parts/plan.ts";
import { type Clock, sleep } from "../../../runtime/clock.ts";
import { type ErrorRecord, isRetryable, shortened, toErrorRecord } from "../../../runtime/errors.ts";
import type { StreamConsumed } from "../../../runtime/events.ts";
import { type RecordsReference, referenceTo, toWire, type WireConsumed } from "../../../runtime/stream-records.ts";
import { backoffMilliseconds } from "../../../runtime/tasks/definition.ts";
import { toMilliseconds } from "../../../shared/duration.ts";
import type { Faults } from "./faults.ts";
import type { Functions } from "./functions.ts";
import type { Ending } from "./instance.ts";
import type { Journal } from "./journal.ts";
import type { StreamPlaces, Waiting } from "./stream-places.ts";
import type { Streams } from "./streams.ts";

/** A batch that a function has done. */
export interface ConsumedBatch {
  readonly function: string;
  readonly stream: string;
  readonly partition: number;
  /** Offsets, both included. */
  readonly first: number;
  readonly last: number;
  /** Records. */
  readonly count: number;
}

export interface ConsumerOptions {
  readonly journal: Journal;
  readonly clock: Clock;
  /** 0 to 1, for the jitter of retries. */
  readonly random: () => number;
  readonly functions: Pick<Functions, "deliver" | "giveUp">;
  readonly streams: Pick<Streams, "take">;
  readonly places: Pick<StreamPlaces, "begin" | "waiting" | "move" | "retry">;
  /** Sends to a failure queue, inside the current transaction. @throws `refused` if it is too large */
  readonly send: (queue: string, body: string) => void;
  readonly faults: Faults;
  /** Bytes of records in one invocation, and one record more. */
  readonly batchBytes: number;
  readonly onConsumed?: (batch: ConsumedBatch) => void;
  readonly onError?: (error: unknown) => void;
}

export type StreamSource = Extract<SourcePlan, { readonly type: "stream.consumed" }>;

export interface ConsumerSettings {
  readonly plan: FunctionPlan;
  readonly source: StreamSource;
  readonly group: string;
  /** Of a group with several functions, each has the partitions whose number leaves its own. */
  readonly share: { readonly index: number; readonly of: number };
  /** Batches in work at once. */
  readonly most: number;
}

/** What a failure queue is sent of a batch, as JSON. */
export interface FailedRecords {
  /** The batch, or which records it is where they are too large for the queue. */
  readonly event: WireConsumed | RecordsReference;
  readonly error: ErrorRecord;
  readonly attempts: number;
}

/** Partitions in work, of all consumers: one whose group was shared out anew is left to who has it until it is done. */
export interface TakenPartitions {
  readonly keys: Set<string>;
  /** Told that one of the stream's partitions is not in work any more. */
  readonly onFree: (stream: string) => void;
}

/** Before the next try after the journal refused a write or nothing came of an invocation, in milliseconds. */
const PAUSE = 1000;

/**
 * Gives the records of one stream to one function, in batches of one partition each: those of a partition one after
 * the other, several partitions at once. The place moves on when a batch is done, or is given up: where there is a failure
 * queue to take it.
 */
export class Consumer {
  readonly #options: ConsumerOptions;
  readonly #taken: TakenPartitions;
  readonly #work = new Set<Promise<void>>();
  #settings: ConsumerSettings;
  #isInHurry = false;
  /** When the next batch is due, as long as nothing changes. */
  #due: number | undefined;
  #pausedUntil = 0;
  #isClosing = false;

  constructor(options: ConsumerOptions, taken: TakenPartitions, settings: ConsumerSettings) {
    this.#options = options;
    this.#taken = taken;
    this.#settings = settings;
    this.define(settings);
  }

  get settings(): ConsumerSettings {
    return this.#settings;
  }

  define(settings: ConsumerSettings): void {
    this.#settings = settings;
    this.#options.places.begin(settings.group, settings.source.stream, settings.source.from);
    this.#due = undefined;
  }

  /** There may be records to take, or others than before. */
  changed(): void {
    this.#due = undefined;
  }

  /** Whether a batch goes as it is, though it could wait to fill. */
  hurry(isInHurry: boolean): void {
    this.#isInHurry = isInHurry;
    this.#due = undefined;
  }

  next(): number | undefined {
    if (this.#isClosing || this.#work.size >= this.#settings.most) return undefined;
    this.#due ??= Math.min(Infinity, ...this.#waiting().map((waiting) => this.#dueOf(waiting)));
    return this.#due === Infinity ? undefined : Math.max(this.#due, this.#pausedUntil);
  }

  run(now: number): void {
    if (this.#isClosing || now < this.#pausedUntil) return;
    const ready = this.#waiting().filter((waiting) => this.#dueOf(waiting) <= now);
    // The partition that has waited longest comes first, so that none is passed over for ever.
    ready.sort((one, other) => one.since - other.since);
    for (const waiting of ready.slice(0, this.#settings.most - this.#work.size)) this.#begin(waiting);
  }

  /** Takes no more; resolves when the batches in work are over. */
  async close(): Promise<void> {
    this.#isClosing = true;
    await Promise.all(this.#work);
  }

  #waiting(): readonly Waiting[] {
    const { group, source, share } = this.#settings;
    return this.#options.places
      .waiting(group, source.stream)
      .filter(({ partition }) => partition % share.of === share.index && !this.#taken.keys.has(this.#keyOf(partition)));
  }

  /** A batch that failed waits for its time, a full one for nothing, another one for its window. */
  #dueOf({ failed, count, since }: Waiting): number {
    const { batch, window } = this.#settings.source;
    if (failed) return failed.due;
    return count >= batch || this.#isInHurry ? 0 : since + window * 1000;
  }

  #keyOf(partition: number): string {
    const { group, source } = this.#settings;
    return `${group}\0${source.stream}\0${partition}`;
  }

  #begin(waiting: Waiting): void {
    const key = this.#keyOf(waiting.partition);
    this.#taken.keys.add(key);
    this.#due = undefined;
    const work = this.#deliver(waiting, this.#settings)
      .catch((error: unknown) => this.#pause(error))
      .finally(() => {
        this.#taken.keys.delete(key);
        this.#work.delete(work);
        this.#taken.onFree(this.#settings.source.stream);
      });
    this.#work.add(work);
  }

  /** Nothing came of the invocation, or it could not be written down: the batch is given again, a little later. */
  #pause(error: unknown): void {
    this.#pausedUntil = this.#options.clock.now() + PAUSE;
    this.#options.onError?.(error);
  }

  async #deliver(waiting: Waiting, settings: ConsumerSettings): Promise<void> {
    const { faults, clock, functions } = this.#options;
    const { name } = settings.plan;
    const event = this.#eventOf(waiting, settings.source);
    const fault = faults.strike("stream.consumed", name);
    if (fault?.delay !== undefined) await sleep(clock, toMilliseconds(fault.delay));
    const attempt = (waiting.failed?.attempts ?? 0) + 1;
    const ending = await functions.deliver(name, [event], { attempt });
    this.#settle(event, attempt, ending, settings);
    for (let copy = 0; copy < (fault?.duplicate ?? 0); copy += 1) await functions.deliver(name, [event], { attempt });
  }

  #eventOf({ partition, from, failed }: Waiting, { stream, batch }: StreamSource): StreamConsumed {
    const { streams, clock, batchBytes } = this.#options;
    const span = failed ? { from, before: failed.until } : { from, most: batch, bytes: batchBytes };
    const records = streams.take(stream, partition, span);
    const id = `${stream}-${partition}-${records[0]!.offset}`;
    return { type: "stream.consumed", id, stream, records, time: new Date(clock.now()).toISOString() };
  }

  #settle(event: StreamConsumed, attempts: number, ending: Ending, settings: ConsumerSettings): void {
    const { places, clock, random } = this.#options;
    const { plan, group } = settings;
    const { partition, offset: first } = event.records[0]!;
    const until = event.records.at(-1)!.offset + 1;
    const error = "error" in ending ? ending.error : ending.failures[0]?.error;
    if (!error) {
      places.move(group, event.stream, partition, until);
      const { length: count } = event.records;
      this.#options.onConsumed?.({
        ...{ function: plan.name, stream: event.stream },
        ...{ partition, first, last: until - 1, count },
      });
    } else if (this.#isClosing) {
      // It was cut short: it is given again at the next start, and this time does not count.
    } else if (plan.failures === undefined || (isRetryable(error) && attempts < plan.attempts)) {
      // Nobody would have what is given up without a failure queue: as on other clouds, the partition waits for it.
      const due = clock.now() + backoffMilliseconds(plan.backoff, attempts, random);
      places.retry(group, event.stream, partition, { attempts, until, due });
    } else this.#giveUp(event, { error: shortened(error), attempts }, until, settings);
  }

  #giveUp(
    event: StreamConsumed,
    failed: Omit<FailedRecords, "event">,
    until: number,
    { plan, group }: ConsumerSettings,
  ): void {
    this.#options.journal.transaction(() => {
      const { failures } = plan;
      if (failures !== undefined) setAside((body) => this.#options.send(failures, body), event, failed);
      this.#options.places.move(group, event.stream, event.records[0]!.partition, until);
    });
    this.#options.functions.giveUp(plan, { event: referenceTo(event), ...failed });
  }
}

/** Sends what failed to a failure queue: too large with its records, the message says where they lie. */
export function setAside(
  send: (body: string) => void,
  event: StreamConsumed,
  failed: Omit<FailedRecords, "event">,
): void {
  const sendBody = (body: FailedRecords) => send(JSON.stringify(body));
  try {
    sendBody({ event: toWire(event), ...failed });
  } catch (error) {
    if (toErrorRecord(error).kind !== "refused") throw error;
    sendBody({ event: referenceTo(event), ...failed });
  }
}
