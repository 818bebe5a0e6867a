import type { Support } from "../../parts/support.ts";

const HOUR = 3600;
const DAY = 86_400;
const KB = 2 ** 10;
const MB = 2 ** 20;

const DOCUMENTED = "documentation only";
const SERVER = "documentation only; a real NATS server can be started for the tests";

const JOB = { source: "https://kubernetes.io/docs/concepts/workloads/controllers/job/", verified: DOCUMENTED };
const CRON_JOB = {
  source: "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/",
  verified: DOCUMENTED,
};
const RESOURCES = {
  source: "https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/",
  verified: DOCUMENTED,
};
const SECRET = { source: "https://kubernetes.io/docs/concepts/configuration/secret/", verified: DOCUMENTED };
const VOLUME = { source: "https://kubernetes.io/docs/concepts/storage/persistent-volumes/", verified: DOCUMENTED };
const RBAC = { source: "https://kubernetes.io/docs/reference/access-authn-authz/rbac/", verified: DOCUMENTED };
const KEDA = { source: "https://keda.sh/docs/latest/reference/scaledobject-spec/", verified: DOCUMENTED };
const CONSUMER = { source: "https://docs.nats.io/nats-concepts/jetstream/consumers", verified: SERVER };
const STREAM = { source: "https://docs.nats.io/nats-concepts/jetstream/streams", verified: SERVER };
const KEY_VALUE = { source: "https://docs.nats.io/nats-concepts/jetstream/key-value-store", verified: SERVER };
const NATS = { source: "https://docs.nats.io/running-a-nats-service/configuration", verified: SERVER };
const S3 = {
  source: "https://docs.aws.amazon.com/AmazonS3/latest/API/Welcome.html",
  verified: "unverified: it depends on the S3-compatible server you run",
};
const RULE = {
  source: "https://prometheus.io/docs/prometheus/latest/configuration/alerting_rules/",
  verified: "unverified",
};
const MILLRACE = { source: "Millrace's core, the same on every cloud", verified: "on the local cloud" };

const kept = { level: "native", how: "Pulumi's protect and retainOnDelete" } as const;
const reused = { level: "native", how: "used by its name, never changed" } as const;

/** A cron expression counts within the hour and the day: other intervals would jump at their end. */
const INTERVALS = [
  ...[1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30].map((minutes) => minutes * 60),
  ...[1, 2, 3, 4, 6, 8, 12].map((hours) => hours * HOUR),
  DAY,
];

/** Kubernetes, with NATS, KEDA and an S3-compatible server in it. */
export const support: Support = {
  cloud: "kubernetes",
  title: "Kubernetes",
  parts: {
    bucket: {
      level: "added",
      how: "a bucket on an S3-compatible server that you run",
      ...S3,
      options: {
        expires: { level: "native", how: "a lifecycle rule of the server, in whole days", ...S3, min: DAY, step: DAY },
        versioned: { level: "native", how: "versioning of the server", ...S3 },
        removable: { ...kept, ...S3 },
        existing: { ...reused, ...S3 },
      },
    },
    queue: {
      level: "native",
      how: "a JetStream stream and its consumer, on NATS",
      ...STREAM,
      options: {
        visibility: { level: "native", how: "ack_wait", ...CONSUMER, min: 1 },
        retention: { level: "native", how: "max_age", ...STREAM, min: 1 },
        delay: { level: "added", how: "the receiver gives an early message back until its time", ...CONSUMER, min: 0 },
        attempts: { level: "native", how: "max_deliver", ...CONSUMER, min: 1, step: 1 },
        deadLetters: { level: "added", how: "moved by us on the advisory MAX_DELIVERIES; NATS has none", ...CONSUMER },
        existing: { ...reused, ...STREAM },
      },
    },
    function: {
      level: "added",
      how: "a Deployment of the stock Node 24 image, scaled by KEDA",
      ...KEDA,
      options: {
        links: { level: "added", how: "a service account, and credentials for just the linked parts", ...RBAC },
        timeout: { level: "added", how: "kept by our entry", ...MILLRACE, min: 1 },
        memory: { level: "native", how: "resources.limits.memory", ...RESOURCES, min: 64 * MB },
        disk: { level: "native", how: "resources.limits.ephemeral-storage", ...RESOURCES, min: 0 },
        cpu: { level: "native", how: "resources.limits.cpu", ...RESOURCES, min: 0.001, step: 0.001 },
        attempts: { level: "added", how: "deliveries of its event from NATS", ...CONSUMER, min: 1, step: 1 },
        backoff: { level: "added", how: "our entry gives the event back with that delay", ...CONSUMER },
        failures: { level: "added", how: "sent by our entry after the last attempt", ...CONSUMER },
        tools: { level: "added", how: "fetched from the artifact bucket when the container starts", ...MILLRACE },
        install: { level: "added", how: "installed for Debian, fetched when the container starts", ...MILLRACE },
        concurrency: { level: "native", how: "maxReplicaCount", ...KEDA, min: 1, step: 1 },
        "program.image": { level: "refused", how: "not built yet", ...RESOURCES },
        "program.image.gpu": { level: "refused", how: "not built yet", ...RESOURCES },
        "program.python": { level: "refused", how: "not built yet", ...RESOURCES },
        environment: { level: "native", how: "the container's environment", ...RESOURCES },
      },
    },
    task: {
      level: "native",
      how: "one Job per attempt, made by the dispatcher from a suspended CronJob, with a NATS table beside it",
      ...JOB,
      options: {
        timeout: { level: "native", how: "activeDeadlineSeconds", ...JOB, min: 1, max: DAY, step: 1 },
        grace: { level: "native", how: "terminationGracePeriodSeconds", ...JOB, min: 0, step: 1 },
        attempts: {
          level: "added",
          how: "a Job for every attempt, so that each has its own log",
          ...JOB,
          min: 1,
          step: 1,
        },
        backoff: {
          level: "added",
          how: "Jobs wait 10 seconds to 6 minutes, not to be set: ours, by the dispatcher",
          ...JOB,
        },
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
          how: "rows of the task table; the Job itself goes by its ttlSecondsAfterFinished",
          ...JOB,
          min: 1,
        },
        onSuccess: { level: "added", how: "sent by our finisher, with the envelope of every cloud", ...MILLRACE },
        onFailure: { level: "added", how: "sent by our finisher, with the envelope of every cloud", ...MILLRACE },
      },
    },
    schedule: {
      level: "native",
      how: "a CronJob",
      ...CRON_JOB,
      options: {
        "timing.every": {
          level: "added",
          how: "as a cron expression: an interval has to divide an hour or a day",
          ...CRON_JOB,
          values: INTERVALS,
        },
        "timing.cron": { level: "native", how: "schedule", ...CRON_JOB },
        "timing.timeZone": { level: "native", how: "timeZone", ...CRON_JOB },
        enabled: { level: "native", how: "suspend", ...CRON_JOB },
      },
    },
    secret: {
      level: "native",
      how: "a Secret",
      ...SECRET,
      options: {
        config: { level: "native", how: "put there from Pulumi's encrypted configuration", ...SECRET },
        existing: { ...reused, ...SECRET },
      },
    },
    volume: {
      level: "native",
      how: "a PersistentVolumeClaim; the storage class has to allow many writers",
      ...VOLUME,
      options: { removable: { ...kept, ...VOLUME }, existing: { ...reused, ...VOLUME } },
    },
    table: {
      level: "added",
      how: "a key-value bucket on NATS; expiry is checked on read",
      ...KEY_VALUE,
      options: { removable: { ...kept, ...KEY_VALUE }, existing: { ...reused, ...KEY_VALUE } },
    },
    monitor: {
      level: "added",
      how: "alerting rules for a Prometheus that you run",
      ...RULE,
      options: {
        alarms: { level: "added", how: "one alerting rule for each", ...RULE },
        notify: { level: "added", how: "a webhook of ours, which sends it on", ...RULE },
      },
    },
  },
  sources: {
    "bucket.created": { level: "added", how: "notifications of the S3-compatible server, through NATS", ...S3 },
    "queue.received": { level: "native", how: "a durable JetStream consumer, KEDA scales by what waits", ...KEDA },
    "schedule.fired": { level: "native", how: "a CronJob that calls the function", ...CRON_JOB },
  },
  runs: {
    id: { level: "added", how: "the task table: Kubernetes knows a Job's name only while the Job is there", ...JOB },
    delay: { level: "added", how: "the dispatcher makes the Job when it is due", ...JOB, min: 0 },
    expires: { level: "added", how: "checked when the run is due to start", ...MILLRACE, min: 0 },
    priority: { level: "added", how: "the order of admission", ...MILLRACE },
    tenant: { level: "added", how: "kept in the task table, and a label of the Job", ...JOB },
    tags: { level: "added", how: "kept in the task table", ...MILLRACE },
    list: { level: "added", how: "from the task table", ...MILLRACE },
    stop: { level: "native", how: "the Job is deleted: its pod gets the signal, then the grace period", ...JOB },
    retry: { level: "added", how: "a new Job with the payload it had", ...JOB },
    progress: { level: "added", how: "written to the task table by the worker", ...MILLRACE },
    logs: {
      level: "native",
      how: "the pod's log, while the pod is there",
      source: JOB.source,
      verified: "documentation only; longer retention needs a log store of yours",
    },
    audit: { level: "added", how: "payload and result in the task table or its bucket", ...MILLRACE },
  },
  limits: {
    taskPayloadBytes: {
      value: 256 * KB,
      how: "what an object of the cluster may hold",
      source: JOB.source,
      verified: "unverified: an object has about 1 MB in all",
    },
    taskResultBytes: { value: 1 * MB, how: "max_payload of NATS, as it comes", ...NATS },
    functionPayloadBytes: undefined,
    eventPayloadBytes: { value: 1 * MB, how: "max_payload of NATS, as it comes", ...NATS },
    queueMessageBytes: { value: 1 * MB, how: "max_payload of NATS, as it comes", ...NATS },
    queueDelaySeconds: undefined,
    queueBatch: undefined,
    queueWindowSeconds: undefined,
    eventFunctionSeconds: undefined,
    environmentBytes: undefined,
    leastMemoryPerCpuBytes: undefined,
    mostMemoryPerCpuBytes: undefined,
    nameCharacters: { value: 52, how: "a CronJob's name; other objects have 63", ...CRON_JOB },
  },
};
