import {
  AckPolicy,
  type ConsumerConfig,
  DiscardPolicy,
  JetStreamApiError,
  type JetStreamManager,
  jetstreamManager,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
} from "@nats-io/jetstream";
import { type NatsConnection, nanos } from "@nats-io/transport-node";
import { MillraceError } from "../../../runtime/errors.ts";
import { toMillraceError } from "./nats.ts";
import { type Program, variable } from "./program.ts";

/** What a part needs to have in NATS before it can be used. Durations are seconds. */
export interface Setup {
  readonly streams: readonly StreamSetup[];
  readonly consumers: readonly ConsumerSetup[];
  /** Key-value buckets. */
  readonly tables: readonly string[];
  /** Servers that keep a copy of each stream and table. @default 1 */
  readonly replicas?: number;
}

export interface StreamSetup {
  readonly name: string;
  /** Without wildcards that reach into another stream. */
  readonly subjects: readonly string[];
  /**
   * `work`: a message is for one consumer, and gone when that has acknowledged it. `interest`: each consumer gets
   * every message from the time it is there on.
   *
   * @default work
   */
  readonly retention?: "work" | "interest";
  /** @default messages are kept until they are taken */
  readonly maxAge?: number;
  /** How long the id of a message is remembered, so that a second one with it is not stored. @default 120 */
  readonly duplicates?: number;
}

export interface ConsumerSetup {
  readonly stream: string;
  readonly name: string;
  readonly subject: string;
  /** How long a message is hidden from others once it was received. */
  readonly visibility: number;
}

/** Sets up what `MILLRACE_SETUP` says, as JSON. */
export const handler: Program = (world) => setUp(world.nats, JSON.parse(variable(world, "MILLRACE_SETUP")) as Setup);

/** Where a message waits for its time: a subject for each, in the same stream. */
export const laterSubject = (subject: string): string => `${subject}.later`;

/**
 * Makes what is not there, and changes what is there to what is asked for. Nothing is removed, no message lost.
 *
 * @throws `refused` if the server is too old: delays and expiry want NATS 2.12.
 */
export async function setUp(nats: NatsConnection, { streams, consumers, tables, replicas = 1 }: Setup): Promise<void> {
  checkVersion(nats);
  const manager = await jetstreamManager(nats, { checkAPI: false });
  for (const stream of streams) await makeStream(manager, streamConfig(stream, replicas));
  for (const table of tables) await makeStream(manager, tableConfig(table, replicas));
  for (const { stream, ...consumer } of consumers) await makeConsumer(manager, stream, consumerConfig(consumer));
}

/** https://docs.nats.io/release-notes/whats_new/whats_new_212 */
function checkVersion(nats: NatsConnection): void {
  const [major = 0, minor = 0] = (nats.info?.version ?? "").split(".").map(Number);
  if (major > 2 || (major === 2 && minor >= 12)) return;
  throw new MillraceError("refused", `NATS ${nats.info?.version} is too old: delayed messages want 2.12 or later`);
}

const streamConfig = ({ name, subjects, retention = "work", maxAge, duplicates }: StreamSetup, replicas: number) => ({
  name,
  subjects: subjects.flatMap((subject) => [subject, ...(/[*>]/.test(subject) ? [] : [`${laterSubject(subject)}.*`])]),
  retention: retention === "work" ? RetentionPolicy.Workqueue : RetentionPolicy.Interest,
  storage: StorageType.File,
  num_replicas: replicas,
  max_age: seconds(maxAge ?? 0),
  // No longer than messages are kept: https://docs.nats.io/nats-concepts/jetstream/streams
  duplicate_window: seconds(Math.min(duplicates ?? DUPLICATES, maxAge || Number.POSITIVE_INFINITY)),
  allow_msg_ttl: true,
  allow_msg_schedules: true,
});

const DUPLICATES = 120;
/** A table's ids only make it harmless to try a put again. */
const TABLE_DUPLICATES = 60;

/**
 * As the clients of NATS make a key-value bucket, so that its tools show it, with a time to live for each row.
 * https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-8.md
 */
const tableConfig = (table: string, replicas: number) => ({
  name: tableStream(table),
  subjects: [`${tableSubject(table)}.>`],
  storage: StorageType.File,
  num_replicas: replicas,
  max_msgs_per_subject: 1,
  discard: DiscardPolicy.New,
  duplicate_window: seconds(TABLE_DUPLICATES),
  allow_rollup_hdrs: true,
  deny_delete: true,
  allow_direct: true,
  allow_msg_ttl: true,
});

/** The stream of a key-value bucket. */
export const tableStream = (table: string): string => `KV_${table}`;
/** What the subjects of its rows begin with. */
export const tableSubject = (table: string): string => `$KV.${table}`;

/** What is received and not yet acknowledged has no limit: delayed and long-running messages would use it up. */
const consumerConfig = ({ name, subject, visibility }: Omit<ConsumerSetup, "stream">) => ({
  durable_name: name,
  filter_subject: subject,
  ack_policy: AckPolicy.Explicit,
  ack_wait: seconds(visibility),
  max_ack_pending: -1,
  max_deliver: -1,
});

const seconds = (count: number): number => nanos(count * 1000);

type WithName<Config> = Partial<Config> & { readonly name: string };

async function makeStream(manager: JetStreamManager, config: WithName<StreamConfig>): Promise<void> {
  try {
    const isThere = await exists(() => manager.streams.info(config.name));
    // What cannot change is left as it is: a stream's name says of what kind it is.
    const { retention: _, storage: __, ...changeable } = config;
    await (isThere ? manager.streams.update(config.name, changeable) : manager.streams.add(config));
  } catch (error) {
    throw toMillraceError(`set up stream ${config.name}`, error);
  }
}

async function makeConsumer(
  manager: JetStreamManager,
  stream: string,
  config: Partial<ConsumerConfig> & { readonly durable_name: string },
): Promise<void> {
  const { durable_name: name, ack_policy: _, ...changeable } = config;
  try {
    const isThere = await exists(() => manager.consumers.info(stream, name));
    await (isThere ? manager.consumers.update(stream, name, changeable) : manager.consumers.add(stream, config));
  } catch (error) {
    throw toMillraceError(`set up consumer ${name} of ${stream}`, error);
  }
}

/** The server's codes for a consumer and a stream that are not there. https://github.com/nats-io/nats-server/blob/main/server/errors.json */
const NOT_FOUND: readonly number[] = [10014, 10059];

async function exists(look: () => Promise<unknown>): Promise<boolean> {
  try {
    await look();
    return true;
  } catch (error) {
    if (error instanceof JetStreamApiError && NOT_FOUND.includes(error.code)) return false;
    throw error;
  }
}
