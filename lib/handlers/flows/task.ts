import type { ErrorRecord } from "../../runtime/errors.ts";
import type { FunctionInvoked } from "../../runtime/events.ts";
import type { Handler } from "../../runtime/handler.ts";
import { isFinal, type Task } from "../../runtime/tasks/task.ts";
import type { WorkflowTask } from "../../runtime/workflows/links.ts";
import { untilNextLook } from "../../shared/workflow/looks.ts";

/** What a workflow asks of a task. Numbers may come as texts. */
export type TaskCall =
  /** Submits a run, or tries the known one again: at every attempt after the first, and where the workflow's run is retried. */
  | {
      readonly verb: "submit";
      readonly id: string;
      readonly input: unknown;
      readonly attempt: number;
      /** How often the workflow's run was begun. @default 1 */
      readonly round?: number;
    }
  /** Looks how it goes, for the so many-th time. */
  | { readonly verb: "look"; readonly id: string; readonly looks: number };

export type { WorkflowTask } from "../../runtime/workflows/links.ts";

/** How the run goes, and when to look again. */
export type TaskLook =
  | { readonly state: "succeeded"; readonly result: unknown }
  | { readonly state: "failed"; readonly error: ErrorRecord }
  | { readonly state: "waiting"; readonly seconds: number; readonly looks: number };

/** Submits a run of a task for a workflow, and says how it goes. */
export const handler: Handler<FunctionInvoked<TaskCall>, { readonly task: WorkflowTask }, unknown, TaskLook> = async (
  { payload },
  { links: { task } },
) => {
  const known = await task.get(payload.id);
  if (payload.verb === "look") return lookAt(known, task, Number(payload.looks) + 1);
  if (!known) return lookAt(await task.submit(payload.id, payload.input, { by: "workflow" }), task, 0);
  // A call may come twice: one that is under way again is not retried again.
  const isLater = Number(payload.attempt) > 1 || Number(payload.round ?? 1) > 1;
  const isAgain = isLater && isFinal(known.status) && known.status !== "succeeded";
  return lookAt(isAgain ? await task.retry(payload.id) : known, task, 0);
};

async function lookAt(run: Task | undefined, task: WorkflowTask, looks: number): Promise<TaskLook> {
  if (!run) return { state: "failed", error: { kind: "not-found", message: "the run is not remembered any more" } };
  if (!isFinal(run.status)) return { state: "waiting", seconds: untilNextLook(looks), looks };
  if (run.status === "succeeded") {
    return { state: "succeeded", result: (await task.audit(run.id))?.result ?? null };
  }
  const kind = run.status === "stopped" || run.status === "expired" ? run.status : "failed";
  const { message } = run.error ?? { message: `the run ${run.id} is ${run.status}` };
  return { state: "failed", error: { kind: run.error?.kind ?? kind, message } };
}
