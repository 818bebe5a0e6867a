import type { LinkAddress } from "../../../runtime/deployment.ts";
import type { AttemptHost } from "../../../runtime/tasks/worker.ts";
import type { AlicloudWorld } from "./account.ts";
import { taskService } from "./task-service.ts";

/** The task that a worker works for: whom it reports to. */
export async function port(address: LinkAddress, world: AlicloudWorld): Promise<AttemptHost> {
  const { service, claims, settle } = await taskService(address, world);
  return {
    get: (task, id) => service.get(task, id),
    payload: async ({ key }) => JSON.parse(Buffer.from(await claims.get(key)).toString("utf8")) as unknown,
    progressed: (attempt, fraction, message) => service.progressed(attempt, fraction, message),
    async finished(attempt, outcome) {
      await service.finished(attempt, outcome);
      await settle(await service.get(attempt.task, attempt.id));
    },
  };
}
