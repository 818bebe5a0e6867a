import { tmpdir } from "node:os";
import type { Msg, NatsConnection } from "@nats-io/transport-node";
import { type Clock, sleep } from "../../../runtime/clock.ts";
import type { DeployedFunction } from "../../../runtime/deployed.ts";
import { connect, type Deployment, type LinkAddress } from "../../../runtime/deployment.ts";
import { type ErrorRecord, isRetryable, shortened, toErrorRecord } from "../../../runtime/errors.ts";
import type { BucketCreated, SourceEvent, StreamConsumed, StreamRecord } from "../../../runtime/events.ts";
import type { Log } from "../../../runtime/handler.ts";
import type { BucketReader } from "../../../runtime/ports.ts";
import type { Served } from "../../../runtime/serve.ts";
import { type RecordsReference, referenceTo, toWire, type WireConsumed } from "../../../runtime/stream-records.ts";
import { backoffMilliseconds } from "../../../runtime/tasks/definition.ts";
import { OWN_STORE } from "../../../shared/environment.ts";
import type { KubernetesWorld } from "./account.ts";
import { type CreatedCall, type Notice, toAsked, toNotices, toQueueReceived } from "./events.ts";
import { type CallAnswer, REPLY, UNTIL } from "./function.ts";
import type { BucketSource, FunctionJson, QueueSource } from "./function-json.ts";
import { findCreated } from "./listing.ts";
import { bury, nak, publication, settle, toMessage } from "./message.ts";
import { publish } from "./nats.ts";
import { type ConsumerAddress, deliveryOf } from "./pull.ts";
import type { Inlet } from "./receiver.ts";
import { tableMadeAt, port as tablePort } from "./table.ts";

export interface FunctionWorkOptions {
  readonly spec: FunctionJson;
  readonly deployed: DeployedFunction<KubernetesWorld>;
  /** Of the bundle: its store's, where there are buckets. */
  readonly ports: Deployment["ports"];
  readonly nats: () => Promise<NatsConnection>;
  readonly prefix: string;
  readonly clock: Clock;
  /** From 0 up to, not including, 1. */
  readonly random: () => number;
  readonly log: Log;
  /** Aborts when the process is to end: a look at a bucket is not gone on with. */
  readonly ending: AbortSignal;
  /** Called when a handler does not end though its time is over: only the end of the process ends it. */
  onStuck(): void;
}

/** Milliseconds before its deadline at which an invocation's signal aborts: until then the handler has its whole timeout. */
const MARGIN = 2000;
/** Milliseconds after its deadline at which a handler that does not end is given up. */
const PATIENCE = 5000;
/** Tries to say what became of a message, and milliseconds between them: NATS may be away for a moment. */
const TRIES = 6;
const AGAIN = 1000;

/** What a function's messages ask for: calls, messages of its queues, and what happened in its buckets. */
export class FunctionWork {
  readonly #options: FunctionWorkOptions;
  readonly #readers = new Map<string, Promise<BucketReader>>();
  /** The invocation that works on records, if any does. */
  #turn: Promise<void> = Promise.resolve();

  constructor(options: FunctionWorkOptions) {
    this.#options = options;
  }

  /** Where its messages come from. */
  get inlets(): readonly Inlet[] {
    const { spec } = this.#options;
    const one = { batch: 1, window: 0 };
    const { stream, consumer } = spec;
    return [
      { ...one, stream, consumer, handle: ([message], nats) => this.#call(message!, nats) },
      ...spec.queues.map((source): Inlet => ({ ...source, handle: (all, nats) => this.#queue(source, all, nats) })),
      ...noticeConsumers(spec).map(
        (from): Inlet => ({ ...one, ...from, handle: ([message], nats) => this.#notice(from, message!, nats) }),
      ),
    ];
  }

  async #call(message: Msg, nats: NatsConnection): Promise<void> {
    const { clock, log, spec } = this.#options;
    const reply = message.headers?.get(REPLY);
    const asked = toAsked(toMessage(message));
    if ("listing" in asked) return this.#look(message, nats);
    if (reply && clock.now() > Number(message.headers?.get(UNTIL) || Number.POSITIVE_INFINITY)) {
      log.warn("a call is left out: nobody waits for its answer any more");
      return this.#settle(message, "+TERM", nats);
    }
    const { results, failures } = await this.#serve([asked.event], message, spec.attempts);
    const error = failures[0]?.error;
    if (reply) {
      answer(
        nats,
        reply,
        error ? { error: shortened(error) } : { result: JSON.parse(results[0] ?? "null") as unknown },
      );
    } else if (error) {
      return this.#failed(message, [{ event: asked.event, error }], nats);
    }
    return this.#settle(message, "+ACK", nats);
  }

  /** Those that failed come again, or go to the dead letters; the others do not suffer from it. */
  async #queue({ queue, attempts, deadLetters }: QueueSource, messages: readonly Msg[], nats: NatsConnection) {
    const isOver = ({ reply }: Msg, coming: number): boolean =>
      attempts !== undefined && deadLetters !== undefined && deliveryOf(reply!).deliveries + coming > attempts;
    for (const message of messages.filter((message) => isOver(message, 0))) await bury(nats, message, deadLetters!);
    const alive = messages.filter((message) => !isOver(message, 0));
    if (alive.length === 0) return;
    const events = alive.map((message) => toQueueReceived(queue, toMessage(message)));
    const errors = errorsOf(await this.#serve(events, alive[0]!));
    for (const [index, message] of alive.entries()) {
      const error = errors[index];
      const isLast = error && deadLetters !== undefined && (isOver(message, 1) || !isRetryable(error));
      if (isLast) await bury(nats, message, deadLetters);
      else await this.#settle(message, error ? this.#later(message) : "+ACK", nats);
    }
  }

  async #notice(from: ConsumerAddress, message: Msg, nats: NatsConnection): Promise<void> {
    const notices = toNotices(message.string());
    const sources = this.#options.spec.buckets.filter((one) => one.how === "notifications" && isSame(one, from));
    const found = notices.flatMap((notice) =>
      sources.filter(({ physical }) => physical === notice.bucket).map((source) => this.#created(source, notice)),
    );
    const events = (await Promise.all(found)).flatMap((event) => event ?? []);
    const errors = events.length === 0 ? [] : errorsOf(await this.#serve(events, message, this.#options.spec.attempts));
    const failed = events.flatMap((event, index) => (errors[index] ? [{ event, error: errors[index] }] : []));
    await (failed.length > 0 ? this.#failed(message, failed, nats) : this.#settle(message, "+ACK", nats));
  }

  /** The event of a notice, if it is one that was asked for. Where a key can be read in several ways, the store knows. */
  async #created(source: BucketSource, { id, keys, etag, size, time }: Notice): Promise<BucketCreated | undefined> {
    const { bucket, prefix, suffix } = source;
    const [likely, ...others] = keys.filter((key) => key.startsWith(prefix) && key.endsWith(suffix));
    if (likely === undefined) return undefined;
    const event = { type: "bucket.created", id, bucket, key: likely, etag, size, time } as const;
    // Some stores say zero of what was copied.
    if (keys.length === 1 && size > 0) return event;
    const reader = await this.#reader(source);
    for (const key of keys) {
      const object = await reader.head(key);
      if (object?.etag !== etag) continue;
      return [likely, ...others].includes(key) ? { ...event, key, size: object.size } : undefined;
    }
    return event;
  }

  /** New objects where the store tells nobody of them: each becomes a message, with tries of its own. */
  async #look(message: Msg, nats: NatsConnection): Promise<void> {
    const { spec, clock, log, ending: signal } = this.#options;
    const tell = async (event: BucketCreated) => {
      const call: CreatedCall = { millrace: "created", event };
      const { subject } = spec;
      await publish(nats, `tell of ${event.key}`, { subject, body: JSON.stringify(call), id: event.id });
    };
    try {
      for (const source of spec.buckets) {
        if (source.how !== "listing") continue;
        const { bucket: part, prefix, suffix, journal: table } = source;
        const bucket = await this.#reader(source);
        const journal = tablePort({ kind: "table", part: table, table }, this.#world());
        // From when the function was first deployed on: its journal was made then.
        const since = await tableMadeAt(nats, table);
        const told = await findCreated({ bucket, journal, prefix, suffix, since, clock, signal, tell });
        log.debug(`bucket ${part}: ${told === undefined ? "somebody else is looking" : `${told} new`}`);
      }
      await this.#settle(message, "+ACK", nats);
    } catch (error) {
      // The next look is due in a minute.
      log.warn(`the look at the buckets failed: ${toErrorRecord(error).message}`);
      await this.#settle(message, "+TERM", nats);
    }
  }

  /** Records of one partition, as often as events are tried; then they are set aside, if there is a queue for that. */
  async records(stream: string, records: readonly StreamRecord[]): Promise<void> {
    const { clock } = this.#options;
    const { partition, offset } = records[0]!;
    const event: StreamConsumed = {
      ...{ type: "stream.consumed", id: `${stream}-${partition}-${offset}`, stream, records },
      time: new Date(clock.now()).toISOString(),
    };
    // Several partitions may have some: a pod has room for one invocation.
    const turn = this.#turn.then(() => this.#try(event));
    this.#turn = turn.catch(() => {});
    await turn;
  }

  async #try(event: StreamConsumed): Promise<void> {
    const { spec, clock, random, ending } = this.#options;
    for (let attempt = 1; ; attempt += 1) {
      ending.throwIfAborted();
      const [failure] = (await this.#invoke([event], attempt)).failures;
      if (!failure) return;
      const { error } = failure;
      if (spec.failures !== undefined && (attempt >= spec.attempts || !isRetryable(error))) {
        return this.#setRecordsAside(spec.failures, event, error, attempt);
      }
      if (attempt >= spec.attempts) this.#tell(await this.#options.nats(), event.id);
      await sleep(clock, backoffMilliseconds(spec.backoff, attempt, random), ending);
    }
  }

  /** They lie in their stream still: where they are too large for a message, it says where. */
  async #setRecordsAside(queue: string, event: StreamConsumed, error: ErrorRecord, attempts: number): Promise<void> {
    const { nats: connected, log } = this.#options;
    log.error(`${event.records.length} records of ${event.id} failed ${attempts} attempt(s): ${error.message}`, {
      error,
    });
    const nats = await connected();
    const send = (event: WireConsumed | RecordsReference) => {
      const body = JSON.stringify({ event, error: shortened(error), attempts });
      return publish(nats, `send to ${queue}`, publication(queue, body, { deduplication: event.id }, 0));
    };
    try {
      await send(toWire(event));
    } catch (refusal) {
      if (toErrorRecord(refusal).kind !== "refused") throw refusal;
      await send(referenceTo(event));
    }
  }

  #reader({ physical, bucket: part, region, endpoint }: BucketSource): Promise<BucketReader> {
    const address = { kind: "bucket", part, bucket: physical, region, endpoint } as const;
    const reader = this.#readers.get(physical) ?? this.#connect(address);
    this.#readers.set(physical, reader);
    return reader;
  }

  /** A bundle without buckets as sources does without the store's client, four fifths of its size. */
  async #connect(address: LinkAddress): Promise<BucketReader> {
    const links = await connect(this.#options.ports, { [OWN_STORE]: address }, this.#world());
    return links[OWN_STORE] as BucketReader;
  }

  /**
   * Has the handler serve events.
   *
   * @param attempts of the message; what its process went away of in all of them is not begun again
   */
  async #serve(events: readonly SourceEvent[], { reply }: Msg, attempts = Number.POSITIVE_INFINITY): Promise<Served> {
    const attempt = deliveryOf(reply!).deliveries;
    if (attempt > attempts) {
      const message = `its process went away in the last of its ${attempts} attempt(s)`;
      return allFailed(events, { kind: "interrupted", message });
    }
    return this.#invoke(events, attempt);
  }

  async #invoke(events: readonly SourceEvent[], attempt: number): Promise<Served> {
    const { spec, deployed, clock } = this.#options;
    const deadline = clock.now() + spec.timeout * 1000 + MARGIN;
    const serving = deployed
      .serve(events, { id: events[0]!.id, attempt, deadline })
      .catch((error: unknown) => allFailed(events, toErrorRecord(error)));
    return (await withinTime(serving, deadline + PATIENCE, clock)) ?? this.#stuck(events);
  }

  #stuck(events: readonly SourceEvent[]): Served {
    this.#options.onStuck();
    const message = `the handler did not end ${PATIENCE / 1000} seconds after its time was over: its process ends`;
    return allFailed(events, { kind: "timed-out", message });
  }

  /** What a message told of has failed: it comes again, or is set aside. */
  async #failed(message: Msg, failed: readonly Failed[], nats: NatsConnection): Promise<void> {
    const { spec, log } = this.#options;
    const { deliveries, stream, sequence } = deliveryOf(message.reply!);
    if (deliveries < spec.attempts && failed.some(({ error }) => isRetryable(error)))
      return this.#settle(message, this.#later(message), nats);
    const attempts = Math.min(deliveries, spec.attempts);
    const where = spec.failures === undefined ? "is dropped: there is no failure queue" : "went to the failure queue";
    for (const { event, error } of failed) {
      log.error(`event ${event.id} failed its ${attempts} attempt(s) and ${where}: ${error.message}`, { error });
      if (spec.failures === undefined) {
        this.#tell(nats, event.id);
        continue;
      }
      const key = `${stream}-${sequence}-${event.id}`;
      await setAside(nats, spec.failures, { event, error: shortened(error), attempts }, key);
    }
    await this.#settle(message, "+TERM", nats);
  }

  /** For alarms: where no stream listens, nobody hears it. */
  #tell(nats: NatsConnection, id: string): void {
    const { failed } = this.#options.spec;
    if (failed !== undefined) nats.publish(failed, JSON.stringify({ id }));
  }

  #later({ reply }: Msg) {
    const { spec, random } = this.#options;
    return nak(backoffMilliseconds(spec.backoff, deliveryOf(reply!).deliveries, random) / 1000);
  }

  /** A message of which this cannot be said is delivered again: nothing is lost by that. */
  async #settle({ reply }: Msg, word: Parameters<typeof settle>[2], nats: NatsConnection): Promise<void> {
    for (let tries = 1; ; tries += 1) {
      try {
        return await settle(nats, reply!, word);
      } catch (error) {
        if (tries === TRIES) throw error;
        await sleep(this.#options.clock, AGAIN);
      }
    }
  }

  #world(): KubernetesWorld {
    const { clock, log, nats, prefix, ending: signal } = this.#options;
    return { signal, clock, log, files: tmpdir(), nats, prefix };
  }
}

interface Failed {
  readonly event: SourceEvent;
  readonly error: ErrorRecord;
}

/** What lies in a failure queue: the event, or who it was where that is too large. */
interface FailedEvent {
  readonly event: SourceEvent | Pick<SourceEvent, "type" | "id">;
  readonly error: ErrorRecord;
  readonly attempts: number;
}

async function setAside(nats: NatsConnection, failures: string, failed: FailedEvent, key: string): Promise<void> {
  const send = (body: FailedEvent) =>
    publish(nats, `send to ${failures}`, publication(failures, JSON.stringify(body), { deduplication: key }, 0));
  try {
    await send(failed);
  } catch (error) {
    if (toErrorRecord(error).kind !== "refused") throw error;
    // Too large with its error beside it: better known without its content than not at all.
    const { type, id } = failed.event;
    await send({ ...failed, event: { type, id } });
  }
}

function answer(nats: NatsConnection, reply: string, said: CallAnswer): void {
  const most = nats.info?.max_payload ?? Number.POSITIVE_INFINITY;
  const body = JSON.stringify(said);
  const size = Buffer.byteLength(body);
  const message = `the answer has ${size} bytes, NATS takes ${most} (max_payload): put it into a bucket`;
  nats.publish(
    reply,
    size <= most ? body : JSON.stringify({ error: { kind: "refused", message } } satisfies CallAnswer),
  );
}

/** The result, or nothing if there is none by then. */
async function withinTime<Result>(work: Promise<Result>, time: number, clock: Clock): Promise<Result | undefined> {
  let cancel = () => {};
  const late = new Promise<undefined>((resolve) => {
    cancel = clock.at(time, () => resolve(undefined));
  });
  return Promise.race([work, late]).finally(() => cancel());
}

const allFailed = (events: readonly SourceEvent[], error: ErrorRecord): Served => ({
  results: events.map(() => undefined),
  failures: events.map(({ id }) => ({ id, error })),
});

/** By the events' places: what each of them failed with. Ids may be the same. */
function errorsOf({ results, failures }: Served): readonly (ErrorRecord | undefined)[] {
  const left = [...failures];
  return results.map((result) => (result === undefined ? left.shift()?.error : undefined));
}

const isSame = (one: ConsumerAddress, other: ConsumerAddress): boolean =>
  one.stream === other.stream && one.consumer === other.consumer;

/** Buckets of one store share the consumer of its notices. */
function noticeConsumers({ buckets }: FunctionJson): readonly ConsumerAddress[] {
  const all = buckets.flatMap((source) => (source.how === "notifications" ? [source] : []));
  return all
    .filter((one, index) => all.findIndex((other) => isSame(one, other)) === index)
    .map(({ stream, consumer }) => ({ stream, consumer }));
}
