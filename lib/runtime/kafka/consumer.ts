import { type Clock, sleep, systemClock } from "../clock.ts";
import type { StreamRecord } from "../events.ts";
import type { Log } from "../handler.ts";
import { type Caller, Cluster } from "./cluster.ts";
import type { KafkaConnection } from "./connection.ts";
import { Member, type Standing } from "./member.ts";
import { fetchBytes, type PartitionBytes } from "./messages.ts";
import { extentsOf } from "./places.ts";
import { decodeBatches } from "./records.ts";
import { errorOf } from "./refusals.ts";

/** How a topic is consumed. */
export interface ConsumeOptions {
  readonly connection: KafkaConnection;
  readonly topic: string;
  /** Whose place it is: what one of its members consumes, the others do not get. */
  readonly group: string;
  /** Most records of one call. */
  readonly batch: number;
  /** Seconds from the first record until a batch is handled that is not full. */
  readonly window: number;
  /** Where a group begins that has no place. */
  readonly from: "earliest" | "latest";
  /** Ends it: no batch begins any more, those that have begun are handled and committed. */
  readonly signal: AbortSignal;
  /**
   * Records of one partition, in order; the next ones of it come after this call, those of other partitions meanwhile.
   * They are handled again, from time to time, until it resolves, and after a crash or when partitions change hands.
   */
  readonly handle: (records: readonly StreamRecord[]) => Promise<void>;
  readonly log: Log;
  /** @default the machine's */
  readonly clock?: Clock;
  /** Seconds without a word until other members take over. @default 30 */
  readonly session?: number;
}

const SESSION = 30;
/** Milliseconds that a batch may take while the group waits to meet again. */
const REBALANCE = 60_000;
/** Milliseconds that a broker waits for records: if all partitions want some, and if others are full. */
const WAIT = 500;
const WAIT_BESIDE_FULL = 10;
/** Bytes of one fetch, and of one partition in it. */
const FETCH = 16 * 2 ** 20;
const FETCH_PARTITION = 2 ** 20;
/** Bytes that wait to be handled, in each partition. */
const MOST_WAITING = 4 * 2 ** 20;
/** Milliseconds after which what failed is tried again: the first time, and at most. */
const FIRST_DELAY = 200;
const LONGEST_DELAY = 30_000;
const OUT_OF_RANGE = 1;

/**
 * Consumes a topic as a member of a group until the signal: partitions side by side, each in order, committed records
 * only. What was handled is committed after it. Brokers may go and come back; nothing but the signal ends it.
 *
 * @throws what Kafka refuses for good: a user it does not take, a group of another kind
 */
export async function consume(options: ConsumeOptions): Promise<void> {
  const { signal, log, group, topic, clock = systemClock, session = SESSION } = options;
  // Commits and goodbyes come after the signal.
  const caller: Caller = { clock, signal: new AbortController().signal };
  const timing = { session: session * 1000, rebalance: REBALANCE };
  const member = new Member({ ...options, ...timing }, caller);
  const cluster = new Cluster(options.connection);
  try {
    while (!signal.aborted) {
      const partitions = await orAborted(
        signal,
        retried(options, clock, () => member.join()),
      );
      if (!partitions) break;
      log.info(`group ${group}: consumes ${partitions.length} partitions of ${topic}`, { partitions });
      await new Assignment(options, { caller, member, cluster, partitions, heartbeat: timing.session / 10 }).consume();
    }
    await orAborted(AbortSignal.timeout(5_000), member.leave()).catch(() => {});
  } finally {
    member.close();
    cluster.close();
  }
}

interface AssignmentOptions {
  readonly caller: Caller;
  readonly member: Member;
  readonly cluster: Cluster;
  readonly partitions: readonly number[];
  /** Milliseconds between two. */
  readonly heartbeat: number;
}

/** What one member does between two meetings of the group. */
class Assignment {
  readonly #options: ConsumeOptions;
  readonly #own: AssignmentOptions;
  readonly #readers = new Map<number, PartitionReader>();
  /** Brokers that are being asked. */
  readonly #asked = new Set<string>();
  readonly #over = new AbortController();
  /** Whether brokers are asked again soon. */
  #isWaiting = false;

  constructor(options: ConsumeOptions, own: AssignmentOptions) {
    this.#options = options;
    this.#own = own;
  }

  /** Resolves once it is over, and nothing is under way any more. */
  async consume(): Promise<void> {
    const { signal, log, group } = this.#options;
    const end = () => this.#end();
    signal.addEventListener("abort", end, { once: true });
    if (signal.aborted) end();
    const done = new AbortController();
    const hearts = this.#beat(done.signal);
    const orBeginAgain = (error: unknown) => {
      if (!this.#over.signal.aborted) log.warn(`group ${group}: begins again`, { error });
      end();
    };
    try {
      await this.#begin();
      await Promise.all([...this.#readers.values()].map((reader) => this.#deliver(reader).catch(orBeginAgain)));
      await whenAborted(this.#over.signal); // a member may have no partitions
    } catch (error) {
      orBeginAgain(error);
    } finally {
      signal.removeEventListener("abort", end);
      done.abort();
      await hearts;
    }
  }

  #end(): void {
    this.#over.abort();
    for (const reader of this.#readers.values()) reader.wake();
  }

  /** The places the group has; where it has none, those it begins at are committed, so that it begins there once. */
  async #begin(): Promise<void> {
    const { caller, member, cluster, partitions } = this.#own;
    const { topic, from, batch } = this.#options;
    const places = new Map(await member.committed(partitions));
    const fresh = partitions.filter((partition) => !places.has(partition));
    if (fresh.length > 0) {
      const extents = await extentsOf(cluster, caller, topic, { isCommitted: false, partitions: fresh });
      const first = new Map(
        extents.map((extent) => [extent.partition, from === "latest" ? extent.next : extent.first]),
      );
      this.#heed(await member.commit(first));
      for (const [partition, place] of first) places.set(partition, place);
    }
    for (const [partition, place] of places) this.#readers.set(partition, new PartitionReader(partition, place, batch));
    this.#pump();
  }

  async #beat(done: AbortSignal): Promise<void> {
    const { member, caller, heartbeat } = this.#own;
    while (!done.aborted) {
      await sleep(caller.clock, heartbeat, done).catch(() => {});
      if (done.aborted) return;
      // A coordinator that does not answer is no reason to stop: if it takes too long, it says so itself.
      this.#heed((await orAborted(done, member.heartbeat()).catch(() => undefined)) ?? "stable");
    }
  }

  #heed(standing: Standing): void {
    if (standing === "stable" || this.#over.signal.aborted) return;
    this.#options.log.info(`group ${this.#options.group}: ${WORDS[standing]}`);
    this.#end();
  }

  /** Asks every broker that is not asked already for what its partitions have room for. */
  #pump(): void {
    if (this.#over.signal.aborted) return;
    void this.#byBroker()
      .then((brokers) => {
        for (const [broker, readers] of brokers) void this.#fetch(broker, readers);
      })
      .catch(() => this.#pumpLater());
  }

  #pumpLater(): void {
    const { cluster, caller } = this.#own;
    cluster.forget(this.#options.topic);
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    const again = () => {
      this.#isWaiting = false;
      this.#pump();
    };
    sleep(caller.clock, FIRST_DELAY, this.#over.signal).then(again, () => {});
  }

  async #byBroker(): Promise<ReadonlyMap<string, readonly PartitionReader[]>> {
    const { cluster, caller } = this.#own;
    const brokers = new Map<string, PartitionReader[]>();
    for (const reader of this.#readers.values()) {
      const broker = await cluster.leader(caller, this.#options.topic, reader.partition);
      brokers.set(broker, [...(brokers.get(broker) ?? []), reader]);
    }
    return brokers;
  }

  async #fetch(broker: string, readers: readonly PartitionReader[]): Promise<void> {
    const { cluster, caller } = this.#own;
    const { topic } = this.#options;
    const wanting = readers.filter(({ hasRoom }) => hasRoom);
    if (wanting.length === 0 || this.#asked.has(broker) || this.#over.signal.aborted) return;
    this.#asked.add(broker);
    try {
      const positions = wanting.map(({ partition, position }) => ({ topic, partition, offset: position }));
      const wait = wanting.length === readers.length ? WAIT : WAIT_BESIDE_FULL;
      const request = { positions, wait, most: [FETCH, FETCH_PARTITION] as const };
      const answers = await fetchBytes(await cluster.to(broker), request);
      const taken = await Promise.allSettled(answers.map((answer) => this.#take(answer)));
      const failed = taken.find(({ status }) => status === "rejected");
      if (failed) throw (failed as PromiseRejectedResult).reason;
      this.#asked.delete(broker);
      this.#pump();
    } catch (error) {
      const { group, log } = this.#options;
      if (!this.#over.signal.aborted) log.warn(`group ${group}: not all of ${topic} could be read`, { error });
      await sleep(caller.clock, FIRST_DELAY, this.#over.signal).catch(() => {});
      this.#asked.delete(broker);
      this.#pumpLater();
    }
  }

  async #take({ partition, error, bytes, aborted }: PartitionBytes): Promise<void> {
    const reader = this.#readers.get(partition)!;
    if (error === OUT_OF_RANGE) return this.#reset(reader);
    if (error !== 0) throw errorOf(error);
    const { records, next } = decodeBatches(bytes, { partition, from: reader.position, aborted });
    reader.add(records, next, bytes.length);
  }

  /** Records went before they were read: the group goes on with the first there is. */
  async #reset(reader: PartitionReader): Promise<void> {
    const { cluster, caller } = this.#own;
    const { topic, group, log } = this.#options;
    const { partition, position } = reader;
    const extents = await extentsOf(cluster, caller, topic, { isCommitted: false, partitions: [partition] });
    const { first } = extents[0]!;
    log.error(`group ${group}: partition ${partition} of ${topic} has nothing at ${position}, goes on at ${first}`);
    reader.add([], first, 0);
  }

  async #deliver(reader: PartitionReader): Promise<void> {
    const { window } = this.#options;
    const { caller, member } = this.#own;
    const over = this.#over.signal;
    for (;;) {
      await reader.whenReady(caller.clock, window * 1000, over);
      if (over.aborted) return;
      const { records, next } = reader.take();
      this.#pump();
      if (records.length > 0 && !(await this.#handle(records))) return;
      this.#heed(await member.commit(new Map([[reader.partition, next]])));
    }
  }

  /** Whether it was handled before it was over. */
  async #handle(records: readonly StreamRecord[]): Promise<boolean> {
    const { handle, log, group } = this.#options;
    for (let delay = FIRST_DELAY; ; delay = Math.min(delay * 2, LONGEST_DELAY)) {
      try {
        await handle(records);
        return true;
      } catch (error) {
        const { partition, offset } = records[0]!;
        log.error(`group ${group}: ${records.length} records of partition ${partition} from ${offset} failed`, {
          error,
        });
        await sleep(this.#own.caller.clock, delay, this.#over.signal).catch(() => {});
        if (this.#over.signal.aborted) return false;
      }
    }
  }
}

const WORDS = { rebalancing: "meets again", lost: "has given the partitions to others" } as const;

/** What was read of a partition and waits to be handled. */
class PartitionReader {
  readonly partition: number;
  readonly #batch: number;
  /** Where it is read on. */
  position: number;
  /** The place behind all that was taken. */
  #taken: number;
  #waiting: StreamRecord[] = [];
  #bytes = 0;
  #wake: () => void = () => {};

  constructor(partition: number, place: number, batch: number) {
    this.partition = partition;
    this.position = place;
    this.#taken = place;
    this.#batch = batch;
  }

  get hasRoom(): boolean {
    return this.#bytes < MOST_WAITING && this.#waiting.length < 2 * this.#batch;
  }

  get #isFull(): boolean {
    return this.#waiting.length >= this.#batch || this.#bytes >= MOST_WAITING;
  }

  /** @param next the place behind the records, and behind what is no record for readers */
  add(records: readonly StreamRecord[], next: number, bytes: number): void {
    for (const record of records) this.#waiting.push(record);
    this.#bytes += records.length === 0 ? 0 : bytes;
    this.position = next;
    if (this.#taken < next) this.wake();
  }

  /** Who waits looks again. */
  wake(): void {
    this.#wake();
  }

  /** Resolves once there is a batch, or what there is has waited that many milliseconds, or it is over. */
  async whenReady(clock: Clock, window: number, over: AbortSignal): Promise<void> {
    while (this.#taken >= this.position && !over.aborted) await this.#change();
    const deadline = clock.now() + window;
    while (!over.aborted && this.#waiting.length > 0 && !this.#isFull && clock.now() < deadline) {
      const cancel = clock.at(deadline, () => this.wake());
      await this.#change();
      cancel();
    }
  }

  take(): { readonly records: readonly StreamRecord[]; readonly next: number } {
    const records = this.#waiting.slice(0, this.#batch);
    const rest = this.#waiting.slice(this.#batch);
    this.#bytes *= rest.length / Math.max(1, this.#waiting.length);
    this.#waiting = rest;
    // What follows the last record may be no record: a place before it would look like a lag.
    this.#taken = this.#waiting.length === 0 ? this.position : records.at(-1)!.offset + 1;
    return { records, next: this.#taken };
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}

/** Tries until it succeeds, unless Kafka refuses for good. */
async function retried<Answer>(
  { log, signal }: ConsumeOptions,
  clock: Clock,
  attempt: () => Promise<Answer>,
): Promise<Answer> {
  for (let delay = FIRST_DELAY; ; delay = Math.min(delay * 2, LONGEST_DELAY)) {
    try {
      return await attempt();
    } catch (error) {
      const { kind } = error as { readonly kind?: string };
      if (signal.aborted || (kind !== "unavailable" && kind !== "not-found")) throw error;
      log.warn("Kafka does not answer; is asked again", { error });
      await sleep(clock, delay, signal);
    }
  }
}

/** Nothing, if the signal comes first. */
async function orAborted<Answer>(signal: AbortSignal, answer: Promise<Answer>): Promise<Answer | undefined> {
  const ended = new AbortController();
  try {
    return await Promise.race([answer, whenAborted(signal, ended.signal).then(() => undefined)]);
  } finally {
    ended.abort();
  }
}

/** @param ended when nobody waits for it any more */
const whenAborted = (signal: AbortSignal, ended?: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const onAbort = () => resolve();
    signal.addEventListener("abort", onAbort, { once: true });
    ended?.addEventListener("abort", () => signal.removeEventListener("abort", onAbort), { once: true });
  });
