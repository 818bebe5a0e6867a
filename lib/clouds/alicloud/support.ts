import type { Support } from "../../parts/support.ts";

const DAY = 86_400;
const KB = 2 ** 10;
const MB = 2 ** 20;
const GB = 2 ** 30;

const HELP = "https://www.alibabacloud.com/help/en";
const MOCKED = "the resources under typed mocks; not run against the service";
const FAKED = "the resources under typed mocks, a wire-level fake at run time; not run against the service";
const CALLED =
  "a wire-level fake, requests checked by the vendor's own client, code on a real Node 20; not run against the service";
const DOCUMENTED = "documentation only";

const FUNCTION = { source: "terraform-provider-alicloud: resource_alicloud_fcv3_function.go", verified: MOCKED };
const ASYNC = {
  source: "terraform-provider-alicloud: resource_alicloud_fcv3_async_invoke_config.go",
  verified: MOCKED,
};
const TASK = { source: `${HELP}/functioncompute/fc/user-guide/async-task`, verified: CALLED };
const ERRORS = { source: `${HELP}/functioncompute/fc/user-guide/error-handling-1-2`, verified: DOCUMENTED };
const CALLBACK = { source: `${HELP}/functioncompute/fc/user-guide/result-callback`, verified: CALLED };
const RUNTIME = { source: `${HELP}/functioncompute/fc/user-guide/specification-details`, verified: DOCUMENTED };
const EVENTS = {
  source: `${HELP}/functioncompute/fc/user-guide/advanced-features-of-triggers`,
  verified:
    "names of the trigger against the vendor's models, events as documented; the page is unclear whether the bound holds for asynchronous pushes",
};
const TIMER = { source: `${HELP}/functioncompute/fc/user-guide/time-triggers`, verified: MOCKED };
const OSS_TRIGGER = {
  source: `${HELP}/functioncompute/fc/user-guide/overview-of-oss-trigger`,
  verified: `${MOCKED}; that overlaps are refused by a report of the service's own words, https://github.com/midwayjs/midway/issues/744`,
};
const QUEUE = { source: "@pulumi/alicloud 3.108.0: message.ServiceQueue", verified: FAKED };
const BUCKET = { source: "@pulumi/alicloud 3.108.0: oss.Bucket", verified: FAKED };
const TABLE = { source: "@pulumi/alicloud 3.108.0: ots.Table", verified: FAKED };
const VOLUME = { source: "@pulumi/alicloud 3.108.0: nas.FileSystem, nas.MountTarget", verified: MOCKED };
const SECRET = {
  source: "@pulumi/alicloud 3.108.0: kms.Secret",
  verified: `${MOCKED}; reading it from a wire-level fake, requests checked by the vendor's own client`,
};
const ALARM = {
  source: "@pulumi/alicloud 3.108.0: cms.Alarm",
  verified: "the resource under typed mocks; names of metrics and dimensions by documentation only",
};
const IMAGE = {
  source: `${HELP}/functioncompute/fc/user-guide/custom-container-event-functions`,
  verified: `${MOCKED}; calls on a wire-level fake`,
};
const ROLE = { source: "@pulumi/alicloud 3.108.0: ram.Role, ram.Policy", verified: MOCKED };
const MILLRACE = { source: "Millrace's core, the same on every cloud", verified: "on the local cloud" };

const kept = { level: "native", how: "Pulumi's protect and retainOnDelete" } as const;
const reused = { level: "native", how: "used by its name, never changed" } as const;

const FLOW = {
  source: `${HELP}/serverless-workflow/latest/process-definition-introduction`,
  verified:
    "the resources under typed mocks; definitions run by an interpreter written from the same pages, executions on a wire-level fake; not run against the service",
};

const STREAM = { source: "@pulumi/alicloud 3.108.0: alikafka.Topic, alikafka.ConsumerGroup", verified: MOCKED };
const KAFKA = {
  source: `${HELP}/apsaramq-for-kafka/view-endpoints`,
  verified:
    "the resources under typed mocks, code on a real Node 20 with a real Kafka; the service's users, endpoints and transactions by documentation only",
};
const KAFKA_TRIGGER = {
  source: `${HELP}/functioncompute/fc-3-0/user-guide/apsaramq-for-kafka-triggers`,
  verified:
    "names of the trigger against the vendor's models, records in the forms of its samples; headers and values that are no text are unverified",
};

/** Alibaba Cloud: Function Compute 3.0 and the services around it. */
export const support: Support = {
  cloud: "alicloud",
  title: "Alibaba Cloud",
  parts: {
    bucket: {
      level: "native",
      how: "an OSS bucket; keys have at most 1,023 bytes and begin with neither / nor \\; a put that names an etag looks at it just before; a stream has at most 78 GiB, in parts of 8 MiB, a file as much as 10,000 parts take",
      ...BUCKET,
      options: {
        expires: {
          level: "native",
          how: "a lifecycle rule, in whole days",
          source: BUCKET.source,
          verified: "documentation only; when in the day the rule runs is unverified",
          min: DAY,
          step: DAY,
        },
        versioned: { level: "native", how: "OSS versioning", ...BUCKET },
        removable: { ...kept, ...BUCKET },
        existing: { ...reused, ...BUCKET },
      },
    },
    queue: {
      level: "native",
      how: "a Simple Message Queue (formerly MNS) queue; bodies go as they are, unencoded",
      ...QUEUE,
      options: {
        visibility: { level: "native", how: "visibilityTimeout", ...QUEUE, min: 1, max: 43_200, step: 1 },
        retention: { level: "native", how: "messageRetentionPeriod", ...QUEUE, min: 60, max: 7 * DAY, step: 1 },
        delay: { level: "native", how: "delaySeconds", ...QUEUE, min: 0, max: 7 * DAY, step: 1 },
        attempts: {
          level: "native",
          how: "dlqPolicy.maxReceiveCount; where a function receives, its trigger tries three times",
          source: QUEUE.source,
          verified: "a wire-level fake; the largest count is unverified",
          min: 1,
          step: 1,
        },
        deadLetters: { level: "native", how: "dlqPolicy", ...QUEUE },
        existing: { ...reused, ...QUEUE },
      },
    },
    function: {
      level: "native",
      how: "a Function Compute 3.0 function, on Node 20",
      ...FUNCTION,
      options: {
        links: { level: "native", how: "statements of the function's own RAM role", ...ROLE },
        timeout: {
          level: "native",
          how: "timeout; 5 minutes where a queue or a stream starts it",
          ...FUNCTION,
          min: 1,
          max: DAY,
          step: 1,
        },
        memory: { level: "native", how: "memorySize", ...FUNCTION, min: 128 * MB, max: 32 * GB, step: 64 * MB },
        disk: { level: "native", how: "diskSize, one of two sizes", ...FUNCTION, values: [512 * MB, 10 * GB] },
        cpu: {
          level: "native",
          how: "cpu; its memory is 1 to 4 GB per CPU",
          ...FUNCTION,
          min: 0.05,
          max: 16,
          step: 0.05,
        },
        attempts: { level: "native", how: "maxAsyncRetryAttempts, 0 to 8", ...ASYNC, min: 1, max: 9, step: 1 },
        backoff: {
          level: "refused",
          how: "Function Compute retries at times of its own; make it a task, whose waits can be set",
          ...ERRORS,
        },
        failures: { level: "native", how: "onFailure destination of asynchronous calls", ...ASYNC },
        tools: { level: "added", how: "a layer of ours, unpacked to /opt", ...FUNCTION },
        install: { level: "added", how: "installed for Debian 10, x86-64, into the code package", ...FUNCTION },
        compression: {
          level: "native",
          how: "what its Node has: 20 has no zstd",
          source: "https://nodejs.org/api/zlib.html#zlibcreatezstdcompressoptions",
          verified: "a real Node 20",
          values: ["gzip"],
        },
        concurrency: { level: "native", how: "reservedConcurrency, which also reserves", ...FUNCTION, min: 1, step: 1 },
        "program.image": {
          level: "native",
          how: "a function of its own on custom-container, with an image that the region's Container Registry has; a failure is told by the header x-fc-status: 404, by which alone the service knows it",
          ...IMAGE,
        },
        "program.image.gpu": { level: "native", how: "gpuConfig, memory in steps of 1 GB", ...IMAGE },
        "program.python": {
          level: "native",
          how: "a function of its own on python3.12, with the folder's requirements for it: wheels for glibc 2.28",
          source: FUNCTION.source,
          verified: `${MOCKED}; the code on a real Python, calls on a wire-level fake`,
        },
        environment: {
          level: "native",
          how: "environmentVariables",
          source: FUNCTION.source,
          verified: "documentation only; the total of 4 KB is unverified",
        },
      },
    },
    task: {
      level: "native",
      how: "asynchronous tasks of Function Compute, with a Tablestore table beside them",
      ...TASK,
      options: {
        timeout: { level: "native", how: "timeout of the worker", ...FUNCTION, min: 1, max: DAY, step: 1 },
        grace: {
          level: "added",
          how: "the worker looks every 5 seconds; StopAsyncTask ends it after the grace, by the keeper, within two minutes",
          ...TASK,
          min: 0,
        },
        attempts: {
          level: "added",
          how: "each attempt is an asynchronous task of its own; the service repeats none",
          ...TASK,
          min: 1,
          step: 1,
        },
        backoff: {
          level: "added",
          how: "ours: short waits in the worker, longer ones by a delayed call of the keeper",
          ...TASK,
        },
        concurrency: {
          level: "added",
          how: "leases in the task table, which every submit passes",
          ...MILLRACE,
          min: 1,
          step: 1,
        },
        expires: { level: "added", how: "seen by the keeper, within a minute", ...TASK, min: 0 },
        retention: {
          level: "added",
          how: "rows of the task table; the service itself forgets after 7 days",
          ...TASK,
          min: 1,
        },
        onSuccess: {
          level: "added",
          how: "sent by whoever ends the run, worker or keeper: the service's own envelope lacks the task's id",
          ...CALLBACK,
        },
        onFailure: {
          level: "added",
          how: "sent by whoever ends the run, worker or keeper: the service's own envelope lacks the task's id",
          ...CALLBACK,
        },
      },
    },
    schedule: {
      level: "native",
      how: "a timer trigger",
      ...TIMER,
      options: {
        "timing.every": {
          level: "native",
          how: "@every, in whole minutes",
          source: TIMER.source,
          verified: "documentation only; anything finer than minutes is unverified",
          min: 60,
          step: 60,
        },
        "timing.cron": { level: "native", how: "six fields, the seconds are 0", ...TIMER },
        "timing.timeZone": { level: "native", how: "the prefix CRON_TZ=", ...TIMER },
        enabled: { level: "native", how: "enable", ...TIMER },
      },
    },
    secret: {
      level: "native",
      how: "a secret of Key Management Service",
      ...SECRET,
      options: {
        config: {
          level: "native",
          how: "put from Pulumi's encrypted configuration into a KMS instance, which you name: it is bought, never made",
          ...SECRET,
        },
        existing: {
          level: "native",
          how: "used by its name, never changed; under a key of yours, functions need that key's kms:Decrypt, which you give them",
          ...SECRET,
        },
      },
    },
    volume: {
      level: "native",
      how: "a NAS file system, which puts its functions into a network, one of ours in a zone that Function Compute is in unless you name yours; whoever only reads mounts it from a second mount target that takes no writes (one of the user's own is refused there)",
      ...VOLUME,
      options: {
        removable: { ...kept, ...VOLUME },
        existing: { level: "native", how: "by its mount target's domain, in a network you name", ...VOLUME },
      },
    },
    table: {
      level: "native",
      how: "a Tablestore table; expiry is checked on read, since the service keeps rows for at least a day",
      ...TABLE,
      options: { removable: { ...kept, ...TABLE }, existing: { ...reused, ...TABLE } },
    },
    monitor: {
      level: "native",
      how: "CloudMonitor alarms",
      ...ALARM,
      options: {
        alarms: {
          level: "native",
          how: "one alarm for each, to contact groups that you name; a task's failures are those of its attempts, a function's lag has one for each of its streams",
          ...ALARM,
        },
        notify: { level: "native", how: "targets of the alarm, by ARN", ...ALARM },
      },
    },
    stream: {
      level: "native",
      how: "a topic of an ApsaraMQ for Kafka instance that you name: it is bought, never made; any other Kafka by its brokers, to produce and claim",
      ...STREAM,
      options: {
        partitions: { level: "native", how: "partitionNum, which only grows", ...STREAM, min: 1, step: 1 },
        retention: {
          level: "native",
          how: "the instance's own, for all its topics; another time than 7 days is the topic's retention.ms, which not every instance takes",
          source: `${HELP}/apsaramq-for-kafka/cloud-message-queue-for-kafka/developer-reference/api-alikafka-2019-09-16-updatetopicconfig`,
          verified: "documentation only",
        },
        removable: { ...kept, ...STREAM },
        kafka: {
          level: "native",
          how: "its default endpoint (9092) and its SASL endpoint (9094, tls: false) are reached from the network you name, its SSL endpoint (9093) over the internet, by a ca of its own, which is downloaded there; users are PLAIN or SCRAM-SHA-256, on serverless instances SCRAM-SHA-512 too; claims need transactions",
          ...KAFKA,
        },
        existing: { ...reused, ...STREAM },
      },
    },
    workflow: {
      level: "native",
      how: "a CloudFlow flow in standard mode, with functions of ours for what its language cannot: counting, lists, tasks, callbacks. A branch or an item that fails lets those beside it come to their ends; a run that is retried is another execution, in which functions answer what they answered before (up to 32 KiB of it in all; for the items of wide maps, for two weeks) and waits are waited again; what stops a run does not stop the functions it has called; backoff of what is tried again as a whole is 5 minutes at most; of a wide map's items a run tells how many are over and which failed, and their steps are in the history of their own executions",
      ...FLOW,
      options: {
        definition: {
          level: "native",
          how: "Flow Definition Language; 64 KiB in any state, and 5,000 events and 40 items at once in an execution: where a run would have more than about 3,000 events, the items of its widest maps get executions of their own, 40 items in each and up to 25 of them at once for a map (100 items where it says nothing), and up to 21,845 items in all; what is larger still is refused with its estimate",
          ...FLOW,
        },
        timeout: {
          level: "added",
          how: "the service has none: a function that comes every 5 minutes ends runs that take longer",
          ...FLOW,
          min: 1,
          max: 365 * DAY,
          step: 1,
        },
      },
    },
  },
  sources: {
    "bucket.created": {
      level: "native",
      how: "an OSS trigger; 10 for a bucket, each with one prefix and one suffix, and no two that hear of the same keys: both are refused before anything is made",
      ...OSS_TRIGGER,
    },
    "queue.received": { level: "native", how: "an EventBridge trigger with a queue as its source", ...EVENTS },
    "stream.consumed": {
      level: "native",
      how: "an EventBridge trigger with an ApsaraMQ for Kafka instance as its source, which waits for each batch: in order in each partition. A batch that fails is tried again three times, whatever attempts says, then its records go to failures; without such a queue the stream stops. Values come as text: bytes that are no UTF-8 do not come as they were",
      ...KAFKA_TRIGGER,
    },
    "schedule.fired": { level: "native", how: "a timer trigger", ...TIMER },
  },
  runs: {
    id: { level: "added", how: "the service refuses a known id (409): the task table answers with the run", ...TASK },
    delay: {
      level: "added",
      how: "kept in the task table; the keeper comes once a minute, and sooner by x-fc-async-delay",
      ...TASK,
      min: 0,
    },
    expires: { level: "added", how: "checked when the run is due to start", ...TASK, min: 0 },
    priority: { level: "added", how: "the order of admission", ...MILLRACE },
    tenant: { level: "added", how: "kept in the task table", ...MILLRACE },
    tags: { level: "added", how: "kept in the task table; the service has none", ...TASK },
    list: { level: "added", how: "from the task table; the service lists by status and start only", ...TASK },
    stop: { level: "native", how: "StopAsyncTask, after the grace period", ...TASK },
    retry: { level: "added", how: "submitted again with the payload it had, as a further attempt", ...TASK },
    progress: { level: "added", how: "written to the task table by the worker", ...MILLRACE },
    logs: {
      level: "native",
      how: "Log Service, found by words of the run's id and the task's name; lines come some seconds late, and who follows waits 10 seconds after the end",
      source: `${HELP}/sls/developer-reference/api-sls-2020-12-30-getlogs`,
      verified:
        "the lines on a real Node 20; reading them from a wire-level fake, the signature against the vendor's own client; the order of lines of one millisecond and how late lines come are unverified",
    },
    audit: { level: "added", how: "payload and result in the task table or its bucket", ...TASK },
  },
  limits: {
    taskPayloadBytes: { value: 128 * KB, how: "the body of an asynchronous call", ...RUNTIME },
    taskResultBytes: { value: 64 * KB, how: "what a queue as destination carries", ...CALLBACK },
    functionPayloadBytes: { value: 32 * MB, how: "the body of a synchronous call", ...RUNTIME },
    eventPayloadBytes: { value: 128 * KB, how: "the body of an asynchronous call", ...RUNTIME },
    queueMessageBytes: { value: 64 * KB, how: "maximumMessageSize", ...QUEUE },
    queueDelaySeconds: { value: 7 * DAY, how: "delay of one message", ...QUEUE },
    queueBatch: { value: 10_000, how: "CountBasedWindow of the trigger", ...EVENTS },
    queueWindowSeconds: { value: 15, how: "TimeBasedWindow of the trigger", ...EVENTS },
    streamBatch: { value: 10_000, how: "CountBasedWindow of the trigger", ...EVENTS },
    streamWindowSeconds: { value: 15, how: "TimeBasedWindow of the trigger", ...EVENTS },
    eventFunctionSeconds: { value: 300, how: "functions behind an EventBridge trigger", ...EVENTS },
    environmentBytes: {
      value: 4 * KB,
      how: "all environment variables of a function",
      source: FUNCTION.source,
      verified: "unverified",
    },
    leastMemoryPerCpuBytes: { value: 1 * GB, how: "1 to 4 GB of memory per CPU", ...FUNCTION },
    mostMemoryPerCpuBytes: { value: 4 * GB, how: "1 to 4 GB of memory per CPU", ...FUNCTION },
    nameCharacters: { value: 64, how: "a function's name", ...FUNCTION },
  },
};
