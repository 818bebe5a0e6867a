import * as pulumi from "@pulumi/pulumi";
import { type AwsSettings, aws } from "../../../lib/clouds/aws/index.ts";
import type { Cloud } from "../../../lib/parts/cloud.ts";
import { type MockTable, type RegisteredResource, typedMocks } from "../../../lib/program/mocks.ts";

export const ACCOUNT = "123456789012";
export const REGION = "eu-central-1";

const named = (field: string, outputs: MockTable[string]["outputs"] = () => ({})): MockTable[string] => ({
  id: (_, inputs) => String(inputs[field]),
  outputs,
});

/** Named by its logical name, as what has no name of its own gets an id. */
const unnamed = (prefix: string, outputs: MockTable[string]["outputs"] = () => ({})): MockTable[string] => ({
  id: (name) => `${prefix}-${name}`,
  outputs,
});

/** Of something in this account and region. */
export const arn = (service: string, resource: string): string => `arn:aws:${service}:${REGION}:${ACCOUNT}:${resource}`;

/** What the provider answers beside its inputs. */
export const TABLE: MockTable = {
  "aws:s3/bucket:Bucket": named("bucket", (_, { bucket }) => ({ arn: `arn:aws:s3:::${bucket}` })),
  "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": named("bucket"),
  "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": named("bucket"),
  "aws:s3/bucketVersioning:BucketVersioning": named("bucket"),
  "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": named("bucket"),
  "aws:s3/bucketNotification:BucketNotification": named("bucket"),
  "aws:s3/bucketObjectv2:BucketObjectv2": named("key"),
  "aws:sqs/queue:Queue": named("name", (_, { name }) => ({
    arn: arn("sqs", String(name)),
    url: `https://sqs.${REGION}.amazonaws.com/${ACCOUNT}/${name}`,
  })),
  "aws:sqs/queuePolicy:QueuePolicy": named("queueUrl"),
  "aws:dynamodb/table:Table": named("name", (_, { name }) => ({ arn: arn("dynamodb", `table/${name}`) })),
  "aws:secretsmanager/secret:Secret": {
    id: (_, { name }) => arn("secretsmanager", `secret:${name}-Ab12Cd`),
    outputs: (_, { name }) => ({ arn: arn("secretsmanager", `secret:${name}-Ab12Cd`) }),
  },
  "aws:secretsmanager/secretVersion:SecretVersion": named("secretId"),
  "aws:lambda/function:Function": named("name", (_, { name }) => ({ arn: arn("lambda", `function:${name}`) })),
  "aws:lambda/layerVersion:LayerVersion": named("layerName", (_, { layerName }) => ({
    arn: arn("lambda", `layer:${layerName}:1`),
  })),
  "aws:lambda/functionEventInvokeConfig:FunctionEventInvokeConfig": named("functionName"),
  "aws:lambda/eventSourceMapping:EventSourceMapping": unnamed("mapping"),
  "aws:lambda/permission:Permission": unnamed("permission"),
  "aws:iam/role:Role": named("name", (_, { name }) => ({ arn: `arn:aws:iam::${ACCOUNT}:role/${name}` })),
  "aws:iam/rolePolicy:RolePolicy": named("role"),
  "aws:cloudwatch/logGroup:LogGroup": named("name", (_, { name }) => ({ arn: arn("logs", `log-group:${name}`) })),
  "aws:cloudwatch/eventRule:EventRule": named("name", (_, { name }) => ({ arn: arn("events", `rule/${name}`) })),
  "aws:cloudwatch/eventTarget:EventTarget": named("rule"),
  "aws:cloudwatch/metricAlarm:MetricAlarm": named("name"),
  "aws:scheduler/schedule:Schedule": named("name"),
  "aws:sns/topic:Topic": named("name", (_, { name }) => ({ arn: arn("sns", String(name)) })),
  "aws:sns/topicSubscription:TopicSubscription": unnamed("subscription"),
  "aws:sfn/stateMachine:StateMachine": {
    id: (_, { name }) => arn("states", `stateMachine:${name}`),
    outputs: (_, { name }) => ({ arn: arn("states", `stateMachine:${name}`) }),
  },
  "aws:msk/topic:Topic": named("name"),
  "aws:ecs/cluster:Cluster": named("name", (_, { name }) => ({ arn: arn("ecs", `cluster/${name}`) })),
  "aws:ecs/taskDefinition:TaskDefinition": named("family", (_, { family }) => ({
    arn: arn("ecs", `task-definition/${family}:1`),
  })),
  "aws:efs/fileSystem:FileSystem": unnamed("fs", (name) => ({
    arn: arn("elasticfilesystem", `file-system/fs-${name}`),
  })),
  "aws:efs/fileSystemPolicy:FileSystemPolicy": named("fileSystemId"),
  "aws:efs/accessPoint:AccessPoint": unnamed("fsap", (name) => ({
    arn: arn("elasticfilesystem", `access-point/fsap-${name}`),
  })),
  "aws:efs/mountTarget:MountTarget": unnamed("fsmt"),
  "aws:ec2/vpc:Vpc": unnamed("vpc"),
  "aws:ec2/subnet:Subnet": unnamed("subnet"),
  "aws:ec2/securityGroup:SecurityGroup": unnamed("sg"),
  "aws:ec2/internetGateway:InternetGateway": unnamed("igw"),
  "aws:ec2/routeTable:RouteTable": unnamed("rtb"),
  "aws:ec2/routeTableAssociation:RouteTableAssociation": unnamed("rtbassoc"),
  "aws:ec2/vpcEndpoint:VpcEndpoint": unnamed("vpce"),
  "pulumi:providers:aws": named("region"),
};

/** What the account answers, by what it is asked; nothing else is asked. */
type Answers = Readonly<Record<string, (inputs: Readonly<Record<string, unknown>>) => object>>;

/** Everything a program registers on this cloud, in the order it was registered. */
export async function deploy(
  declare: (cloud: Cloud) => unknown,
  settings: { readonly [Name in keyof AwsSettings]?: AwsSettings[Name] | undefined } = {},
  answers: Answers = {},
): Promise<readonly RegisteredResource[]> {
  const { mocks, watch, resources } = typedMocks(TABLE);
  const call: typeof mocks.call = (args) => answers[args.token]?.(args.inputs) ?? mocks.call(args);
  await pulumi.runtime.setMocks({ ...mocks, call }, "shop", "prod", false);
  pulumi.runtime.setAllConfig({ "shop:token": "s3cret" }, ["shop:token"]);
  await pulumi.runtime.runInPulumiStack(async () => {
    // Constructs stand beside the cloud, not under it: what must be known of every resource is said at the root.
    pulumi.runtime.registerStackTransformation(watch);
    declare(
      aws({
        region: REGION,
        account: ACCOUNT,
        zones: [`${REGION}a`, `${REGION}b`],
        alarmEmails: ["operators@example.com"],
        ...settings,
        existing: { layers: { ffmpeg: layer("f"), ffprobe: layer("p") }, ...settings.existing },
      } as AwsSettings),
    );
    return {};
  });
  await pulumi.runtime.disconnect();
  return resources;
}

const layer = (name: string): string => arn("lambda", `layer:${name}:1`);

/** `Function reports-task-dispatch`, sorted. */
export const listOf = (resources: readonly RegisteredResource[]): readonly string[] =>
  resources.map(({ type, name }) => `${type.split(":").at(-1)} ${name}`).sort();

/** What a resource was given. */
export function inputsOf(resources: readonly RegisteredResource[], type: string, name: string) {
  const found = resources.find((one) => one.type.endsWith(`:${type}`) && one.name === name);
  if (!found) throw new Error(`there is no ${type} ${name}; there are: ${listOf(resources).join(", ")}`);
  // biome-ignore lint/suspicious/noExplicitAny: tests look at what is there
  return found.inputs as Readonly<Record<string, any>>;
}

export const ofType = (resources: readonly RegisteredResource[], type: string): readonly RegisteredResource[] =>
  resources.filter((one) => one.type.endsWith(`:${type}`));
