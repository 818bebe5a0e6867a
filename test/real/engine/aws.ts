import { createRequire } from "node:module";
import { type Inputs, named, numbered, type Rules, rules, type Service } from "./service.ts";

const ACCOUNT = "123456789012";
const REGION = "us-east-1";

/** It has no types of its own. */
const checkStates = createRequire(import.meta.url)("asl-validator") as (definition: Inputs) => {
  readonly isValid: boolean;
  errorsText(): string;
};

const arn = (service: string, resource: unknown): string => `arn:aws:${service}:${REGION}:${ACCOUNT}:${resource}`;

/**
 * The AWS provider: what it and the services refuse, and which fields are `ForceNew` in its schema.
 *
 * @see https://registry.terraform.io/providers/hashicorp/aws/latest/docs
 * @see https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html
 */
export const service: Service = {
  types: {
    // Storage
    "aws:s3/bucket:Bucket": {
      required: ["bucket"],
      replaces: ["bucket", "bucketPrefix", "objectLockEnabled"],
      id: named("bucket"),
      check: rules((all) => all.must("bucket", BUCKET_WORDS, isBucketName)),
      outputs: ({ bucket }) => ({
        arn: `arn:aws:s3:::${bucket}`,
        bucketRegionalDomainName: `${bucket}.s3.${REGION}.amazonaws.com`,
        region: REGION,
      }),
    },
    ...ofBucket("Versioning", (all) => all.oneOf("versioningConfiguration.status", ["Enabled", "Suspended"])),
    ...ofBucket("PublicAccessBlock"),
    ...ofBucket("OwnershipControls"),
    ...ofBucket("Policy", (all) => all.json("policy", checkDocument)),
    ...ofBucket("ServerSideEncryptionConfiguration", (all) => {
      all.each("rules", (rule) =>
        rule.oneOf("applyServerSideEncryptionByDefault.sseAlgorithm", ["AES256", "aws:kms", "aws:kms:dsse"]),
      );
    }),
    ...ofBucket("LifecycleConfiguration", (all) => {
      all.each("rules", (rule) => {
        rule
          .must("id", "1 to 255 characters", (id: string) => id.length >= 1 && id.length <= 255)
          .oneOf("status", ["Enabled", "Disabled"])
          .range("expiration.days", 1, 2_147_483_647, "days")
          .range("abortIncompleteMultipartUpload.daysAfterInitiation", 1, 2_147_483_647, "days");
      });
    }),
    ...ofBucket("Notification"),
    "aws:s3/bucketObjectv2:BucketObjectv2": {
      required: ["bucket", "key"],
      replaces: ["bucket", "key"],
      id: named("bucket", "key"),
      check: rules((all) => {
        const given = ["source", "content", "contentBase64"].filter((field) => all.has(field));
        if (given.length !== 1) all.refuse("source", given, "one of source, content, contentBase64");
        all.must("tags", "at most 10", (tags: object) => Object.keys(tags).length <= 10);
      }),
      outputs: ({ bucket, key }) => ({ arn: `arn:aws:s3:::${bucket}/${key}` }),
    },
    "aws:dynamodb/table:Table": {
      required: ["name"],
      replaces: ["name", "hashKey", "rangeKey", "localSecondaryIndexes"],
      id: named("name"),
      check: rules(checkTable),
      outputs: ({ name }) => ({ arn: arn("dynamodb", `table/${name}`) }),
    },
    "aws:efs/fileSystem:FileSystem": {
      replaces: ["creationToken", "encrypted", "kmsKeyId", "performanceMode", "availabilityZoneName"],
      id: numbered("fs"),
      check: rules((all) => {
        all
          .must("creationToken", "1 to 64 characters", (token: string) => token.length >= 1 && token.length <= 64)
          .oneOf("throughputMode", ["bursting", "provisioned", "elastic"]);
      }),
      outputs: (_, made) => ({ arn: arn("elasticfilesystem", `file-system/fs-${made}`) }),
    },
    "aws:efs/fileSystemPolicy:FileSystemPolicy": {
      required: ["fileSystemId", "policy"],
      replaces: ["fileSystemId"],
      id: named("fileSystemId"),
      check: rules((all) => all.json("policy", checkDocument)),
    },
    "aws:efs/mountTarget:MountTarget": {
      required: ["fileSystemId", "subnetId"],
      replaces: ["fileSystemId", "subnetId", "ipAddress"],
      id: named("fileSystemId", "subnetId"),
      check: rules((all) => all.must("securityGroups", "at most 5", (groups: readonly string[]) => groups.length <= 5)),
    },
    "aws:efs/accessPoint:AccessPoint": {
      required: ["fileSystemId"],
      replaces: ["fileSystemId", "posixUser", "rootDirectory"],
      id: numbered("fsap"),
      check: rules((all) => {
        all
          .matches("rootDirectory.path", /^\/(?!.*\/$)[^\s]{1,99}$/, "a path from /, at most 100 characters")
          .matches("rootDirectory.creationInfo.permissions", /^[0-7]{3,4}$/, "an octal number as a text");
      }),
      outputs: (_, made) => ({ arn: arn("elasticfilesystem", `access-point/fsap-${made}`) }),
    },

    // Messages
    "aws:sqs/queue:Queue": {
      required: ["name"],
      replaces: ["name", "namePrefix", "fifoQueue"],
      id: ({ name }) => `https://sqs.${REGION}.amazonaws.com/${ACCOUNT}/${name}`,
      check: rules((all, { fifoQueue }) => {
        all
          .matches("name", fifoQueue ? /^[A-Za-z0-9_-]{1,75}\.fifo$/ : /^[A-Za-z0-9_-]{1,80}$/)
          .range("delaySeconds", 0, 900, "seconds")
          .range("maxMessageSize", 1024, 1_048_576, "bytes")
          .range("messageRetentionSeconds", 60, 1_209_600, "seconds")
          .range("receiveWaitTimeSeconds", 0, 20, "seconds")
          .range("visibilityTimeoutSeconds", 0, 43_200, "seconds")
          .json("redrivePolicy", (policy) => {
            policy
              .names("", ["deadLetterTargetArn", "maxReceiveCount"])
              .matches("deadLetterTargetArn", QUEUE_ARN)
              .range("maxReceiveCount", 1, 1000);
            if (!policy.has("maxReceiveCount")) policy.refuse("maxReceiveCount", null, "1 to 1000");
          })
          .json("policy", checkDocument);
      }),
      outputs: ({ name }) => ({
        arn: arn("sqs", name),
        url: `https://sqs.${REGION}.amazonaws.com/${ACCOUNT}/${name}`,
      }),
    },
    "aws:sqs/queuePolicy:QueuePolicy": {
      required: ["queueUrl", "policy"],
      replaces: ["queueUrl"],
      id: named("queueUrl"),
      check: rules((all) => all.json("policy", checkDocument)),
    },
    "aws:sns/topic:Topic": {
      replaces: ["name", "fifoTopic"],
      id: ({ name }) => arn("sns", name),
      check: rules((all) => all.matches("name", /^[A-Za-z0-9_-]{1,256}$/).json("policy", checkDocument)),
      outputs: ({ name }) => ({ arn: arn("sns", name) }),
    },
    "aws:sns/topicSubscription:TopicSubscription": {
      required: ["topic", "protocol", "endpoint"],
      replaces: ["topic", "protocol", "endpoint"],
      id: numbered("subscription"),
      check: rules((all) => {
        all
          .oneOf("protocol", [
            "sqs",
            "lambda",
            "email",
            "email-json",
            "http",
            "https",
            "sms",
            "firehose",
            "application",
          ])
          .matches("topic", ARN);
      }),
      outputs: (_, made) => ({ arn: arn("sns", `subscription:${made}`) }),
    },

    // Functions
    "aws:lambda/function:Function": {
      required: ["name", "role"],
      replaces: ["name", "packageType", "durableConfig"],
      id: named("name"),
      check: rules(checkFunction),
      outputs: ({ name }) => ({
        arn: arn("lambda", `function:${name}`),
        invokeArn: arn(
          "apigateway",
          `lambda:path/2015-03-31/functions/${arn("lambda", `function:${name}`)}/invocations`,
        ),
        qualifiedArn: arn("lambda", `function:${name}:$LATEST`),
        version: "$LATEST",
      }),
    },
    "aws:lambda/layerVersion:LayerVersion": {
      required: ["layerName"],
      replaces: [
        ..."layerName code s3Bucket s3Key s3ObjectVersion compatibleRuntimes compatibleArchitectures".split(" "),
        ..."description licenseInfo sourceCodeHash".split(" "),
      ],
      id: ({ layerName }, made) => `${arn("lambda", `layer:${layerName}`)}:${made}`,
      check: rules((all) => {
        all
          .matches("layerName", /^[A-Za-z0-9_-]{1,64}$/)
          .must("compatibleRuntimes", `of ${RUNTIMES.join(", ")}`, (all: readonly string[]) =>
            all.every((one) => RUNTIMES.includes(one)),
          )
          .must("compatibleArchitectures", "of x86_64, arm64", (all: readonly string[]) =>
            all.every((one) => ["x86_64", "arm64"].includes(one)),
          );
      }),
      outputs: ({ layerName }, made) => ({
        arn: `${arn("lambda", `layer:${layerName}`)}:${made}`,
        layerArn: arn("lambda", `layer:${layerName}`),
        version: String(made),
      }),
    },
    "aws:lambda/permission:Permission": {
      required: ["action", "function", "principal"],
      replaces: "action function principal qualifier sourceAccount sourceArn statementId".split(" "),
      id: ({ function: name, statementId }, made) => `${name}:${statementId ?? made}`,
      check: rules((all) => {
        all
          .matches("action", /^lambda:[A-Za-z]+$/)
          .matches("principal", /^([a-z0-9-]+(\.[a-z0-9-]+)*\.amazonaws\.com|\d{12}|\*)$/)
          .matches("statementId", /^[A-Za-z0-9_-]{1,100}$/)
          .matches("sourceArn", ARN)
          .matches("sourceAccount", /^\d{12}$/);
        if (all.value("principal") === "*" && !all.has("sourceArn")) all.refuse("principal", "*", "a service");
      }),
    },
    "aws:lambda/eventSourceMapping:EventSourceMapping": {
      required: ["functionName"],
      replaces: [
        ..."eventSourceArn startingPosition topics amazonManagedKafkaEventSourceConfig".split(" "),
        ..."selfManagedEventSource selfManagedKafkaEventSourceConfig".split(" "),
      ],
      id: numbered("mapping"),
      check: rules((all) => {
        all
          .matches("eventSourceArn", ARN)
          .range("maximumBatchingWindowInSeconds", 0, 300, "seconds")
          .range("scalingConfig.maximumConcurrency", 2, 1000)
          .must("functionResponseTypes", "of ReportBatchItemFailures", (types: readonly string[]) =>
            types.every((type) => type === "ReportBatchItemFailures"),
          );
        if (all.has("eventSourceArn") === all.has("selfManagedEventSource"))
          all.refuse("eventSourceArn", all.value("eventSourceArn"), "either eventSourceArn or selfManagedEventSource");
        const source = String(all.value("eventSourceArn"));
        if (all.has("selfManagedEventSource") || /^arn:aws[a-z-]*:kafka:/.test(source)) return checkKafkaMapping(all);
        if (!/^arn:aws[a-z-]*:sqs:/.test(source)) return;
        all.range("batchSize", 1, 10_000);
        const [size, window] = [all.value("batchSize") ?? 10, all.value("maximumBatchingWindowInSeconds") ?? 0];
        if (Number(size) > 10 && Number(window) < 1) {
          all.refuse("maximumBatchingWindowInSeconds", window, "at least 1 second, for batches above 10 messages");
        }
        for (const field of ["startingPosition", "maximumRetryAttempts", "bisectBatchOnFunctionError"]) {
          if (all.has(field)) all.refuse(field, all.value(field), "nothing: queues have no such option");
        }
      }),
      outputs: (_, made) => ({ uuid: `mapping-${made}`, functionArn: arn("lambda", "function:mapped") }),
    },
    "aws:lambda/functionEventInvokeConfig:FunctionEventInvokeConfig": {
      required: ["functionName"],
      replaces: ["functionName", "qualifier"],
      id: named("functionName"),
      check: rules((all) => {
        all
          .range("maximumRetryAttempts", 0, 2)
          .range("maximumEventAgeInSeconds", 60, 21_600, "seconds")
          .matches("destinationConfig.onFailure.destination", ARN)
          .matches("destinationConfig.onSuccess.destination", ARN);
      }),
    },
    "aws:msk/topic:Topic": {
      required: ["name", "clusterArn", "partitionCount", "replicationFactor"],
      replaces: ["name", "clusterArn", "replicationFactor"],
      id: named("name"),
      check: rules((all) => {
        all
          .matches("name", /^[A-Za-z0-9._-]{1,249}$/)
          .matches("clusterArn", CLUSTER_ARN)
          .range("partitionCount", 1, 10_000)
          .range("replicationFactor", 1, 3)
          .json("configs");
      }),
      outputs: ({ clusterArn, name }) => ({
        arn: `${String(clusterArn).replace(":cluster/", ":topic/")}/${name}`,
        configsActual: "{}",
      }),
    },
    "aws:sfn/stateMachine:StateMachine": {
      required: ["definition", "roleArn"],
      replaces: ["name", "namePrefix", "type"],
      id: ({ name }) => arn("states", `stateMachine:${name}`),
      check: rules(checkStateMachine),
      outputs: ({ name }) => ({ arn: arn("states", `stateMachine:${name}`) }),
    },
    "aws:ecs/cluster:Cluster": {
      replaces: ["name"],
      id: ({ name }) => arn("ecs", `cluster/${name}`),
      check: rules((all) => all.matches("name", /^[A-Za-z0-9_-]{1,255}$/)),
      outputs: ({ name }) => ({ arn: arn("ecs", `cluster/${name}`) }),
    },
    "aws:ecs/taskDefinition:TaskDefinition": {
      required: ["family", "containerDefinitions"],
      // Every change is another revision.
      replaces: [
        ..."family containerDefinitions cpu memory executionRoleArn taskRoleArn networkMode".split(" "),
        ..."requiresCompatibilities runtimePlatform volumes ephemeralStorage".split(" "),
      ],
      id: ({ family }, made) => `${family}:${made}`,
      check: rules(checkTaskDefinition),
      outputs: ({ family }, made) => ({
        arn: arn("ecs", `task-definition/${family}:${made}`),
        arnWithoutRevision: arn("ecs", `task-definition/${family}`),
        revision: made,
      }),
    },

    // Times and events
    "aws:scheduler/schedule:Schedule": {
      required: ["scheduleExpression", "flexibleTimeWindow", "target"],
      replaces: ["name", "namePrefix", "groupName"],
      id: ({ groupName = "default", name }) => `${groupName}/${name}`,
      check: rules((all) => {
        all
          .matches("name", /^[0-9A-Za-z_.-]{1,64}$/)
          .matches("scheduleExpression", SCHEDULE, SCHEDULE_WORDS)
          .oneOf("state", ["ENABLED", "DISABLED"])
          .oneOf("flexibleTimeWindow.mode", ["OFF", "FLEXIBLE"])
          .must("scheduleExpressionTimezone", "a zone such as Europe/Berlin", isTimeZone)
          .matches("target.arn", ARN)
          .matches("target.roleArn", ROLE_ARN)
          .range("target.retryPolicy.maximumRetryAttempts", 0, 185)
          .range("target.retryPolicy.maximumEventAgeInSeconds", 60, 86_400, "seconds")
          .matches("target.deadLetterConfig.arn", QUEUE_ARN);
        checkCron(all, "scheduleExpression");
      }),
      outputs: ({ groupName = "default", name }) => ({ arn: arn("scheduler", `schedule/${groupName}/${name}`) }),
    },
    "aws:cloudwatch/eventRule:EventRule": {
      replaces: ["name", "namePrefix", "eventBusName"],
      id: named("name"),
      check: rules((all) => {
        all
          .matches("name", /^[A-Za-z0-9._-]{1,64}$/)
          .oneOf("state", ["ENABLED", "DISABLED", "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS"])
          .must("eventPattern", "at most 2,048 characters", (text: string) => text.length <= 2048)
          .json("eventPattern", checkPattern)
          .matches("scheduleExpression", SCHEDULE, SCHEDULE_WORDS);
        if (!all.has("eventPattern") && !all.has("scheduleExpression")) {
          all.refuse("eventPattern", null, "eventPattern or scheduleExpression");
        }
      }),
      outputs: ({ name }) => ({ arn: arn("events", `rule/${name}`) }),
    },
    "aws:cloudwatch/eventTarget:EventTarget": {
      required: ["arn", "rule"],
      replaces: ["rule", "targetId", "eventBusName"],
      id: named("rule", "targetId"),
      check: rules((all) => {
        all
          .matches("arn", ARN)
          .matches("roleArn", ROLE_ARN)
          .matches("targetId", /^[.\-_A-Za-z0-9]{1,64}$/)
          .range("retryPolicy.maximumRetryAttempts", 0, 185)
          .range("retryPolicy.maximumEventAgeInSeconds", 60, 86_400, "seconds")
          .matches("deadLetterConfig.arn", QUEUE_ARN);
      }),
    },
    "aws:cloudwatch/metricAlarm:MetricAlarm": {
      required: ["name", "comparisonOperator", "evaluationPeriods"],
      replaces: ["name"],
      id: named("name"),
      check: rules(checkAlarm),
      outputs: ({ name }) => ({ arn: arn("cloudwatch", `alarm:${name}`) }),
    },
    "aws:cloudwatch/logGroup:LogGroup": {
      replaces: ["name", "namePrefix", "logGroupClass"],
      id: named("name"),
      check: rules((all) => {
        all.matches("name", /^(?!aws\/)[A-Za-z0-9._/#-]{1,512}$/).oneOf("retentionInDays", RETENTIONS);
      }),
      outputs: ({ name }) => ({ arn: arn("logs", `log-group:${name}`) }),
    },

    // Permissions and secrets
    "aws:iam/role:Role": {
      required: ["assumeRolePolicy"],
      replaces: ["name", "namePrefix", "path"],
      id: named("name"),
      check: rules((all) => {
        all
          .matches("name", /^[\w+=,.@-]{1,64}$/)
          .range("maxSessionDuration", 3600, 43_200, "seconds")
          .json("assumeRolePolicy", checkTrust);
      }),
      outputs: ({ name }) => ({ arn: `arn:aws:iam::${ACCOUNT}:role/${name}`, uniqueId: "AROA" }),
    },
    "aws:iam/rolePolicy:RolePolicy": {
      required: ["role", "policy"],
      replaces: ["name", "namePrefix", "role"],
      id: ({ role, name }, made) => `${role}:${name ?? made}`,
      check: rules((all) => {
        all
          .matches("name", /^[\w+=,.@-]{1,128}$/)
          .must("policy", "at most 10,240 characters that are no blanks", (text: string) => solid(text) <= 10_240)
          .json("policy", checkDocument);
      }),
      outputs: ({ name }, made) => ({ name: name ?? `policy-${made}` }),
    },
    "aws:iam/policy:Policy": {
      required: ["policy"],
      replaces: ["name", "namePrefix", "path", "description"],
      id: ({ name }) => `arn:aws:iam::${ACCOUNT}:policy/${name}`,
      check: rules((all) => {
        all
          .matches("name", /^[\w+=,.@-]{1,128}$/)
          .must("policy", "at most 6,144 characters that are no blanks", (text: string) => solid(text) <= 6144)
          .json("policy", checkDocument);
      }),
      outputs: ({ name }) => ({ arn: `arn:aws:iam::${ACCOUNT}:policy/${name}` }),
    },
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": {
      required: ["role", "policyArn"],
      replaces: ["role", "policyArn"],
      id: named("role", "policyArn"),
      check: rules((all) => all.matches("policyArn", /^arn:aws[a-z-]*:iam::(\d{12}|aws):policy\/\S+$/)),
    },
    "aws:secretsmanager/secret:Secret": {
      replaces: ["name", "namePrefix"],
      id: ({ name }) => arn("secretsmanager", `secret:${name}-AbCdEf`),
      check: rules((all) => {
        all
          .matches("name", /^[A-Za-z0-9/_+=.@-]{1,512}$/)
          .must(
            "recoveryWindowInDays",
            "0, or 7 to 30 days",
            (days: number) => days === 0 || (days >= 7 && days <= 30),
          );
      }),
      outputs: ({ name }) => ({ arn: arn("secretsmanager", `secret:${name}-AbCdEf`) }),
    },
    "aws:secretsmanager/secretVersion:SecretVersion": {
      required: ["secretId"],
      replaces: ["secretId", "secretString", "secretBinary"],
      id: ({ secretId }, made) => `${secretId}|${made}`,
      check: rules((all) => all.must("secretString", "1 to 65,536 bytes", (text: string) => inBytes(text, 1, 65_536))),
      outputs: ({ secretId }, made) => ({ arn: secretId, versionId: String(made) }),
    },

    // Network
    "aws:ec2/vpc:Vpc": {
      replaces: ["cidrBlock", "instanceTenancy"],
      id: numbered("vpc"),
      check: rules((all) => all.matches("cidrBlock", CIDR)),
      outputs: (_, made) => ({ arn: arn("ec2", `vpc/vpc-${made}`), mainRouteTableId: `rtb-main-${made}` }),
    },
    "aws:ec2/subnet:Subnet": {
      required: ["vpcId"],
      replaces: ["vpcId", "cidrBlock", "availabilityZone"],
      id: numbered("subnet"),
      check: rules((all) => all.matches("cidrBlock", CIDR)),
      outputs: (_, made) => ({ arn: arn("ec2", `subnet/subnet-${made}`) }),
    },
    "aws:ec2/securityGroup:SecurityGroup": {
      replaces: ["name", "namePrefix", "description", "vpcId"],
      id: numbered("sg"),
      check: rules((all) => {
        const words = "at most 255 characters, no sg- first";
        all
          .must("name", words, (name: string) => name.length <= 255 && !name.startsWith("sg-"))
          .matches("description", /^[\w .:/()#,@[\]+=&;{}!$*-]{0,255}$/);
      }),
      outputs: (_, made) => ({ arn: arn("ec2", `security-group/sg-${made}`) }),
    },
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": {
      required: ["securityGroupId", "ipProtocol"],
      replaces: ["securityGroupId"],
      id: numbered("sgr"),
    },
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": {
      required: ["securityGroupId", "ipProtocol"],
      replaces: ["securityGroupId"],
      id: numbered("sgr"),
    },
    "aws:ec2/vpcEndpoint:VpcEndpoint": {
      required: ["vpcId"],
      replaces: ["vpcId", "serviceName", "vpcEndpointType"],
      id: numbered("vpce"),
      check: rules((all) => {
        all
          .oneOf("vpcEndpointType", ["Gateway", "Interface", "GatewayLoadBalancer", "Resource", "ServiceNetwork"])
          .matches("serviceName", /^(cn\.)?com\.amazonaws\.[a-z0-9-]+\.[a-z0-9.-]+$/);
        const isGateway = (all.value("vpcEndpointType") ?? "Gateway") === "Gateway";
        if (isGateway) all.matches("serviceName", /\.(s3|dynamodb)$/, "s3 or dynamodb: no other service has a gateway");
        for (const field of isGateway ? ["subnetIds", "securityGroupIds"] : ["routeTableIds"]) {
          if (all.has(field)) all.refuse(field, all.value(field), "nothing on such an endpoint");
        }
      }),
    },
    "aws:ec2/routeTable:RouteTable": { required: ["vpcId"], replaces: ["vpcId"], id: numbered("rtb") },
    "aws:ec2/routeTableAssociation:RouteTableAssociation": {
      required: ["routeTableId"],
      replaces: ["subnetId", "gatewayId"],
      id: numbered("rtbassoc"),
    },
    "aws:ec2/route:Route": { required: ["routeTableId"], replaces: ["routeTableId"], id: numbered("route") },
    "aws:ec2/internetGateway:InternetGateway": { replaces: [], id: numbered("igw") },
  },
  invokes: {
    "aws:index/getCallerIdentity:getCallerIdentity": () => ({
      id: ACCOUNT,
      accountId: ACCOUNT,
      arn: `arn:aws:iam::${ACCOUNT}:user/deployer`,
      userId: "AIDA",
    }),
    "aws:index/getRegion:getRegion": () => ({ id: REGION, name: REGION, region: REGION }),
    "aws:index/getPartition:getPartition": () => ({ id: "aws", partition: "aws", dnsSuffix: "amazonaws.com" }),
    "aws:msk/getCluster:getCluster": ({ clusterName }) => ({ id: clusterName, clusterName, numberOfBrokerNodes: 2 }),
    "aws:index/getAvailabilityZones:getAvailabilityZones": () => {
      const names = ["a", "b", "c"].map((zone) => `${REGION}${zone}`);
      return { id: REGION, names, zoneIds: names };
    },
  },
  check: (_, ...args) => rules(checkTags)(...args),
};

/** A setting of a bucket that is a resource of its own. */
function ofBucket(setting: string, check: (all: Rules) => void = () => {}): Service["types"] {
  return {
    [`aws:s3/bucket${setting}:Bucket${setting}`]: {
      required: ["bucket"],
      replaces: ["bucket"],
      id: named("bucket"),
      check: rules(check),
    },
  };
}

/** As `@pulumi/aws` 7.48 lists them: `lambda.Runtime`. */
const RUNTIMES: readonly string[] = [
  ..."nodejs20.x nodejs22.x nodejs24.x python3.9 python3.10 python3.11 python3.12 python3.13 python3.14".split(" "),
  ..."java17 java21 java25 dotnet8 dotnet10 ruby3.3 ruby3.4 provided.al2 provided.al2023".split(" "),
];
/** https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html */
const RETENTIONS = [
  ...[0, 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731],
  ...[1096, 1827, 2192, 2557, 2922, 3288, 3653],
];
const ARN = /^arn:aws[a-z-]*:[a-z0-9-]+:[a-z0-9-]*:(\d{12})?:\S+$/;
const ROLE_ARN = /^arn:aws[a-z-]*:iam::\d{12}:role\/[\w+=,.@/-]+$/;
const CLUSTER_ARN = /^arn:aws[a-z-]*:kafka:[a-z0-9-]+:\d{12}:cluster\/[^/]+\/[0-9a-f-]{36}-\w+$/;
const QUEUE_ARN = /^arn:aws[a-z-]*:sqs:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]{1,80}$/;
const CIDR = /^(\d{1,3}\.){3}\d{1,3}\/(1[6-9]|2[0-8])$/;
const BUCKET_WORDS = "3 to 63 of a-z, 0-9, . and -, a letter or digit at both ends, no xn-- first";
const SCHEDULE =
  /^(rate\((1 (minute|hour|day)|(?!1 )[1-9]\d* (minutes|hours|days))\)|cron\(([^\s()]+ ){5}[^\s()]+\)|at\(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\))$/;
const SCHEDULE_WORDS = "rate(<n> minutes), cron(<six fields>) or at(<time>)";

const isBucketName = (name: string): boolean =>
  /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(name) && !/^(xn--|sthree-)|\.\.|(-s3alias|--ol-s3)$/.test(name);
const solid = (text: string): number => text.replaceAll(/\s/g, "").length;
const inBytes = (text: string, least: number, most: number): boolean =>
  Buffer.byteLength(text) >= least && Buffer.byteLength(text) <= most;

function isTimeZone(zone: string): boolean {
  return Intl.supportedValuesOf("timeZone").includes(zone) || zone === "UTC";
}

function checkFunction(all: Rules): void {
  all
    .matches("name", /^[A-Za-z0-9_-]{1,64}$/, "1 to 64 of letters, digits, _ and -")
    .oneOf("runtime", RUNTIMES)
    .oneOf("packageType", ["Zip", "Image"])
    .range("timeout", 1, 900, "seconds")
    .range("memorySize", 128, 10_240, "MB")
    .range("ephemeralStorage.size", 512, 10_240, "MB")
    .range("reservedConcurrentExecutions", -1, 1_000_000)
    .matches("role", ROLE_ARN, "arn:aws:iam::<account>:role/<name>")
    .matches("handler", /^[^\s]{1,128}$/)
    .must(
      "layers",
      "at most 5 layer versions",
      (layers: readonly string[]) => layers.length <= 5 && layers.every(isLayer),
    )
    .must("architectures", "x86_64 or arm64", (all: readonly string[]) => ["x86_64", "arm64"].includes(all.join()))
    .must("environment.variables", "at most 4,096 bytes in all", (variables: Inputs) =>
      inBytes(Object.entries(variables).flat().join(""), 0, 4096),
    )
    .must(
      "environment.variables",
      "names of letters, digits and _, two at least, none of Lambda's own",
      (all: Inputs) =>
        Object.entries(all).every(
          ([name, value]) => /^[A-Za-z]\w+$/.test(name) && !RESERVED.includes(name) && typeof value === "string",
        ),
    )
    .matches("fileSystemConfig.localMountPath", /^\/mnt\/[A-Za-z0-9_.-]+$/, "/mnt/<name>")
    .matches("fileSystemConfig.arn", /^arn:aws[a-z-]*:elasticfilesystem:[a-z0-9-]+:\d{12}:access-point\/fsap-\w+$/)
    .oneOf("loggingConfig.logFormat", ["JSON", "Text"])
    .oneOf("tracingConfig.mode", ["Active", "PassThrough"])
    .matches("deadLetterConfig.targetArn", ARN);
  const isImage = all.value("packageType") === "Image";
  for (const field of isImage ? ["imageUri"] : ["runtime", "handler"]) {
    if (!all.has(field)) all.refuse(field, null, "a value: it is required");
  }
  if (all.has("fileSystemConfig") && !all.has("vpcConfig")) {
    all.refuse("fileSystemConfig", all.value("fileSystemConfig"), "a file system in the network that vpcConfig names");
  }
  const level = all.value("loggingConfig.applicationLogLevel");
  if (level !== undefined && all.value("loggingConfig.logFormat") !== "JSON") {
    all.refuse("loggingConfig.applicationLogLevel", level, "nothing, unless logFormat is JSON");
  }
}

/** https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime */
const RESERVED: readonly string[] = [
  ..."_HANDLER AWS_REGION AWS_DEFAULT_REGION AWS_EXECUTION_ENV AWS_LAMBDA_FUNCTION_NAME".split(" "),
  ..."AWS_LAMBDA_FUNCTION_MEMORY_SIZE AWS_LAMBDA_FUNCTION_VERSION AWS_LAMBDA_LOG_GROUP_NAME".split(" "),
  ..."AWS_LAMBDA_LOG_STREAM_NAME AWS_ACCESS_KEY AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY".split(" "),
  ..."AWS_SESSION_TOKEN AWS_LAMBDA_RUNTIME_API LAMBDA_TASK_ROOT LAMBDA_RUNTIME_DIR".split(" "),
];
const isLayer = (layer: string): boolean => /^arn:aws[a-z-]*:lambda:[a-z0-9-]+:\d{12}:layer:[\w-]+:\d+$/.test(layer);

/**
 * What brings the records of a Kafka.
 *
 * https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
 * https://docs.aws.amazon.com/lambda/latest/dg/kafka-retry-configurations.html
 */
function checkKafkaMapping(all: Rules): void {
  all
    .oneOf("startingPosition", ["LATEST", "TRIM_HORIZON", "AT_TIMESTAMP"])
    .must("topics", "one topic", (topics: readonly string[]) => topics.length === 1)
    .range("batchSize", 1, 10_000)
    .matches("amazonManagedKafkaEventSourceConfig.consumerGroupId", /^[A-Za-z0-9\-/*:_+=.@]{1,200}$/)
    .matches("selfManagedKafkaEventSourceConfig.consumerGroupId", /^[A-Za-z0-9\-/*:_+=.@]{1,200}$/)
    .matches("destinationConfig.onFailure.destinationArn", /^(arn:aws[a-z-]*:(sqs|sns|s3):\S+|kafka:\/\/\S+)$/)
    .range("provisionedPollerConfig.minimumPollers", 1, 200)
    .range("provisionedPollerConfig.maximumPollers", 1, 2000)
    .each("sourceAccessConfigurations", (access) => {
      access
        .oneOf("type", KAFKA_ACCESS)
        .matches("uri", /^(arn:aws[a-z-]*:secretsmanager:|subnet:|security_group:)[^*?]+$/);
    });
  for (const field of ["startingPosition", "topics"]) {
    if (!all.has(field)) all.refuse(field, null, "a value, for a Kafka");
  }
  if (all.has("selfManagedEventSource") && !all.has("sourceAccessConfigurations")) {
    all.refuse("sourceAccessConfigurations", null, "a user or a network, for a Kafka that is not MSK's");
  }
  if (all.has("provisionedPollerConfig")) return;
  for (const field of ["maximumRetryAttempts", "bisectBatchOnFunctionError", "functionResponseTypes"]) {
    if (all.has(field)) all.refuse(field, all.value(field), "nothing without provisioned pollers");
  }
}

const KAFKA_ACCESS =
  "BASIC_AUTH SASL_SCRAM_256_AUTH SASL_SCRAM_512_AUTH VPC_SUBNET VPC_SECURITY_GROUP CLIENT_CERTIFICATE_TLS_AUTH".split(
    " ",
  );

function checkStateMachine(all: Rules): void {
  all
    .matches("name", /^[A-Za-z0-9_-]{1,80}$/, "1 to 80 of letters, digits, _ and -")
    .oneOf("type", ["STANDARD", "EXPRESS"])
    .matches("roleArn", ROLE_ARN)
    .oneOf("loggingConfiguration.level", ["ALL", "ERROR", "FATAL", "OFF"])
    .matches("loggingConfiguration.logDestination", /^arn:aws[a-z-]*:logs:\S+:\*$/, "a log group's ARN that ends in :*")
    .must("definition", "at most 1 MB", (text: string) => inBytes(text, 1, 1_048_576))
    .json("definition", (rules, definition) => {
      const { isValid, errorsText } = checkStates(definition);
      if (!isValid) rules.refuse("", errorsText(), "a definition that asl-validator takes");
    });
}

/** https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html#fargate-tasks-size */
const FARGATE: Readonly<Record<string, readonly [least: number, most: number, step: number]>> = {
  "512": [1024, 4096, 1024],
  "1024": [2048, 8192, 1024],
  "2048": [4096, 16_384, 1024],
  "4096": [8192, 30_720, 1024],
  "8192": [16_384, 61_440, 4096],
  "16384": [32_768, 122_880, 8192],
};

function checkTaskDefinition(all: Rules): void {
  all
    .matches("family", /^[A-Za-z0-9_-]{1,255}$/)
    .oneOf("networkMode", ["awsvpc", "bridge", "host", "none"])
    .matches("executionRoleArn", ROLE_ARN)
    .matches("taskRoleArn", ROLE_ARN)
    .range("ephemeralStorage.sizeInGib", 21, 200, "GiB")
    .json("containerDefinitions", (containers, definitions) => {
      for (const [index, one] of Object.entries(definitions)) containers.inside(index, one as Inputs, checkContainer);
    });
  const [cpu, memory] = [String(all.value("cpu")), Number(all.value("memory"))];
  const isFargate = (all.value("requiresCompatibilities") as readonly string[] | undefined)?.includes("FARGATE");
  if (!isFargate) return;
  if (all.value("networkMode") !== "awsvpc") all.refuse("networkMode", all.value("networkMode"), "awsvpc on Fargate");
  if (cpu === "256") return void all.oneOf("memory", ["512", "1024", "2048"]);
  const sizes = FARGATE[cpu];
  if (!sizes) return void all.refuse("cpu", all.value("cpu"), `256, ${Object.keys(FARGATE).join(", ")}`);
  const [least, most, step] = sizes;
  if (memory < least || memory > most || memory % step !== 0) {
    all.refuse("memory", all.value("memory"), `${least} to ${most} MB in steps of ${step} for ${cpu} CPU units`);
  }
}

function checkContainer(container: Rules): void {
  container
    .matches("name", /^[A-Za-z0-9_-]{1,255}$/)
    .matches("image", /^\S{1,255}$/)
    .range("stopTimeout", 0, 120, "seconds")
    .oneOf("logConfiguration.logDriver", ["awslogs", "awsfirelens", "splunk"])
    .each("environment", (variable) => variable.names("", ["name", "value"]))
    .each("mountPoints", (mount) => mount.matches("containerPath", /^\//, "a path from /"));
  for (const field of ["name", "image"]) {
    if (!container.has(field)) container.refuse(field, null, "a value: it is required");
  }
}

function checkTable(all: Rules): void {
  all
    .matches("name", /^[A-Za-z0-9_.-]{3,255}$/, "3 to 255 of letters, digits, _, . and -")
    .oneOf("billingMode", ["PAY_PER_REQUEST", "PROVISIONED"])
    .each("attributes", (attribute) => attribute.oneOf("type", ["S", "N", "B"]));
  const attributes = (all.value("attributes") ?? []) as readonly { readonly name: string }[];
  const indexes = ["globalSecondaryIndexes", "localSecondaryIndexes"].flatMap(
    (field) => (all.value(field) ?? []) as readonly Inputs[],
  );
  const keys = [all.value("hashKey"), all.value("rangeKey"), ...indexes.flatMap((one) => [one.hashKey, one.rangeKey])];
  const wanted = [...new Set(keys.filter((key) => key !== undefined))].sort();
  const defined = attributes.map(({ name }) => name).sort();
  if (wanted.join() !== defined.join()) all.refuse("attributes", defined, `those of keys and indexes: ${wanted}`);
}

function checkAlarm(all: Rules): void {
  all
    .must("name", "1 to 255 characters", (name: string) => name.length >= 1 && name.length <= 255)
    .oneOf("comparisonOperator", [
      ..."GreaterThanOrEqualToThreshold GreaterThanThreshold LessThanThreshold LessThanOrEqualToThreshold".split(" "),
    ])
    .oneOf("statistic", ["SampleCount", "Average", "Sum", "Minimum", "Maximum"])
    .oneOf("treatMissingData", ["missing", "ignore", "breaching", "notBreaching"])
    .range("evaluationPeriods", 1, 1440)
    .must(
      "period",
      "10, 20, 30 seconds or a multiple of 60",
      (period: number) => [10, 20, 30].includes(period) || (period > 0 && period % 60 === 0),
    )
    .must("dimensions", "at most 30", (dimensions: object) => Object.keys(dimensions).length <= 30)
    .must(
      "alarmActions",
      "at most 5 ARNs",
      (all: readonly string[]) => all.length <= 5 && all.every((one) => ARN.test(one)),
    );
  const seconds = Number(all.value("period") ?? 0) * Number(all.value("evaluationPeriods"));
  if (seconds > 86_400 * 7) all.refuse("period", all.value("period"), "7 days over all periods evaluated");
}

/** https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-event-patterns.html */
function checkPattern(pattern: Rules, value: Inputs): void {
  pattern.names("", "source account region resources detail-type detail version id time".split(" "));
  const leaves = (inner: unknown, path: string): void => {
    if (Array.isArray(inner)) {
      if (inner.length === 0) pattern.refuse(path, inner, "at least one value");
    } else if (typeof inner === "object" && inner !== null) {
      for (const [name, one] of Object.entries(inner)) leaves(one, path ? `${path}.${name}` : name);
    } else {
      pattern.refuse(path, inner, "a list of values");
    }
  };
  leaves(value, "");
}

/** One of the two fields of days is a question mark. */
function checkCron(all: Rules, field: string): void {
  const [, fields] = /^cron\((.+)\)$/.exec(String(all.value(field))) ?? [];
  if (fields === undefined) return;
  const [, , day, , weekday] = fields.split(" ");
  if ((day === "?") === (weekday === "?"))
    all.refuse(field, all.value(field), "? for one of day and weekday, not both");
}

/** https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html */
function checkDocument(document: Rules): void {
  document
    .names("", ["Version", "Id", "Statement"])
    .oneOf("Version", ["2012-10-17"])
    .must("Statement", "at least one", (statements: readonly unknown[]) => statements.length > 0)
    .each("Statement", (statement) => {
      statement
        .names("", ["Sid", "Effect", "Principal", "Action", "Resource", "Condition"])
        .matches("Sid", /^[A-Za-z0-9]*$/)
        .oneOf("Effect", ["Allow", "Deny"]);
      const [actions, resources] = [several(statement.value("Action")), several(statement.value("Resource"))];
      if (actions.length === 0) statement.refuse("Action", actions, "at least one");
      if (resources.length === 0) statement.refuse("Resource", resources, "at least one");
      for (const action of actions) {
        if (!/^[a-z0-9-]+:[A-Z][A-Za-z0-9]+$/.test(action))
          statement.refuse("Action", action, "service:Verb, and no *");
      }
      for (const resource of resources) {
        const isKnownWide = resource === "*" && actions.every((action) => UNSCOPED.test(action));
        if (!isKnownWide && !/^arn:aws[a-z-]*:[a-z0-9-]+:[a-z0-9*-]*:(\d{12}|\*)?:\S+$/.test(resource)) {
          statement.refuse("Resource", resource, "an ARN; * only for calls that know nothing else");
        }
      }
    });
}

/** Calls on no resource. https://docs.aws.amazon.com/service-authorization/latest/reference/ */
const UNSCOPED =
  /^(ec2:(Create|Delete)NetworkInterface|ec2:Describe\w+|ec2:(Una|A)ssignPrivateIpAddresses|logs:\w*LogDeliver\w+|logs:\w+ResourcePolic\w+|logs:DescribeLogGroups|ecr:GetAuthorizationToken|states:SendTask\w+|cloudwatch:PutMetricData)$/;

function checkTrust(document: Rules): void {
  document.oneOf("Version", ["2012-10-17"]).each("Statement", (statement) => {
    statement
      .oneOf("Effect", ["Allow"])
      .oneOf("Action", ["sts:AssumeRole"])
      .must("Principal.Service", "names such as lambda.amazonaws.com", (services: string | readonly string[]) =>
        several(services).every((one) => /^[a-z0-9.-]+\.amazonaws\.com(\.cn)?$/.test(one)),
      );
  });
}

const several = (value: unknown): readonly string[] => (value === undefined ? [] : [value].flat()) as string[];

/** https://docs.aws.amazon.com/tag-editor/latest/userguide/best-practices-and-strats.html */
function checkTags(all: Rules): void {
  all.must(
    "tags",
    "at most 50; keys to 128, values to 256 characters of letters, digits, blanks and _.:/=+@-",
    (tags: object) => {
      const entries = Object.entries(tags) as [string, string][];
      return (
        entries.length <= 50 &&
        entries.every(
          ([key, value]) =>
            !/^aws:/i.test(key) &&
            /^[\p{L}\p{N} _.:/=+@-]{1,128}$/u.test(key) &&
            /^[\p{L}\p{N} _.:/=+@-]{0,256}$/u.test(value),
        )
      );
    },
  );
}
