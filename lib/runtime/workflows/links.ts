import type { TaskController, TaskSubmitter } from "../ports.ts";
import type { TaskAudit } from "../tasks/task.ts";

/** A task as a step of a workflow has it: with the whole results of its runs. */
export interface WorkflowTask extends TaskSubmitter, Pick<TaskController, "get" | "retry"> {
  audit(id: string): Promise<TaskAudit | undefined>;
}

/** Takes down who waits for an answer. */
export interface CallbackKeeper {
  /** If the answer is there already, the service is told at once. */
  expect(callback: string, token: string): Promise<void>;
}

/** Ends what takes too long. */
export interface LateRuns {
  /** How many there were. */
  stopLate(): Promise<number>;
}
