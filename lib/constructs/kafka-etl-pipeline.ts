import type { ComponentResourceOptions } from "@pulumi/pulumi";
import type { DeadLetter } from "../handlers/etl/dead-letter.ts";
import type { EtlLinks } from "../handlers/etl/deliver.ts";
import type { RecordFormat } from "../handlers/etl/records.ts";
import type { EtlSettings, OperatorSettings, SinkKind } from "../handlers/etl/settings.ts";
import type { SubmitLinks } from "../handlers/etl/submit.ts";
import type { OperatorModule, OperatorProgram } from "../handlers/etl/user-code.ts";
import type { Handlers } from "../handlers/index.ts";
import type { FunctionSpec } from "../parts/function.ts";
import {
  type Alarm,
  type AlarmArgs,
  alarmsFor,
  all,
  type Backoff,
  type Bucket,
  type Code,
  Construct,
  type ConstructArgs,
  claim,
  consumed,
  type FunctionPart,
  type HookSpec,
  invoke,
  type Kafka,
  type Link,
  type Machine,
  type Monitor,
  type Program,
  produce,
  type Queue,
  read,
  receive,
  type Stream,
  send,
  submit,
  type TaskPart,
  type TaskSpec,
  write,
} from "../parts/index.ts";
import type { LinksOf } from "../parts/link.ts";
import { MACHINE_OPTIONS } from "../parts/machine.ts";
import type { FunctionInvoked } from "../runtime/events.ts";
import type { Handler } from "../runtime/handler.ts";
import { type Duration, toSeconds } from "../shared/duration.ts";
import { type Problem, unknownOptions, unless, whole } from "../shared/problem.ts";
import { checked, type EtlOperator, isReadyMade } from "./etl-operators.ts";

/** User code that is told of every record that nothing can be made of. */
export type RecordHook =
  | Code<{ readonly handler: Handler<FunctionInvoked<DeadLetter>, never, never, unknown, never> }>
  | HookSpec;

/** Settings of {@link KafkaEtlPipeline}. */
export interface KafkaEtlPipelineArgs extends ConstructArgs, AlarmArgs, Machine {
  /** A stream you have. @default a new one, in `kafka` */
  readonly from?: Stream;
  /** The Kafka in which streams are made. @default on this computer the local cloud keeps them; other clouds want one */
  readonly kafka?: Kafka;
  /** What is made of records, one after the other. @default they go on as they are */
  readonly operators?: readonly EtlOperator[];
  /** How values become what operators get. @default "json" */
  readonly format?: RecordFormat;
  /** Where outputs go. @default a new queue */
  readonly to?: Queue | Stream | Bucket | FunctionPart;
  /**
   * Where records go that nothing can be made of, each with its error. Those in a stream lie there as they came, with
   * headers `millrace-…`: a pipeline from that stream sends them back.
   *
   * @default a new queue
   */
  readonly deadLetters?: Queue | Stream;
  /** Your code, called with each dead letter: at least once, before its batch is done. @default nobody is called */
  readonly onFailure?: RecordHook;
  /**
   * What an output is known by, as a path such as `"order.id"` or JSONata: its key in a stream; of those that go to a
   * queue or function with the same one, only the first is sent.
   *
   * @default in a stream the key of the record it came of; else `<stream>-<partition>-<offset>`
   */
  readonly key?: string;
  /** For how long a second output of a `key` is known as one. @default "7 days" */
  readonly remembered?: Duration;
  /** Of a bucket: what keys begin with, and whether objects are compressed. @default no prefix, plain */
  readonly objects?: { readonly prefix?: string; readonly gzip?: boolean };
  /**
   * `"sync"`: a batch is delivered before its partition goes on. `"async"`: it becomes a run of `runs`, which is listed,
   * stopped and retried as any task's; partitions go on at once, and order is lost.
   *
   * @default "sync"
   */
  readonly delivery?: "sync" | "async";
  /**
   * What destinations get: each output, or of each run an envelope with its batch and its result, as Function Compute
   * sends it. Envelopes are of runs, and go to a queue.
   *
   * @default "records" if delivery is sync or goes to no queue, else "envelope"
   */
  readonly message?: "records" | "envelope";
  /** Most records in a batch. @default 500 */
  readonly batch?: number;
  /** Longest wait for a batch to fill. @default "1 second" */
  readonly window?: Duration;
  /** Where a pipeline begins that has never read. @default "earliest" */
  readonly begin?: "earliest" | "latest";
  /** Whose place in the stream it takes. @default its own */
  readonly group?: string;
  /**
   * Whether the Kafka knows transactions, which keep the place and, in streams of the same Kafka, outputs and dead
   * letters: both or neither. Without, places lie in a table.
   *
   * @default true
   */
  readonly transactions?: boolean;
  /** What TypeScript operators may touch, as `context.links`. @default nothing */
  readonly links?: Readonly<Record<string, Link>>;
  /** What they are told, as `context.settings`. @default nothing */
  readonly settings?: Readonly<Record<string, unknown>>;
  /** Tries of whatever does not answer, the first included; then the whole batch is given again. @default 5 */
  readonly tries?: number;
  /** Tries of a batch or a run, the first included; a batch that is given up lies in `failures`. @default 3 */
  readonly attempts?: number;
  readonly backoff?: Backoff;
  /** Longest time of one try of a batch. @default "5 minutes" */
  readonly timeout?: Duration;
  /** Batches of partitions, or runs, at once. @default as many as the cloud gives */
  readonly concurrency?: number;
  /** Packages of operators that cannot be bundled. @default none */
  readonly install?: readonly string[];
  /** Records that may wait before there is an alarm. @default 10,000 */
  readonly mostLag?: number;
}

/**
 * Makes something of every record of a stream, and brings it on: each record once, whatever fails on the way.
 *
 *     from ─▶ consume ─▶ operators ─┬▶ to
 *                                   └▶ deadLetters, onFailure ─ redrive ─▶ from
 *
 * A record that nothing can be made of goes to the dead letters alone, with its value, its error and where it was; the
 * rest goes on. A run of `redrive` sends dead letters back, by kind of error, offsets, or JSONata on the value:
 * `millrace tasks submit orders-redrive '{ "where": "total > 0", "dryRun": true }'`. Batches that could not be delivered
 * at all go back whole, also what was delivered of them before; Lambda tells of them by their offsets alone, so those go
 * back for as long as the stream keeps their records, and what it does not keep is counted.
 *
 * How often an output arrives, when functions are killed, batches given again with another cut, or two at work at once:
 *
 * - A stream of the same Kafka: once. Outputs, dead letters in a stream of it, and the place are one transaction; read
 *   what is committed. Without `transactions`, and in another Kafka: as to a queue, with the header `millrace-id`.
 * - A bucket: once. `<stream>/<partition>/<first offset>.jsonl` is put where nothing is, and the first one counts.
 * - A queue or function: once, but for what is under way in the moment of a kill, which may come a second time: at most
 *   16 outputs of a partition, each with the same `id` and de-duplication key. Queues that know that key drop it.
 * - Dead letters in a queue: as outputs to a queue.
 *
 * In sync delivery records of a partition arrive in their order; at a queue or function, those of a key.
 *
 * @example
 * const orders = new KafkaEtlPipeline("orders", {
 *   cloud,
 *   operators: [
 *     filter("total > 0"),
 *     code<typeof import("./prices.ts")>(new URL("./prices.ts", import.meta.url)),
 *     mask(["card.number"], { shown: 4 }),
 *   ],
 * });
 */
export class KafkaEtlPipeline extends Construct {
  /** Records are read from it. */
  readonly from: Stream;
  /** Outputs go there. */
  readonly to: Queue | Stream | Bucket | FunctionPart;
  /** Records that nothing could be made of. */
  readonly deadLetters: Queue | Stream;
  /** Batches that could not be delivered at all: the dead letters, if they are a queue. */
  readonly failures: Queue;
  /** In async delivery: a run for each batch. */
  readonly runs?: TaskPart;
  /** Sends dead letters of a queue back into the stream, by a run of it. */
  readonly redrive?: TaskPart;
  /** Alarms on dead letters, and on records that wait. */
  readonly alarms: Monitor;

  constructor(name: string, args: KafkaEtlPipelineArgs = {}, opts?: ComponentResourceOptions) {
    super("KafkaEtlPipeline", name, args, opts);

    const { kafka } = args;
    this.from = args.from ?? this.stream("source", kafka ? { kafka } : {});
    this.to = args.to ?? this.queue("done", { retention: KEPT });
    this.deadLetters = args.deadLetters ?? this.queue("dead-letters", { retention: KEPT });
    this.failures = isQueue(this.deadLetters) ? this.deadLetters : this.queue("failures", { retention: KEPT });
    const { settings, problems } = settingsOf(name, args, this.from, this.to, this.deadLetters);
    const world = this.#world(args, settings);
    const runs = args.delivery === "async" ? this.#runs(args, settings, world) : undefined;
    if (runs) this.runs = runs;
    const consumer = runs ? this.#submitter(args, settings, world, runs) : this.#consumer(args, settings, world);
    const redrive = this.#redriver(world, runs);
    if (redrive) this.redrive = redrive;
    const waiting: Alarm = { part: this.failures, metric: "messages", above: 0 };
    const lag: Alarm = { part: consumer, metric: "lag", above: args.mostLag ?? MOST_LAG };
    this.alarms = this.monitor("alarms", alarmsFor(args, [waiting, lag]));

    this.build(problems);
  }

  /** What whoever delivers is linked to, and the code of the user. */
  #world({ operators = [], links = {}, onFailure }: KafkaEtlPipelineArgs, settings: EtlSettings): World {
    const { from, to, deadLetters } = this;
    const isOneTransaction = settings.to === "same-kafka" && settings.deadLetters === "same-kafka";
    const table =
      isOneTransaction && settings.places === "stream" ? undefined : this.table("sent", { removable: true });
    const sent = table ? { sent: all(read(table), write(table)) } : {};
    const isQueued = isQueue(to) || isQueue(deadLetters);
    const large = isQueued ? this.bucket("large", { expires: KEPT, removable: true }) : undefined;
    const hook = onFailure && this.#hook(onFailure);
    const tables = operators.flatMap((operator, index) =>
      isReadyMade(operator) && operator.table ? [[`table-${index}`, read(operator.table)] as const] : [],
    );
    const codes = operators.flatMap((operator, index) =>
      isReadyMade(operator) ? [] : [[codeName(index), operator] as const],
    );
    return {
      place: settings.places === "stream" ? { source: claim(from) } : {},
      sent,
      large,
      links: {
        ...(settings.to !== "result" && { to: sinkLink(to) }),
        deadLetters: isQueue(deadLetters) ? send(deadLetters) : produce(deadLetters),
        ...sent,
        ...(large && { large: write(large) }),
        ...(hook && { onFailure: invoke(hook) }),
        ...Object.fromEntries(tables),
        ...Object.fromEntries(Object.entries(links).map(([name, link]) => [`user.${name}`, link])),
      } as LinksOf<EtlLinks>,
      code: Object.fromEntries(codes),
    };
  }

  /** Dead letters are told one by one. */
  #hook(given: RecordHook): FunctionPart<DeadLetter> {
    const { code, ...rest }: HookSpec = "code" in given ? given : { code: given };
    const spec = { handler: code, ...rest, attempts: 1 };
    return this.function("on-failure", spec as FunctionSpec<Handler<never, never, never, unknown, never>>);
  }

  #consumer(args: KafkaEtlPipelineArgs, settings: EtlSettings, { place, links, code }: World): FunctionPart {
    const { install, concurrency, attempts, backoff } = args;
    return this.function<Handlers["etl/consume"]>("consume", {
      handler: "etl/consume",
      when: sourceOf(this.from, args),
      links: { ...place, ...links },
      settings,
      code,
      ...machineOf(args),
      failures: this.failures,
      ...(install && { install }),
      ...(concurrency !== undefined && { concurrency }),
      ...(attempts !== undefined && { attempts }),
      ...(backoff && { backoff }),
    });
  }

  #submitter(args: KafkaEtlPipelineArgs, { tries }: EtlSettings, { place, sent }: World, runs: TaskPart): FunctionPart {
    const ledger = "source" in place ? place : sent;
    return this.function<Handlers["etl/submit"]>("consume", {
      handler: "etl/submit",
      when: sourceOf(this.from, args),
      links: { ...ledger, task: submit(runs) } as LinksOf<SubmitLinks>,
      settings: { tries },
      timeout: "1 minute",
      failures: this.failures,
    });
  }

  #runs(args: KafkaEtlPipelineArgs, settings: EtlSettings, { links, code }: World): TaskPart {
    const { install, concurrency, attempts, backoff } = args;
    const given = {
      handler: "etl/work",
      links,
      settings,
      code,
      ...machineOf(args),
      ...(install && { install }),
      ...(concurrency !== undefined && { concurrency }),
      ...(attempts !== undefined && { attempts }),
      ...(backoff && { backoff }),
    } as const;
    const isEnvelope = settings.to === "result";
    return this.task<Handlers["etl/work"]>("runs", given satisfies TaskSpec<Handlers["etl/work"]>, {
      ...(isEnvelope && isQueue(this.to) && { onSuccess: this.to }),
      onFailure: this.failures,
    });
  }

  #redriver({ large }: World, runs: TaskPart | undefined): TaskPart | undefined {
    const { from, deadLetters } = this;
    if (!isQueue(deadLetters) || !large) return undefined;
    return this.task<Handlers["etl/redrive"]>("redrive", {
      handler: "etl/redrive",
      links: {
        deadLetters: receive(deadLetters),
        source: all(produce(from), read(from)),
        large: read(large),
        ...(runs && { runs: read(runs) }),
      },
      concurrency: 1,
    });
  }
}

interface World {
  readonly place: { readonly source?: Link<NonNullable<EtlLinks["source"]>> };
  readonly sent: { readonly sent?: Link<NonNullable<EtlLinks["sent"]>> };
  readonly large: Bucket | undefined;
  readonly links: LinksOf<EtlLinks>;
  readonly code: Readonly<Record<string, Code<OperatorModule> | Program<OperatorProgram>>>;
}

/** What no cloud's queues refuse. */
const KEPT = "7 days";
const MOST_LAG = 10_000;
const MOST_BATCH = 10_000;

const isQueue = (part: Queue | Stream | Bucket | FunctionPart): part is Queue => part.kind === "queue";

const codeName = (index: number): string => `operator-${index + 1}`;

function sinkLink(to: KafkaEtlPipeline["to"]): Link {
  switch (to.kind) {
    case "queue":
      return send(to as Queue);
    case "stream":
      return produce(to as Stream);
    case "bucket":
      return all(read(to as Bucket), write(to as Bucket));
    default:
      return invoke(to as FunctionPart);
  }
}

const sourceOf = (
  stream: Stream,
  { batch = 500, window = "1 second", begin = "earliest", group }: KafkaEtlPipelineArgs,
) => consumed(stream, { batch, window, from: begin, ...(group !== undefined && { group }) });

function machineOf({ timeout = "5 minutes", memory, cpu, disk }: KafkaEtlPipelineArgs) {
  return {
    timeout,
    ...(memory !== undefined && { memory }),
    ...(cpu !== undefined && { cpu }),
    ...(disk !== undefined && { disk }),
  };
}

/** Whether one transaction reaches both. */
function isSameKafka(one: Stream, other: KafkaEtlPipeline["to"]): boolean {
  if (other.kind !== "stream" || one.cloud !== other.cloud) return false;
  const [here, there] = [one.plan.kafka, (other as Stream).plan.kafka];
  if (here?.instance !== undefined && here.instance === there?.instance) return true;
  return JSON.stringify(here?.brokers.toSorted()) === JSON.stringify(there?.brokers.toSorted());
}

function sinkOf(
  { delivery = "sync", transactions = true, message }: KafkaEtlPipelineArgs,
  source: Stream,
  to: KafkaEtlPipeline["to"],
): SinkKind {
  if (delivery === "async" && message !== "records" && to.kind === "queue") return "result";
  if (to.kind !== "stream") return to.kind as "queue" | "bucket" | "function";
  return delivery === "sync" && transactions && isSameKafka(source, to) ? "same-kafka" : "stream";
}

/** The settings functions get, and all that is wrong with what was given. */
function settingsOf(
  name: string,
  args: KafkaEtlPipelineArgs,
  source: Stream,
  to: KafkaEtlPipeline["to"],
  deadLetters: KafkaEtlPipeline["deadLetters"],
) {
  const { operators = [], format = "json", transactions = true, delivery = "sync", key, objects = {} } = args;
  const { tries = 5, remembered = "7 days", settings: user = {}, mostLag = MOST_LAG, batch = 500 } = args;
  const isTransactional = delivery === "sync" && transactions && isSameKafka(source, deadLetters);
  const settings: EtlSettings = {
    operators: operators.map(
      (one, index): OperatorSettings => (isReadyMade(one) ? one.operator : { code: codeName(index) }),
    ),
    format,
    to: sinkOf(args, source, to),
    deadLetters: isQueue(deadLetters) ? "queue" : isTransactional ? "same-kafka" : "stream",
    places: transactions ? "stream" : "table",
    ...(key !== undefined && { key: checked("key", key) }),
    remembered: secondsOr(remembered, 1),
    tries,
    objects: { prefix: objects.prefix ?? "", gzip: objects.gzip ?? false },
    user,
  };
  const problems = [
    ...unknownOptions(name, args, OPTIONS),
    ...unknownOptions(`${name}.objects`, objects, { prefix: true, gzip: true }),
    ...choice(`${name}.format`, format, ["json", "text", "bytes"]),
    ...choice(`${name}.delivery`, delivery, ["sync", "async"]),
    ...choice(`${name}.message`, args.message ?? "records", ["records", "envelope"]),
    ...whole(`${name}.tries`, tries, 1, 100),
    ...whole(`${name}.batch`, batch, 1, MOST_BATCH),
    ...whole(`${name}.mostLag`, mostLag, 0, Number.MAX_SAFE_INTEGER),
    ...pairProblems(name, args, source, to, deadLetters),
  ];
  return { settings, problems };
}

/** What does not go together. */
function pairProblems(
  name: string,
  { delivery = "sync", message, key, objects, kafka, from }: KafkaEtlPipelineArgs,
  source: Stream,
  to: KafkaEtlPipeline["to"],
  deadLetters: KafkaEtlPipeline["deadLetters"],
): readonly Problem[] {
  return [
    ...unless(["queue", "stream", "bucket", "function"].includes(to.kind), {
      path: `${name}.to`,
      message: "outputs go to a queue, a stream, a bucket or a function",
      given: to.kind,
    }),
    ...unless(["queue", "stream"].includes(deadLetters.kind), {
      path: `${name}.deadLetters`,
      message: "dead letters go to a queue or a stream",
      given: deadLetters.kind,
    }),
    ...unless(to !== source && deadLetters !== source, {
      path: name,
      message: "what goes into the stream it came of would be made again, without an end",
      given: source.name,
    }),
    ...unless(!(kafka && from), {
      path: `${name}.kafka`,
      message: "names the Kafka of a new stream, and from is one that is there",
    }),
    ...unless(message !== "envelope" || (delivery === "async" && to.kind === "queue"), {
      path: `${name}.message`,
      message: "an envelope is of a run, and goes to a queue",
      given: message,
      allowed: 'delivery: "async" and a queue as to, or message: "records"',
    }),
    ...unless(delivery !== "async" || deadLetters.kind === "queue", {
      path: `${name}.deadLetters`,
      message: "runs that fail are told to a queue",
      given: deadLetters.kind,
      allowed: 'a queue, or delivery: "sync"',
    }),
    ...unless(key === undefined || to.kind !== "bucket", {
      path: `${name}.key`,
      message: "objects have no keys for each output",
      given: key,
      allowed: "a stream, a queue or a function as to",
    }),
    ...unless(key === undefined || message === "records" || delivery === "sync" || to.kind !== "queue", {
      path: `${name}.key`,
      message: "an envelope has all outputs of a run",
      given: key,
      allowed: 'message: "records"',
    }),
    ...unless(objects === undefined || to.kind === "bucket", {
      path: `${name}.objects`,
      message: "only a bucket has objects",
      allowed: "a bucket as to",
    }),
  ];
}

/** What cannot be read is a problem, told elsewhere. */
function secondsOr(given: Duration, otherwise: number): number {
  try {
    return toSeconds(given);
  } catch {
    return otherwise;
  }
}

const OPTIONS = {
  cloud: true,
  id: true,
  notify: true,
  from: true,
  kafka: true,
  operators: true,
  format: true,
  to: true,
  deadLetters: true,
  onFailure: true,
  key: true,
  remembered: true,
  objects: true,
  delivery: true,
  message: true,
  batch: true,
  window: true,
  begin: true,
  group: true,
  transactions: true,
  links: true,
  settings: true,
  tries: true,
  attempts: true,
  backoff: true,
  timeout: true,
  concurrency: true,
  install: true,
  mostLag: true,
  ...MACHINE_OPTIONS,
} satisfies Readonly<Record<keyof KafkaEtlPipelineArgs, true>>;

const choice = (path: string, given: string, values: readonly string[]): readonly Problem[] =>
  unless(values.includes(given), { path, message: "there is no such choice", given, allowed: values.join(", ") });

export type { EtlRecord } from "../handlers/etl/records.ts";
export type { Redriven, RedriveRequest } from "../handlers/etl/redrive.ts";
export type { EtlOutput } from "../handlers/etl/send.ts";
export type { OperatorContext } from "../handlers/etl/user-code.ts";
export type { DeadLetter };
