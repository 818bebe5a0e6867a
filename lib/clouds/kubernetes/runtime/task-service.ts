import { field, type LinkAddress } from "../../../runtime/deployment.ts";
import { lateClaims, type TaskLimits } from "../../../runtime/tasks/bodies.ts";
import { type BriefTaskService, briefTaskService } from "../../../runtime/tasks/brief-service.ts";
import type { TaskLogs } from "../../../runtime/tasks/logs.ts";
import type { TaskPlatform } from "../../../runtime/tasks/platform.ts";
import type { KubernetesWorld } from "./account.ts";
import { LONGEST_PAYLOAD } from "./attempt-variable.ts";
import { invokeFunction, startFunction } from "./function.ts";
import { JobsPlatform } from "./jobs-platform.ts";
import { podLogsElsewhere } from "./pod-logs.ts";
import { port as queuePort } from "./queue.ts";
import { port as tablePort } from "./table.ts";

/** A result that is longer than this costs less in a bucket than in the table. */
const LIMITS: TaskLimits = { taskPayloadBytes: LONGEST_PAYLOAD, taskResultBytes: 64 * 1024 };

/** What a task's service may do better than through others. */
export interface TaskServiceWays {
  /** @default Jobs, by the task's keeper */
  readonly platform?: TaskPlatform;
  /** @default who reads logs is told how */
  readonly logs?: TaskLogs;
}

/** A task's service on Kubernetes: its rows in NATS, its attempts as Jobs. */
export async function taskService(
  address: LinkAddress,
  world: KubernetesWorld,
  ways: TaskServiceWays = {},
): Promise<BriefTaskService> {
  const keeper = new JobsPlatform(() => world.nats(), field(address, "keeper"));
  return briefTaskService({
    address,
    world,
    table: tablePort(tableAddress(address), world),
    // The store's client takes longer to load than all the rest.
    claims: lateClaims(field(address, "claims"), async () =>
      (await import("./bucket.ts")).port(claimsAddress(address), world),
    ),
    platform: ways.platform ?? keeper,
    logs: ways.logs ?? podLogsElsewhere(field(address, "namespace")),
    limits: LIMITS,
    invoke: (subject, call) => invokeFunction(world, subject, call),
    start: (subject, call) => startFunction(world, subject, call),
    async send({ name, physical: subject }, body, key) {
      await queuePort({ kind: "queue", part: name, subject }, world).send(body, { deduplication: key });
    },
    // When, it sees for itself: what is due is in the table.
    wake: () => keeper.wake(),
  });
}

const tableAddress = (address: LinkAddress): LinkAddress => ({
  kind: "table",
  part: field(address, "table"),
  table: field(address, "table"),
});

const claimsAddress = (address: LinkAddress): LinkAddress => ({
  kind: "bucket",
  part: field(address, "claims"),
  bucket: field(address, "claims"),
  endpoint: field(address, "endpoint"),
  region: field(address, "region"),
});
