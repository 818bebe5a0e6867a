import type { LinkAddress } from "../../../runtime/deployment.ts";
import { linkedTask } from "../../../runtime/tasks/brief-service.ts";
import type { KubernetesWorld } from "./account.ts";
import { taskService } from "./task-service.ts";

/** A task on Kubernetes. */
export const port = async (address: LinkAddress, world: KubernetesWorld) =>
  linkedTask(address.part, await taskService(address, world));
