import * as pulumi from "@pulumi/pulumi";
import { fromPem } from "../shared/certificates.ts";
import type { Duration } from "../shared/duration.ts";
import { DEFAULTS } from "./defaults.ts";
import type { PartNames, Secret } from "./part.ts";
import type { FunctionPlan, KafkaPlan, PartPlan, StreamPlan } from "./plan.ts";
import type { Units } from "./units.ts";

/** A Kafka that is there already: whom functions ask, and how. */
export interface Kafka {
  /** Where it is reached first, from where the functions run: `["alikafka-1.example.com:9092"]`. */
  readonly brokers: readonly string[];
  /** Whether connections are encrypted. @default as long as there is a `user` or a `ca`, yes; else no */
  readonly tls?: boolean;
  /**
   * Who vouches for its brokers, in place of the authorities that everybody knows: certificates as PEM, which are no
   * secret: `readFileSync("ca.pem", "utf8")`.
   *
   * @default the public authorities
   */
  readonly ca?: string;
  /** A secret with who connects, as JSON: `{ "username": "…", "password": "…" }`. @default nobody is asked */
  readonly user?: Secret;
  /** How the user is proven. @default "scram-sha-512" */
  readonly mechanism?: "plain" | "scram-sha-256" | "scram-sha-512";
  /**
   * What the cloud calls it, so that it can make topics and groups there and let functions be triggered: the id of an
   * ApsaraMQ for Kafka instance (`alikafka_post-cn-…`), the ARN of an MSK cluster, the name of a Strimzi cluster.
   *
   * @default the cloud does not know it: topics are there already, and where the cloud can, it is triggered by brokers
   */
  readonly instance?: string;
}

/** A stream of records: kept in order in each of its partitions, read by any number of groups, each at its own pace. */
export interface StreamSpec {
  /** The Kafka it lies in. @default on this computer the local cloud keeps it; other clouds want one named */
  readonly kafka?: Kafka;
  /** Of a new topic: most readers of one group at once, and the records of a key are in one of them. @default 6 */
  readonly partitions?: number;
  /** How long a record is kept. @default "7 days" */
  readonly retention?: Duration;
  /** Whether destroying the stack may delete a topic it made, with all in it. @default it is kept */
  readonly removable?: boolean;
  /** A topic you have already, by its name: used as it is, never changed. @default a new one is made */
  readonly existing?: string;
}

const OPTIONS = { kafka: true, partitions: true, retention: true, removable: true, existing: true } satisfies Readonly<
  Record<keyof StreamSpec, true>
>;
const KAFKA_OPTIONS = {
  brokers: true,
  tls: true,
  ca: true,
  user: true,
  mechanism: true,
  instance: true,
} satisfies Readonly<Record<keyof Kafka, true>>;

export function streamPlan(names: PartNames, spec: StreamSpec, units: Units): StreamPlan {
  units.options(spec, OPTIONS);
  const { kafka, partitions = DEFAULTS.streamPartitions, retention, removable = false, existing } = spec;
  if (kafka) units.options(kafka, KAFKA_OPTIONS, "kafka");
  return {
    kind: "stream",
    ...names,
    partitions,
    retention: units.seconds("retention", retention, DEFAULTS.streamRetention),
    removable,
    ...(kafka && { kafka: kafkaPlan(kafka, units) }),
    ...(existing !== undefined && { existing }),
  };
}

function kafkaPlan({ brokers, user, ca, tls, mechanism = "scram-sha-512", instance }: Kafka, units: Units): KafkaPlan {
  const authority = units.text("kafka.ca", ca, (pem) => {
    if (tls === false) throw new Error("does nothing without tls");
    return fromPem(pem);
  });
  return {
    brokers,
    tls: tls ?? (user !== undefined || ca !== undefined),
    ...(authority !== undefined && { ca: authority }),
    ...(user && { user: user.name, mechanism }),
    ...(instance !== undefined && { instance }),
  };
}

/** How a Kafka is reached, in the texts of an address; as whom, its user says. */
export const kafkaFields = ({ brokers, tls, ca, mechanism }: KafkaPlan) => ({
  ...{ brokers: brokers.join(","), tls: String(tls) },
  ...(ca !== undefined && { ca }),
  ...(mechanism !== undefined && { mechanism }),
});

/** The fields of an address that say how a Kafka is reached. */
export const kafkaAddress = (kafka: KafkaPlan): Readonly<Record<string, pulumi.Output<string>>> =>
  Object.fromEntries(Object.entries(kafkaFields(kafka)).map(([field, text]) => [field, pulumi.output(text)]));

/** Bytes that a function's environment holds of who vouches for brokers: each said once, whatever is linked. */
export function authorityBytes({ links }: FunctionPlan, find: (part: string) => PartPlan | undefined): number {
  const all = Object.values(links).flatMap(({ part }) => {
    const plan = find(part);
    return plan?.kind === "stream" && plan.kafka?.ca !== undefined ? [plan.kafka.ca] : [];
  });
  return [...new Set(all)].reduce((sum, ca) => sum + ca.length + 30, 0);
}
