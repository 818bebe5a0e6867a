import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import type { Scope } from "../../../parts/cloud.ts";
import type { Built } from "../../../parts/part.ts";
import type { KafkaPlan, SourcePlan, StreamPlan } from "../../../parts/plan.ts";
import { dataOptions } from "../../../parts/site.ts";
import { kafkaAddress } from "../../../parts/stream.ts";
import { toPem } from "../../../shared/certificates.ts";
import { type NameRule, shortHash } from "../../../shared/name.ts";
import { type Grant, unscoped } from "./permissions.ts";
import { SECRET_NAME } from "./secret.ts";
import type { Site } from "./shared.ts";

/** Kafka's own. https://docs.aws.amazon.com/msk/latest/developerguide/msk-create-topic.html */
const TOPIC_NAME: NameRule = { max: 249, allowed: /[A-Za-z0-9_-]/ };
/** https://docs.aws.amazon.com/lambda/latest/api/API_AmazonManagedKafkaEventSourceConfig.html */
const GROUP_NAME: NameRule = { max: 200, allowed: /[A-Za-z0-9_-]/ };

/** `arn:aws:kafka:<region>:<account>:cluster/<name>/<id>`. */
export const CLUSTER_ARN = /^arn:aws[a-z-]*:kafka:[a-z0-9-]+:\d{12}:cluster\/([^/]+)\/[^/]+$/;

/** Copies of a record, if there are as many brokers. */
const COPIES = 3;

/**
 * A topic of an MSK cluster that is there already.
 *
 * @see https://docs.aws.amazon.com/msk/latest/developerguide/msk-create-topic.html
 */
export function stream(site: Site, scope: Scope, plan: StreamPlan): Built {
  const { kafka, partitions, retention, removable, existing } = plan;
  if (existing !== undefined) return built(plan, pulumi.output(existing), {});
  const made = site.make(
    aws.msk.Topic,
    scope.name,
    {
      name: scope.physicalName(TOPIC_NAME),
      clusterArn: kafka!.instance!,
      partitionCount: partitions,
      replicationFactor: copiesIn(site, kafka!.instance!),
      configs: JSON.stringify({ "retention.ms": String(retention * 1000) }),
    },
    // A cluster that grows would make it another topic.
    { ...dataOptions(scope, removable), ignoreChanges: ["replicationFactor"] },
  );
  return built(plan, made.name, { topic: made });
}

/** As many as there are brokers for; where a provider is asked that answers nothing, as in tests of programs, the usual number. */
function copiesIn(site: Site, cluster: string): pulumi.Output<number> {
  const [, clusterName = ""] = CLUSTER_ARN.exec(cluster) ?? [];
  const found = site.once(`cluster ${cluster}`, () =>
    aws.msk.getClusterOutput({ clusterName }, { provider: site.provider }),
  );
  return found.apply(({ numberOfBrokerNodes }) =>
    Math.min(COPIES, (numberOfBrokerNodes as number | undefined) ?? COPIES),
  );
}

/** Whoever runs it, it is reached as any Kafka is: by its brokers, and as one of its own users. */
const built = ({ kafka }: StreamPlan, topic: pulumi.Output<string>, resources: Built["resources"]): Built => ({
  id: topic,
  address: {
    topic,
    ...kafkaAddress(kafka!),
  },
  resources,
});

type Consumed = Extract<SourcePlan, { readonly type: "stream.consumed" }>;

/** What a function's claims are kept under, in whatever stream. */
export const ledgerName = (scope: Scope): string => scope.physicalName(GROUP_NAME, scope.name, "done");

/** Where a function keeps its place in a stream that starts it. */
const groupOf = (scope: Scope, { stream, group }: Consumed): string =>
  group ?? scope.physicalName(GROUP_NAME, scope.name, scope.plan(stream).stem);

/** What the mapping needs that brings the records of a stream to a function: where they lie, and who reads them. */
export function kafkaSource(
  site: Site,
  scope: Scope,
  source: Consumed,
): Pick<
  aws.lambda.EventSourceMappingArgs,
  | "topics"
  | "eventSourceArn"
  | "amazonManagedKafkaEventSourceConfig"
  | "selfManagedEventSource"
  | "selfManagedKafkaEventSourceConfig"
  | "sourceAccessConfigurations"
> {
  const kafka = kafkaOf(scope, source);
  const topics = [scope.part(source.stream).id];
  const group = { consumerGroupId: groupOf(scope, source) };
  const users = userAccess(scope, kafka);
  if (kafka.instance !== undefined) {
    return {
      topics,
      eventSourceArn: kafka.instance,
      amazonManagedKafkaEventSourceConfig: group,
      ...(users.length > 0 && { sourceAccessConfigurations: users }),
    };
  }
  return {
    topics,
    selfManagedEventSource: { endpoints: { KAFKA_BOOTSTRAP_SERVERS: kafka.brokers.join(",") } },
    selfManagedKafkaEventSourceConfig: group,
    sourceAccessConfigurations: [
      ...users,
      ...(kafka.ca === undefined
        ? []
        : [{ type: "SERVER_ROOT_CA_CERTIFICATE", uri: authority(site, scope, kafka.ca) }]),
      ...networkAccess(site),
    ],
  };
}

const kafkaOf = (scope: Scope, { stream }: Consumed): KafkaPlan => (scope.plan(stream) as StreamPlan).kafka!;

/** https://docs.aws.amazon.com/lambda/latest/api/API_SourceAccessConfiguration.html */
const ACCESS = {
  plain: "BASIC_AUTH",
  "scram-sha-256": "SASL_SCRAM_256_AUTH",
  "scram-sha-512": "SASL_SCRAM_512_AUTH",
} as const satisfies Record<NonNullable<KafkaPlan["mechanism"]>, string>;

const userAccess = (scope: Scope, { user, mechanism = "scram-sha-512" }: KafkaPlan) =>
  user === undefined ? [] : [{ type: ACCESS[mechanism], uri: scope.part(user).id }];

/**
 * Lambda reads from a secret who vouches for the brokers of a Kafka that is not MSK's.
 *
 * @see https://docs.aws.amazon.com/lambda/latest/dg/kafka-cluster-auth.html
 */
function authority(site: Site, scope: Scope, ca: string): pulumi.Output<string> {
  const id = shortHash(ca, 6);
  return site.once(`authority ${scope.name} ${id}`, () => {
    const made = site.make(
      aws.secretsmanager.Secret,
      `${scope.name}-ca-${id}`,
      {
        name: scope.physicalName(SECRET_NAME, scope.name, `ca-${id}`),
        recoveryWindowInDays: 0,
        tags: site.tags(scope.name),
      },
      scope.options,
    );
    const version = site.make(
      aws.secretsmanager.SecretVersion,
      `${scope.name}-ca-${id}-value`,
      { secretId: made.id, secretString: JSON.stringify({ certificate: toPem(ca).join("") }) },
      scope.options,
    );
    return pulumi.all([made.arn, version.id]).apply(([arn]) => arn);
  });
}

/** A Kafka of the user's is reached from the network that is named, and from nowhere else. */
function networkAccess({ settings }: Site) {
  const { subnets = [], securityGroups = [] } = settings.existing?.network ?? {};
  return [
    ...subnets.map((id) => ({ type: "VPC_SUBNET", uri: `subnet:${id}` })),
    ...securityGroups.map((id) => ({ type: "VPC_SECURITY_GROUP", uri: `security_group:${id}` })),
  ];
}

/**
 * The service reads records in the function's name.
 *
 * @see https://docs.aws.amazon.com/lambda/latest/dg/with-msk-permissions.html
 * @see https://docs.aws.amazon.com/lambda/latest/dg/with-kafka-permissions.html
 */
export function consumerGrants(site: Site, scope: Scope, source: Consumed): readonly Grant[] {
  const { instance, user, ca } = kafkaOf(scope, source);
  const secrets = [
    ...(user === undefined ? [] : [scope.part(user).id]),
    ...(ca === undefined || instance !== undefined ? [] : [authority(site, scope, ca)]),
  ];
  const secret = secrets.length === 0 ? [] : [{ actions: ["secretsmanager:GetSecretValue"], resources: secrets }];
  if (instance === undefined) return [...secret, ...(site.settings.existing?.network ? [unscoped("pollers")] : [])];
  return [
    { actions: ["kafka:DescribeClusterV2", "kafka:GetBootstrapBrokers"], resources: [instance] },
    unscoped("pollers"),
    ...(user === undefined ? roleGrants(scope, source, instance) : secret),
    ...(user === undefined ? [] : [{ actions: ["kafka:ListScramSecrets"], resources: [instance] }]),
  ];
}

/** Without a user Lambda comes with the function's role, if the cluster knows roles. https://docs.aws.amazon.com/msk/latest/developerguide/iam-access-control.html */
const roleGrants = (scope: Scope, source: Consumed, cluster: string): readonly Grant[] => {
  const within = (kind: string, name: pulumi.Input<string>) =>
    pulumi.interpolate`${cluster.replace(":cluster/", `:${kind}/`)}/${name}`;
  return [
    { actions: ["kafka-cluster:Connect", "kafka-cluster:DescribeClusterDynamicConfiguration"], resources: [cluster] },
    {
      actions: ["kafka-cluster:DescribeTopic", "kafka-cluster:ReadData"],
      resources: [within("topic", scope.part(source.stream).id)],
    },
    {
      actions: ["kafka-cluster:DescribeGroup", "kafka-cluster:AlterGroup"],
      resources: [within("group", groupOf(scope, source))],
    },
  ];
};
