import type { Support } from "../../parts/support.ts";

const DAY = 86_400;
const MB = 2 ** 20;

const LOCAL = { source: "Millrace's local cloud", verified: "SQLite and Node 24 on a laptop" };

const journal = { level: "native", how: "kept in the journal", ...LOCAL } as const;
const kept = { level: "native", how: "all data stays in .millrace until you delete it", ...LOCAL } as const;
const reused = { level: "added", how: "a local one of that name stands for it", ...LOCAL } as const;
const declared = { level: "native", how: "what the machine has; the number is not enforced", ...LOCAL } as const;

/** The local cloud: child processes, a SQLite journal and files on one machine. */
export const support: Support = {
  cloud: "local",
  title: "Local",
  parts: {
    bucket: {
      level: "native",
      how: "hashed files and an index, with a folder to drop files in",
      ...LOCAL,
      options: {
        expires: { level: "native", how: "removed when their time is over", ...LOCAL, min: 1 },
        versioned: { level: "added", how: "the latest content only: no handler reads older ones", ...LOCAL },
        removable: kept,
        existing: reused,
      },
    },
    queue: {
      level: "native",
      how: "rows of the journal, delivered at least once in random order",
      ...LOCAL,
      options: {
        visibility: { ...journal, min: 0 },
        retention: { ...journal, min: 1 },
        delay: { ...journal, min: 0 },
        attempts: { ...journal, min: 1, step: 1 },
        deadLetters: journal,
        existing: reused,
      },
    },
    function: {
      level: "native",
      how: "the bundle in child processes",
      ...LOCAL,
      options: {
        links: { level: "native", how: "a link's actions are checked at every call", ...LOCAL },
        timeout: { level: "native", how: "the process is killed", ...LOCAL, min: 1, max: DAY },
        memory: { level: "native", how: "the heap of the child process", ...LOCAL, min: 1 },
        disk: { ...declared, min: 0 },
        cpu: { ...declared, min: 0.001 },
        attempts: { ...journal, min: 1, step: 1 },
        backoff: journal,
        failures: journal,
        tools: { level: "added", how: "from the PATH, or from npm", ...LOCAL },
        install: { level: "added", how: "from the project's own node_modules", ...LOCAL },
        compression: {
          level: "native",
          how: "what its Node has, zstd from 22.15 on",
          ...LOCAL,
          values: ["gzip", "zstd"],
        },
        concurrency: { ...journal, min: 1, step: 1 },
        "program.image": { level: "added", how: "the command given as `local` stands for it", ...LOCAL },
        "program.image.gpu": { level: "added", how: "what the machine has", ...LOCAL },
        "program.python": {
          level: "added",
          how: "a child process of python3, with the folder's requirements",
          ...LOCAL,
        },
        environment: { level: "native", how: "the child process's environment", ...LOCAL },
      },
    },
    task: {
      level: "native",
      how: "rows of the journal",
      ...LOCAL,
      options: {
        timeout: { level: "native", how: "the process is killed", ...LOCAL, min: 1, max: DAY },
        grace: { level: "native", how: "the signal, then the kill", ...LOCAL, min: 0 },
        attempts: { ...journal, min: 1, step: 1 },
        backoff: journal,
        concurrency: { level: "native", how: "leases of running rows", ...LOCAL, min: 1, step: 1 },
        expires: { ...journal, min: 1 },
        retention: { ...journal, min: 1 },
        onSuccess: journal,
        onFailure: journal,
      },
    },
    schedule: {
      level: "native",
      how: "the journal and a timer",
      ...LOCAL,
      options: {
        "timing.every": { ...journal, min: 1 },
        "timing.cron": journal,
        "timing.timeZone": journal,
        enabled: journal,
      },
    },
    secret: {
      level: "added",
      how: "from the configuration or the environment",
      ...LOCAL,
      options: {
        config: { level: "added", how: "from Pulumi.<stack>.yaml; encrypted values from the environment", ...LOCAL },
        existing: { level: "added", how: "from the environment", ...LOCAL },
      },
    },
    volume: { level: "native", how: "a folder", ...LOCAL, options: { removable: kept, existing: reused } },
    table: { level: "native", how: "rows of the journal", ...LOCAL, options: { removable: kept, existing: reused } },
    monitor: {
      level: "added",
      how: "shown where the local cloud runs",
      ...LOCAL,
      options: {
        alarms: { level: "added", how: "shown", ...LOCAL },
        notify: { level: "added", how: "sent", ...LOCAL },
      },
    },
    stream: {
      level: "native",
      how: "rows of the journal",
      ...LOCAL,
      options: {
        partitions: { ...journal, min: 1, step: 1 },
        retention: { ...journal, min: 1 },
        removable: kept,
        kafka: { level: "added", how: "kept in the journal in its place", ...LOCAL },
        existing: reused,
      },
    },
    workflow: {
      level: "native",
      how: "rows of the journal: steps that are done are not done again after a restart",
      ...LOCAL,
      options: {
        definition: journal,
        timeout: { ...journal, min: 1 },
      },
    },
  },
  sources: {
    "bucket.created": journal,
    "queue.received": journal,
    "schedule.fired": journal,
    "stream.consumed": journal,
  },
  runs: {
    id: journal,
    delay: { ...journal, min: 0 },
    expires: { ...journal, min: 0 },
    priority: journal,
    tenant: journal,
    tags: journal,
    list: journal,
    stop: { level: "native", how: "the signal, the grace period, then the kill", ...LOCAL },
    retry: journal,
    progress: journal,
    logs: journal,
    audit: journal,
  },
  limits: {
    taskPayloadBytes: { value: 1 * MB, how: "above, the payload lies beside the journal", ...LOCAL },
    taskResultBytes: { value: 1 * MB, how: "above, the result lies beside the journal", ...LOCAL },
    functionPayloadBytes: { value: 32 * MB, how: "a message between processes", ...LOCAL },
    eventPayloadBytes: { value: 1 * MB, how: "a row of the journal", ...LOCAL },
    queueMessageBytes: { value: 1 * MB, how: "a row of the journal", ...LOCAL },
    queueDelaySeconds: undefined,
    queueBatch: { value: 10_000, how: "one invocation's messages", ...LOCAL },
    queueWindowSeconds: undefined,
    streamBatch: undefined,
    streamWindowSeconds: undefined,
    eventFunctionSeconds: undefined,
    environmentBytes: undefined,
    leastMemoryPerCpuBytes: undefined,
    mostMemoryPerCpuBytes: undefined,
    nameCharacters: { value: 255, how: "a file's name", ...LOCAL },
  },
};
