import { tmpdir } from "node:os";
import type { SecretPlan, StreamPlan } from "../parts/plan.ts";
import { systemClock } from "../runtime/clock.ts";
import type { LinkAddress } from "../runtime/deployment.ts";
import { MillraceError } from "../runtime/errors.ts";
import type { Log } from "../runtime/handler.ts";
import { connectionOf, type KafkaConnection, type KafkaUser } from "../runtime/kafka/connection.ts";
import type { StreamClient } from "../runtime/streams.ts";
import type { StackOutput } from "./system.ts";

/** What says who connects to a stack's Kafkas from outside, and where they are reached from there. */
export interface KafkaEnvironment {
  readonly MILLRACE_KAFKA_BROKERS?: string;
  readonly MILLRACE_KAFKA_USERNAME?: string;
  readonly MILLRACE_KAFKA_PASSWORD?: string;
}

/**
 * The streams of a deployed stack. They lie in Kafkas, which are spoken with in one way whatever the cloud; needs the
 * package `@platformatic/kafka`, which is loaded when a stream is first asked for.
 *
 * @param environment `MILLRACE_KAFKA_BROKERS`, where the brokers have other names from here: `host:port`, several with
 * commas; `MILLRACE_KAFKA_USERNAME` and `MILLRACE_KAFKA_PASSWORD`, where a Kafka asks who connects. A secret of the
 * stack is not read for it.
 */
export function deployedStreams(output: StackOutput, environment: KafkaEnvironment): StreamClient {
  const parts = output.plan.parts.filter((part): part is StreamPlan => part.kind === "stream");
  const open = async (): Promise<StreamClient> => {
    const { kafkaStreams } = await import("../runtime/kafka/client.ts");
    const places = parts.map((part) => {
      const address = addressOf(output, part);
      const connection = async () => connectionFor(part, address, environment);
      return { stream: part.name, topic: address.topic!, connection };
    });
    const world = { signal: new AbortController().signal, clock: systemClock, log: SILENT, files: tmpdir() };
    return kafkaStreams(places, world);
  };
  let opened: Promise<StreamClient> | undefined;
  const client = () => {
    opened ??= open();
    return opened;
  };
  return {
    list: async () => (await client()).list(),
    produce: async (stream, records) => (await client()).produce(stream, records),
    read: async (stream, options) => (await client()).read(stream, options),
    lag: async (stream) => (await client()).lag(stream),
  };
}

function addressOf({ addresses }: StackOutput, { name }: StreamPlan): LinkAddress {
  const address = addresses[name];
  if (address?.topic !== undefined) return { ...address, kind: "stream", part: name };
  throw new MillraceError("not-found", `the stack says not where stream ${name} lies: deploy it again`);
}

function connectionFor(
  { name, kafka }: StreamPlan,
  address: LinkAddress,
  { MILLRACE_KAFKA_BROKERS: brokers, ...environment }: KafkaEnvironment,
): KafkaConnection {
  const reached = brokers === undefined ? address : { ...address, brokers };
  return connectionOf(reached, kafka?.user === undefined ? undefined : userIn(environment, name, kafka.user));
}

function userIn(
  { MILLRACE_KAFKA_USERNAME: username, MILLRACE_KAFKA_PASSWORD: password }: KafkaEnvironment,
  stream: string,
  secret: SecretPlan["name"],
): KafkaUser {
  if (username && password) return { username, password };
  throw new MillraceError(
    "refused",
    `the Kafka of stream ${stream} asks who connects: set MILLRACE_KAFKA_USERNAME and MILLRACE_KAFKA_PASSWORD, as the secret ${secret} has them`,
  );
}

const SILENT: Log = { debug() {}, info() {}, warn() {}, error() {} };
