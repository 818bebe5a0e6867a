import * as pulumi from "@pulumi/pulumi";
import type { Scope } from "../../../parts/cloud.ts";
import type { TaskPlan } from "../../../parts/plan.ts";
import { taskDefinition } from "../../../parts/task.ts";
import type { LinkAddress } from "../../../runtime/deployment.ts";
import { FUNCTION_NAME, keeperName, machineArn } from "./permissions.ts";
import type { Site } from "./shared.ts";
import { isContained } from "./sidecar.ts";

/** Where a worker logs. */
export const workerLogs = (scope: Scope, plan: TaskPlan): string =>
  `/aws/${isContained(plan, scope.plan) ? "ecs" : "lambda"}/${scope.physicalName(FUNCTION_NAME, plan.worker)}`;

/** Where the task lies, for those who submit, work, control and look after it; it need not be built yet. */
export const taskAddress = (site: Site, scope: Scope, plan: TaskPlan): pulumi.Output<LinkAddress> =>
  pulumi
    .all(addressFields(site, scope, plan))
    .apply((fields): LinkAddress => ({ ...fields, part: plan.name, kind: "task" }));

/** The same, field by field. */
export function addressFields(site: Site, scope: Scope, plan: TaskPlan) {
  const destinations = [...plan.onSuccess, ...plan.onFailure];
  const named = (kind: "queue" | "function") => destinations.filter((one) => one.kind === kind).map(({ name }) => name);
  const queues = pulumi.all(
    Object.fromEntries(named("queue").map((name) => [name, scope.part(name).address.queue!] as const)),
  );
  const functions = named("function").map((name) => [name, scope.physicalName(FUNCTION_NAME, name)]);
  return {
    definition: JSON.stringify(taskDefinition(plan)),
    table: site.taskTable,
    claims: site.artifacts,
    machine: machineArn(site, scope, plan),
    dispatcher: scope.physicalName(FUNCTION_NAME, plan.dispatcher),
    keeper: keeperName(scope, plan),
    queues: queues.apply((urls) => JSON.stringify(urls)),
    functions: JSON.stringify(Object.fromEntries(functions)),
    region: site.region,
    account: site.account,
    platform: isContained(plan, scope.plan) ? "fargate" : "lambda",
    logs: workerLogs(scope, plan),
  };
}
