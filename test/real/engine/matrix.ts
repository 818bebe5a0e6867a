import type { Package, Setting } from "./engine.ts";

/** A cloud whose stacks the engine deploys: a line for each cloud. */
export interface EngineCase {
  /** The packages of its providers. */
  readonly providers: readonly Package[];
  readonly config: Readonly<Record<string, Setting>>;
  /** And where its Kafka is. */
  readonly kafka: Readonly<Record<string, Setting>>;
  /** A function's code as an object of its own, by the end of its type. */
  readonly code: string;
  /** Whether `stacks/flows.ts` has its part in SQL there: its packages, 25 MB, are in each function's code, and cost time. */
  readonly sql: boolean;
  /** A function, by the end of its type. */
  readonly function: string;
  /** What a changed handler of each stack changes, by the end of its type and its name. */
  readonly changed: Readonly<Record<"videos" | "tasks" | "flows" | "streams", readonly string[]>>;
  /** What cannot be changed, so that every change makes another; no data is in them. */
  readonly revisions: readonly string[];
  /** What is there when a stack is destroyed, by the end of its type and its id without hashes, in the alphabet's order. */
  readonly keeps: Readonly<Record<"videos" | "tasks" | "flows" | "streams" | "parts", readonly string[]>>;
}

/** A bucket and the settings that are resources of their own. */
const bucketOnAws = (name: string): readonly string[] =>
  ["", "LifecycleConfiguration", "PublicAccessBlock", "ServerSideEncryptionConfiguration"].map(
    (setting) => `Bucket${setting} ${name}`,
  );

/** Of a store's settings only that one is sure. */
const bucketInStore = (name: string): readonly string[] => [`Bucket ${name}`, `BucketLifecycleConfiguration ${name}`];

/** The buckets of `stacks/flows.ts` that hold data, without those of its part in SQL. */
const FLOWS: readonly string[] = [
  "copies-to",
  ..."counts-input counts-output films-outputs films-uploads pages-input pages-output".split(" "),
];

/** What is in no state as it is. */
export const SECRET = "a-value-that-nobody-may-read";

export const MATRIX: Readonly<Record<Package, EngineCase>> = {
  alicloud: {
    providers: ["alicloud"],
    config: { "millrace:region": "cn-hangzhou", "millrace:contactGroups": '["operators"]' },
    kafka: {
      "millrace:kafka": JSON.stringify({
        brokers: ["alikafka-post-cn-1-1-vpc.alikafka.aliyuncs.com:9092"],
        instance: "alikafka_post-cn-1",
      }),
      "millrace:existing": JSON.stringify({ network: { vpc: "vpc-1", vswitch: "vsw-1", securityGroup: "sg-1" } }),
    },
    code: "BucketObject",
    sql: true,
    function: "V3Function",
    changed: {
      tasks: ["V3Function reports-task-work", "BucketObject reports-task-work-code"],
      videos: ["V3Function videos-transcode-work", "BucketObject videos-transcode-work-code"],
      flows: [
        "V3Function counts-map",
        "BucketObject counts-map-code",
        "V3Function counts-reduce",
        "BucketObject counts-reduce-code",
      ],
      streams: ["V3Function orders-on-failure", "BucketObject orders-on-failure-code"],
    },
    revisions: [],
    keeps: {
      videos: [
        "Bucket videos-outputs",
        "Bucket videos-uploads",
        "Instance tables",
        "Table tables:alicloud_cn_hangzhou_tasks",
      ],
      tasks: ["Instance tables", "Table tables:alicloud_cn_hangzhou_tasks"],
      flows: [
        ...[...FLOWS, "orders-input", "orders-output"].sort().map((name) => `Bucket ${name}`),
        ...["Instance tables", "Table tables:alicloud_cn_hangzhou_tasks"],
      ],
      streams: [
        "AccessGroup logs-files:standard",
        "AccessRule rule",
        "Bucket logs-archive",
        "FileSystem nas",
        "Instance tables",
        "MountTarget mount",
        "Table tables:alicloud_cn_hangzhou_tasks",
        "Table tables:logs_slots",
        "Topic alikafka_post-cn-1:logs-lines",
        "Topic alikafka_post-cn-1:orders-source",
      ],
      parts: [
        "Bucket parts-kept",
        "Instance tables",
        "Table tables:parts_kept_rows",
        "Topic alikafka_post-cn-1:parts-orders",
      ],
    },
  },
  aws: {
    providers: ["aws"],
    config: { "millrace:region": "us-east-1", "millrace:alarmEmails": '["operators@example.com"]' },
    kafka: {
      "millrace:kafka": JSON.stringify({
        brokers: ["b-1.shop.a1.c2.kafka.us-east-1.amazonaws.com:9096"],
        instance: "arn:aws:kafka:us-east-1:123456789012:cluster/shop/751d2973-a626-431c-9d4e-d7975eb44dd7-2",
      }),
      "millrace:kafkaUser": "arn:aws:secretsmanager:us-east-1:123456789012:secret:AmazonMSK_shop-Ab12Cd",
      "millrace:existing": JSON.stringify({ network: { subnets: ["subnet-1"], securityGroups: ["sg-1"] } }),
    },
    code: "BucketObjectv2",
    sql: false,
    function: "Function",
    changed: {
      tasks: ["TaskDefinition reports-task-work", "BucketObjectv2 reports-task-work-code"],
      videos: ["TaskDefinition videos-transcode-work", "BucketObjectv2 videos-transcode-work-code"],
      flows: [
        "Function counts-map",
        "BucketObjectv2 counts-map-code",
        "Function counts-reduce",
        "BucketObjectv2 counts-reduce-code",
      ],
      streams: ["Function orders-on-failure", "BucketObjectv2 orders-on-failure-code"],
    },
    revisions: ["TaskDefinition"],
    keeps: {
      videos: [...bucketOnAws("videos-outputs"), ...bucketOnAws("videos-uploads"), "Table aws-us-east-1-tasks"].sort(),
      tasks: ["Table aws-us-east-1-tasks"],
      flows: [...FLOWS.flatMap(bucketOnAws), "Table aws-us-east-1-tasks"].sort(),
      streams: [
        "AccessPoint fsap",
        ...bucketOnAws("logs-archive"),
        "FileSystem fs",
        "FileSystemPolicy fs",
        "Table aws-us-east-1-tasks",
        "Table logs-slots",
        "Topic logs-lines",
        "Topic orders-source",
      ],
      parts: [
        ...bucketOnAws("parts-kept"),
        "BucketVersioning parts-kept",
        "Table parts-kept-rows",
        "Topic parts-orders",
      ],
    },
  },
  kubernetes: {
    providers: ["kubernetes", "aws"],
    config: {
      "millrace:nats": JSON.stringify({ url: "nats://nats.nats.svc.cluster.local:4222" }),
      "millrace:store": {
        secret: JSON.stringify({
          endpoint: "https://s3.example.com",
          keys: { accessKey: "millrace", secretKey: SECRET },
        }),
      },
      "millrace:alarms": "prometheus-operator",
    },
    kafka: {
      "millrace:kafka": JSON.stringify({
        brokers: ["main-kafka-bootstrap.kafka.svc:9093"],
        instance: "kafka/main",
      }),
      "millrace:kafkaUser": "kafka-user",
      "millrace:storageClass": "nfs",
      "millrace:existing": JSON.stringify({ namespace: "media" }),
    },
    code: "BucketObjectv2",
    sql: false,
    function: "Deployment",
    changed: {
      tasks: ["CronJob reports-task-work", "BucketObjectv2 reports-task-work-code"],
      videos: ["CronJob videos-transcode-work", "BucketObjectv2 videos-transcode-work-code"],
      flows: [
        "Deployment counts-map",
        "BucketObjectv2 counts-map-code",
        "Deployment counts-reduce",
        "BucketObjectv2 counts-reduce-code",
        // Pods of a step fetch code of their own.
        "BucketObjectv2 counts-flow-does-counts-map-code",
        "BucketObjectv2 counts-flow-does-counts-reduce-code",
        "WorkflowTemplate counts-flow",
      ],
      streams: ["Deployment orders-on-failure", "BucketObjectv2 orders-on-failure-code"],
    },
    revisions: ["Job", "ConfigMap"],
    keeps: {
      videos: [...bucketInStore("videos-outputs"), ...bucketInStore("videos-uploads")].sort(),
      tasks: [],
      flows: FLOWS.flatMap(bucketInStore).sort(),
      streams: [
        ...bucketInStore("logs-archive"),
        "KafkaTopic kafka/logs-lines",
        "KafkaTopic kafka/orders-source",
        "PersistentVolumeClaim media/logs-files",
      ],
      parts: [...bucketInStore("parts-kept"), "BucketVersioning parts-kept"],
    },
  },
};
