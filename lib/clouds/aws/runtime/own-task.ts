import type { LinkAddress } from "../../../runtime/deployment.ts";
import { attemptHost } from "../../../runtime/tasks/brief-service.ts";
import type { AwsWorld } from "./account.ts";
import { taskService } from "./task-service.ts";

/** The task that a worker works for. */
export const port = async (address: LinkAddress, world: AwsWorld) => attemptHost(await taskService(address, world));
