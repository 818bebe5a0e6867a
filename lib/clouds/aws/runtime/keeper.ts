import type { LinkAddress } from "../../../runtime/deployment.ts";
import type { TaskService } from "../../../runtime/tasks/service.ts";
import type { AwsWorld } from "./account.ts";
import { taskService } from "./task-service.ts";

/** The task that a keeper looks after. */
export const port = async (address: LinkAddress, world: AwsWorld): Promise<TaskService> =>
  (await taskService(address, world)).service;
