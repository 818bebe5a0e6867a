import { readFileSync } from "node:fs";
import * as pulumi from "@pulumi/pulumi";
import { unzipSync } from "fflate";
import { type AlicloudSettings, alicloud } from "../../../lib/clouds/alicloud/index.ts";
import type { Cloud } from "../../../lib/parts/cloud.ts";
import { type MockTable, type RegisteredResource, typedMocks } from "../../../lib/program/mocks.ts";
import type { PolicyDocument } from "../policies.ts";

export const ACCOUNT = "1234567890123456";
export const REGION = "cn-hangzhou";

const named = (field: string, outputs: MockTable[string]["outputs"] = () => ({})): MockTable[string] => ({
  id: (_, inputs) => String(inputs[field]),
  outputs,
});

/** What the provider answers beside its inputs. */
export const TABLE: MockTable = {
  "alicloud:oss/bucket:Bucket": named("bucket"),
  "alicloud:oss/bucketObject:BucketObject": named("key"),
  "alicloud:message/serviceQueue:ServiceQueue": named("queueName"),
  "alicloud:fc/v3Function:V3Function": named("functionName"),
  "alicloud:fc/v3Trigger:V3Trigger": named("triggerName"),
  "alicloud:fc/v3AsyncInvokeConfig:V3AsyncInvokeConfig": named("functionName"),
  "alicloud:fc/v3ConcurrencyConfig:V3ConcurrencyConfig": named("functionName"),
  "alicloud:fc/v3LayerVersion:V3LayerVersion": named("layerName", (_, { layerName }) => ({
    layerVersionArn: `acs:fc:${REGION}:${ACCOUNT}:layers/${layerName}/versions/1`,
  })),
  "alicloud:ram/role:Role": named("roleName", (_, { roleName }) => ({
    arn: `acs:ram::${ACCOUNT}:role/${String(roleName).toLowerCase()}`,
  })),
  "alicloud:ram/policy:Policy": named("policyName", () => ({ type: "Custom" })),
  "alicloud:ram/rolePolicyAttachment:RolePolicyAttachment": named("policyName"),
  "alicloud:fnf/flow:Flow": named("name"),
  "alicloud:log/project:Project": named("projectName"),
  "alicloud:log/store:Store": named("logstoreName"),
  "alicloud:log/storeIndex:StoreIndex": named("logstore"),
  "alicloud:ots/instance:Instance": named("name"),
  "alicloud:ots/table:Table": named("tableName"),
  "alicloud:kms/secret:Secret": named("secretName"),
  "alicloud:vpc/network:Network": named("vpcName"),
  "alicloud:vpc/switch:Switch": { id: (name) => `vsw-${name}`, outputs: () => ({}) },
  "alicloud:ecs/securityGroup:SecurityGroup": { id: (name) => `sg-${name}`, outputs: () => ({}) },
  "alicloud:nas/fileSystem:FileSystem": named("description"),
  "alicloud:nas/accessGroup:AccessGroup": named("accessGroupName"),
  "alicloud:nas/accessRule:AccessRule": named("accessGroupName"),
  "alicloud:nas/mountTarget:MountTarget": named("fileSystemId", (name) => ({
    mountTargetDomain: `${name}.${REGION}.nas.aliyuncs.com`,
  })),
  "alicloud:alikafka/topic:Topic": named("topic"),
  "alicloud:alikafka/consumerGroup:ConsumerGroup": named("consumerId"),
  "alicloud:cms/alarm:Alarm": named("name"),
  "pulumi:providers:alicloud": named("region"),
};

/** What the provider answers when it is asked. */
const ANSWERS = {
  "alicloud:index/getAccount:getAccount": { id: ACCOUNT },
  "alicloud:fc/getZones:getZones": {
    id: "zones",
    ids: [`${REGION}-h`, `${REGION}-i`],
    zones: [{ id: `${REGION}-h` }, { id: `${REGION}-i` }],
  },
};

/** Everything a program registers on this cloud, in the order it was registered. */
export async function deploy(
  declare: (cloud: Cloud) => unknown,
  settings: Partial<AlicloudSettings> = {},
): Promise<readonly RegisteredResource[]> {
  const { mocks, watch, resources } = typedMocks(TABLE, ANSWERS);
  await pulumi.runtime.setMocks(mocks, "shop", "prod", false);
  pulumi.runtime.setAllConfig({ "shop:token": "s3cret" }, ["shop:token"]);
  await pulumi.runtime.runInPulumiStack(async () => {
    // Constructs stand beside the cloud, not under it: what must be known of every resource is said at the root.
    pulumi.runtime.registerStackTransformation(watch);
    declare(
      alicloud({
        region: REGION,
        account: ACCOUNT,
        contactGroups: ["operators"],
        ...settings,
        existing: { layers: { ffmpeg: layer("f"), ffprobe: layer("p") }, ...settings.existing },
      }),
    );
    return {};
  });
  await pulumi.runtime.disconnect();
  return resources;
}

const layer = (name: string): string => `acs:fc:${REGION}:1:layers/${name}/versions/1`;

/** `V3Function reports-task-work`, sorted. */
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

/** What each function may do, by its logical name. */
export const policiesOf = (resources: readonly RegisteredResource[]): Readonly<Record<string, PolicyDocument>> =>
  Object.fromEntries(
    ofType(resources, "V3Function").map(({ name }) => [
      name,
      JSON.parse(inputsOf(resources, "Policy", `${name}-role-policy`).policyDocument) as PolicyDocument,
    ]),
  );

/** The files of the zip that a code object uploads. */
export const unzipped = (source: string): Readonly<Record<string, Uint8Array>> => unzipSync(readFileSync(source));
