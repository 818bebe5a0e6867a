import type { Support } from "../../parts/support.ts";

const HOUR = 3600;
const DAY = 86_400;
const KB = 2 ** 10;
const MB = 2 ** 20;

const APPLIED = "a real API server (1.36) takes the objects; no pod was run";
const SERVER = "a real NATS server (2.15)";
const DOCUMENTED = "documentation only";

const JOB = { source: "https://kubernetes.io/docs/concepts/workloads/controllers/job/", verified: APPLIED };
const SIDECAR = {
  source: "https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/",
  verified: "a real API server (1.36) takes the objects, calls on a real HTTP server; no pod was run",
};
const PYTHON = "a real API server (1.36) takes the objects, the folder is served by a real Python; no pod was run";
const CRON_JOB = { source: "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/", verified: APPLIED };
const RESOURCES = {
  source: "https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/",
  verified: APPLIED,
};
const SECRET = { source: "https://kubernetes.io/docs/concepts/configuration/secret/", verified: APPLIED };
const VOLUME = { source: "https://kubernetes.io/docs/concepts/storage/persistent-volumes/", verified: DOCUMENTED };
const RBAC = {
  source: "https://kubernetes.io/docs/reference/access-authn-authz/rbac/",
  verified: "a real API server (1.36), as each service account",
};
const KEDA = {
  source: "https://keda.sh/docs/latest/scalers/nats-jetstream/",
  verified:
    "a real API server (1.36) takes the ScaledObject by KEDA's own definition (2.21); the scaler's source was read, nothing was scaled",
};
const CONSUMER = { source: "https://docs.nats.io/nats-concepts/jetstream/consumers", verified: SERVER };
const STREAM = { source: "https://docs.nats.io/nats-concepts/jetstream/streams", verified: SERVER };
const KEY_VALUE = { source: "https://docs.nats.io/nats-concepts/jetstream/key-value-store", verified: SERVER };
const NATS = { source: "https://docs.nats.io/running-a-nats-service/configuration", verified: SERVER };
const S3 = {
  source: "https://docs.aws.amazon.com/AmazonS3/latest/API/Welcome.html",
  verified:
    "a real S3-compatible server (versitygw 1.8) in use; made on a stand-in only: it depends on the one you run",
};
const RULE = {
  source: "https://github.com/nats-io/prometheus-nats-exporter",
  verified: "the source of the exporter and of NATS' chart was read; no rule was evaluated",
};
const MILLRACE = { source: "Millrace's core, the same on every cloud", verified: "on the local cloud" };

const kept = { level: "native", how: "Pulumi's retainOnDelete" } as const;
const reused = { level: "native", how: "used by its name, never changed" } as const;

/** A cron expression counts within the hour and the day: other intervals would jump at their end. */
const INTERVALS = [
  ...[1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30].map((minutes) => minutes * 60),
  ...[1, 2, 3, 4, 6, 8, 12].map((hours) => hours * HOUR),
  DAY,
];

const ARGO = {
  source: "https://argo-workflows.readthedocs.io/en/latest/fields/",
  verified:
    "a real API server (1.36) with Argo's own definitions takes all that is compiled; Argo's controller (4, August 2026), run once by hand, ran it with pods whose ends were played",
};

const STRIMZI = {
  source: "https://strimzi.io/docs/operators/latest/configuring.html#type-KafkaTopic-reference",
  verified: DOCUMENTED,
};
const KAFKA = { source: "https://kafka.apache.org/documentation/", verified: "a real Kafka" };
const CONSUMED = {
  source: "https://keda.sh/docs/latest/scalers/apache-kafka/",
  verified:
    "a real Kafka with the pod's own process; a real API server (1.36) takes the ScaledObject by KEDA's own definition (2.21), nothing was scaled",
};

/** Kubernetes, with NATS, KEDA and an S3-compatible server in it. */
export const support: Support = {
  cloud: "kubernetes",
  title: "Kubernetes",
  parts: {
    bucket: {
      level: "added",
      how: "a bucket of an S3-compatible store that you run",
      ...S3,
      options: {
        expires: { level: "native", how: "a lifecycle rule of the store, in whole days", ...S3, min: DAY, step: DAY },
        versioned: { level: "native", how: "versioning of the store", ...S3 },
        removable: { ...kept, ...S3 },
        existing: { ...reused, ...S3 },
      },
    },
    queue: {
      level: "native",
      how: "a work-queue stream of NATS, made by a Job; it stays when the stack is destroyed",
      ...STREAM,
      options: {
        visibility: { level: "native", how: "ack_wait", ...CONSUMER, min: 1 },
        retention: { level: "native", how: "max_age", ...STREAM, min: 1 },
        delay: { level: "native", how: "a scheduled message, from NATS 2.12 on", ...STREAM, min: 0 },
        attempts: { level: "added", how: "receivers count a message's deliveries", ...CONSUMER, min: 1, step: 1 },
        deadLetters: { level: "added", how: "moved by whoever receives it once too often", ...CONSUMER },
        existing: {
          level: "native",
          how: "a stream of one subject of its name, with a consumer `receivers`",
          ...STREAM,
        },
      },
    },
    function: {
      level: "added",
      how: "a Deployment of the stock Node 24 image, scaled by KEDA",
      ...KEDA,
      options: {
        links: {
          level: "added",
          how: "addresses; all pods have the stack's keys of NATS and the store, and may do there what any of them may; rights in the cluster have only keepers, and what stands beside the steps of workflows",
          ...RBAC,
        },
        timeout: { level: "added", how: "kept by our entry", ...MILLRACE, min: 1 },
        memory: {
          level: "native",
          how: "requests and limits of memory; a pod takes 256 MB at least, while its code is fetched",
          ...RESOURCES,
          min: 64 * MB,
        },
        disk: {
          level: "native",
          how: "the size of /tmp and of ephemeral-storage, 16 MB at least",
          ...RESOURCES,
          min: 0,
        },
        cpu: { level: "native", how: "requests and limits of cpu", ...RESOURCES, min: 0.001, step: 0.001 },
        attempts: { level: "added", how: "our entry counts the deliveries of its call", ...CONSUMER, min: 1, step: 1 },
        backoff: { level: "added", how: "our entry gives the call back with that delay", ...CONSUMER },
        failures: { level: "added", how: "sent by our entry after the last attempt", ...CONSUMER },
        tools: { level: "added", how: "fetched from the artifact bucket when the container starts", ...MILLRACE },
        install: { level: "added", how: "installed for Debian, fetched when the container starts", ...MILLRACE },
        compression: { level: "native", how: "what its Node has: 24 has both", ...MILLRACE, values: ["gzip", "zstd"] },
        concurrency: {
          level: "native",
          how: "maxReplicaCount: pods of one invocation each, else 20",
          ...KEDA,
          min: 1,
          step: 1,
        },
        "program.image": {
          level: "native",
          how: "a container of its caller's pods, from Kubernetes 1.29 on; it runs as user 1000 and writes to /tmp alone",
          ...SIDECAR,
        },
        "program.image.gpu": {
          level: "native",
          how: "nvidia.com/gpu: 1, on nodes whose labels nvidia.com/gpu.product and nvidia.com/gpu.memory say so; a card of 24 GB is labelled with some less",
          source: "https://github.com/NVIDIA/k8s-device-plugin/blob/main/docs/gpu-feature-discovery/README.md",
          verified: SIDECAR.verified,
        },
        "program.python": {
          level: "added",
          how: "a container of its caller's pods with the stock image of Python 3.13; the bootstrap fetches the folder with its requirements: wheels for glibc 2.28",
          source: SIDECAR.source,
          verified: PYTHON,
        },
        environment: { level: "native", how: "the container's environment", ...RESOURCES },
      },
    },
    task: {
      level: "native",
      how: "one Job per attempt, made by the task's keeper from a suspended CronJob, with a NATS table beside it",
      ...JOB,
      options: {
        timeout: {
          level: "added",
          how: "kept by our entry, from when the Job is made: a wait for Kueue or for a node counts; activeDeadlineSeconds is 5 minutes and the grace longer",
          ...JOB,
          ...{ min: 1, max: DAY, step: 1 },
        },
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
          how: "Jobs wait 10 seconds to 6 minutes, not to be set: ours, by the keeper",
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
          how: "rows of the task table; the Job itself, its pod and its log go after a day, by ttlSecondsAfterFinished: until then they take room in etcd",
          ...JOB,
          min: 1,
        },
        onSuccess: { level: "added", how: "sent by our finisher, with the envelope of every cloud", ...MILLRACE },
        onFailure: { level: "added", how: "sent by our finisher, with the envelope of every cloud", ...MILLRACE },
      },
    },
    schedule: {
      level: "native",
      how: "a CronJob, whose pod publishes the call",
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
        existing: {
          level: "native",
          how: "used by its name, and its key after a slash: `value` if none is given",
          ...SECRET,
        },
      },
    },
    volume: {
      level: "native",
      how: "a PersistentVolumeClaim of your storage class, which has to allow many writers",
      ...VOLUME,
      options: {
        removable: {
          level: "native",
          how: "retainOnDelete, in a namespace of yours: one that is made goes with all that is in it, and is refused",
          ...VOLUME,
        },
        existing: { ...reused, ...VOLUME },
      },
    },
    table: {
      level: "added",
      how: "a key-value bucket on NATS; expiry is checked on read",
      ...KEY_VALUE,
      options: {
        removable: {
          level: "added",
          how: "made by a Job, it stays in any case: `nats kv del` removes it",
          ...KEY_VALUE,
        },
        existing: { ...reused, ...KEY_VALUE },
      },
    },
    monitor: {
      level: "added",
      how: "a PrometheusRule for the Prometheus operator that you run; refused until you name it, or none",
      ...RULE,
      options: {
        alarms: {
          level: "added",
          how: "messages that wait, failures as they reach a queue, or where there is none for them a stream that counts them, and runs of workflows that failed or were stopped, as Argo counts them; lag by kafka_exporter, as Strimzi runs it; age and duration are refused",
          ...RULE,
        },
        notify: { level: "refused", how: "your Alertmanager tells whom it is configured to tell", ...RULE },
      },
    },
    stream: {
      level: "native",
      how: "a KafkaTopic for Strimzi's operator, in a cluster of its own that you name and run; of any other Kafka a topic that is there",
      ...STRIMZI,
      options: {
        partitions: { level: "native", how: "spec.partitions, which only grows", ...STRIMZI, min: 1, step: 1 },
        retention: { level: "native", how: "the topic's retention.ms", ...STRIMZI, min: 1 },
        removable: { ...kept, ...STRIMZI },
        kafka: {
          level: "native",
          how: "instance is <namespace>/<name> of Strimzi's cluster; pods reach its brokers by their port, over tls with the ca that lies in the Secret <cluster>-cluster-ca-cert. A Secret you have, named as the user of a stream that starts functions, has the keys username and password besides, for KEDA",
          ...KAFKA,
        },
        existing: { ...reused, ...KAFKA },
      },
    },
    workflow: {
      level: "native",
      how: "a WorkflowTemplate of Argo Workflows 3.7 or later, which has to be there; a step is a pod of its function, and a keeper makes the Workflows",
      ...ARGO,
      options: {
        definition: {
          level: "added",
          how: "compiled to templates of steps; inputs, outputs and answers up to 64 KB; branches and items beside one that failed come to their ends; waits wait again in a run that is retried; a run's nodes have to fit into etcd, 1.5 MB packed, unless your Argo keeps them in a database, which hides them from `flows get`",
          ...ARGO,
        },
        timeout: { level: "native", how: "activeDeadlineSeconds", ...ARGO, min: 1, step: 1 },
      },
    },
  },
  sources: {
    "bucket.created": {
      level: "added",
      how: "the store's notifications through NATS where you name their subject, kept for 14 days; else a listing once a minute, of what came since the function was set up, with a journal of what was seen: a pod is always there for it",
      ...S3,
    },
    "queue.received": { level: "native", how: "a durable JetStream consumer, KEDA scales by what waits", ...KEDA },
    "stream.consumed": {
      level: "added",
      how: "the function's own pods are members of the group, as many as it has partitions, scaled by KEDA on what the group has not consumed: in order in each partition. A batch that fails is tried as often as attempts says, counted by its pod, and is then one message of failures; without failures until it succeeds, and what is behind it waits",
      ...CONSUMED,
    },
    "schedule.fired": { level: "native", how: "a CronJob that publishes the call", ...CRON_JOB },
  },
  runs: {
    id: { level: "added", how: "the task table: Kubernetes knows a Job's name only while the Job is there", ...JOB },
    delay: { level: "added", how: "the keeper makes the Job when it is due", ...JOB, min: 0 },
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
      verified: "a stand-in for the API server's log; longer retention needs a log store of yours",
    },
    audit: { level: "added", how: "payload and result in the task table or its bucket", ...MILLRACE },
  },
  limits: {
    taskPayloadBytes: { value: 120 * KB, how: "what an environment variable of a container holds", ...JOB },
    taskResultBytes: {
      value: 64 * KB,
      how: "above, results lie in the bucket: a row of the task table is a message",
      ...NATS,
    },
    functionPayloadBytes: {
      value: MB - 4 * KB,
      how: "max_payload of NATS, as it comes, and the call around it",
      ...NATS,
    },
    eventPayloadBytes: { value: MB - 4 * KB, how: "max_payload of NATS, as it comes, and the call around it", ...NATS },
    queueMessageBytes: { value: MB - 4 * KB, how: "max_payload of NATS, as it comes, with room for headers", ...NATS },
    queueDelaySeconds: undefined,
    queueBatch: undefined,
    queueWindowSeconds: undefined,
    streamBatch: undefined,
    streamWindowSeconds: undefined,
    eventFunctionSeconds: undefined,
    environmentBytes: undefined,
    leastMemoryPerCpuBytes: undefined,
    mostMemoryPerCpuBytes: undefined,
    nameCharacters: { value: 52, how: "a CronJob's name; other objects have 63", ...CRON_JOB },
  },
};
