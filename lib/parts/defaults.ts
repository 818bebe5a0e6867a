import type { BackoffPlan } from "./plan.ts";

/** What every cloud does unless told otherwise. Seconds, bytes and pieces, as in the plan. */
export const DEFAULTS = {
  functionTimeout: 60,
  functionMemory: 512 * 2 ** 20,
  functionDisk: 512 * 2 ** 20,
  functionCpu: 0.5,
  attempts: 3,
  backoff: { first: 1, factor: 2, longest: 300 } satisfies BackoffPlan,
  queueVisibility: 60,
  queueRetention: 4 * 86_400,
  queueAttempts: 5,
  taskTimeout: 3600,
  taskGrace: 30,
  taskRetention: 7 * 86_400,
  workflowTimeout: 86_400,
  streamPartitions: 6,
  streamRetention: 7 * 86_400,
} as const;
