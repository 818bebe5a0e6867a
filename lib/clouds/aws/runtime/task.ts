import type { LinkAddress } from "../../../runtime/deployment.ts";
import { linkedTask } from "../../../runtime/tasks/brief-service.ts";
import type { AwsWorld } from "./account.ts";
import { taskService } from "./task-service.ts";

/** A task on Step Functions. */
export const port = async (address: LinkAddress, world: AwsWorld) =>
  linkedTask(address.part, await taskService(address, world));
