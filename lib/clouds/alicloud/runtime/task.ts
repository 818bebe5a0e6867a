import type { LinkAddress } from "../../../runtime/deployment.ts";
import type { TaskController, TaskSubmitter } from "../../../runtime/ports.ts";
import type { Task } from "../../../runtime/tasks/task.ts";
import type { AlicloudWorld } from "./account.ts";
import { taskService } from "./task-service.ts";

/** A task on Function Compute: what is asked of it is settled before the answer, for the process may end with that. */
export async function port(address: LinkAddress, world: AlicloudWorld): Promise<TaskSubmitter & TaskController> {
  const { service, settle } = await taskService(address, world);
  const { part } = address;
  const settled = async (work: Promise<Task>): Promise<Task> => {
    const task = await work;
    await settle(task);
    return task;
  };
  return {
    submit: (id, payload, options) => settled(service.submit(part, payload, { ...options, id })),
    get: (id) => service.get(part, id),
    list: (filter) => service.list(part, filter),
    stop: (id) => settled(service.stop(part, id)),
    retry: (id) => settled(service.retry(part, id)),
  };
}
