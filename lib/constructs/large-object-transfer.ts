import type { ComponentResourceOptions } from "@pulumi/pulumi";
import type { Handlers } from "../handlers/index.ts";
import type { Transferred } from "../handlers/transfer/commit.ts";
import type { Overwrites, TransferRequest, TransferSettings } from "../handlers/transfer/settings.ts";
import type { GivenUp } from "../handlers/transfer/state.ts";
import { isSame, prefixProblems } from "../parts/bucket.ts";
import type { StepFunction } from "../parts/function.ts";
import {
  type AlarmArgs,
  alarmsFor,
  all,
  type Backoff,
  type Bucket,
  Construct,
  type ConstructArgs,
  created,
  type Flow,
  type Given,
  is,
  type Machine,
  type Monitor,
  type Ref,
  read,
  type Secret,
  type Source,
  start,
  type Workflow,
  write,
} from "../parts/index.ts";
import { MACHINE_OPTIONS } from "../parts/machine.ts";
import type { QueueReceived, ScheduleFired, SingleEvent } from "../runtime/events.ts";
import type { Duration } from "../shared/duration.ts";
import { type Problem, unknownOptions, unless } from "../shared/problem.ts";
import { bytesOr, type Size } from "../shared/size.ts";

/** What starts a transfer: an upload is that one object's, a schedule is the whole prefix's, a message says what. */
export type TransferStart = "upload" | Source<ScheduleFired> | Source<QueueReceived>;

/** Settings of {@link LargeObjectTransfer}. */
export interface LargeObjectTransferArgs extends ConstructArgs, AlarmArgs, Machine {
  /** A bucket you have, of any region, account or cloud: its objects are copied. @default a new one */
  readonly from?: Bucket;
  /** A bucket you have, of any region, account or cloud: it gets the copies. @default a new one */
  readonly to?: Bucket;
  /**
   * A secret with the keys to `from`, where the functions' role does not reach it:
   * `{ "accessKeyId": "…", "accessKeySecret": "…" }`. @default the role
   */
  readonly fromKeys?: Secret;
  /** As `fromKeys`, to `to`. @default the role */
  readonly toKeys?: Secret;
  /** What else starts transfers than clients and links. @default nothing */
  readonly when?: TransferStart | readonly TransferStart[];
  /** Uploads whose key begins so start transfers, and a schedule copies what is under it. @default every object */
  readonly prefix?: string;
  /** Put before the keys of copies. @default nothing */
  readonly toPrefix?: string;
  /** Objects of the target that are overwritten: those that are older than their source, all, or none. @default "older" */
  readonly overwrites?: Overwrites;
  /** Functions that copy at once, at most. @default 32 */
  readonly workers?: number;
  /** Objects of this size or more go in pieces of it, from "5 MB"; very large ones have larger pieces. @default "16 MB" */
  readonly piece?: Size;
  /** Longest time of one try of a worker; the next try goes on where it had no time left. @default "10 minutes" */
  readonly timeout?: Duration;
  /** Of workers; a quarter of it holds pieces. @default "1 GB" */
  readonly memory?: Size;
  /** @default 1 */
  readonly cpu?: number;
  /** Tries of every step, the first included. @default 8 */
  readonly attempts?: number;
  readonly backoff?: Backoff;
}

/**
 * Copies objects from bucket to bucket, across regions, accounts and clouds: one, all of a prefix, or those of a
 * manifest.
 *
 *     upload, schedule, message ─▶ start ─┐
 *     client, command line ───────────────┴▶ plan ─▶ copy × n ─▶ commit ─▶ to
 *
 * A run's input is `{ "object": "…" }`, `{ "prefix": "…" }` or `{ "manifest": "…" }`, with `to` for other keys. Large
 * objects go in pieces by many workers, copied by the store itself where it can; what a run that failed has copied is
 * found by its retry, and by the next run for the same object. Content type and metadata go along, tags do not. A source
 * that changes meanwhile is a `conflict`, and its copy does not appear. What is read is compared by the CRC-64 that its
 * store says of it; where that says none (objects that came to S3 before 2025, say), by its length alone.
 *
 *     millrace flows start move '{"object":"film.mp4"}' --wait
 *
 * Workers say how far they are, at which rate, and how long it still takes: in the run's steps on this computer, and every
 * half minute in the log of `move-copy`.
 *
 * @example
 * const move = new LargeObjectTransfer("move", { cloud, when: "upload", overwrites: "always" });
 */
export class LargeObjectTransfer extends Construct {
  /** What is copied. */
  readonly from: Bucket;
  /** Where to. */
  readonly to: Bucket;
  /** Start transfers by a client, or link it: `start(move.runs)`. */
  readonly runs: Workflow;
  /** Alarms on the first transfer that fails. */
  readonly alarms: Monitor;

  constructor(name: string, args: LargeObjectTransferArgs = {}, opts?: ComponentResourceOptions) {
    super("LargeObjectTransfer", name, args, opts);

    this.from = args.from ?? this.bucket("from");
    this.to = args.to ?? this.bucket("to");
    const { settings, problems } = settingsOf(name, args, this.from, this.to);
    const steps = this.#steps(args, settings);
    this.runs = this.workflow<TransferRequest, Transferred>("flow", {
      steps: (flow, input) => flowOf(flow, input, steps, args),
    });
    this.#starter(args);
    this.alarms = this.monitor("alarms", alarmsFor(args, [{ part: this.runs, metric: "failures", above: 0 }]));

    this.build(problems);
  }

  #steps(args: LargeObjectTransferArgs, settings: TransferSettings): Steps {
    const state = this.bucket("state", { expires: "7 days", removable: true });
    const fromKeys = args.fromKeys ? { keys: args.fromKeys } : {};
    const toKeys = args.toKeys ? { keys: args.toKeys } : {};
    const world = {
      links: {
        from: read(this.from, fromKeys),
        to: all(read(this.to, toKeys), write(this.to, toKeys)),
        state: all(read(state), write(state)),
      },
      settings,
    };
    return {
      plan: this.function<Handlers["transfer/plan"]>("plan", { handler: "transfer/plan", ...world, ...COORDINATION }),
      copy: this.function<Handlers["transfer/copy"]>("copy", {
        handler: "transfer/copy",
        ...world,
        ...machineOf(args),
      }),
      commit: this.function<Handlers["transfer/commit"]>("commit", {
        handler: "transfer/commit",
        ...world,
        ...COORDINATION,
      }),
    };
  }

  #starter({ when = [], prefix = "" }: LargeObjectTransferArgs): void {
    // What is no start is told with all other problems.
    const sources = [when].flat().flatMap((one): readonly Source<SingleEvent>[] => {
      if (one === "upload") return [created(this.from, { prefix })];
      return typeof one === "object" ? [one] : [];
    });
    if (sources.length === 0) return;
    this.function<Handlers["transfer/start"]>("start", {
      handler: "transfer/start",
      when: sources,
      links: { flow: start(this.runs) },
      settings: { prefix },
    });
  }
}

/** Functions that list, begin and complete: how long they take depends on the number of objects. */
const COORDINATION = { timeout: "10 minutes", memory: "1 GB", cpu: 0.5 } as const;

const MOST_WORKERS = 1000;

interface Steps {
  readonly plan: StepFunction<"transfer/plan">;
  readonly copy: StepFunction<"transfer/copy">;
  readonly commit: StepFunction<"transfer/commit">;
}

/** Steps get numbers: the lists of what is copied lie in a bucket, under the run's id. */
function flowOf(
  flow: Flow,
  request: Ref<TransferRequest>,
  { plan, copy, commit }: Steps,
  { workers = 32, attempts = 8, backoff }: LargeObjectTransferArgs,
): Given<Transferred> {
  const { run } = flow;
  const tries = { attempts, ...(backoff && { backoff }) };
  const { groups } = flow.function("plan", plan, { run, request }, tries);
  const work = (each: Flow, { group }: Ref<{ readonly group: number }>) => {
    each.function("copy", copy, { run, group }, tries);
  };
  flow.forEach("groups", groups, work, { atMost: workers, concurrency: workers });
  const { outcome, message, objects, bytes, kept } = flow.function("commit", commit, { run }, tries);
  const failure = (name: string, kind: GivenUp) => ({
    if: is(outcome, kind),
    do: (failed: Flow): Given<Transferred> => failed.fail(name, kind, message),
  });
  return flow.choice<Transferred>(
    "outcome",
    [
      failure("changed", "conflict"),
      failure("gone", "not-found"),
      failure("refused", "bad-input"),
      failure("damaged", "failed"),
    ],
    () => ({ objects, bytes, kept }),
  );
}

/** How workers run. */
function machineOf({ timeout = "10 minutes", memory = "1 GB", cpu = 1, disk }: LargeObjectTransferArgs) {
  return { timeout, memory, cpu, ...(disk !== undefined && { disk }) };
}

/** A worker's pieces under way have that share of its memory. */
const BUFFER_SHARE = 1 / 4;
/** What every store takes. https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html */
const LEAST_PIECE = 5 * 2 ** 20;
const OVERWRITES: readonly Overwrites[] = ["older", "always", "never"];

/** The settings the functions get, and all that is wrong with what was given. */
function settingsOf(name: string, args: LargeObjectTransferArgs, from: Bucket, to: Bucket) {
  const { prefix = "", toPrefix = "", overwrites = "older", workers = 32, piece = "16 MB", memory = "1 GB" } = args;
  const buffer = Math.floor(bytesOr(memory, 0) * BUFFER_SHARE);
  const size = bytesOr(piece, 0);
  const problems: Problem[] = [
    ...unknownOptions(name, args, OPTIONS),
    ...prefixProblems(`${name}.prefix`, prefix),
    ...prefixProblems(`${name}.toPrefix`, toPrefix),
    ...unless(!(isSame(from, to) && (toPrefix + prefix).startsWith(prefix)), {
      path: `${name}.toPrefix`,
      message: `from and to are one bucket: copies under "${toPrefix}${prefix}" would be copied by the next transfer, since all under "${prefix}" is`,
      given: toPrefix,
      allowed: 'a prefix outside that of the source, such as prefix: "in/" and toPrefix: "out/"',
    }),
    ...unless(OVERWRITES.includes(overwrites), {
      path: `${name}.overwrites`,
      message: "there is no such choice",
      given: overwrites,
      allowed: OVERWRITES.join(", "),
    }),
    ...unless(Number.isInteger(workers) && workers >= 1 && workers <= MOST_WORKERS, {
      path: `${name}.workers`,
      message: "a whole number is wanted",
      given: workers,
      allowed: `1 to ${MOST_WORKERS}`,
    }),
    ...unless(size >= LEAST_PIECE && size <= buffer, {
      path: `${name}.piece`,
      message: "a piece is what every store takes, and fits into a quarter of a worker's memory",
      given: piece,
      allowed: `"5 MB" to "${Math.floor(buffer / 2 ** 20)} MB"`,
    }),
    ...startProblems(`${name}.when`, [args.when ?? []].flat()),
  ];
  const settings: TransferSettings = { overwrites, workers, piece: size, toPrefix, buffer };
  return { settings, problems };
}

/** A text that is no start cannot be told from one by the types of a program that is not checked. */
const startProblems = (path: string, starts: readonly TransferStart[]): readonly Problem[] =>
  starts.flatMap((one) =>
    unless(one === "upload" || typeof one === "object", {
      path,
      message: "nothing starts a transfer so",
      given: one,
      allowed: '"upload", every(…), cron(…) or received(queue)',
    }),
  );

const OPTIONS = {
  cloud: true,
  id: true,
  notify: true,
  from: true,
  to: true,
  fromKeys: true,
  toKeys: true,
  when: true,
  prefix: true,
  toPrefix: true,
  overwrites: true,
  workers: true,
  piece: true,
  timeout: true,
  attempts: true,
  backoff: true,
  ...MACHINE_OPTIONS,
} satisfies Readonly<Record<keyof LargeObjectTransferArgs, true>>;
