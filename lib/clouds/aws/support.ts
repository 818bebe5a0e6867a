import type { Support } from "../../parts/support.ts";

const MINUTE = 60;
const DAY = 86_400;
const KB = 2 ** 10;
const MB = 2 ** 20;

const DOCS = "https://docs.aws.amazon.com";
const DOCUMENTED = "documentation only";

const LAMBDA = { source: `${DOCS}/lambda/latest/dg/gettingstarted-limits.html`, verified: DOCUMENTED };
const MEMORY = {
  source: `${DOCS}/lambda/latest/dg/configuration-memory.html`,
  verified: "documentation only; 1 CPU per 1,769 MB is unverified",
};
const ASYNC = { source: "@pulumi/aws 7.48.0: lambda.FunctionEventInvokeConfig", verified: DOCUMENTED };
const MAPPING = { source: `${DOCS}/lambda/latest/dg/services-sqs-configure.html`, verified: DOCUMENTED };
const QUEUE = {
  source: `${DOCS}/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html`,
  verified: DOCUMENTED,
};
const BUCKET = { source: "@pulumi/aws 7.48.0: s3.Bucket", verified: DOCUMENTED };
const STATES = { source: `${DOCS}/step-functions/latest/dg/service-quotas.html`, verified: DOCUMENTED };
const RETRY = {
  source: `${DOCS}/step-functions/latest/dg/concepts-error-handling.html`,
  verified: "unverified: the fields are known, their bounds are not",
};
const FARGATE = { source: `${DOCS}/step-functions/latest/dg/connect-ecs.html`, verified: DOCUMENTED };
const SCHEDULER = { source: `${DOCS}/scheduler/latest/UserGuide/schedule-types.html`, verified: DOCUMENTED };
const TABLE = { source: "@pulumi/aws 7.48.0: dynamodb.Table", verified: DOCUMENTED };
const SECRET = { source: "@pulumi/aws 7.48.0: secretsmanager.Secret", verified: DOCUMENTED };
const VOLUME = { source: "@pulumi/aws 7.48.0: efs.FileSystem, efs.AccessPoint", verified: DOCUMENTED };
const ALARM = { source: "@pulumi/aws 7.48.0: cloudwatch.MetricAlarm", verified: DOCUMENTED };
const ROLE = { source: "@pulumi/aws 7.48.0: iam.Role, iam.RolePolicy", verified: DOCUMENTED };
const MILLRACE = { source: "Millrace's core, the same on every cloud", verified: "on the local cloud" };

const kept = { level: "native", how: "Pulumi's protect and retainOnDelete" } as const;
const reused = { level: "native", how: "used by its name, never changed" } as const;

/** AWS: Lambda and Step Functions, with Fargate for what takes longer than Lambda allows. */
export const support: Support = {
  cloud: "aws",
  title: "AWS",
  parts: {
    bucket: {
      level: "native",
      how: "an S3 bucket",
      ...BUCKET,
      options: {
        expires: { level: "native", how: "a lifecycle rule, in whole days", ...BUCKET, min: DAY, step: DAY },
        versioned: { level: "native", how: "S3 versioning", ...BUCKET },
        removable: { ...kept, ...BUCKET },
        existing: { ...reused, ...BUCKET },
      },
    },
    queue: {
      level: "native",
      how: "a standard SQS queue",
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
          how: "Lambda's timeout; make longer work a task",
          ...LAMBDA,
          min: 1,
          max: 15 * MINUTE,
          step: 1,
        },
        memory: { level: "native", how: "MemorySize", ...LAMBDA, min: 128 * MB, max: 10_240 * MB, step: MB },
        disk: { level: "native", how: "ephemeral storage", ...LAMBDA, min: 512 * MB, max: 10_240 * MB, step: MB },
        cpu: {
          level: "added",
          how: "Lambda gives CPU with memory: memory is raised to 1,769 MB per CPU",
          ...MEMORY,
          min: 0.05,
          max: 5.78,
        },
        attempts: { level: "native", how: "maximumRetryAttempts, 0 to 2", ...ASYNC, min: 1, max: 3, step: 1 },
        backoff: {
          level: "refused",
          how: "Lambda retries at times of its own; make it a task, whose waits can be set",
          ...ASYNC,
        },
        failures: { level: "native", how: "onFailure destination of asynchronous calls", ...ASYNC },
        tools: { level: "added", how: "a layer of ours, unpacked to /opt", ...LAMBDA },
        install: { level: "added", how: "installed for Amazon Linux into the code package", ...LAMBDA },
        concurrency: { level: "native", how: "reserved concurrency", ...LAMBDA, min: 1, step: 1 },
        "program.image": { level: "refused", how: "not built yet", ...LAMBDA },
        "program.image.gpu": { level: "refused", how: "Lambda and Fargate have no graphics processors", ...LAMBDA },
        "program.python": { level: "refused", how: "not built yet", ...LAMBDA },
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
          how: "the worker sees the stop in the task table: a running Lambda cannot be ended from outside",
          source: STATES.source,
          verified: "unverified",
          min: 0,
        },
        attempts: { level: "native", how: "Retry of the state", ...RETRY, min: 1, step: 1 },
        backoff: { level: "native", how: "IntervalSeconds, BackoffRate, MaxDelaySeconds, JitterStrategy", ...RETRY },
        concurrency: {
          level: "added",
          how: "leases in the task table, which every submit passes",
          ...MILLRACE,
          min: 1,
          step: 1,
        },
        expires: { level: "added", how: "checked when the run is due to start", ...MILLRACE, min: 1 },
        retention: {
          level: "added",
          how: "rows of the task table; the service itself forgets after 90 days",
          ...STATES,
          min: 1,
        },
        onSuccess: { level: "added", how: "sent by our finisher, with the envelope of every cloud", ...MILLRACE },
        onFailure: { level: "added", how: "sent by our finisher, with the envelope of every cloud", ...MILLRACE },
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
        existing: { ...reused, ...SECRET },
      },
    },
    volume: {
      level: "native",
      how: "an EFS file system, which puts its functions into a network",
      ...VOLUME,
      options: { removable: { ...kept, ...VOLUME }, existing: { ...reused, ...VOLUME } },
    },
    table: {
      level: "native",
      how: "a DynamoDB table; expiry is checked on read",
      ...TABLE,
      options: { removable: { ...kept, ...TABLE }, existing: { ...reused, ...TABLE } },
    },
    monitor: {
      level: "native",
      how: "CloudWatch alarms",
      ...ALARM,
      options: {
        alarms: { level: "native", how: "one alarm for each", ...ALARM },
        notify: { level: "added", how: "through a topic, from which queues and functions get it", ...ALARM },
      },
    },
  },
  sources: {
    "bucket.created": { level: "native", how: "S3 event notifications", ...BUCKET },
    "queue.received": { level: "native", how: "an event source mapping with partial batch answers", ...MAPPING },
    "schedule.fired": { level: "native", how: "EventBridge Scheduler, to the minute", ...SCHEDULER },
  },
  runs: {
    id: {
      level: "added",
      how: "an execution's name, 80 characters, known for 90 days; the task table for the rest",
      ...STATES,
    },
    delay: { level: "native", how: "a Wait state", ...STATES, min: 0 },
    expires: { level: "added", how: "checked when the run is due to start", ...MILLRACE, min: 0 },
    priority: { level: "added", how: "the order of admission", ...MILLRACE },
    tenant: { level: "added", how: "kept in the task table", ...MILLRACE },
    tags: { level: "added", how: "kept in the task table", ...MILLRACE },
    list: { level: "added", how: "from the task table; the service lists by status only", ...STATES },
    stop: {
      level: "added",
      how: "StopExecution, and the worker sees the stop in the task table: a running Lambda goes on until it looks",
      source: STATES.source,
      verified: "unverified",
    },
    retry: { level: "added", how: "a new execution with the input it had, on the latest code", ...STATES },
    progress: { level: "added", how: "written to the task table by the worker", ...MILLRACE },
    logs: { level: "native", how: "CloudWatch Logs, found by the attempt's id", ...LAMBDA },
    audit: { level: "added", how: "payload and result in the task table or its bucket", ...STATES },
  },
  limits: {
    taskPayloadBytes: { value: 256 * KB, how: "the input of an execution", ...STATES },
    taskResultBytes: { value: 256 * KB, how: "the output of a state", ...STATES },
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
    eventFunctionSeconds: undefined,
    environmentBytes: { value: 4 * KB, how: "all environment variables of a function", ...LAMBDA },
    leastMemoryPerCpuBytes: undefined,
    mostMemoryPerCpuBytes: undefined,
    nameCharacters: { value: 64, how: "a function's name", ...LAMBDA },
  },
};
