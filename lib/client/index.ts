import { connectLocal } from "../clouds/local/client.ts";
import type { TaskClient } from "../runtime/tasks/task.ts";
import type { WorkflowClient } from "../runtime/workflows/run.ts";

export { type ErrorKind, type ErrorRecord, MillraceError } from "../runtime/errors.ts";
export type { BulkFilter, BulkOptions, BulkOutcome, BulkProgress, BulkTaskClient } from "../runtime/tasks/bulk.ts";
export {
  type Attempt,
  isFinal,
  type SubmitOptions,
  TASK_STATUSES,
  type Task,
  type TaskAudit,
  type TaskClient,
  type TaskEvent,
  type TaskFilter,
  type TaskLogLine,
  type TaskPage,
  type TaskStatus,
} from "../runtime/tasks/task.ts";
export {
  type Answer,
  isOver,
  type StepRecord,
  type StepStatus,
  WORKFLOW_STATUSES,
  type WorkflowClient,
  type WorkflowFilter,
  type WorkflowHistory,
  type WorkflowPage,
  type WorkflowRun,
  type WorkflowStatus,
} from "../runtime/workflows/run.ts";
export type { Duration } from "../shared/duration.ts";

/** The system whose tasks and workflows are meant. */
export interface Target {
  /** The folder `millrace dev` works in, such as `".millrace"`. */
  readonly local: string;
}

/**
 * Submits tasks and looks after them from a user's own program: nothing of Pulumi is loaded, and Node 20 will do.
 *
 * @example
 * const tasks = taskClient({ local: ".millrace" });
 * const run = await tasks.submit("resize-task", { image: "cat.png" }, { id: "cat" });
 * console.log(await tasks.wait("resize-task", run.id));
 */
export function taskClient({ local }: Target): TaskClient {
  return connectLocal({ folder: local }).tasks;
}

/**
 * Starts runs of workflows and looks after them from a user's own program, as {@link taskClient} does for tasks.
 *
 * @example
 * const workflows = workflowClient({ local: ".millrace" });
 * const run = await workflows.start("orders-flow", { items: 3 }, { id: "order-17" });
 * await workflows.answer(`orders-flow/${run.id}/approve`, { output: { ok: true } });
 */
export function workflowClient({ local }: Target): WorkflowClient {
  return connectLocal({ folder: local }).workflows;
}
