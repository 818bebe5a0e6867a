import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { service as alicloud } from "./engine/alicloud.ts";
import { service as aws } from "./engine/aws.ts";
import { type Engine, startEngine } from "./engine/engine.ts";
import { service as kubernetes } from "./engine/kubernetes.ts";
import type { Inputs, Service } from "./engine/service.ts";
import { refusalsOf, standIn } from "./engine/stand-in.ts";

const FC_FUNCTION = {
  functionName: "work",
  handler: "index.handler",
  runtime: "nodejs20",
  code: { ossBucketName: "b", ossObjectName: "code/1.zip" },
  role: "acs:ram::1234567890123456:role/work",
  cpu: 0.5,
  memorySize: 1024,
};
const FC_TRIGGER = { functionName: "work", qualifier: "LATEST", triggerType: "oss", triggerName: "t" };
const STREAM = (options: object) => ({
  ...FC_TRIGGER,
  triggerType: "eventbridge",
  triggerConfig: JSON.stringify({ eventSourceConfig: { eventSourceType: "MNS" }, runOptions: options }),
});
const KAFKA = (parameters: object, runOptions: object = { mode: "event-streaming" }) => ({
  ...FC_TRIGGER,
  triggerType: "eventbridge",
  triggerConfig: JSON.stringify({
    eventSourceConfig: {
      eventSourceType: "Kafka",
      eventSourceParameters: {
        sourceKafkaParameters: { RegionId: "r", InstanceId: "i", Topic: "t", ConsumerGroup: "g", ...parameters },
      },
    },
    runOptions,
  }),
});
const KAFKA_FIELD = "triggerConfig.eventSourceConfig.eventSourceParameters.sourceKafkaParameters";
const CLUSTER = "arn:aws:kafka:us-east-1:123456789012:cluster/shop/751d2973-a626-431c-9d4e-d7975eb44dd7-2";
const KAFKA_MAPPING = { functionName: "work", eventSourceArn: CLUSTER, startingPosition: "LATEST", topics: ["t"] };
const LAMBDA = { name: "work", role: "arn:aws:iam::123456789012:role/work", runtime: "nodejs24.x", handler: "i.h" };
const RULES = (Action: string, Resource: string, Version: string) =>
  JSON.stringify({ Version, Statement: [{ Effect: "Allow", Action: [Action], Resource: [Resource] }] });
const OBJECT = { metadata: { name: "work", namespace: "n" } };
const SCHEDULE = { name: "s", flexibleTimeWindow: { mode: "OFF" }, target: { arn: "arn:aws:lambda:r:123456789012:f" } };

const FLOW = (states: readonly object[], more: object = {}) => ({
  ...{ name: "f", type: "FDL", description: "d", roleArn: "acs:ram::1234567890123456:role/f" },
  definition: JSON.stringify({
    ...{ Type: "StateMachine", Name: "f", SpecVersion: "v1", StartAt: "a", States: states },
    ...more,
  }),
});
const CALL = {
  ...{ Type: "Task", Name: "a", Action: "FC:InvokeFunction", TaskMode: "RequestComplete", End: true },
  Parameters: { resourceArn: "acs:fc:cn-hangzhou:1:functions/work/LATEST", invocationType: "Sync" },
};
const ARGO = (steps: readonly object[]) => ({
  ...OBJECT,
  spec: { entrypoint: "main", templates: [{ name: "main", steps: [steps] }, { name: "work" }] },
});

/** A type, inputs that it takes, what is changed, and the fields it then refuses. */
type Case = readonly [service: Service, type: string, taken: Inputs, change: Inputs, fields: readonly string[]];

const CASES: readonly Case[] = [
  [alicloud, "alicloud:fc/v3Function:V3Function", FC_FUNCTION, { runtime: "nodejs24" }, ["runtime"]],
  [alicloud, "alicloud:fc/v3Function:V3Function", FC_FUNCTION, { timeout: 86_401 }, ["timeout"]],
  [alicloud, "alicloud:fc/v3Function:V3Function", FC_FUNCTION, { memorySize: 4096 }, ["memorySize"]],
  [alicloud, "alicloud:fc/v3Function:V3Function", FC_FUNCTION, { role: "acs:ram:1:role/work" }, ["role"]],
  [alicloud, "alicloud:fc/v3Function:V3Function", FC_FUNCTION, { handler: undefined }, ["handler"]],
  [alicloud, "alicloud:fc/v3Function:V3Function", FC_FUNCTION, { description: "of undefined" }, ["description"]],
  [
    alicloud,
    "alicloud:fc/v3Trigger:V3Trigger",
    { ...FC_TRIGGER, triggerConfig: '{"events":["oss:ObjectCreated:PutObject"]}' },
    { triggerConfig: '{"Events":["oss:ObjectCreated:PutObject"]}' },
    ["triggerConfig.Events"],
  ],
  [
    alicloud,
    "alicloud:fc/v3Trigger:V3Trigger",
    STREAM({ batchWindow: { CountBasedWindow: 1, TimeBasedWindow: 0 } }),
    STREAM({ batchWindow: { countBasedWindow: 1, TimeBasedWindow: 0 } }),
    ["triggerConfig.runOptions.batchWindow.countBasedWindow"],
  ],
  [
    alicloud,
    "alicloud:ram/policy:Policy",
    { policyName: "p", policyDocument: RULES("oss:GetObject", "acs:oss:*:*:b/*", "1") },
    { policyDocument: RULES("oss:*", "acs:oss:*:*:b/*", "2012-10-17") },
    ["policyDocument.Version", "policyDocument.Statement[0].Action"],
  ],
  [
    alicloud,
    "alicloud:fc/v3Trigger:V3Trigger",
    KAFKA({ OffsetReset: "latest", Network: "Default" }),
    KAFKA({ topic: "t", Topic: undefined, OffsetReset: "LATEST" }, { mode: "event-driven" }),
    [`${KAFKA_FIELD}.topic`, `${KAFKA_FIELD}.OffsetReset`, "triggerConfig.runOptions.mode", `${KAFKA_FIELD}.Topic`],
  ],
  [
    alicloud,
    "alicloud:alikafka/topic:Topic",
    { instanceId: "alikafka_post-cn-1", topic: "orders", remark: "orders" },
    { topic: "orders.eu", remark: "all orders" },
    ["topic", "remark"],
  ],
  [
    alicloud,
    "alicloud:alikafka/consumerGroup:ConsumerGroup",
    { instanceId: "alikafka_post-cn-1", consumerId: "count" },
    { instanceId: "post-cn-1", consumerId: "it" },
    ["instanceId", "consumerId"],
  ],
  [
    alicloud,
    "alicloud:fnf/flow:Flow",
    FLOW([CALL]),
    FLOW([{ ...CALL, Parameters: { resourceArn: "work", InvocationType: "Sync" } }], { Name: "g", States: undefined }),
    ["definition.States", "definition.StartAt", "definition.Name"],
  ],
  [
    alicloud,
    "alicloud:fnf/flow:Flow",
    FLOW([CALL]),
    FLOW([{ ...CALL, Parameters: { resourceArn: "work", InvocationType: "Sync" }, Retry: [{ MaxAttempts: 1 }] }]),
    [
      "definition.States[0].Retry[0].Description",
      "definition.States[0].Parameters.InvocationType",
      "definition.States[0].Parameters.resourceArn",
    ],
  ],
  [
    alicloud,
    "alicloud:fnf/flow:Flow",
    FLOW([
      { Type: "Wait", Name: "a", Seconds: 300, Next: "b" },
      { Type: "Succeed", Name: "b", End: true },
    ]),
    FLOW([
      { Type: "Wait", Name: "a", Seconds: 301, Next: "c" },
      { Type: "Succeed", Name: "b", End: true },
    ]),
    ["definition.States[0].Next", "definition.States[0].Seconds"],
  ],
  [alicloud, "alicloud:ots/instance:Instance", { name: "tables-1" }, { name: "tables-too-long-by-far" }, ["name"]],
  [aws, "aws:lambda/function:Function", LAMBDA, { timeout: 901 }, ["timeout"]],
  [
    aws,
    "aws:lambda/function:Function",
    LAMBDA,
    { environment: { variables: { AWS_REGION: "r" } } },
    ["environment.variables"],
  ],
  [aws, "aws:lambda/function:Function", LAMBDA, { role: "work" }, ["role"]],
  [
    aws,
    "aws:cloudwatch/logGroup:LogGroup",
    { name: "g", retentionInDays: 30 },
    { retentionInDays: 31 },
    ["retentionInDays"],
  ],
  [aws, "aws:s3/bucket:Bucket", { bucket: "b-1" }, { bucket: "B_1" }, ["bucket"]],
  [
    aws,
    "aws:sqs/queue:Queue",
    { name: "q", redrivePolicy: '{"deadLetterTargetArn":"arn:aws:sqs:r:123456789012:d","maxReceiveCount":3}' },
    { redrivePolicy: '{"deadLetterTargetArn":"https://d","maxReceiveCount":"3"}', visibilityTimeoutSeconds: 43_201 },
    ["visibilityTimeoutSeconds", "redrivePolicy.deadLetterTargetArn", "redrivePolicy.maxReceiveCount"],
  ],
  [
    aws,
    "aws:iam/rolePolicy:RolePolicy",
    { role: "r", policy: RULES("s3:GetObject", "arn:aws:s3:::b/*", "2012-10-17") },
    { policy: RULES("s3:*", "*", "2012-10-17") },
    ["policy.Statement[0].Action", "policy.Statement[0].Resource"],
  ],
  [
    aws,
    "aws:scheduler/schedule:Schedule",
    { ...SCHEDULE, scheduleExpression: "cron(0 4 ? * 2-6 *)" },
    { scheduleExpression: "cron(0 4 * * 2-6 *)" },
    ["scheduleExpression"],
  ],
  [
    aws,
    "aws:scheduler/schedule:Schedule",
    { ...SCHEDULE, scheduleExpression: "rate(1 minute)" },
    { scheduleExpression: "rate(1 minutes)" },
    ["scheduleExpression"],
  ],
  [
    aws,
    "aws:sfn/stateMachine:StateMachine",
    { name: "m", roleArn: LAMBDA.role, definition: '{"StartAt":"A","States":{"A":{"Type":"Succeed"}}}' },
    { definition: '{"StartAt":"B","States":{"A":{"Type":"Succeed"}}}' },
    ["definition"],
  ],
  [
    aws,
    "aws:msk/topic:Topic",
    { name: "orders", clusterArn: CLUSTER, partitionCount: 6, replicationFactor: 3 },
    { clusterArn: "shop", replicationFactor: 0 },
    ["clusterArn", "replicationFactor"],
  ],
  [
    aws,
    "aws:lambda/eventSourceMapping:EventSourceMapping",
    { ...KAFKA_MAPPING, provisionedPollerConfig: { maximumPollers: 2 }, maximumRetryAttempts: 2 },
    { startingPosition: "earliest", provisionedPollerConfig: undefined },
    ["startingPosition", "maximumRetryAttempts"],
  ],
  [
    aws,
    "aws:lambda/eventSourceMapping:EventSourceMapping",
    KAFKA_MAPPING,
    { eventSourceArn: undefined, selfManagedEventSource: { endpoints: { KAFKA_BOOTSTRAP_SERVERS: "k:9092" } } },
    ["sourceAccessConfigurations"],
  ],
  [
    aws,
    "aws:cloudwatch/eventRule:EventRule",
    { name: "r", eventPattern: '{"source":["aws.s3"]}' },
    { eventPattern: '{"source":"aws.s3"}' },
    ["eventPattern.source"],
  ],
  [
    aws,
    "aws:dynamodb/table:Table",
    { name: "rows", hashKey: "pk", attributes: [{ name: "pk", type: "S" }] },
    {
      attributes: [
        { name: "pk", type: "S" },
        { name: "sk", type: "S" },
      ],
    },
    ["attributes"],
  ],
  [
    aws,
    "aws:ecs/taskDefinition:TaskDefinition",
    {
      family: "f",
      requiresCompatibilities: ["FARGATE"],
      networkMode: "awsvpc",
      cpu: "1024",
      memory: "2048",
      containerDefinitions: '[{"name":"work","image":"node:24-slim"}]',
    },
    { memory: "1024", containerDefinitions: '[{"name":"work"}]' },
    ["containerDefinitions.0.image", "memory"],
  ],
  [kubernetes, "kubernetes:core/v1:ConfigMap", OBJECT, { metadata: { name: "Work" } }, ["metadata.name"]],
  [
    kubernetes,
    "kubernetes:core/v1:Secret",
    { metadata: { name: "flow.service-account-token" } },
    { metadata: { name: "flow..token" } },
    ["metadata.name"],
  ],
  [
    kubernetes,
    "kubernetes:batch/v1:CronJob",
    { ...OBJECT, spec: { schedule: "*/5 * * * *" } },
    { metadata: { name: "w".repeat(53) }, spec: { schedule: "0 */5 * * * *" } },
    ["metadata.name", "spec.schedule"],
  ],
  [
    kubernetes,
    "kubernetes:keda.sh/v1alpha1:ScaledObject",
    { ...OBJECT, spec: { triggers: [{ type: "nats-jetstream", metadata: { lagThreshold: "1" } }] } },
    { spec: { triggers: [{ type: "nats-jetstream", metadata: { lagThreshold: 1 } }] } },
    ["spec.triggers[0].metadata"],
  ],
  [
    kubernetes,
    "kubernetes:keda.sh/v1alpha1:TriggerAuthentication",
    { ...OBJECT, spec: { secretTargetRef: [{ parameter: "username", name: "user", key: "username" }] } },
    { spec: { secretTargetRef: [{ parameter: "username", name: "user", Key: "username" }] } },
    ["spec.secretTargetRef[0].Key", "spec.secretTargetRef[0].key"],
  ],
  [
    kubernetes,
    "kubernetes:argoproj.io/v1alpha1:WorkflowTemplate",
    ARGO([{ name: "one", template: "work" }]),
    ARGO([{ name: "one", template: "rest" }]),
    ["spec.templates[0].steps.template"],
  ],
  [
    kubernetes,
    "kubernetes:kafka.strimzi.io/v1beta2:KafkaTopic",
    { metadata: { ...OBJECT.metadata, labels: { "strimzi.io/cluster": "main" } }, spec: { partitions: 6 } },
    { metadata: OBJECT.metadata, spec: { partitions: 0 } },
    ["spec.partitions", "metadata.labels"],
  ],
  [
    kubernetes,
    "kubernetes:rbac.authorization.k8s.io/v1:Role",
    { ...OBJECT, rules: [{ apiGroups: ["batch"], resources: ["jobs"], verbs: ["get"] }] },
    { rules: [{ apiGroups: ["batch"], resources: ["jobs"], verbs: ["*"] }] },
    ["rules[0].verbs"],
  ],
];

describe("a stand-in", () => {
  it.each(CASES)(
    "%#: takes what the service takes, and refuses the rest by its field",
    (service, type, taken, change, fields) => {
      expect(refusalsOf(service, type, taken)).toEqual([]);
      const refused = refusalsOf(service, type, { ...taken, ...change });
      expect(refused.map(({ field }) => field)).toEqual(fields);
      for (const { allowed } of refused) expect(allowed).not.toBe("");
    },
  );

  it("replaces where the provider does, and has one resource of a name", async () => {
    const { provider } = standIn(alicloud);
    const urn = "urn:pulumi:s::p::alicloud:message/serviceQueue:ServiceQueue::q";
    const { id } = await provider.create!(urn, { queueName: "q", delaySeconds: 0 });
    const diff = (news: Inputs) => provider.diff!(id, urn, {}, news);
    expect(await diff({ queueName: "q", delaySeconds: 0 })).toMatchObject({ changes: false, replaces: [] });
    expect(await diff({ queueName: "q", delaySeconds: 1 })).toMatchObject({ changes: true, replaces: [] });
    expect(await diff({ queueName: "r", delaySeconds: 0 })).toMatchObject({ changes: true, replaces: ["queueName"] });
    await expect(provider.create!(urn, { queueName: "q" })).rejects.toThrow(/exists already/);
    await expect(provider.invoke!("alicloud:index/getRegions:getRegions", {})).rejects.toThrow(/does not answer/);
  });
});

describe("the engine", () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await startEngine(["alicloud"]);
  });
  afterAll(() => engine?.close());

  const program = "test/real/engine/programs/refused.ts";

  it("shows what a stand-in refuses in the preview, all of it", async () => {
    const { error } = await (await engine.stack("refused", program, {})).preview();
    expect(error).toMatch(/refuses runtime = "nodejs24"; allowed: one of python3\.12/);
    expect(error).toMatch(/refuses code = null/);
  });

  it("takes no type that was not written down", async () => {
    const { error } = await (await engine.stack("unknown", program, { "millrace:stack": "unknown" })).preview();
    expect(error).toMatch(/the stand-in knows no alicloud:fc\/v3Alias:V3Alias/);
  });
});
