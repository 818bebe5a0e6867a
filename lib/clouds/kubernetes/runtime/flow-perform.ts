import { sleep } from "../../../runtime/clock.ts";
import { MillraceError } from "../../../runtime/errors.ts";
import type { FunctionInvoked } from "../../../runtime/events.ts";
import type { Handler } from "../../../runtime/handler.ts";
import { isFinal } from "../../../runtime/tasks/task.ts";
import type { WorkflowTask } from "../../../runtime/workflows/links.ts";
import type { FlowTurns } from "./flow-turns.ts";

/** Milliseconds between two looks at the run, at most. */
const LONGEST_LOOK = 15_000;

/** Sees to it that a run of a task ends: one of that id that is known is waited for, and tried again if it was waited for before. */
export const handler: Handler<
  FunctionInvoked<{ readonly id: string; readonly input: unknown }>,
  { readonly turns: FlowTurns; readonly task: WorkflowTask }
> = async ({ id: step, payload: { id, input } }, { links: { turns, task }, clock, signal }) => {
  const before = await turns.turns(step);
  let run = await task.get(id);
  if (!run) run = await task.submit(id, input, { by: "workflow" });
  else if (before > 0 && isFinal(run.status) && run.status !== "succeeded") run = await task.retry(id);
  for (let looks = 1; !isFinal(run.status); looks += 1) {
    await sleep(clock, Math.min(LONGEST_LOOK, 1000 * looks), signal);
    const now = await task.get(id);
    if (!now) throw new MillraceError("not-found", "the run is not remembered any more");
    run = now;
  }
  await turns.keepTurns(step, before + 1);
  if (run.status === "succeeded") return (await task.audit(id))?.result ?? null;
  const kind = run.status === "stopped" || run.status === "expired" ? run.status : "failed";
  const { message } = run.error ?? { message: `the run ${id} is ${run.status}` };
  throw new MillraceError(run.error?.kind ?? kind, message);
};
