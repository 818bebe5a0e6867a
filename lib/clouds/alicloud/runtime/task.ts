import type { LinkAddress } from "../../../runtime/deployment.ts";
import { linkedTask } from "../../../runtime/tasks/brief-service.ts";
import type { AlicloudWorld } from "./account.ts";
import { taskService } from "./task-service.ts";

/** A task on Function Compute. */
export const port = async (address: LinkAddress, world: AlicloudWorld) =>
  linkedTask(address.part, await taskService(address, world));
