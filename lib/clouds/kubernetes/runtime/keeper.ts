import type { LinkAddress } from "../../../runtime/deployment.ts";
import type { TaskPlatform } from "../../../runtime/tasks/platform.ts";
import type { TaskService } from "../../../runtime/tasks/service.ts";
import type { KubernetesWorld } from "./account.ts";
import { taskService } from "./task-service.ts";

/** What a keeper's task is given besides. */
export interface KeeperWorld extends KubernetesWorld {
  /** The Jobs themselves: a keeper need not ask itself. */
  readonly platform: TaskPlatform;
}

/** The task that a keeper looks after. */
export const port = async (address: LinkAddress, world: KeeperWorld): Promise<TaskService> =>
  (await taskService(address, world, world)).service;
