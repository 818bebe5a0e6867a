import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { MillraceError, toErrorRecord } from "../../runtime/errors.ts";
import type { StreamRecord } from "../../runtime/events.ts";
import type { Context } from "../../runtime/handler.ts";
import type {
  BucketReader,
  BucketWriter,
  FunctionInvoker,
  QueueSender,
  StreamClaimer,
  StreamProducer,
  StreamSend,
} from "../../runtime/ports.ts";
import type { Ahead, SentTable } from "./ahead.ts";
import { grouped } from "./batches.ts";
import { type DeadLetter, deadLetterOf, deadRecord } from "./dead-letter.ts";
import { KnownKeys } from "./known-keys.ts";
import { type Chain, chainOf, type EtlCode } from "./operators.ts";
import { type Finish, type Finished, finishing } from "./outputs.ts";
import { invokeOutput, type LargeBodies, recordsOf, sendLetter, sendOutput } from "./send.ts";
import type { EtlSettings } from "./settings.ts";
import { isConflict, isOutside, type Tries, tried } from "./tries.ts";

/** What a pipeline may touch; which of it is there, its settings say. */
export interface EtlLinks {
  /** Where places lie in the stream. */
  readonly source?: StreamClaimer;
  /** Where outputs go, unless they are a run's result. */
  readonly to?: StreamProducer | (BucketReader & BucketWriter) | QueueSender | FunctionInvoker;
  readonly deadLetters: QueueSender | StreamProducer;
  /** What was sent to where nothing can be taken back. */
  readonly sent?: SentTable;
  /** Bodies that are too large for a queue. */
  readonly large?: LargeBodies;
  /** The user's compensation. */
  readonly onFailure?: FunctionInvoker<DeadLetter>;
}

export type EtlContext = Context<EtlLinks, EtlSettings, EtlCode>;

/** What became of records. */
export interface Counts {
  readonly records: number;
  readonly outputs: number;
  /** Records that went to the dead letters. */
  readonly failures: number;
  /** Records of before, given again, and outputs of a key that was sent already. */
  readonly duplicates: number;
}

/** How far a partition, or a run on some of it, has come. */
export interface Place {
  /** Where what is delivered now begins. */
  readonly start: number;
  /** @throws conflict if somebody else has taken it over */
  commit(next: number, sends: readonly StreamSend[]): Promise<void>;
}

/** Makes of records what the operators say, and brings it where it goes: each once, whatever was tried before. */
export class Delivery {
  readonly #context: EtlContext;
  readonly #chain: Chain;
  readonly #finish: Finish;
  readonly #tries: Tries;
  readonly #keys: KnownKeys | undefined;
  readonly #counts = { records: 0, outputs: 0, failures: 0, duplicates: 0 };

  private constructor(context: EtlContext, chain: Chain, finish: Finish) {
    const { links, settings, clock, signal } = context;
    this.#context = context;
    this.#chain = chain;
    this.#finish = finish;
    this.#tries = { tries: settings.tries, clock, signal };
    const isKeyed = settings.key !== undefined && (settings.to === "queue" || settings.to === "function");
    this.#keys = isKeyed ? new KnownKeys(links.sent!, settings.remembered, this.#tries) : undefined;
  }

  static async of(context: EtlContext): Promise<Delivery> {
    return new Delivery(context, await chainOf(context), await finishing(context.settings));
  }

  get counts(): Counts {
    return { ...this.#counts };
  }

  get tries(): Tries {
    return this.#tries;
  }

  /** What of it was delivered before. */
  skip(records: number): void {
    if (records > 0) this.#count({ duplicates: records });
  }

  /** What the operators make of records, with what is dead told to where dead letters go. */
  async finish(stream: string, records: readonly StreamRecord[], ahead: Ahead): Promise<readonly Finished[]> {
    const finished = await this.#finished(stream, records);
    await this.#buryAll(stream, finished, ahead);
    this.#countAll(finished);
    return finished;
  }

  /**
   * Delivers records of one partition, in their order.
   *
   * @throws conflict if somebody else has taken the place over, `unavailable` and others if the rest is to be tried again
   */
  async deliver(stream: string, records: readonly StreamRecord[], place: Place, ahead: Ahead): Promise<void> {
    const { settings } = this.#context;
    const finished = await this.#finished(stream, records);
    const isTogether = settings.to === "queue" || settings.to === "function";
    if (isTogether) return this.#inWindows(stream, finished, place, ahead);
    const next = records.at(-1)!.offset + 1;
    if (settings.deadLetters === "same-kafka" && settings.to === "same-kafka") {
      const letters = deadOf(finished);
      await this.#compensate(stream, letters, ahead);
      await this.#commit(place, next, [...this.#outputSends(finished), ...this.#letterSends(stream, letters)]);
    } else {
      await this.#buryAll(stream, finished, ahead);
      if (settings.to === "bucket") return this.#putObject(stream, finished, place);
      if (settings.to === "stream") await this.#produce(finished);
      await this.#commit(place, next, settings.to === "same-kafka" ? this.#outputSends(finished) : []);
    }
    this.#countAll(finished);
  }

  async #finished(stream: string, records: readonly StreamRecord[]): Promise<readonly Finished[]> {
    return this.#finish(stream, await this.#chain(stream, records));
  }

  #outputSends(finished: readonly Finished[]): readonly StreamSend[] {
    const records = finished.flatMap((one) => recordsOf(one, false));
    return records.length === 0 ? [] : [{ to: this.#context.links.to as StreamProducer, records }];
  }

  #letterSends(stream: string, letters: readonly Dead[]): readonly StreamSend[] {
    if (letters.length === 0) return [];
    const records = letters.map(({ record, failure }) => deadRecord(stream, record, failure));
    return [{ to: this.#context.links.deadLetters as StreamProducer, records }];
  }

  /** What is sent with it is sent once: a commit whose answer got lost is looked for by the next claim. */
  #commit(place: Place, next: number, sends: readonly StreamSend[]): Promise<void> {
    return sends.length > 0 ? place.commit(next, sends) : tried(this.#tries, () => place.commit(next, sends));
  }

  async #produce(finished: readonly Finished[]): Promise<void> {
    const records = finished.flatMap((one) => recordsOf(one, true));
    const to = this.#context.links.to as StreamProducer;
    if (records.length > 0) await to.send(records);
  }

  /** The object of the place; the first one that is there counts, and says how far it goes. */
  async #putObject(stream: string, finished: readonly Finished[], place: Place): Promise<void> {
    const { prefix, gzip: isPacked } = this.#context.settings.objects;
    const bucket = this.#context.links.to as BucketReader & BucketWriter;
    const { partition, offset } = finished.at(-1)!.record;
    const name = String(place.start).padStart(OFFSET_DIGITS, "0");
    const key = `${prefix}${stream}/${partition}/${name}.jsonl${isPacked ? ".gz" : ""}`;
    const lines = finished.flatMap(({ outputs }) => outputs.map(({ body }) => `${String(body)}\n`)).join("");
    const metadata = { next: String(offset + 1), stream, partition: String(partition) };
    const options = {
      contentType: isPacked ? "application/gzip" : "application/jsonl",
      metadata,
      ifNoneMatch: "*",
    } as const;
    try {
      // One without records, too: who was paused before it put its own finds the place taken.
      const body = isPacked ? await pack(lines) : Buffer.from(lines);
      await tried(this.#tries, () => bucket.put(key, body, options));
    } catch (error) {
      if (!isConflict(error)) throw error;
      return this.#adopt(bucket, key, finished, place);
    }
    await this.#commit(place, offset + 1, []);
    this.#countAll(finished);
  }

  async #adopt(bucket: BucketReader, key: string, finished: readonly Finished[], place: Place): Promise<void> {
    const found = await tried(this.#tries, () => bucket.head(key));
    const next = Number(found?.metadata.next);
    if (!Number.isSafeInteger(next)) {
      throw new MillraceError("refused", `object "${key}" in bucket ${bucket.bucket} is none of this pipeline's`);
    }
    await this.#commit(place, next, []);
    this.skip(finished.filter(({ record }) => record.offset < next).length);
    // What is behind it is not delivered yet.
    if (next <= finished.at(-1)!.record.offset) throw new MillraceError("conflict", `"${key}" ends before this batch`);
  }

  /** Dead letters that nothing takes back, before anything else is known of their records. */
  async #buryAll(stream: string, finished: readonly Finished[], ahead: Ahead): Promise<void> {
    const dead = deadOf(finished);
    if (dead.length === 0) return;
    await ahead.read();
    const letters = dead.filter(({ record }) => !ahead.hasLetter(record.offset));
    if (letters.length === 0) return;
    await this.#noted(ahead, letters, async (letter) => this.#bury(stream, letter, ahead));
    await ahead.lettersUntil(finished.at(-1)!.record.offset + 1);
  }

  /** Works on several at once; when one fails, it is noted what the others have done. */
  async #noted<Item>(ahead: Ahead, items: readonly Item[], work: (item: Item) => Promise<void>): Promise<void> {
    const waiting = items.values();
    const lane = async () => {
      for (const item of waiting) await work(item);
    };
    const lanes = Array.from({ length: Math.min(LANES, items.length) }, lane);
    const failed = (await Promise.allSettled(lanes)).find((end) => end.status === "rejected");
    if (!failed) return;
    await ahead.save();
    throw failed.reason;
  }

  async #bury(stream: string, dead: Dead, ahead: Ahead): Promise<void> {
    const { links, settings, clock } = this.#context;
    const { record, failure } = dead;
    if (settings.deadLetters === "queue") {
      const letter = deadLetterOf(stream, record, failure, clock.now());
      await tried(this.#tries, () => sendLetter(links.deadLetters as QueueSender, links.large, stream, letter));
    } else {
      await tried(this.#tries, () => (links.deadLetters as StreamProducer).send([deadRecord(stream, record, failure)]));
    }
    ahead.addLetter(record.offset);
    await this.#compensateOne(stream, dead);
  }

  async #compensate(stream: string, letters: readonly Dead[], ahead: Ahead): Promise<void> {
    if (!this.#context.links.onFailure) return;
    await this.#noted(ahead, letters, (dead) => this.#compensateOne(stream, dead));
  }

  /** The letter lies where it is, whatever comes of this. */
  async #compensateOne(stream: string, { record, failure }: Dead): Promise<void> {
    const { links, clock, log, metrics } = this.#context;
    if (!links.onFailure) return;
    const letter = deadLetterOf(stream, record, failure, clock.now());
    try {
      await tried(this.#tries, () => links.onFailure!.invoke(letter), isWorthATry);
    } catch (error) {
      this.#context.signal.throwIfAborted();
      log.error("onFailure failed", { stream, partition: record.partition, offset: record.offset, error });
      metrics.count("compensation-failures");
    }
  }

  /**
   * To where nothing is taken back: some records at a time, and the place is committed behind them, so that no more
   * than these are sent again by whoever goes on.
   */
  async #inWindows(stream: string, finished: readonly Finished[], place: Place, ahead: Ahead): Promise<void> {
    await ahead.read();
    for (const window of windows(finished)) {
      this.#context.signal.throwIfAborted();
      const done = await this.#window(stream, window, ahead);
      const first = done.findIndex(({ error }) => error !== undefined);
      const settled = first === -1 ? done : done.slice(0, first);
      try {
        if (first !== -1) await ahead.save();
        await this.#settle(stream, settled, place);
      } catch (error) {
        // The next one to try is to know what is sent, if it can be told.
        if (first === -1 && !isConflict(error)) await ahead.save().catch(() => {});
        throw error;
      }
      if (first !== -1) throw done.find(({ error }) => error !== undefined && error !== NOT_BEGUN)!.error;
      ahead.forget();
    }
  }

  async #settle(stream: string, settled: readonly SentRecord[], place: Place): Promise<void> {
    const last = settled.at(-1);
    if (!last) return;
    const letters = settled.flatMap(({ dead }) => (dead ? [dead] : []));
    const sends = this.#context.settings.deadLetters === "same-kafka" ? this.#letterSends(stream, letters) : [];
    await this.#commit(place, last.finished.record.offset + 1, sends);
    for (const { finished, dead, duplicates } of settled) {
      const outputs = dead ? 0 : finished.outputs.length - duplicates;
      this.#count({ records: 1, outputs, failures: dead ? 1 : 0, duplicates });
    }
  }

  /** Records of one key follow each other; those of several, and those without, do not wait for each other. */
  async #window(stream: string, window: readonly Finished[], ahead: Ahead): Promise<readonly SentRecord[]> {
    const lanes = grouped(window.entries(), ([index, { record }]) =>
      record.key === undefined ? index : Buffer.from(record.key).toString("base64"),
    );
    const done: SentRecord[] = [];
    let failed = false;
    const waiting = lanes.values();
    const work = async () => {
      for (const lane of waiting) {
        for (const [index, finished] of lane) {
          if (failed) return;
          done[index] = await this.#sendRecord(stream, finished, ahead);
          failed ||= done[index].error !== undefined;
        }
      }
    };
    await Promise.all(Array.from({ length: Math.min(LANES, lanes.size) }, work));
    return Array.from(window, (finished, index) => done[index] ?? { finished, duplicates: 0, error: NOT_BEGUN });
  }

  async #sendRecord(stream: string, finished: Finished, ahead: Ahead): Promise<SentRecord> {
    const { settings } = this.#context;
    let dead: Dead | undefined = isDead(finished) ? finished : undefined;
    let duplicates = 0;
    try {
      for (const output of dead ? [] : finished.outputs) {
        try {
          if (!(await this.#sendOne(stream, finished, output, ahead))) duplicates += 1;
        } catch (error) {
          if (isOutside(error)) throw error;
          // What it refuses it will refuse again.
          this.#context.signal.throwIfAborted();
          const { kind, message } = toErrorRecord(error);
          dead = { ...finished, failure: { error: { kind, message: message.slice(0, 1000) }, operator: "to" } };
          break;
        }
      }
      if (dead && settings.deadLetters === "same-kafka") await this.#compensateOne(stream, dead);
      else if (dead && !ahead.hasLetter(dead.record.offset)) await this.#bury(stream, dead, ahead);
      return { finished, duplicates, ...(dead && { dead }) };
    } catch (error) {
      return { finished, duplicates, error };
    }
  }

  /** Whether it is the first of its key. */
  async #sendOne(
    stream: string,
    { record }: Finished,
    output: Finished["outputs"][number],
    ahead: Ahead,
  ): Promise<boolean> {
    const { links, settings } = this.#context;
    const { id, key } = output;
    if (ahead.has(id)) return true;
    if (key !== undefined && this.#keys && !(await this.#keys.claim(key, id))) return false;
    try {
      if (settings.to === "queue") {
        await tried(this.#tries, () => sendOutput(links.to as QueueSender, links.large, stream, record, output));
      } else {
        await tried(this.#tries, () => invokeOutput(links.to as FunctionInvoker, stream, record, output), isWorthATry);
      }
    } catch (error) {
      if (key !== undefined && !isOutside(error)) await this.#keys?.release(key);
      throw error;
    }
    ahead.add(id);
    if (key !== undefined) await this.#keys?.confirm(key, id);
    return true;
  }

  #countAll(finished: readonly Finished[]): void {
    const failures = deadOf(finished).length;
    this.#count({
      records: finished.length,
      outputs: finished.reduce((sum, { outputs }) => sum + outputs.length, 0),
      failures,
    });
  }

  #count(more: Partial<Counts>): void {
    const { metrics } = this.#context;
    for (const [name, value] of Object.entries(more) as [keyof Counts, number][]) {
      this.#counts[name] += value;
      if (value > 0) metrics.count(name, value);
    }
  }
}

type Dead = Finished & Required<Pick<Finished, "failure">>;

const isDead = (finished: Finished): finished is Dead => finished.failure !== undefined;
const deadOf = (finished: readonly Finished[]): readonly Dead[] => finished.filter(isDead);

/** What was done of a record: all of it, or what went wrong. */
interface SentRecord {
  readonly finished: Finished;
  readonly dead?: Dead;
  readonly duplicates: number;
  readonly error?: unknown;
}

const NOT_BEGUN = new MillraceError("interrupted", "another record of the window could not be delivered");

/** A function that failed may do better. */
const isWorthATry = (error: unknown): boolean =>
  error instanceof MillraceError && ["failed", "timed-out", "unavailable"].includes(error.kind);

/** Sends at once. */
const LANES = 16;
/** Outputs and dead letters between two commits of the place. */
const WINDOW = 16;

function* windows(finished: readonly Finished[]): Generator<readonly Finished[], void> {
  let [window, sends]: [Finished[], number] = [[], 0];
  for (const one of finished) {
    const more = one.failure ? 1 : one.outputs.length;
    if (sends + more > WINDOW && window.length > 0) {
      yield window;
      [window, sends] = [[], 0];
    }
    window.push(one);
    sends += more;
  }
  if (window.length > 0) yield window;
}

/** As many as the largest offset has: keys sort as offsets do. */
const OFFSET_DIGITS = 20;

const pack = promisify(gzip);
