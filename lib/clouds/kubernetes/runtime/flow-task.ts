import type { LinkAddress } from "../../../runtime/deployment.ts";
import { linkedTask } from "../../../runtime/tasks/brief-service.ts";
import type { WorkflowTask } from "../../../runtime/workflows/links.ts";
import type { KubernetesWorld } from "./account.ts";
import { taskService } from "./task-service.ts";

/** A task for a step of a workflow: with its runs' whole results. */
export async function port(address: LinkAddress, world: KubernetesWorld): Promise<WorkflowTask> {
  const brief = await taskService(address, world);
  return { ...linkedTask(address.part, brief), audit: (id) => brief.service.audit(address.part, id) };
}
