import { exactOptional as maybe, z } from "zod";
import { type ErrorKind, isErrorKind } from "../../../runtime/errors.ts";
import { newRecordFromWire, recordToWire } from "../../../runtime/stream-records.ts";
import type { BulkOutcome, BulkProgress } from "../../../runtime/tasks/bulk.ts";
import { TASK_STATUSES, type Task } from "../../../runtime/tasks/task.ts";
import { WORKFLOW_STATUSES } from "../../../runtime/workflows/run.ts";
import { type Duration, toSeconds } from "../../../shared/duration.ts";
import type { LocalChange, LocalView } from "./inspect.ts";
import { relay } from "./relay.ts";

/** One call of the HTTP interface: what it takes, and what answers it. */
export interface Call<Args extends z.ZodType, Answer> {
  readonly args: Args;
  readonly answer: (view: LocalView, args: z.output<Args>, signal: AbortSignal) => Answer;
}

const call = <Args extends z.ZodType, Answer>(
  args: Args,
  answer: Call<Args, Answer>["answer"],
): Call<Args, Answer> => ({
  args,
  answer,
});

const name = z.string().min(1).max(200);
const id = z.string().min(1).max(400);
const key = z.string().min(1).max(1024);
const text = z.record(z.string(), z.string());
const status = z.enum(TASK_STATUSES);
const duration = z.custom<Duration>(isDuration, 'must be a number and a unit, such as "30 seconds"');

const filterFields = {
  status: maybe(z.union([status, z.array(status).readonly()])),
  after: maybe(z.iso.datetime({ offset: true })),
  before: maybe(z.iso.datetime({ offset: true })),
  tenant: maybe(z.string()),
  tags: maybe(text),
  prefix: maybe(z.string()),
};

const filter = z.strictObject({
  ...filterFields,
  order: maybe(z.enum(["newest", "oldest"])),
  limit: maybe(z.int().min(1).max(1000)),
  cursor: maybe(z.string()),
});

const submitOptions = z.strictObject({
  id: maybe(id),
  tenant: maybe(z.string()),
  lane: maybe(z.string()),
  priority: maybe(z.number()),
  tags: maybe(text),
  delay: maybe(duration),
  expires: maybe(duration),
  deadline: maybe(z.iso.datetime({ offset: true })),
  again: maybe(z.boolean()),
  by: maybe(z.string()),
});

const workflowStatus = z.enum(WORKFLOW_STATUSES);
const workflowFilter = z.strictObject({
  status: maybe(z.union([workflowStatus, z.array(workflowStatus).readonly()])),
  after: maybe(z.iso.datetime({ offset: true })),
  before: maybe(z.iso.datetime({ offset: true })),
  prefix: maybe(z.string()),
  limit: maybe(z.int().min(1).max(1000)),
  cursor: maybe(z.string()),
});
const answer = z.union([
  z.strictObject({ error: z.strictObject({ kind: z.custom<ErrorKind>(isErrorKind), message: z.string() }) }),
  z.strictObject({ output: z.unknown() }),
]);

const base64 = z.base64();
const newRecord = z.strictObject({
  key: maybe(base64),
  value: maybe(base64),
  headers: maybe(z.record(z.string(), base64)),
  timestamp: maybe(z.int().min(0)),
  partition: maybe(z.int().min(0)),
});

const run = z.strictObject({ task: name, id });
const workflowRun = z.strictObject({ workflow: name, id });
const steered = z.strictObject({ task: name, id, by: maybe(z.string()) });
const bulk = z.strictObject({
  task: name,
  filter: z.strictObject(filterFields),
  dryRun: maybe(z.boolean()),
  by: maybe(z.string()),
});

/** Calls answered at once, by name. */
export const calls = {
  plan: call(z.strictObject({}), (view) => view.plan()),

  "tasks.submit": call(
    z.strictObject({ task: name, payload: z.unknown(), options: maybe(submitOptions) }),
    ({ tasks }, { task, payload, options }) => tasks.submit(task, payload, options),
  ),
  "tasks.get": call(run, ({ tasks }, { task, id }) => tasks.get(task, id)),
  "tasks.list": call(z.strictObject({ task: name, filter: maybe(filter) }), ({ tasks }, { task, filter }) =>
    tasks.list(task, filter),
  ),
  "tasks.stop": call(steered, ({ tasks }, { task, id, ...options }) => tasks.stop(task, id, options)),
  "tasks.retry": call(steered, ({ tasks }, { task, id, ...options }) => tasks.retry(task, id, options)),
  "tasks.audit": call(run, ({ tasks }, { task, id }) => tasks.audit(task, id)),

  "workflows.start": call(
    z.strictObject({ workflow: name, input: z.unknown(), id: maybe(id) }),
    ({ workflows }, { workflow, input, ...options }) => workflows.start(workflow, input, options),
  ),
  "workflows.get": call(workflowRun, ({ workflows }, { workflow, id }) => workflows.get(workflow, id)),
  "workflows.list": call(
    z.strictObject({ workflow: name, filter: maybe(workflowFilter) }),
    ({ workflows }, { workflow, filter }) => workflows.list(workflow, filter),
  ),
  "workflows.stop": call(workflowRun, ({ workflows }, { workflow, id }) => workflows.stop(workflow, id)),
  "workflows.retry": call(workflowRun, ({ workflows }, { workflow, id }) => workflows.retry(workflow, id)),
  "workflows.answer": call(
    z.strictObject({ callback: z.string().min(1).max(4096), answer }),
    ({ workflows }, { callback, answer }) => workflows.answer(callback, answer),
  ),

  "buckets.list": call(z.strictObject({}), ({ buckets }) => buckets.list()),
  "buckets.objects": call(
    z.strictObject({
      bucket: name,
      prefix: maybe(z.string().max(1024)),
      after: maybe(z.string().max(1024)),
      limit: maybe(z.int().min(1).max(1000)),
    }),
    ({ buckets }, { bucket, ...options }) => buckets.reader(bucket).list(options),
  ),
  "buckets.head": call(z.strictObject({ bucket: name, key }), ({ buckets }, { bucket, key }) =>
    buckets.reader(bucket).head(key),
  ),
  "buckets.remove": call(z.strictObject({ bucket: name, key }), ({ buckets }, { bucket, key }) =>
    buckets.remover(bucket).remove(key),
  ),

  "queues.stats": call(z.strictObject({ queue: name }), ({ queues }, { queue }) => queues.stats(queue)),
  "queues.peek": call(
    z.strictObject({ queue: name, limit: z.int().min(1).max(1000) }),
    ({ queues }, { queue, limit }) => queues.peek(queue, limit),
  ),
  "queues.send": call(
    z.strictObject({
      queue: name,
      body: z.string(),
      attributes: maybe(text),
      delay: maybe(z.number().min(0)),
      deduplication: maybe(z.string()),
    }),
    ({ queues }, { queue, body, ...options }) => queues.sendNow(queue, body, options),
  ),
  "queues.redrive": call(
    z.strictObject({ queue: name, to: maybe(name), limit: maybe(z.int().min(1)) }),
    ({ queues }, { queue, ...options }) => queues.redrive(queue, options),
  ),

  "streams.list": call(z.strictObject({}), (view) => view.streams.list()),
  "streams.produce": call(
    z.strictObject({ stream: name, records: z.array(newRecord).readonly() }),
    (view, { stream, records }) => view.streams.append(stream, records.map(newRecordFromWire)),
  ),
  "streams.read": call(
    z.strictObject({
      stream: name,
      partition: z.int().min(0),
      from: maybe(z.int().min(0)),
      limit: maybe(z.int().min(1).max(10_000)),
    }),
    async (view, { stream, ...options }) => {
      const { records, next } = await view.streams.read(stream, options);
      return { records: records.map(recordToWire), next };
    },
  ),
  "streams.lag": call(z.strictObject({ stream: name }), (view, { stream }) => view.streams.lag(stream)),
} as const;

/** Calls answered by a stream of values, by name. */
export const streams = {
  changes: call(z.strictObject({}), (view, _args, signal) => relay<LocalChange>(signal, (push) => view.onChange(push))),
  "tasks.logs": call(
    z.strictObject({ task: name, id, after: maybe(z.int()), follow: maybe(z.boolean()) }),
    ({ tasks }, { task, id, ...options }, signal) => tasks.logs(task, id, { ...options, signal }),
  ),
  "tasks.wait": call(run, ({ tasks }, { task, id }, signal) =>
    relay<{ progress: Task } | { ended: Task }>(signal, (push, end) =>
      end(
        tasks.wait(task, id, { signal, onProgress: (progress) => push({ progress }) }).then((ended) => push({ ended })),
      ),
    ),
  ),
  "tasks.stopAll": call(bulk, (view, args, signal) => relayBulk("stopAll", view, args, signal)),
  "tasks.retryAll": call(bulk, (view, args, signal) => relayBulk("retryAll", view, args, signal)),
} as const;

/** Progress again and again, then the outcome. */
const relayBulk = (
  verb: "stopAll" | "retryAll",
  { tasks }: LocalView,
  { task, filter, ...options }: z.output<typeof bulk>,
  signal: AbortSignal,
) =>
  relay<{ progress: BulkProgress } | { outcome: BulkOutcome }>(signal, (push, end) =>
    end(
      tasks[verb](task, filter, { ...options, signal, onProgress: (progress) => push({ progress }) }).then((outcome) =>
        push({ outcome }),
      ),
    ),
  );

/** Asked about absent ones too: an error for each of those would take longer than the rest of the call. */
function isDuration(value: unknown): boolean {
  if (typeof value !== "string") return false;
  try {
    return toSeconds(value as Duration) >= 0;
  } catch {
    return false;
  }
}
