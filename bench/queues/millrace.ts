import { join } from "node:path";
import { startDev } from "../../lib/clouds/local/dev.ts";
import type { TaskClient } from "../../lib/runtime/tasks/task.ts";
import { isFinal } from "../../lib/runtime/tasks/task.ts";
import { PROJECT } from "../machine.ts";
import type { Contender } from "./contender.ts";

const TASK = "noop-task";

/** Millrace's local cloud in this process, as `millrace dev` starts it; each slot is a process of its own. */
export async function start(folder: string, concurrency: number): Promise<Contender> {
  const session = await startDev({
    program: join(PROJECT, "bench", "programs", "tasks.ts"),
    project: PROJECT,
    folder,
    watch: false,
    onEvent: () => {},
    host: { concurrency },
  });
  return { concurrency, ...contenderOf(session.host.tasks), close: () => session.close() };
}

/** A contender by its `TaskClient`, wherever the service runs. */
export const contenderOf = (tasks: TaskClient): Pick<Contender, "submit" | "state" | "result"> => ({
  async submit(id, job, { urgent = false } = {}) {
    await tasks.submit(TASK, job, { id, priority: urgent ? 1 : 0 });
  },
  async state(id) {
    const run = await tasks.get(TASK, id);
    if (!run || run.status === "failed") throw new Error(`${id}: ${run?.error?.message ?? "is not there"}`);
    return isFinal(run.status) ? "finished" : run.status === "running" ? "running" : "waiting";
  },
  async result(id) {
    return Number((await tasks.get(TASK, id))?.resultPreview);
  },
});
