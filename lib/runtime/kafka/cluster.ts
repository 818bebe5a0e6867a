import {
  type API,
  apiVersionsV2,
  type Connection,
  ConnectionPool,
  findCoordinatorV2,
  metadataV7,
  type SASLMechanismValue,
} from "@platformatic/kafka";
import { sleep } from "../clock.ts";
import type { PortWorld } from "../deployment.ts";
import { MillraceError } from "../errors.ts";
import type { KafkaConnection } from "./connection.ts";
import { codesOf, isClients, refusalOf } from "./refusals.ts";

/** Milliseconds until a connection has to be there, and that a broker may take to answer. */
const CONNECT_TIMEOUT = 10_000;
const SILENCE = 15_000;
/** Milliseconds that something is tried again before Kafka counts as gone. */
const PATIENCE = 30_000;
/** Milliseconds after which it is asked again how many partitions a topic has: it may get more. */
const KNOWN_FOR = 300_000;
/** Milliseconds between tries: the first, and the longest. */
const FIRST_DELAY = 50;
const LONGEST_DELAY = 1_000;

/** What a call needs of whoever makes it: it ends with the invocation. */
export type Caller = Pick<PortWorld, "clock" | "signal">;

interface Broker {
  readonly host: string;
  readonly port: number;
}

interface Leaders {
  /** Broker by partition. */
  readonly brokers: readonly Broker[];
  /** When they were asked for, milliseconds since 1970. */
  readonly asked: number;
}

/**
 * The brokers of a Kafka: who leads a partition, who coordinates a group or a transaction, and the connections to them.
 *
 * Built on the client's connections and the messages of its protocol, not on its producer and consumer: these begin
 * transactions by an id as a new producer that nobody had before, which Kafka refuses after a crash, and they join a
 * group only to leave what is being worked on behind. Every message is of a version that all Kafkas from 2.2 to 4 know.
 *
 * @see https://kafka.apache.org/protocol
 */
export class Cluster {
  readonly connection: KafkaConnection;
  readonly #pool: ConnectionPool;
  readonly #bootstrap: readonly Broker[];
  readonly #patience: number;
  readonly #topics = new Map<string, Leaders>();
  #known: readonly Broker[] = [];

  /**
   * @param options.silence milliseconds that a broker may take to answer
   * @param options.patience milliseconds until Kafka counts as gone
   */
  constructor(
    connection: KafkaConnection,
    { silence = SILENCE, patience = PATIENCE }: { readonly silence?: number; readonly patience?: number } = {},
  ) {
    this.connection = connection;
    this.#patience = patience;
    this.#bootstrap = connection.brokers.map(toBroker);
    const { tls, ca, user } = connection;
    this.#pool = new ConnectionPool("millrace", {
      connectTimeout: CONNECT_TIMEOUT,
      requestTimeout: silence,
      maxInflights: 100,
      ...(tls && { tls: ca ? { ca: [...ca] } : {}, tlsServerName: true }),
      ...(user && {
        sasl: {
          mechanism: user.mechanism.toUpperCase() as SASLMechanismValue,
          username: user.username,
          password: user.password,
        },
      }),
    });
  }

  /** How many partitions a topic has. */
  async partitions(caller: Caller, topic: string): Promise<number> {
    return (await this.#leaders(caller, topic)).brokers.length;
  }

  /** The broker that leads a partition, by its address. */
  async leader(caller: Caller, topic: string, partition: number): Promise<string> {
    const { brokers } = await this.#leaders(caller, topic);
    const broker = brokers[partition];
    if (broker) return `${broker.host}:${broker.port}`;
    throw new MillraceError("bad-input", `topic ${topic} has ${brokers.length} partitions, got partition ${partition}`);
  }

  /** The broker that coordinates a group or a transaction. */
  async coordinator(caller: Caller, kind: "group" | "transaction", key: string): Promise<string> {
    const { coordinators } = await this.anywhere((connection) =>
      ask(findCoordinatorV2.api, connection, kind === "group" ? 0 : 1, [key]),
    );
    caller.signal.throwIfAborted();
    const { host, port } = coordinators[0]!;
    return `${host}:${port}`;
  }

  /** A connection to a broker. */
  to(broker: string): Promise<Connection> {
    return this.#connect(toBroker(broker));
  }

  /** Asks the first broker that can be reached. */
  async anywhere<Answer>(request: (connection: Connection) => Promise<Answer>): Promise<Answer> {
    let failure: unknown;
    for (const broker of [...this.#known, ...this.#bootstrap]) {
      const connection = await this.#connect(broker).catch((error: unknown) => {
        failure = error;
        return undefined;
      });
      if (connection) return request(connection);
    }
    throw failure;
  }

  /** Whether the broker at the other end knows a version of a message. */
  async knows(connection: Connection, { key, version }: { readonly key: number; readonly version: number }) {
    const { apiKeys } = await ask(apiVersionsV2.api, connection, "", "");
    return (apiKeys.find(({ apiKey }) => apiKey === key)?.maxVersion ?? -1) >= version;
  }

  /** All brokers there are now. */
  async brokers(): Promise<readonly string[]> {
    const { brokers } = await this.anywhere((connection) => ask(metadataV7.api, connection, [], false));
    return brokers.map(({ host, port }) => `${host}:${port}`);
  }

  /** Who leads what is asked again. */
  forget(topic: string): void {
    this.#topics.delete(topic);
  }

  /**
   * Does it until it succeeds or cannot, while brokers come and go.
   *
   * @param isOver whether an error is told at once that could be passing
   * @throws unavailable after it did not succeed for so long
   */
  async patiently<Answer>(caller: Caller, what: string, attempt: () => Promise<Answer>): Promise<Answer> {
    const { clock, signal } = caller;
    const begun = clock.now();
    for (let delay = FIRST_DELAY; ; delay = Math.min(delay * 2, LONGEST_DELAY)) {
      try {
        return await unlessAborted(signal, attempt());
      } catch (error) {
        signal.throwIfAborted();
        const refusal = refusalOf(what, error);
        if (refusal) throw refusal;
        if (!isClients(error)) throw error;
        if (clock.now() - begun > this.#patience) throw gone(what, error);
        await sleep(clock, delayAfter(error, delay), signal);
      }
    }
  }

  /** Everything under way fails. */
  close(): void {
    this.#pool.close(() => {});
  }

  async #leaders(caller: Caller, topic: string): Promise<Leaders> {
    const known = this.#topics.get(topic);
    const asked = caller.clock.now();
    if (known && asked - known.asked < KNOWN_FOR) return known;
    const { brokers, topics } = await this.anywhere((connection) => ask(metadataV7.api, connection, [topic], false));
    caller.signal.throwIfAborted();
    this.#known = brokers;
    const found = topics.find(({ name }) => name === topic);
    const partitions = [...(found?.partitions ?? [])].sort((one, other) => one.partitionIndex - other.partitionIndex);
    const leaders = {
      brokers: partitions.map(({ leaderId }) => brokers.find(({ nodeId }) => nodeId === leaderId)!),
      asked,
    };
    this.#topics.set(topic, leaders);
    return leaders;
  }

  #connect(broker: Broker): Promise<Connection> {
    return new Promise((resolve, reject) => {
      this.#pool.get({ host: broker.host, port: broker.port }, (error, connection) => {
        if (error || !connection) return reject(error);
        if (!watched.has(connection)) {
          watched.add(connection);
          connection.on("error", () => {}); // whoever waits for an answer is told
          connection.socket?.unref(); // an answer that is waited for has a timer of its own
        }
        resolve(connection);
      });
    });
  }
}

const watched = new WeakSet<Connection>();

/** One message and its answer. */
export function ask<Arguments extends unknown[], Answer>(
  api: API<Arguments, Answer>,
  connection: Connection,
  ...args: Arguments
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const done = (error: Error | null, answer?: Answer) => (error ? reject(error) : resolve(answer as Answer));
    (api as unknown as (connection: Connection, ...rest: unknown[]) => void)(connection, ...args, done);
  });
}

function toBroker(address: string): Broker {
  const at = address.lastIndexOf(":");
  return { host: address.slice(0, at), port: Number(address.slice(at + 1)) };
}

/** A transaction that ends, and a topic that was made just now, are a matter of milliseconds. */
const delayAfter = (error: unknown, delay: number): number =>
  codesOf(error).some((code) => code === "CONCURRENT_TRANSACTIONS" || code === "UNSTABLE_OFFSET_COMMIT")
    ? FIRST_DELAY / 2
    : delay;

function gone(what: string, error: unknown): MillraceError {
  const codes = codesOf(error);
  const why = codes.length > 0 ? codes.join(", ") : (error as Error).message;
  const kind = codes.includes("UNKNOWN_TOPIC_OR_PARTITION") ? "not-found" : "unavailable";
  return new MillraceError(kind, `${what}: ${why}`, { cause: error });
}

function unlessAborted<Answer>(signal: AbortSignal, answer: Promise<Answer>): Promise<Answer> {
  if (signal.aborted) return Promise.reject(signal.reason);
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    answer.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
