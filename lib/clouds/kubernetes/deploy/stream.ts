import * as kubernetes from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import type { Scope } from "../../../parts/cloud.ts";
import type { Built } from "../../../parts/part.ts";
import type { FunctionPlan, KafkaPlan, SecretPlan, SourcePlan, StreamPlan } from "../../../parts/plan.ts";
import { dataOptions } from "../../../parts/site.ts";
import { kafkaAddress, kafkaFields } from "../../../parts/stream.ts";
import { toPem } from "../../../shared/certificates.ts";
import type { NameRule } from "../../../shared/name.ts";
import type { StreamSource } from "../runtime/function-json.ts";
import { OBJECT_NAME } from "./names.ts";
import { secretKey, secretPath } from "./secret.ts";
import type { Site } from "./shared.ts";

/** Kafka's own, and an object's at once. https://strimzi.io/docs/operators/latest/configuring.html#type-KafkaTopicSpec-reference */
const TOPIC_NAME: NameRule = { max: 200, allowed: /[a-z0-9-]/, lowerCase: true };
const GROUP_NAME: NameRule = { max: 200, allowed: /[A-Za-z0-9_-]/ };

/** A Kafka cluster of Strimzi's, as a stream names it: its namespace, where it is not the stack's, and its name. */
export const STRIMZI = /^(?:([a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)\/)?([a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)$/;

/**
 * A topic of a Kafka cluster of Strimzi's, or one there is.
 *
 * @see https://strimzi.io/docs/operators/latest/deploying.html#using-the-topic-operator-str
 */
export function stream(site: Site, scope: Scope, plan: StreamPlan): Built {
  const { partitions, retention, removable, existing } = plan;
  const kafka = plan.kafka!;
  const topic = topicOf(scope, plan);
  return {
    id: pulumi.output(topic),
    address: {
      topic: pulumi.output(topic),
      ...kafkaAddress(kafka),
    },
    resources:
      existing !== undefined
        ? {}
        : { topic: topicObject(site, scope, kafka, { topic, partitions, retention, removable }) },
  };
}

const topicOf = (scope: Scope, { name, existing }: StreamPlan): string =>
  existing ?? scope.physicalName(TOPIC_NAME, name);

/** How many copies there are is the brokers' default. */
function topicObject(
  site: Site,
  scope: Scope,
  { instance }: KafkaPlan,
  {
    topic,
    partitions,
    retention,
    removable,
  }: Pick<StreamPlan, "partitions" | "retention" | "removable"> & {
    readonly topic: string;
  },
): kubernetes.apiextensions.CustomResource {
  const [, namespace, cluster = ""] = STRIMZI.exec(instance!) ?? [];
  const metadata = site.metadata(topic, scope.name, { labels: { "strimzi.io/cluster": cluster } });
  return site.custom(
    {
      apiVersion: "kafka.strimzi.io/v1beta2",
      kind: "KafkaTopic",
      // Its operator looks into the namespace of its cluster alone.
      metadata: { ...metadata, ...(namespace !== undefined && { namespace }) },
      spec: { partitions, config: { "retention.ms": retention * 1000 } },
    },
    scope.name,
    dataOptions(scope, removable),
  );
}

type Consumed = Extract<SourcePlan, { readonly type: "stream.consumed" }>;

/** The streams that start a function. */
export const streamsOf = ({ sources }: FunctionPlan): readonly Consumed[] =>
  sources.filter((source): source is Consumed => source.type === "stream.consumed");

/** What a function's claims are kept under, in whatever stream. */
export const ledgerName = (scope: Scope): string => scope.physicalName(GROUP_NAME, scope.name, "done");

/** What the function's process is told of a stream. */
export function streamSource(scope: Scope, { stream, group, batch, window, from }: Consumed): StreamSource {
  const plan = scope.plan(stream) as StreamPlan;
  const { user } = plan.kafka!;
  return {
    ...{ stream, topic: topicOf(scope, plan), ...kafkaFields(plan.kafka!) },
    ...(user !== undefined && { user: { secret: user, path: secretPath(scope, scope.plan(user) as SecretPlan) } }),
    group: group ?? scope.physicalName(GROUP_NAME, scope.name, plan.stem),
    ...{ batch, window, from },
  };
}

/** The secrets of the streams that start a function. */
export const streamSecrets = (scope: Scope, plan: FunctionPlan): readonly string[] =>
  streamsOf(plan).flatMap(({ stream }) => (scope.plan(stream) as StreamPlan).kafka?.user ?? []);

/** Pods of which each has a partition at least. */
export const mostReaders = (scope: Scope, plan: FunctionPlan): number =>
  Math.max(0, ...streamsOf(plan).map(({ stream }) => (scope.plan(stream) as StreamPlan).partitions));

const SASL = {
  plain: "plaintext",
  "scram-sha-256": "scram_sha256",
  "scram-sha-512": "scram_sha512",
} as const satisfies Record<NonNullable<KafkaPlan["mechanism"]>, string>;

/**
 * By the records that the group has not consumed; without a place of the group's, a pod has to come to make one.
 *
 * @see https://keda.sh/docs/latest/scalers/apache-kafka/
 */
export function lagTrigger(site: Site, scope: Scope, source: Consumed, index: number) {
  const { topic, brokers, tls, group, batch, from } = streamSource(scope, source);
  const { user, ca, mechanism = "scram-sha-512" } = (scope.plan(source.stream) as StreamPlan).kafka!;
  const authentication =
    user === undefined && ca === undefined ? undefined : authenticationOf(site, scope, { user, ca }, index);
  return {
    trigger: {
      type: "kafka",
      metadata: {
        ...{ bootstrapServers: brokers, consumerGroup: group, topic, offsetResetPolicy: from },
        lagThreshold: String(batch),
        activationLagThreshold: "0",
        tls: tls === "true" ? "enable" : "disable",
        ...(user !== undefined && { sasl: SASL[mechanism] }),
      },
      ...(authentication && { authenticationRef: { name: authentication.name } }),
    },
    resources: authentication?.resources ?? [],
  };
}

/** KEDA reads a user's name and password, and who vouches for brokers, from keys of their own. https://keda.sh/docs/latest/concepts/authentication/ */
function authenticationOf(
  site: Site,
  scope: Scope,
  { user, ca }: { readonly user: string | undefined; readonly ca: string | undefined },
  index: number,
) {
  const part = `${scope.name}-kafka-${index + 1}`;
  const name = scope.physicalName(OBJECT_NAME, scope.name, `kafka-${index + 1}`);
  const plan = user === undefined ? undefined : (scope.plan(user) as SecretPlan);
  const users = plan && plan.existing === undefined ? userSecret(site, scope, plan, part, name) : undefined;
  const authorities = ca === undefined ? undefined : authoritySecret(site, scope, ca, part, index);
  const made = [users, authorities].filter((one) => one !== undefined);
  const refs = [
    ...(plan ? refsTo(users?.metadata.name ?? secretKey(scope, plan).name, ["username", "password"]) : []),
    ...(authorities ? refsTo(authorities.metadata.name, ["ca"]) : []),
  ];
  const authentication = site.custom(
    {
      apiVersion: "keda.sh/v1alpha1",
      kind: "TriggerAuthentication",
      metadata: site.metadata(name, scope.name),
      spec: { secretTargetRef: refs },
    },
    part,
    scope.options,
  );
  return { name, resources: [authentication, ...made] };
}

const refsTo = (name: pulumi.Input<string>, keys: readonly string[]) =>
  keys.map((key) => ({ parameter: key, name, key }));

const authoritySecret = (site: Site, scope: Scope, ca: string, part: string, index: number) =>
  site.make(
    kubernetes.core.v1.Secret,
    `${part}-ca`,
    {
      metadata: site.metadata(scope.physicalName(OBJECT_NAME, scope.name, `kafka-${index + 1}-ca`), scope.name),
      type: "Opaque",
      stringData: { ca: toPem(ca).join("") },
    },
    scope.options,
  );

const userSecret = (site: Site, scope: Scope, { name: secret, config }: SecretPlan, part: string, name: string) =>
  site.make(
    kubernetes.core.v1.Secret,
    `${part}-user`,
    {
      metadata: site.metadata(name, scope.name),
      type: "Opaque",
      stringData: new pulumi.Config().requireSecret(config!).apply((text) => userIn(text, secret)),
    },
    scope.options,
  );

/** Nothing of the text is in the error. */
function userIn(text: string, secret: string): { readonly username: string; readonly password: string } {
  let user: Partial<Record<string, unknown>> | null = null;
  try {
    user = JSON.parse(text) as Partial<Record<string, unknown>> | null;
  } catch {
    // What it is not is said below.
  }
  const { username, password } = user ?? {};
  if (typeof username === "string" && typeof password === "string") return { username, password };
  throw new Error(`secret ${secret} holds no user: JSON is wanted, { "username": "…", "password": "…" }`);
}
