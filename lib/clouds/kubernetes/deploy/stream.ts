import * as kubernetes from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import type { Scope } from "../../../parts/cloud.ts";
import type { Built } from "../../../parts/part.ts";
import type { FunctionPlan, KafkaPlan, SecretPlan, SourcePlan, StreamPlan } from "../../../parts/plan.ts";
import { dataOptions } from "../../../parts/site.ts";
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
      brokers: pulumi.output(kafka.brokers.join(",")),
      tls: pulumi.output(String(kafka.tls)),
      ...(kafka.mechanism !== undefined && { mechanism: pulumi.output(kafka.mechanism) }),
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
  const { brokers, tls, mechanism, user } = plan.kafka!;
  return {
    ...{ stream, topic: topicOf(scope, plan), brokers: brokers.join(","), tls: String(tls) },
    ...(mechanism !== undefined && { mechanism }),
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
  const { user, mechanism = "scram-sha-512" } = (scope.plan(source.stream) as StreamPlan).kafka!;
  const authentication = user === undefined ? undefined : authenticationOf(site, scope, user, index);
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

/** KEDA reads a user's name and password from keys of their own. https://keda.sh/docs/latest/concepts/authentication/ */
function authenticationOf(site: Site, scope: Scope, user: string, index: number) {
  const plan = scope.plan(user) as SecretPlan;
  const part = `${scope.name}-kafka-${index + 1}`;
  const name = scope.physicalName(OBJECT_NAME, scope.name, `kafka-${index + 1}`);
  const made = plan.existing === undefined ? userSecret(site, scope, plan, part, name) : undefined;
  const secret = made?.metadata.name ?? secretKey(scope, plan).name;
  const authentication = site.custom(
    {
      apiVersion: "keda.sh/v1alpha1",
      kind: "TriggerAuthentication",
      metadata: site.metadata(name, scope.name),
      spec: { secretTargetRef: ["username", "password"].map((key) => ({ parameter: key, name: secret, key })) },
    },
    part,
    scope.options,
  );
  return { name, resources: [authentication, ...(made ? [made] : [])] };
}

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
