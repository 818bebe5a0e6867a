import { sleep } from "../../../runtime/clock.ts";
import type { LinkAddress } from "../../../runtime/deployment.ts";
import { toErrorRecord } from "../../../runtime/errors.ts";
import { attemptHost } from "../../../runtime/tasks/brief-service.ts";
import { type AttemptHost, isUnderWay } from "../../../runtime/tasks/worker.ts";
import type { KubernetesWorld } from "./account.ts";
import { taskService } from "./task-service.ts";

/** Milliseconds until an end that could not be reported is reported again. */
const AGAIN = 2000;

/**
 * The task that a worker works for. A pod lives on when its work is done: the end is reported until it is stored, however
 * long NATS is away; or until the cluster's patience with the pod is over.
 */
export async function port(address: LinkAddress, world: KubernetesWorld): Promise<AttemptHost> {
  const { clock, log } = world;
  const host = attemptHost(await taskService(address, world));
  return {
    ...host,
    async finished(attempt, outcome) {
      while (true) {
        try {
          await host.finished(attempt, outcome);
          if (!isUnderWay(await host.get(attempt.task, attempt.id), attempt)) return;
        } catch (error) {
          log.warn(`its end could not be reported, trying again: ${toErrorRecord(error).message}`);
        }
        await sleep(clock, AGAIN);
      }
    },
  };
}
