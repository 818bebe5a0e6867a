import type { Package, Setting } from "./engine.ts";

/** A cloud whose stacks the engine deploys: a line for each cloud. */
export interface EngineCase {
  /** The packages of its providers. */
  readonly providers: readonly Package[];
  readonly config: Readonly<Record<string, Setting>>;
  /** A function's code as an object of its own, by the end of its type. */
  readonly code: string;
  /** A function, by the end of its type. */
  readonly function: string;
  /** What runs the attempts of the stacks' tasks, by the end of its type. */
  readonly worker: string;
  /** What cannot be changed, so that every change makes another; no data is in them. */
  readonly revisions: readonly string[];
  /** What is there when a stack is destroyed, by the end of its type and its id without hashes, in the alphabet's order. */
  readonly keeps: Readonly<Record<"videos" | "tasks" | "parts", readonly string[]>>;
}

/** A bucket and the settings that are resources of their own. */
const bucketOnAws = (name: string): readonly string[] =>
  ["", "LifecycleConfiguration", "PublicAccessBlock", "ServerSideEncryptionConfiguration"].map(
    (setting) => `Bucket${setting} ${name}`,
  );

/** Of a store's settings only that one is sure. */
const bucketInStore = (name: string): readonly string[] => [`Bucket ${name}`, `BucketLifecycleConfiguration ${name}`];

/** What is in no state as it is. */
export const SECRET = "a-value-that-nobody-may-read";

export const MATRIX: Readonly<Record<Package, EngineCase>> = {
  alicloud: {
    providers: ["alicloud"],
    config: { "millrace:region": "cn-hangzhou", "millrace:contactGroups": '["operators"]' },
    code: "BucketObject",
    function: "V3Function",
    worker: "V3Function",
    revisions: [],
    keeps: {
      videos: [
        "Bucket videos-outputs",
        "Bucket videos-uploads",
        "Instance tables",
        "Table tables:alicloud_cn_hangzhou_tasks",
      ],
      tasks: ["Instance tables", "Table tables:alicloud_cn_hangzhou_tasks"],
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
    code: "BucketObjectv2",
    function: "Function",
    worker: "TaskDefinition",
    revisions: ["TaskDefinition"],
    keeps: {
      videos: [...bucketOnAws("videos-outputs"), ...bucketOnAws("videos-uploads"), "Table aws-us-east-1-tasks"].sort(),
      tasks: ["Table aws-us-east-1-tasks"],
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
    code: "BucketObjectv2",
    function: "Deployment",
    worker: "CronJob",
    revisions: ["Job", "ConfigMap"],
    keeps: {
      videos: [...bucketInStore("videos-outputs"), ...bucketInStore("videos-uploads")].sort(),
      tasks: [],
      parts: [...bucketInStore("parts-kept"), "BucketVersioning parts-kept"],
    },
  },
};
