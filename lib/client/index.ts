import { connectLocal } from "../clouds/local/client.ts";
import type { TaskClient } from "../runtime/tasks/task.ts";

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
export type { Duration } from "../shared/duration.ts";

/** The system whose tasks are meant. */
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
