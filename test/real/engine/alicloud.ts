import { checkFlowDefinition } from "./flow-definition.ts";
import { named, numbered, type Rules, rules, type Service } from "./service.ts";

const ACCOUNT = "1234567890123456";
const REGION = "cn-hangzhou";

/**
 * Alibaba Cloud's provider: what it and the services refuse, and which fields are `ForceNew` in its schema.
 *
 * @see https://www.alibabacloud.com/help/en/functioncompute/developer-reference/api-fc-2023-03-30-createfunction
 * @see https://registry.terraform.io/providers/aliyun/alicloud/latest/docs
 */
export const service: Service = {
  types: {
    "alicloud:oss/bucket:Bucket": {
      required: ["bucket"],
      replaces: ["bucket", "storageClass", "redundancyType"],
      id: named("bucket"),
      check: rules((all) => {
        all
          .matches("bucket", /^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$/, "3 to 63 of a-z, 0-9 and -, no - at its ends")
          .oneOf("versioning.status", ["Enabled", "Suspended"])
          .oneOf("serverSideEncryptionRule.sseAlgorithm", ["AES256", "KMS"])
          .each("lifecycleRules", (rule) => {
            rule
              .must("enabled", "true or false", (enabled: unknown) => typeof enabled === "boolean")
              .must("id", "at most 255 characters", (id: string) => id.length <= 255)
              .each("expirations", (one) => one.range("days", 1, 36_500, "days"))
              .each("abortMultipartUploads", (one) => one.range("days", 1, 36_500, "days"));
            const acts = ["expirations", "transitions", "abortMultipartUploads", "noncurrentVersionExpirations"];
            if (acts.every((act) => rule.value(act) === undefined)) rule.refuse("", null, `one of ${acts.join(", ")}`);
          });
      }),
    },
    "alicloud:oss/bucketObject:BucketObject": {
      required: ["bucket", "key"],
      replaces: ["bucket", "key"],
      id: named("bucket", "key"),
      check: rules((all, { source, content }) => {
        all.must(
          "key",
          "1 to 1,023 bytes, no / or \\ first",
          (key: string) => /^[^/\\]/.test(key) && bytes(key) <= 1023,
        );
        if ((source === undefined) === (content === undefined))
          all.refuse("source", source, "either source or content");
      }),
    },
    "alicloud:message/serviceQueue:ServiceQueue": {
      required: ["queueName"],
      replaces: ["queueName", "queueType"],
      id: named("queueName"),
      check: rules((all) => {
        all
          .matches("queueName", /^[A-Za-z0-9][A-Za-z0-9-]{0,119}$/, "1 to 120 of letters, digits and -, no - first")
          .range("delaySeconds", 0, 604_800, "seconds")
          .range("maximumMessageSize", 1024, 65_536, "bytes")
          .range("messageRetentionPeriod", 60, 604_800, "seconds")
          .range("visibilityTimeout", 1, 43_200, "seconds")
          .range("pollingWaitSeconds", 0, 30, "seconds")
          .oneOf("queueType", ["normal", "fifo"])
          .names("dlqPolicy", ["enabled", "deadLetterTargetQueue", "maxReceiveCount"])
          .range("dlqPolicy.maxReceiveCount", 1, 1000);
      }),
    },
    "alicloud:fc/v3Function:V3Function": {
      required: ["functionName", "handler", "runtime"],
      replaces: ["functionName", "idleTimeout"],
      id: named("functionName"),
      check: rules(checkFunction),
      outputs: ({ functionName }) => ({
        functionArn: `acs:fc:${REGION}:${ACCOUNT}:functions/${functionName}`,
        state: "Active",
      }),
    },
    "alicloud:fc/v3Trigger:V3Trigger": {
      required: ["functionName", "qualifier", "triggerType"],
      replaces: ["functionName", "qualifier", "sourceArn", "triggerName", "triggerType"],
      id: named("functionName", "triggerName"),
      check: rules(checkTrigger),
    },
    "alicloud:fc/v3AsyncInvokeConfig:V3AsyncInvokeConfig": {
      required: ["functionName"],
      replaces: ["functionName", "qualifier"],
      id: named("functionName", "qualifier"),
      check: rules((all) => {
        all
          .range("maxAsyncRetryAttempts", 0, 8)
          .range("maxAsyncEventAgeInSeconds", 1, 86_400, "seconds")
          .names("destinationConfig", ["onSuccess", "onFailure"])
          .matches("destinationConfig.onSuccess.destination", DESTINATION, DESTINATION_WORDS)
          .matches("destinationConfig.onFailure.destination", DESTINATION, DESTINATION_WORDS);
      }),
    },
    "alicloud:fc/v3ConcurrencyConfig:V3ConcurrencyConfig": {
      required: ["functionName"],
      replaces: ["functionName"],
      id: named("functionName"),
      check: rules((all) => all.range("reservedConcurrency", 0, 100_000)),
    },
    "alicloud:fc/v3LayerVersion:V3LayerVersion": {
      required: ["layerName"],
      replaces: ["layerName", "code", "compatibleRuntimes", "description", "license"],
      id: (inputs, made) => `${inputs.layerName}:${made}`,
      check: rules((all) => {
        all
          .matches("layerName", /^[A-Za-z_][A-Za-z0-9_-]{0,63}$/, NAME_WORDS)
          .names("code", ["ossBucketName", "ossObjectName", "zipFile", "checksum"])
          .must("compatibleRuntimes", `of ${RUNTIMES.join(", ")}`, (all: readonly string[]) =>
            all.every((one) => RUNTIMES.includes(one)),
          );
      }),
      outputs: ({ layerName }, made) => ({
        layerVersionArn: `acs:fc:${REGION}:${ACCOUNT}:layers/${layerName}/versions/${made}`,
        version: String(made),
      }),
    },
    "alicloud:ram/role:Role": {
      required: ["roleName"],
      replaces: ["roleName"],
      id: named("roleName"),
      check: rules((all) => {
        all
          .matches("roleName", /^[A-Za-z0-9.-]{1,64}$/, "1 to 64 of letters, digits, . and -")
          .range("maxSessionDuration", 3600, 43_200, "seconds")
          .json("assumeRolePolicyDocument", (document) => checkDocument(document, true));
      }),
      outputs: ({ roleName }) => ({ arn: `acs:ram::${ACCOUNT}:role/${String(roleName).toLowerCase()}`, roleId: "3" }),
    },
    "alicloud:ram/policy:Policy": {
      required: ["policyName", "policyDocument"],
      replaces: ["policyName"],
      id: named("policyName"),
      check: rules((all) => {
        all
          .matches("policyName", /^[A-Za-z0-9-]{1,128}$/, "1 to 128 of letters, digits and -")
          .must("policyDocument", "at most 6,144 bytes", (text: string) => bytes(text) <= 6144)
          .json("policyDocument", (document) => checkDocument(document, false));
      }),
      outputs: () => ({ type: "Custom", defaultVersion: "v1" }),
    },
    "alicloud:ram/rolePolicyAttachment:RolePolicyAttachment": {
      required: ["policyName", "policyType", "roleName"],
      replaces: ["policyName", "policyType", "roleName"],
      id: named("policyType", "policyName", "roleName"),
      check: rules((all) => all.oneOf("policyType", ["System", "Custom"])),
    },
    "alicloud:log/project:Project": {
      required: ["projectName"],
      replaces: ["projectName"],
      id: named("projectName"),
      check: rules((all) =>
        all.matches("projectName", /^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$/, "3 to 63 of a-z, 0-9 and -, no - at its ends"),
      ),
    },
    "alicloud:log/store:Store": {
      required: ["projectName", "logstoreName"],
      replaces: ["projectName", "logstoreName", "shardCount", "mode"],
      id: named("projectName", "logstoreName"),
      check: rules((all) => {
        all
          .matches("logstoreName", /^[a-z0-9][a-z0-9_-]{1,61}[a-z0-9]$/, "3 to 63 of a-z, 0-9, - and _")
          .range("retentionPeriod", 1, 3650, "days")
          .range("shardCount", 1, 100)
          .range("maxSplitShardCount", 1, 256);
      }),
    },
    "alicloud:log/storeIndex:StoreIndex": {
      required: ["project", "logstore"],
      replaces: ["project", "logstore"],
      id: named("project", "logstore"),
      check: rules((all) => {
        if (!all.has("fullText") && !all.has("fieldSearches")) {
          all.refuse("fullText", null, "fullText or fieldSearches");
        }
        all.each("fieldSearches", (field) => field.oneOf("type", ["long", "text", "double", "json"]));
      }),
    },
    "alicloud:ots/instance:Instance": {
      required: ["name"],
      replaces: ["name", "instanceType"],
      id: named("name"),
      check: rules((all) =>
        all.matches(
          "name",
          /^[A-Za-z][A-Za-z0-9-]{1,14}[A-Za-z0-9]$/,
          "3 to 16 of letters, digits and -; a letter first, no - last",
        ),
      ),
    },
    "alicloud:ots/table:Table": {
      required: ["instanceName", "tableName", "primaryKeys", "timeToLive", "maxVersion"],
      replaces: ["instanceName", "tableName", "primaryKeys", "enableSse"],
      id: named("instanceName", "tableName"),
      check: rules((all) => {
        all
          .matches("tableName", /^[A-Za-z_][A-Za-z0-9_]{0,254}$/, "1 to 255 of letters, digits and _, no digit first")
          .must("timeToLive", "-1, or 86,400 seconds and more", (time: number) => time === -1 || time >= 86_400)
          .range("maxVersion", 1, 2_147_483_647)
          .must("primaryKeys", "1 to 4 columns", (keys: readonly unknown[]) => keys.length >= 1 && keys.length <= 4)
          .each("primaryKeys", (key) => key.oneOf("type", ["String", "Integer", "Binary"]));
      }),
    },
    "alicloud:kms/secret:Secret": {
      required: ["secretName", "secretData", "versionId"],
      replaces: ["secretName", "dkmsInstanceId", "encryptionKeyId"],
      id: named("secretName"),
      check: rules((all) => {
        all
          .matches("secretName", /^[A-Za-z0-9_/+=.@-]{1,64}$/, "1 to 64 of letters, digits and _/+=.@-")
          .must("versionId", "1 to 64 characters", (id: string) => id.length >= 1 && id.length <= 64)
          .range("recoveryWindowInDays", 7, 30, "days");
      }),
    },
    "alicloud:fnf/flow:Flow": {
      required: ["name", "type", "definition", "description"],
      replaces: ["name"],
      id: named("name"),
      check: rules((all, { name }) => {
        all
          .matches(
            "name",
            /^[A-Za-z_][A-Za-z0-9_-]{0,127}$/,
            "1 to 128 of letters, digits, _ and -, a letter or _ first",
          )
          .oneOf("type", ["FDL", "DEFAULT"])
          .matches("roleArn", /^acs:ram::\d+:role\/[A-Za-z0-9.-]{1,64}$/, "acs:ram::<account>:role/<name>")
          .must("definition", "at most 1 MB", (text: string) => bytes(text) <= 2 ** 20)
          .json("definition", (flow, definition) => {
            checkFlowDefinition(flow, definition);
            flow.oneOf("Name", [name]);
          });
      }),
    },
    "alicloud:alikafka/topic:Topic": {
      required: ["instanceId", "topic", "remark"],
      replaces: ["instanceId", "topic", "localTopic", "compactTopic"],
      id: named("instanceId", "topic"),
      check: rules((all) => {
        all
          .matches("instanceId", KAFKA, KAFKA_WORDS)
          .matches("topic", KAFKA_NAME, KAFKA_NAME_WORDS)
          .matches("remark", KAFKA_NAME, KAFKA_NAME_WORDS)
          .range("partitionNum", 1, 360)
          .json("configs");
      }),
    },
    "alicloud:alikafka/consumerGroup:ConsumerGroup": {
      required: ["instanceId", "consumerId"],
      replaces: ["instanceId", "consumerId"],
      id: named("instanceId", "consumerId"),
      check: rules((all) => {
        all
          .matches("instanceId", KAFKA, KAFKA_WORDS)
          .matches("consumerId", KAFKA_NAME, KAFKA_NAME_WORDS)
          .matches("remark", KAFKA_NAME, KAFKA_NAME_WORDS);
      }),
    },
    "alicloud:cms/alarm:Alarm": {
      required: ["name", "project", "metric", "contactGroups"],
      replaces: ["project", "metric"],
      id: numbered("alarm"),
      check: rules((all) => {
        all
          .must("contactGroups", "at least one", (groups: readonly unknown[]) => groups.length > 0)
          .must("period", "60 seconds or a multiple of it", (period: number) => period > 0 && period % 60 === 0)
          .range("silenceTime", 300, 86_400, "seconds")
          .json("metricDimensions")
          .names("escalationsCritical", ["statistics", "comparisonOperator", "threshold", "times"])
          .oneOf("escalationsCritical.comparisonOperator", [">", ">=", "<", "<=", "!=", "=="])
          .matches("escalationsCritical.threshold", /^\d+(\.\d+)?$/, "a number as a text")
          .each("targets", (target) => {
            target.oneOf("level", ["Critical", "Warn", "Info"]).matches("arn", ARN, ARN_WORDS);
          });
      }),
    },
    "alicloud:nas/fileSystem:FileSystem": {
      required: ["protocolType", "storageType"],
      replaces: ["protocolType", "storageType", "fileSystemType", "encryptType", "vpcId", "vswitchId", "zoneId"],
      id: numbered("nas"),
      check: rules((all) => {
        all
          .oneOf("protocolType", ["NFS", "SMB", "cpfs"])
          .oneOf("storageType", ["Performance", "Capacity", "Premium", "standard", "advance"])
          .oneOf("fileSystemType", ["standard", "extreme", "cpfs", "cpfsse"])
          .range("encryptType", 0, 2);
      }),
    },
    "alicloud:nas/mountTarget:MountTarget": {
      required: ["fileSystemId"],
      replaces: ["fileSystemId", "networkType", "vpcId", "vswitchId"],
      id: numbered("mount"),
      outputs: ({ fileSystemId }, made) => ({
        mountTargetDomain: `${fileSystemId}-${made}.${REGION}.nas.aliyuncs.com`,
      }),
    },
    "alicloud:nas/accessGroup:AccessGroup": {
      required: ["accessGroupName", "accessGroupType"],
      replaces: ["accessGroupName", "accessGroupType", "fileSystemType"],
      id: named("accessGroupName", "fileSystemType"),
      check: rules((all) =>
        all.matches("accessGroupName", /^[A-Za-z][A-Za-z0-9_-]{2,63}$/, "3 to 64 of letters, digits, _ and -"),
      ),
    },
    "alicloud:nas/accessRule:AccessRule": {
      required: ["accessGroupName"],
      replaces: ["accessGroupName", "fileSystemType"],
      id: numbered("rule"),
      check: rules((all) => {
        all
          .oneOf("rwAccessType", ["RDWR", "RDONLY"])
          .oneOf("userAccessType", ["no_squash", "root_squash", "all_squash"])
          .range("priority", 1, 100);
      }),
    },
    "alicloud:vpc/network:Network": { replaces: [], id: numbered("vpc"), check: rules((all) => checkCidr(all)) },
    "alicloud:vpc/switch:Switch": {
      required: ["vpcId", "cidrBlock", "zoneId"],
      replaces: ["vpcId", "cidrBlock", "zoneId"],
      id: numbered("vsw"),
      check: rules((all) => checkCidr(all)),
    },
    "alicloud:ecs/securityGroup:SecurityGroup": { replaces: ["vpcId", "securityGroupType"], id: numbered("sg") },
  },
  invokes: {
    "alicloud:index/getAccount:getAccount": () => ({ id: ACCOUNT }),
    "alicloud:fc/getZones:getZones": () => ({
      id: "zones",
      ids: [`${REGION}-h`, `${REGION}-i`],
      zones: [{ id: `${REGION}-h` }, { id: `${REGION}-i` }],
    }),
  },
  check: (_, ...args) => rules(checkTags)(...args),
};

/** https://github.com/aliyun/terraform-provider-alicloud: resource_alicloud_fcv3_function.go */
const RUNTIMES: readonly string[] = [
  ..."python3.12 python3.10 python3.9 python3 nodejs20 nodejs18 nodejs16 nodejs14 java11 java8".split(" "),
  ..."php7.2 dotnetcore3.1 go1 custom custom.debian10 custom.debian11 custom.debian12 custom-container".split(" "),
];
const ARN = /^acs:[a-z]+:[a-z0-9*-]*:(\d+|\*)?:\S+$/;
const ARN_WORDS = "acs:<service>:<region>:<account>:<resource>";
/** Destinations end in `/messages`, unlike sources and dead letters. */
const DESTINATION =
  /^acs:(fc:[a-z0-9-]+:\d+:functions\/[A-Za-z0-9_-]+|mns:[a-z0-9-]+:\d+:\/(queues|topics)\/[A-Za-z0-9-]+\/messages)$/;
const DESTINATION_WORDS =
  "acs:fc:<region>:<account>:functions/<name> or acs:mns:<region>:<account>:/queues/<name>/messages";
/** https://www.alibabacloud.com/help/en/apsaramq-for-kafka/api-createtopic */
const KAFKA_NAME = /^[A-Za-z0-9_-]{3,64}$/;
const KAFKA_NAME_WORDS = "3 to 64 of letters, digits, _ and -";
const KAFKA = /^alikafka_[a-z0-9_-]+$/;
const KAFKA_WORDS = "the id of an instance, alikafka_…";
const NAME_WORDS = "1 to 64 of letters, digits, _ and -, a letter or _ first";

const bytes = (text: string): number => Buffer.byteLength(text);

function checkFunction(all: Rules): void {
  all
    .matches("functionName", /^[A-Za-z_][A-Za-z0-9_-]{0,63}$/, NAME_WORDS)
    .oneOf("runtime", RUNTIMES)
    .matches("handler", /^[^.\s]+\.[^.\s]+$/, "<file>.<method>")
    .names("code", ["ossBucketName", "ossObjectName", "zipFile", "checksum"])
    .must("cpu", "0.05 to 16 in steps of 0.05", (cpu: number) => cpu >= 0.05 && cpu <= 16 && isStep(cpu / 0.05))
    .must("memorySize", "128 to 32,768 MB in steps of 64", (mb: number) => mb >= 128 && mb <= 32_768 && isStep(mb / 64))
    .oneOf("diskSize", [512, 10_240])
    .range("timeout", 1, 86_400, "seconds")
    .range("instanceConcurrency", 1, 200)
    .matches("role", /^acs:ram::\d+:role\/[A-Za-z0-9.-]{1,64}$/, "acs:ram::<account>:role/<name>")
    .must("layers", "at most 5 layer ARNs", (layers: readonly string[]) => layers.length <= 5 && layers.every(isLayer))
    .names("logConfig", ["project", "logstore", "logBeginRule", "enableInstanceMetrics", "enableRequestMetrics"])
    .names("vpcConfig", ["vpcId", "vswitchIds", "securityGroupId"])
    .names("nasConfig", ["userId", "groupId", "mountPoints"])
    .must(
      "environmentVariables",
      "at most 4,096 bytes in all",
      (variables: object) => environmentBytes(variables) <= 4096,
    )
    .must("environmentVariables", "names of letters, digits and _, a letter first; texts", (variables: object) =>
      Object.entries(variables).every(([name, value]) => /^[A-Za-z]\w*$/.test(name) && typeof value === "string"),
    );
  const [cpu, memory] = [all.value("cpu"), all.value("memorySize")] as [number | undefined, number | undefined];
  if (cpu !== undefined && memory !== undefined) {
    const ratio = memory / 1024 / cpu;
    if (ratio < 1 || ratio > 4) all.refuse("memorySize", memory, `1 to 4 GB for each of ${cpu} vCPU`);
  }
  const runtime = String(all.value("runtime"));
  if (!runtime.startsWith("custom") && Number(all.value("instanceConcurrency") ?? 1) > 1) {
    all.refuse("instanceConcurrency", all.value("instanceConcurrency"), `1 for ${runtime}`);
  }
  if (all.has("nasConfig") && !all.has("vpcConfig")) {
    all.refuse("nasConfig", all.value("nasConfig"), "a mount point in the network that vpcConfig names");
  }
  if (runtime !== "custom-container" && all.value("code") === undefined)
    all.refuse("code", null, "the function's code");
}

const isStep = (value: number): boolean => Math.abs(value - Math.round(value)) < 1e-9;
const isLayer = (arn: string): boolean => /^acs:fc:[a-z0-9-]+:[^:]+:layers\/[A-Za-z0-9_-]+\/versions\/\d+$/.test(arn);
const environmentBytes = (variables: object): number =>
  Object.entries(variables).reduce((sum, [name, value]) => sum + bytes(name) + bytes(String(value)), 0);

const OSS_EVENTS = [
  "*",
  ..."PutObject PostObject CopyObject CompleteMultipartUpload PutSymlink InitiateMultipartUpload".split(" "),
  ..."UploadPart UploadPartCopy AppendObject".split(" "),
].map((event) => `oss:ObjectCreated:${event}`);

/** Each type's settings by the service's own names, as its API's models have them. */
const TRIGGERS: Readonly<Record<string, (config: Rules) => void>> = {
  oss: (config) => {
    config
      .names("", ["events", "filter"])
      .must("events", `of ${OSS_EVENTS.join(", ")}`, (events: readonly string[]) =>
        events.every((event) => OSS_EVENTS.includes(event) || /^oss:Object(Removed|Modified):\w+$/.test(event)),
      )
      .names("filter", ["key"])
      .names("filter.key", ["prefix", "suffix"])
      .must("filter.key.prefix", "a text without * or ?", (prefix: string) => !/[*?]/.test(prefix));
  },
  timer: (config) => {
    config
      .names("", ["cronExpression", "enable", "payload"])
      .matches(
        "cronExpression",
        /^(@every [1-9]\d*[smh]|(CRON_TZ=\S+ )?(\S+ ){5}\S+)$/,
        "@every <n>m, or six fields, seconds first",
      )
      .must("payload", "at most 128 KB", (payload: string) => bytes(payload) <= 131_072);
  },
  http: (config) => {
    config
      .names("", ["authType", "authConfig", "corsConfig", "methods", "disableURLInternet"])
      .oneOf("authType", ["anonymous", "function", "jwt"]);
  },
  eventbridge: (config) => {
    config
      .names("", [
        ..."triggerEnable asyncInvocationType eventRuleFilterPattern".split(" "),
        ..."eventSinkConfig eventSourceConfig runOptions".split(" "),
      ])
      .json("eventRuleFilterPattern")
      .names("eventSinkConfig", ["deliveryOption"])
      .names("eventSinkConfig.deliveryOption", ["eventSchema", "concurrency", "mode"])
      .oneOf("eventSinkConfig.deliveryOption.eventSchema", ["CloudEvents", "RawData"])
      .names("eventSourceConfig", ["eventSourceType", "eventSourceParameters"])
      .oneOf("eventSourceConfig.eventSourceType", "Default MNS RocketMQ RabbitMQ Kafka MQTT DTS".split(" "))
      .names("eventSourceConfig.eventSourceParameters", ["sourceMNSParameters", "sourceKafkaParameters"])
      .names("eventSourceConfig.eventSourceParameters.sourceMNSParameters", [
        ..."RegionId QueueName IsBase64Decode".split(" "),
      ])
      .names("eventSourceConfig.eventSourceParameters.sourceKafkaParameters", [
        ..."RegionId InstanceId Topic ConsumerGroup OffsetReset Network VpcId VSwitchIds SecurityGroupId".split(" "),
      ])
      .oneOf("eventSourceConfig.eventSourceParameters.sourceKafkaParameters.OffsetReset", ["latest", "earliest"])
      .oneOf("eventSourceConfig.eventSourceParameters.sourceKafkaParameters.Network", ["Default", "PublicNetwork"])
      .names("runOptions", ["mode", "errorsTolerance", "retryStrategy", "deadLetterQueue", "batchWindow"])
      .oneOf("runOptions.mode", ["event-streaming", "event-driven"])
      .oneOf("runOptions.errorsTolerance", ["NONE", "ALL"])
      .names("runOptions.retryStrategy", ["PushRetryStrategy"])
      .oneOf("runOptions.retryStrategy.PushRetryStrategy", ["BACKOFF_RETRY", "EXPONENTIAL_DECAY_RETRY"])
      .names("runOptions.deadLetterQueue", ["Arn"])
      .matches(
        "runOptions.deadLetterQueue.Arn",
        /^acs:mns:[a-z0-9-]+:\d+:\/queues\/[A-Za-z0-9-]+$/,
        "acs:mns:<region>:<account>:/queues/<name>, without /messages",
      )
      .names("runOptions.batchWindow", ["CountBasedWindow", "TimeBasedWindow"])
      .range("runOptions.batchWindow.CountBasedWindow", 1, 10_000)
      .range("runOptions.batchWindow.TimeBasedWindow", 0, 15, "seconds");
    checkKafkaSource(config);
  },
};

/** A Kafka brings batches alone, and is told where and as whom. */
function checkKafkaSource(config: Rules): void {
  if (config.value("eventSourceConfig.eventSourceType") !== "Kafka") return;
  config.must("runOptions.mode", "event-streaming, for a Kafka", (mode: string) => mode === "event-streaming");
  for (const name of ["RegionId", "InstanceId", "Topic", "ConsumerGroup"]) {
    const field = `eventSourceConfig.eventSourceParameters.sourceKafkaParameters.${name}`;
    if (!config.has(field)) config.refuse(field, null, "a text");
  }
}

/** Sources by the service that calls. https://www.alibabacloud.com/help/en/functioncompute/fc/user-guide/trigger-management */
const SOURCE_ARNS: Readonly<Record<string, RegExp>> = {
  oss: /^acs:oss:[a-z0-9-]+:\d+:[a-z0-9-]{3,63}$/,
};

function checkTrigger(all: Rules): void {
  all
    .oneOf("triggerType", "oss log timer http mns_topic cdn_events tablestore eventbridge".split(" "))
    .matches("triggerName", /^[A-Za-z_][A-Za-z0-9_-]{0,127}$/, "1 to 128 of letters, digits, _ and -")
    .matches("invocationRole", /^acs:ram::\d+:role\/[A-Za-z0-9.-]{1,64}$/, "acs:ram::<account>:role/<name>");
  const type = String(all.value("triggerType"));
  const config = TRIGGERS[type];
  if (!config) all.refuse("triggerType", type, `those whose settings are written down: ${Object.keys(TRIGGERS)}`);
  else all.json("triggerConfig", config);
  const source = SOURCE_ARNS[type];
  if (source) all.matches("sourceArn", source, `${source}`);
}

/** https://www.alibabacloud.com/help/en/ram/user-guide/policy-structure-and-syntax */
function checkDocument(document: Rules, isTrust: boolean): void {
  document
    .names("", ["Version", "Statement"])
    .oneOf("Version", ["1"])
    .must("Statement", "at least one", (statements: readonly unknown[]) => statements.length > 0)
    .each("Statement", (statement) => {
      statement.oneOf("Effect", ["Allow", "Deny"]);
      if (isTrust) {
        statement
          .names("", ["Effect", "Action", "Principal", "Condition"])
          .oneOf("Action", ["sts:AssumeRole"])
          .must("Principal.Service", "names such as fc.aliyuncs.com", (services: readonly string[]) =>
            services.every((one) => /^[a-z]+\.aliyuncs\.com$/.test(one)),
          );
        return;
      }
      statement
        .names("", ["Effect", "Action", "Resource", "Condition"])
        .must("Action", "service:Verb, and no *", (actions: readonly string[]) =>
          actions.every((action) => /^[a-z]+:[A-Z][A-Za-z]+$/.test(action)),
        )
        .must("Action", "at least one", (actions: readonly string[]) => actions.length > 0)
        .must("Resource", `${ARN_WORDS}; * alone only for calls of CloudFlow's`, (resources: readonly string[]) =>
          resources.every((resource) => ARN.test(resource) || (resource === "*" && isOfFlows(statement))),
        )
        .must("Resource", "at least one", (resources: readonly string[]) => resources.length > 0);
    });
}

/** CloudFlow's calls know no resource. https://api.aliyun.com/document/fnf/2019-03-15/StartExecution */
const isOfFlows = (statement: Rules): boolean =>
  ((statement.value("Action") ?? []) as readonly string[]).every((action) => action.startsWith("fnf:"));

function checkCidr(all: Rules): void {
  all.matches("cidrBlock", /^(10|172|192)(\.\d{1,3}){3}\/\d{1,2}$/, "a private range such as 10.0.0.0/8");
}

/** https://www.alibabacloud.com/help/en/resource-management/tag/user-guide/tag-naming-conventions */
function checkTags(all: Rules): void {
  all.must("tags", "at most 20, keys to 128 and values to 256 characters, no acs: or aliyun first", (tags: object) => {
    const entries = Object.entries(tags) as [string, string][];
    return (
      entries.length <= 20 &&
      entries.every(
        ([key, value]) =>
          key.length <= 128 && value.length <= 256 && !/^(acs:|aliyun)/.test(key) && !/https?:/.test(key),
      )
    );
  });
}
