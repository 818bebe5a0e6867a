import type { CloudPlan, Plan } from "../parts/plan.ts";
import { MillraceError } from "../runtime/errors.ts";
import type { DeployedSystem } from "../runtime/system.ts";
import type { TaskClient } from "../runtime/tasks/task.ts";
import type { Answer, WorkflowClient } from "../runtime/workflows/run.ts";
import { workflowsIn } from "./system.ts";

/**
 * One system of all the clouds of a stack: a part is asked of the cloud that has it, and a cloud is opened when it is
 * first asked.
 */
export function joinedSystem(
  { clouds, parts }: Plan,
  open: (cloud: CloudPlan) => Promise<DeployedSystem>,
): DeployedSystem {
  const systems = new Map<CloudPlan, Promise<DeployedSystem>>();
  const of = async (
    kind: "task" | "bucket" | "queue" | "workflow" | "stream",
    name: string,
  ): Promise<DeployedSystem> => {
    const part = parts.find((one) => one.kind === kind && one.name === name);
    const cloud = clouds.find((one) => one.name === part?.cloud);
    if (!cloud) {
      const known = parts.filter((one) => one.kind === kind).map((one) => `"${one.name}"`);
      throw new MillraceError("not-found", `there is no ${kind} "${name}"; there are: ${known.join(", ") || "none"}`);
    }
    const system = systems.get(cloud) ?? open(cloud);
    systems.set(cloud, system);
    return system;
  };
  return {
    tasks: tasksOf(async (task) => (await of("task", task)).tasks),
    workflows: {
      ...workflowsOf(async (workflow) => workflowsIn(await of("workflow", workflow), clouds)),
      async answer(callback, answer) {
        const flows = parts.filter(({ kind }) => kind === "workflow");
        const known = new Set(await Promise.all(flows.map(({ name }) => of("workflow", name))));
        await answerIn(
          [...known].map((system) => workflowsIn(system, clouds)),
          callback,
          answer,
        );
      },
    },
    bucket: async (name) => (await of("bucket", name)).bucket(name),
    queue: async (name) => (await of("queue", name)).queue(name),
    async close() {
      const opened = await Promise.allSettled(systems.values());
      await Promise.all(opened.map((system) => (system.status === "fulfilled" ? system.value.close() : undefined)));
    },
  };
}

/** The tasks of several clouds: each verb goes to the client of its task. */
const tasksOf = (clientOf: (task: string) => Promise<TaskClient>): TaskClient => ({
  submit: async (task, payload, options) => (await clientOf(task)).submit(task, payload, options),
  get: async (task, id) => (await clientOf(task)).get(task, id),
  list: async (task, filter) => (await clientOf(task)).list(task, filter),
  stop: async (task, id, options) => (await clientOf(task)).stop(task, id, options),
  retry: async (task, id, options) => (await clientOf(task)).retry(task, id, options),
  async *logs(task, id, options) {
    yield* (await clientOf(task)).logs(task, id, options);
  },
  audit: async (task, id) => (await clientOf(task)).audit(task, id),
  wait: async (task, id, options) => (await clientOf(task)).wait(task, id, options),
});

/** The workflows of several clouds: each verb goes to the client of its workflow. */
const workflowsOf = (clientOf: (workflow: string) => Promise<WorkflowClient>): Omit<WorkflowClient, "answer"> => ({
  start: async (workflow, input, options) => (await clientOf(workflow)).start(workflow, input, options),
  get: async (workflow, id) => (await clientOf(workflow)).get(workflow, id),
  list: async (workflow, filter) => (await clientOf(workflow)).list(workflow, filter),
  stop: async (workflow, id) => (await clientOf(workflow)).stop(workflow, id),
  retry: async (workflow, id) => (await clientOf(workflow)).retry(workflow, id),
});

/** A callback does not say in which cloud somebody waits for its answer: the one that knows it takes it. */
async function answerIn(clients: readonly WorkflowClient[], callback: string, answer: Answer): Promise<void> {
  for (const client of clients) {
    try {
      return await client.answer(callback, answer);
    } catch (error) {
      if (!(error instanceof MillraceError) || error.kind !== "not-found") throw error;
    }
  }
  throw new MillraceError("not-found", `no step waits, or will wait, for an answer to "${callback}"`);
}
