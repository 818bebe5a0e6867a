import type { CloudPlan, Plan } from "../parts/plan.ts";
import { MillraceError } from "../runtime/errors.ts";
import type { DeployedSystem } from "../runtime/system.ts";
import type { TaskClient } from "../runtime/tasks/task.ts";

/**
 * One system of all the clouds of a stack: a part is asked of the cloud that has it, and a cloud is opened when it is
 * first asked.
 */
export function joinedSystem(
  { clouds, parts }: Plan,
  open: (cloud: CloudPlan) => Promise<DeployedSystem>,
): DeployedSystem {
  const systems = new Map<CloudPlan, Promise<DeployedSystem>>();
  const of = async (kind: "task" | "bucket" | "queue", name: string): Promise<DeployedSystem> => {
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
