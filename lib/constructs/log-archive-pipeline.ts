import type { ComponentResourceOptions } from "@pulumi/pulumi";
import type { ApplicationRule, SealSettings } from "../handlers/archive/settings.ts";
import type { ApplicationModule } from "../handlers/archive/user-code.ts";
import type { Handlers } from "../handlers/index.ts";
import { prefixProblems } from "../parts/bucket.ts";
import {
  type AlarmArgs,
  alarmsFor,
  all,
  type Bucket,
  type Code,
  Construct,
  type ConstructArgs,
  consumed,
  every,
  type FunctionPart,
  type Kafka,
  type Machine,
  type Monitor,
  mount,
  read,
  type Secret,
  type Source,
  type Stream,
  type StreamSpec,
  type Table,
  type Volume,
  write,
} from "../parts/index.ts";
import { MACHINE_OPTIONS } from "../parts/machine.ts";
import { Part } from "../parts/part.ts";
import type { ScheduleFired } from "../runtime/events.ts";
import type { Codec, Compression } from "../shared/archive/member.ts";
import { type Duration, toMilliseconds } from "../shared/duration.ts";
import { type Problem, unknownOptions, unless, whole } from "../shared/problem.ts";
import { type Size, toBytes } from "../shared/size.ts";

/** Where a record says which application it is of; see {@link LogArchivePipelineArgs.application}. */
export type ApplicationArg = string | { readonly header: string } | Code<ApplicationModule>;

/** When files are closed, and may be uploaded. */
export interface Sealing {
  /** From this size on, as it is compressed. @default "64 MB" */
  readonly size?: Size;
  /** That long after their first line; and in any case at the end of the hour. @default "10 minutes" */
  readonly age?: Duration;
}

/** How files are compressed. */
export interface ArchiveCompression {
  /**
   * What everything reads, or what is faster: `zstd` wants a cloud whose Node has it. Alibaba Cloud's has not, and the
   * check refuses it there.
   *
   * @default "gzip"
   */
  readonly codec?: Codec;
  /** 1 is quick, 9 is small; 1 to 19 with zstd. @default 2; 1 with zstd */
  readonly level?: number;
}

/** Who may write to a slot is asked of a Redis you have, beside the table. */
export interface RedisLock {
  /** Where it is reached from where the functions run: `"redis://cache.example.com:6379"`, `rediss:` with TLS. */
  readonly redis: string;
  /** A secret with who connects, as JSON: `{ "username": "…", "password": "…" }`. @default nobody is asked */
  readonly user?: Secret;
}

/** Settings of {@link LogArchivePipeline}. */
export interface LogArchivePipelineArgs extends ConstructArgs, AlarmArgs, Machine {
  /**
   * A stream you have, or how a new one is made. How far it is archived is known by its name and offsets: a topic that is
   * deleted and made anew begins at 0 again, and wants an archive with another `id`.
   *
   * @default a new one
   */
  readonly from?: Stream | StreamSpec;
  /** The Kafka of the new stream. @default on this computer the local cloud keeps it; other clouds want one */
  readonly kafka?: Kafka;
  /** Where in the stream it begins that has never read. @default "earliest" */
  readonly start?: "earliest" | "latest";
  /**
   * What a record belongs to: a field of its value as JSON (`"labels.app"`), a header, or your code, a file that exports
   * `application(record)`. What names none is archived as `unknown`.
   *
   * @default "app"
   */
  readonly application?: ApplicationArg;
  /** A bucket you have for the files. @default a new one */
  readonly to?: Bucket;
  /** Put before the keys of files. @default nothing */
  readonly prefix?: string;
  /** Files of an application that are written at once, at most; one that was seen keeps what was said then. @default 10 */
  readonly files?: number;
  /** Most records of one batch. @default 1000 */
  readonly batch?: number;
  /** Longest wait for a batch to fill. @default "5 seconds" */
  readonly window?: Duration;
  readonly seal?: Sealing;
  /** When closed files are uploaded. @default every("5 minutes") */
  readonly upload?: Source<ScheduleFired>;
  readonly compression?: ArchiveCompression;
  /** @default the table alone says who writes */
  readonly lock?: RedisLock;
  /** An alarm tells when more records than that wait to be archived for five minutes. @default 100000 */
  readonly lag?: number;
  /** Longest time of one batch. @default "5 minutes" */
  readonly timeout?: Duration;
  /** Of who compresses. @default "1 GB" */
  readonly memory?: Size;
  /** Of who compresses. @default 1 */
  readonly cpu?: number;
}

/**
 * Archives a stream of log lines by application: every line exactly once, in order in each partition.
 *
 *     from ──batches──▶ archive ──compressed──▶ volume ──▶ upload ──▶ to
 *                          └──── slots: what counts ─────────┘
 *
 * Lines of an application go to at most `files` files at once on a volume, each under a lease with a fencing token, and
 * from there to `app=…/dt=…/hour=…/….log.gz` in the bucket, in UTC, by when they were archived. `zcat` shows them as they
 * were received; `millrace logs find` reads bucket and volume alike. A batch that fails is given again until it is
 * archived, and what is behind it in its partitions waits: nothing is set aside, so alarms are on failures and lag.
 *
 * @example
 * const logs = new LogArchivePipeline("logs", {
 *   cloud,
 *   application: "labels.app",
 *   seal: { size: "128 MB", age: "15 minutes" },
 *   upload: every("10 minutes"),
 * });
 */
export class LogArchivePipeline extends Construct {
  /** What is archived. */
  readonly from: Stream;
  /** Where the files go. */
  readonly to: Bucket;
  /** Where files grow until they are uploaded. */
  readonly files: Volume;
  /** What counts of each file, and how far each partition is archived. */
  readonly slots: Table;
  /** Alarms on batches and uploads that fail, and on lines that wait. */
  readonly alarms: Monitor;

  constructor(name: string, args: LogArchivePipelineArgs = {}, opts?: ComponentResourceOptions) {
    super("LogArchivePipeline", name, args, opts);

    const { from = {}, kafka, to, upload = every("5 minutes"), lag = 100_000 } = args;
    const { settings, problems } = settingsOf(name, args);
    this.from = from instanceof Part ? from : this.stream("lines", { ...(kafka && { kafka }), ...from });
    this.to = to ?? this.bucket("archive");
    this.files = this.volume("files");
    this.slots = this.table("slots");
    const archive = this.#archive(args, settings);
    const uploads = this.function<Handlers["archive/upload"]>("upload", {
      handler: "archive/upload",
      when: upload,
      links: {
        slots: all(read(this.slots), write(this.slots)),
        volume: mount(this.files),
        bucket: all(read(this.to), write(this.to)),
      },
      settings: { seal: settings.seal, prefix: settings.prefix },
      ...UPLOADER,
    });
    const alarms = [
      { part: archive, metric: "failures", above: 0 },
      { part: archive, metric: "lag", above: lag },
      { part: uploads, metric: "failures", above: 0 },
    ] as const;
    this.alarms = this.monitor("alarms", alarmsFor(args, alarms));

    this.build(problems);
  }

  #archive(args: LogArchivePipelineArgs, settings: Settings): FunctionPart {
    const { application, lock, batch = 1000, window = "5 seconds", start = "earliest", timeout = "5 minutes" } = args;
    const { memory = "1 GB", cpu = 1, disk } = args;
    const { prefix: _, ...rest } = settings;
    const links = { slots: all(read(this.slots), write(this.slots)), volume: mount(this.files) };
    const common = {
      when: consumed(this.from, { batch, window, from: start }),
      code: isCode(application) ? { application } : {},
      ...{ timeout, memory, cpu, compression: settings.compression.codec, ...(disk !== undefined && { disk }) },
    };
    if (!lock) {
      return this.function<Handlers["archive/append"]>("append", {
        handler: "archive/append",
        ...{ links, settings: rest, ...common },
      });
    }
    return this.function<Handlers["archive/append-under-redis"]>("append", {
      handler: "archive/append-under-redis",
      links: { ...links, ...(lock.user && { user: read(lock.user) }) },
      settings: { ...rest, redis: lock.redis, space: this.plan.id },
      ...common,
    });
  }
}

/** What it does is to wait for a table, a volume and a bucket. */
const UPLOADER = { timeout: "10 minutes", memory: "512 MB", cpu: 0.5 } as const;

/** A slot that nobody gives back is waited for that long, in milliseconds; to append takes a fraction of it. */
const LEASE = 10_000;
const MOST_FILES = 100;
const LEVELS: Readonly<Record<Codec, { readonly least: number; readonly most: number; readonly usual: number }>> = {
  // Of gzip's levels, 2 has the most of what is to be had at little cost.
  gzip: { least: 1, most: 9, usual: 2 },
  zstd: { least: 1, most: 19, usual: 1 },
};

const isCode = (application: ApplicationArg | undefined): application is Code<ApplicationModule> =>
  typeof application === "object" && application !== null && "file" in application;

type Settings = ReturnType<typeof settingsOf>["settings"];

/** The settings the functions get, and all that is wrong with what was given. */
function settingsOf(name: string, args: LogArchivePipelineArgs) {
  const { application = "app", prefix = "", files = 10, batch = 1000, lag = 100_000, lock } = args;
  const { size = "64 MB", age = "10 minutes" } = args.seal ?? {};
  const compression = compressionOf(args.compression);
  const levels = LEVELS[compression.codec] ?? LEVELS.gzip;
  const problems: Problem[] = [
    ...unknownOptions(name, args, OPTIONS),
    ...unknownOptions(`${name}.seal`, args.seal ?? {}, { size: true, age: true }),
    ...unknownOptions(`${name}.compression`, args.compression ?? {}, { codec: true, level: true }),
    ...unknownOptions(`${name}.lock`, lock ?? {}, { redis: true, user: true }),
    ...unless(!(args.kafka && args.from && (args.from instanceof Part || args.from.kafka)), {
      path: `${name}.kafka`,
      message: "the stream in from has its Kafka already",
    }),
    ...applicationProblems(`${name}.application`, application),
    ...prefixProblems(`${name}.prefix`, prefix, "logs/"),
    ...whole(`${name}.files`, files, 1, MOST_FILES),
    ...whole(`${name}.batch`, batch, 1, 10_000),
    ...whole(`${name}.lag`, lag, 0, Number.MAX_SAFE_INTEGER),
    ...whole(`${name}.compression.level`, compression.level, levels.least, levels.most),
    ...sizeProblems(`${name}.seal.size`, size),
    ...ageProblems(`${name}.seal.age`, age),
    ...(lock ? redisProblems(`${name}.lock.redis`, lock.redis) : []),
  ];
  const seal: SealSettings = { size: numberOr(() => toBytes(size)), age: numberOr(() => toMilliseconds(age)) };
  const settings = { application: ruleOf(application), files, seal, compression, lease: LEASE, prefix };
  return { settings, problems };
}

const compressionOf = ({
  codec = "gzip",
  level = LEVELS[codec]?.usual ?? 1,
}: ArchiveCompression = {}): Compression => ({
  codec,
  level,
});

function ruleOf(application: ApplicationArg): ApplicationRule {
  if (typeof application === "string") return { path: application.split(".") };
  return "header" in application ? { header: application.header } : { code: true };
}

const applicationProblems = (path: string, given: ApplicationArg): readonly Problem[] =>
  unless(
    typeof given === "string"
      ? given.split(".").every((field) => field !== "")
      : isCode(given) || (typeof given?.header === "string" && given.header !== ""),
    {
      path,
      message: "it says where a record names its application",
      given,
      allowed: '"labels.app", { header: "app" } or code(…)',
    },
  );

const LEAST_SIZE = 64 * 2 ** 10;
/** Objects of this size are put in pieces by every store. */
const MOST_SIZE = 5 * 2 ** 30;

function sizeProblems(path: string, given: Size): readonly Problem[] {
  const bytes = numberOr(() => toBytes(given));
  return unless(bytes >= LEAST_SIZE && bytes <= MOST_SIZE, {
    ...{ path, given },
    message: "a file has some size",
    allowed: '"64 KB" to "5 GB"',
  });
}

function ageProblems(path: string, given: Duration): readonly Problem[] {
  const age = numberOr(() => toMilliseconds(given));
  return unless(age >= 1000 && age <= 3_600_000, {
    ...{ path, given },
    message: "a file has nothing of two hours",
    allowed: '"1 second" to "1 hour"',
  });
}

const redisProblems = (path: string, given: string): readonly Problem[] =>
  unless(/^rediss?:\/\/[^@/]+(?:\/\d+)?$/.test(given), {
    path,
    message: "it says where a Redis is, and not who connects: that lies in a secret, lock.user",
    given,
    allowed: '"redis://host:6379", "rediss://host:6379/0"',
  });

/** What cannot be read is no size and no time. */
function numberOr(read: () => number): number {
  try {
    return read();
  } catch {
    return 0;
  }
}

const OPTIONS = {
  cloud: true,
  id: true,
  notify: true,
  from: true,
  kafka: true,
  start: true,
  application: true,
  to: true,
  prefix: true,
  files: true,
  batch: true,
  window: true,
  seal: true,
  upload: true,
  compression: true,
  lock: true,
  lag: true,
  timeout: true,
  ...MACHINE_OPTIONS,
} satisfies Readonly<Record<keyof LogArchivePipelineArgs, true>>;
