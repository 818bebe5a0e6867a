import type { Support } from "../../parts/support.ts";

const MINUTE = 60;
const DAY = 86_400;
const KB = 2 ** 10;
const MB = 2 ** 20;
const GB = 2 ** 30;

const DOCS = "https://docs.aws.amazon.com";
const MOCKED = "the resources under typed mocks; not run against the service";
const STOOD_IN = "the resources under typed mocks, moto at run time; not run against the service";

const LAMBDA = { source: `${DOCS}/lambda/latest/dg/gettingstarted-limits.html`, verified: MOCKED };
const MEMORY = {
  source: `${DOCS}/lambda/latest/dg/configuration-memory.html`,
  verified: "the resources under typed mocks; 1 CPU per 1,769 MB by documentation only",
};
const ASYNC = { source: "@pulumi/aws 7.48.0: lambda.FunctionEventInvokeConfig", verified: MOCKED };
const MAPPING = { source: `${DOCS}/lambda/latest/dg/services-sqs-configure.html`, verified: MOCKED };
const QUEUE = {
  source: `${DOCS}/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html`,
  verified: STOOD_IN,
};
const BUCKET = { source: "@pulumi/aws 7.48.0: s3.Bucket and its settings", verified: STOOD_IN };
const EVENTS = { source: `${DOCS}/AmazonS3/latest/userguide/EventBridge.html`, verified: MOCKED };
const STATES = { source: `${DOCS}/step-functions/latest/dg/service-quotas.html`, verified: STOOD_IN };
const FARGATE = {
  source: `${DOCS}/AmazonECS/latest/developerguide/fargate-tasks-services.html`,
  verified: "the resources under typed mocks, the state machine by an interpreter; not run against the service",
};
const SIDECAR = {
  source: `${DOCS}/AmazonECS/latest/developerguide/task_definition_parameters.html`,
  verified: "the task definition under typed mocks, calls on a real HTTP server; not run against the service",
};
const PYTHON = "the resources under typed mocks, the code on a real Python; not run against the service";
const SCHEDULER = { source: `${DOCS}/scheduler/latest/UserGuide/schedule-types.html`, verified: MOCKED };
const TABLE = { source: "@pulumi/aws 7.48.0: dynamodb.Table", verified: STOOD_IN };
const SECRET = { source: "@pulumi/aws 7.48.0: secretsmanager.Secret", verified: STOOD_IN };
const VOLUME = { source: "@pulumi/aws 7.48.0: efs.FileSystem, efs.AccessPoint", verified: MOCKED };
const ALARM = {
  source: "@pulumi/aws 7.48.0: cloudwatch.MetricAlarm",
  verified: "the resource under typed mocks; names of metrics and dimensions by documentation only",
};
const ROLE = { source: "@pulumi/aws 7.48.0: iam.Role, iam.RolePolicy", verified: MOCKED };
const MILLRACE = { source: "Millrace's core, the same on every cloud", verified: "on the local cloud" };

const kept = { level: "native", how: "Pulumi's retainOnDelete" } as const;
const reused = { level: "native", how: "used by its name, never changed" } as const;

const FLOW = {
  source: `${DOCS}/step-functions/latest/dg/service-quotas.html`,
  verified:
    "asl-validator 4.0.0, every definition run by aws-local-stepfunctions 3.0.0, executions and distributed maps in moto; redrive as a request by the SDK's model only; not run against the service",
};

const STREAM = { source: `${DOCS}/msk/latest/developerguide/msk-topic-operations-information.html`, verified: MOCKED };
const KAFKA = {
  source: `${DOCS}/lambda/latest/dg/kafka-cluster-auth.html`,
  verified: "the resources under typed mocks, code with a real Kafka; not run against the service",
};
const KAFKA_MAPPING = {
  source: `${DOCS}/lambda/latest/dg/kafka-retry-configurations.html`,
  verified: "the resources under typed mocks, records in the documented forms; not run against the service",
};

/** AWS: Lambda and Step Functions, with Fargate for what takes longer than Lambda allows. */
export const support: Support = {
  cloud: "aws",
  title: "AWS",
  parts: {
    bucket: {
      level: "native",
      how: "an S3 bucket: private, encrypted",
      ...BUCKET,
      options: {
        expires: { level: "native", how: "a lifecycle rule, in whole days", ...BUCKET, min: DAY, step: DAY },
        versioned: { level: "native", how: "S3 versioning; with expires, old versions go as long after", ...BUCKET },
        removable: { ...kept, ...BUCKET },
        existing: {
          level: "native",
          how: "used by its name, never changed; to start functions it sends its events to EventBridge already, and is named in the cloud's settings",
          ...BUCKET,
        },
      },
    },
    queue: {
      level: "native",
      how: "a standard SQS queue, encrypted with the service's own key",
      ...QUEUE,
      options: {
        visibility: { level: "native", how: "visibility timeout", ...QUEUE, min: 0, max: DAY / 2, step: 1 },
        retention: { level: "native", how: "message retention period", ...QUEUE, min: 60, max: 14 * DAY, step: 1 },
        delay: { level: "native", how: "delivery delay", ...QUEUE, min: 0, max: 15 * MINUTE, step: 1 },
        attempts: {
          level: "native",
          how: "maxReceiveCount of the redrive policy",
          source: QUEUE.source,
          verified: "unverified: the largest count",
          min: 1,
          max: 1000,
          step: 1,
        },
        deadLetters: { level: "native", how: "the redrive policy", ...QUEUE },
        existing: { ...reused, ...QUEUE },
      },
    },
    function: {
      level: "native",
      how: "a Lambda function, on Node 24",
      ...LAMBDA,
      options: {
        links: { level: "native", how: "statements of the function's own IAM role", ...ROLE },
        timeout: {
          level: "native",
          how: "Lambda's timeout, 14 minutes where a stream starts it; make longer work a task",
          ...LAMBDA,
          min: 1,
          max: 15 * MINUTE,
          step: 1,
        },
        memory: {
          level: "native",
          how: "MemorySize, up to 10 GB; for tasks on Fargate the next larger size that it has",
          ...LAMBDA,
          min: 128 * MB,
          max: 120 * GB,
          step: MB,
        },
        disk: {
          level: "native",
          how: "ephemeral storage, up to 10 GB; for tasks on Fargate up to 199 GB",
          ...LAMBDA,
          min: 512 * MB,
          max: 199 * GB,
          step: MB,
        },
        cpu: {
          level: "added",
          how: "Lambda gives CPU with memory: memory is raised to 1,769 MB per CPU, up to 5.78; tasks on Fargate have up to 16",
          ...MEMORY,
          min: 0.05,
          max: 16,
        },
        attempts: { level: "native", how: "maximumRetryAttempts, 0 to 2", ...ASYNC, min: 1, max: 3, step: 1 },
        backoff: {
          level: "refused",
          how: "Lambda retries at times of its own; make it a task, whose waits can be set",
          ...ASYNC,
        },
        failures: { level: "native", how: "onFailure destination of asynchronous calls", ...ASYNC },
        tools: {
          level: "added",
          how: "a layer of ours, unpacked to /opt; containers fetch them from the artifact bucket",
          ...LAMBDA,
        },
        install: { level: "added", how: "installed for Amazon Linux into the code package", ...LAMBDA },
        compression: { level: "native", how: "what its Node has: 24 has both", ...LAMBDA, values: ["gzip", "zstd"] },
        concurrency: {
          level: "native",
          how: "reserved concurrency, shared by its queues: at least 2 for each",
          ...LAMBDA,
          min: 1,
          step: 1,
        },
        "program.image": {
          level: "native",
          how: "a second container of its caller's Fargate task, where a task's handler calls it: that task runs on Fargate whatever its timeout; called from other functions it is refused",
          ...SIDECAR,
        },
        "program.image.gpu": { level: "refused", how: "Lambda and Fargate have no graphics processors", ...LAMBDA },
        "program.python": {
          level: "native",
          how: "a Lambda function of its own on python3.13, with the folder's requirements for it: wheels for glibc 2.28",
          source: LAMBDA.source,
          verified: PYTHON,
        },
        environment: { level: "native", how: "environment variables", ...LAMBDA },
      },
    },
    task: {
      level: "native",
      how: "Standard executions of Step Functions, with a DynamoDB table beside them",
      ...STATES,
      options: {
        timeout: {
          level: "added",
          how: "Lambda up to 15 minutes, above that a Fargate task with heartbeats",
          ...FARGATE,
          min: 1,
          max: DAY,
          step: 1,
        },
        grace: {
          level: "added",
          how: "the worker sees the stop in the task table; after its grace the execution ends, of which a container hears at its next heartbeat: a running Lambda cannot be ended from outside",
          ...STATES,
          min: 0,
        },
        attempts: {
          level: "added",
          how: "each attempt is an execution of its own; the state machine repeats none",
          ...STATES,
          min: 1,
          step: 1,
        },
        backoff: {
          level: "added",
          how: "ours: short waits in the worker, longer ones by an execution that waits and calls the keeper",
          ...STATES,
        },
        concurrency: {
          level: "added",
          how: "leases in the task table, which every submit passes",
          ...MILLRACE,
          min: 1,
          step: 1,
        },
        expires: { level: "added", how: "seen by the keeper, within a minute", ...MILLRACE, min: 1 },
        retention: {
          level: "added",
          how: "rows of the task table; the service itself forgets after 90 days",
          ...STATES,
          min: 1,
        },
        onSuccess: {
          level: "added",
          how: "sent by whoever ends the run, worker or keeper, with the envelope of every cloud",
          ...MILLRACE,
        },
        onFailure: {
          level: "added",
          how: "sent by whoever ends the run, worker or keeper, with the envelope of every cloud",
          ...MILLRACE,
        },
      },
    },
    schedule: {
      level: "native",
      how: "a schedule of EventBridge Scheduler",
      ...SCHEDULER,
      options: {
        "timing.every": { level: "native", how: "rate(…), in whole minutes", ...SCHEDULER, min: 60, step: 60 },
        "timing.cron": {
          level: "added",
          how: "cron(…) with a year; days of month together with days of week become two schedules",
          ...SCHEDULER,
        },
        "timing.timeZone": { level: "native", how: "the schedule's own time zone", ...SCHEDULER },
        enabled: { level: "native", how: "the schedule's state", ...SCHEDULER },
      },
    },
    secret: {
      level: "native",
      how: "a secret of Secrets Manager",
      ...SECRET,
      options: {
        config: { level: "native", how: "put there from Pulumi's encrypted configuration", ...SECRET },
        existing: { level: "native", how: "used by its ARN or name, never changed", ...SECRET },
      },
    },
    volume: {
      level: "native",
      how: "an EFS file system with an access point, which puts its functions into a network: S3 and DynamoDB are reached from there, other services through endpoints that are paid and that you name",
      ...VOLUME,
      options: {
        removable: { ...kept, ...VOLUME },
        existing: {
          level: "native",
          how: "by its file system and access point, fs-…/fsap-…, in a network you name",
          ...VOLUME,
        },
      },
    },
    table: {
      level: "native",
      how: "a DynamoDB table, paid by the request; expiry is checked on read",
      ...TABLE,
      options: { removable: { ...kept, ...TABLE }, existing: { ...reused, ...TABLE } },
    },
    monitor: {
      level: "native",
      how: "CloudWatch alarms",
      ...ALARM,
      options: {
        alarms: {
          level: "native",
          how: "one alarm for each, in whole minutes, to e-mail addresses or a topic that you name; a task's failures are those of its attempts",
          ...ALARM,
        },
        notify: { level: "added", how: "through a topic of SNS, from which queues and functions get it", ...ALARM },
      },
    },
    stream: {
      level: "native",
      how: "a topic of an MSK cluster that you name, with provisioned brokers and Kafka 3.6 or later: it is paid by the hour, never made; of others, and of any other Kafka by its brokers, a topic that is there",
      ...STREAM,
      options: {
        partitions: { level: "native", how: "partitionCount, which only grows", ...STREAM, min: 1, step: 1 },
        retention: { level: "native", how: "the topic's retention.ms", ...STREAM, min: 1 },
        removable: { ...kept, ...STREAM },
        kafka: {
          level: "native",
          how: "MSK is reached from the network you name, unless its brokers are public; who produces and claims is one of its SCRAM users, a role is known to what reads for functions alone. A secret that a key of yours encrypts, as MSK's are, is for functions that you give that key's kms:Decrypt. A ca is of another Kafka than MSK, and lies in a secret for Lambda",
          ...KAFKA,
        },
        existing: { ...reused, ...STREAM },
      },
    },
    workflow: {
      level: "native",
      how: "a Standard state machine of Step Functions",
      ...FLOW,
      options: {
        definition: {
          level: "added",
          how: "compiled to Amazon States Language: functions that Lambda runs, tasks through their own admission, maps of more than 40 items as distributed ones, up to 10,000; steps bound the time of calls and callbacks, not of what is made of steps; at most 25,000 events and 256 KiB from step to step, and an answer of 192 KiB",
          ...FLOW,
        },
        timeout: {
          level: "native",
          how: "the state machine's TimeoutSeconds",
          ...FLOW,
          min: 1,
          max: 365 * DAY,
          step: 1,
        },
      },
    },
  },
  sources: {
    "bucket.created": { level: "native", how: "S3's events by EventBridge, one rule for each source", ...EVENTS },
    "queue.received": { level: "native", how: "an event source mapping with partial batch answers", ...MAPPING },
    "stream.consumed": {
      level: "native",
      how: "an event source mapping, of MSK or of any Kafka by its brokers: in order in each partition. A batch that fails is tried 11 times if the function has failures, which get a message that says which records they were, else until its records expire; with pollers of its own, which are paid, as often as attempts says, and halved where it fails. A group that is named is one function's alone",
      ...KAFKA_MAPPING,
    },
    "schedule.fired": { level: "native", how: "EventBridge Scheduler, to the minute", ...SCHEDULER },
  },
  runs: {
    id: {
      level: "added",
      how: "an execution's name, 80 characters, known for 90 days; the task table for the rest",
      ...STATES,
    },
    delay: {
      level: "added",
      how: "kept in the task table; the keeper comes once a minute, and sooner by an execution that waits",
      ...STATES,
      min: 0,
    },
    expires: { level: "added", how: "checked when the run is due to start", ...MILLRACE, min: 0 },
    priority: { level: "added", how: "the order of admission", ...MILLRACE },
    tenant: { level: "added", how: "kept in the task table", ...MILLRACE },
    tags: { level: "added", how: "kept in the task table", ...MILLRACE },
    list: { level: "added", how: "from the task table; the service lists by status only", ...STATES },
    stop: {
      level: "added",
      how: "the worker sees the stop in the task table; StopExecution after its grace: a running Lambda goes on until it looks",
      ...STATES,
    },
    retry: { level: "added", how: "a new attempt with the payload it had, on the latest code", ...STATES },
    progress: { level: "added", how: "written to the task table by the worker", ...MILLRACE },
    logs: { level: "native", how: "CloudWatch Logs, found by the run's id", ...LAMBDA },
    audit: { level: "added", how: "payload and result in the task table or its bucket", ...STATES },
  },
  limits: {
    taskPayloadBytes: {
      value: 64 * KB,
      how: "larger ones lie in the artifact bucket; on Fargate from 1 KB on",
      ...STATES,
    },
    taskResultBytes: { value: 64 * KB, how: "larger ones lie in the artifact bucket", ...STATES },
    functionPayloadBytes: { value: 6 * MB, how: "the body of a synchronous call", ...LAMBDA },
    eventPayloadBytes: {
      value: 256 * KB,
      how: "the body of an asynchronous call",
      source: LAMBDA.source,
      verified: "documentation only; a raise to 1 MB is unverified",
    },
    queueMessageBytes: { value: 256 * KB, how: "message size", ...QUEUE },
    queueDelaySeconds: { value: 15 * MINUTE, how: "delay of one message", ...QUEUE },
    queueBatch: { value: 10_000, how: "BatchSize of the event source mapping", ...MAPPING },
    queueWindowSeconds: { value: 300, how: "MaximumBatchingWindowInSeconds of the event source mapping", ...MAPPING },
    streamBatch: { value: 10_000, how: "BatchSize of the event source mapping", ...KAFKA_MAPPING },
    streamWindowSeconds: {
      value: 300,
      how: "MaximumBatchingWindowInSeconds of the event source mapping; half a second where none is asked for",
      ...KAFKA_MAPPING,
    },
    eventFunctionSeconds: undefined,
    environmentBytes: { value: 4 * KB, how: "all environment variables of a function", ...LAMBDA },
    leastMemoryPerCpuBytes: undefined,
    mostMemoryPerCpuBytes: undefined,
    nameCharacters: { value: 64, how: "a function's name", ...LAMBDA },
  },
};
