import type { BucketPlan, QueuePlan, StreamPlan, TablePlan } from "../../../lib/parts/plan.ts";

const names = (name: string) => ({ name, stem: name, construct: "test", cloud: "local" });

/** A bucket as a construct would declare it. */
export const bucketPlan = (name: string, plan: Partial<BucketPlan> = {}): BucketPlan => ({
  kind: "bucket",
  ...names(name),
  versioned: false,
  removable: false,
  ...plan,
});

/** A queue as a construct would declare it. */
export const queuePlan = (name: string, plan: Partial<QueuePlan> = {}): QueuePlan => ({
  kind: "queue",
  ...names(name),
  visibility: 60,
  retention: 86_400,
  delay: 0,
  ...plan,
});

/** A table as a construct would declare it. */
export const tablePlan = (name: string): TablePlan => ({ kind: "table", ...names(name), removable: false });

/** A stream as a construct would declare it. */
export const streamPlan = (name: string, plan: Partial<StreamPlan> = {}): StreamPlan => ({
  kind: "stream",
  ...names(name),
  partitions: 3,
  retention: 604_800,
  removable: false,
  ...plan,
});
