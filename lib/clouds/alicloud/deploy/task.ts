import * as pulumi from "@pulumi/pulumi";
import { functionBeside, scheduleBeside, scopeBeside } from "../../../parts/beside.ts";
import type { Scope } from "../../../parts/cloud.ts";
import type { Built } from "../../../parts/part.ts";
import type { TaskPlan } from "../../../parts/plan.ts";
import { taskDefinition } from "../../../parts/task.ts";
import type { LinkAddress } from "../../../runtime/deployment.ts";
import { runtimeFile } from "./code.ts";
import { functionOf } from "./function.ts";
import { FUNCTION_NAME, keeperName, ownTaskGrants } from "./permissions.ts";
import type { Site } from "./shared.ts";

/** The keeper comes round once a minute: what nobody else saw is at most that late. */
const KEEPER_SECONDS = 60;

/**
 * A task: its rows in the region's task table, its attempts as asynchronous tasks of the worker, and the keeper, a
 * function that looks after what no other process is there to see.
 *
 * @see https://www.alibabacloud.com/help/en/functioncompute/fc/user-guide/async-task
 */
export function task(site: Site, scope: Scope, plan: TaskPlan): Built {
  const address = taskAddress(site, scope, plan);
  const keeper = keeperOf(site, scope, plan, address);
  const { kind: _kind, part: _part, ...fields } = addressFields(site, scope, plan);
  return {
    id: pulumi.output(plan.name),
    address: Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, pulumi.output(value)])),
    resources: Object.fromEntries(
      Object.entries(keeper.resources).map(([name, resource]) => [`keeper-${name}`, resource]),
    ),
  };
}

/** Where the task lies, for those who submit, work, control and look after it; it need not be built yet. */
export const taskAddress = (site: Site, scope: Scope, plan: TaskPlan): pulumi.Output<LinkAddress> =>
  pulumi
    .all(addressFields(site, scope, plan))
    .apply((fields): LinkAddress => ({ ...fields, part: plan.name, kind: "task" }));

function addressFields(site: Site, scope: Scope, plan: TaskPlan) {
  const destinations = [...plan.onSuccess, ...plan.onFailure];
  const named = (kind: "queue" | "function") => destinations.filter((one) => one.kind === kind).map(({ name }) => name);
  const queues = pulumi.all(Object.fromEntries(named("queue").map((name) => [name, scope.part(name).id])));
  const functions = named("function").map((name) => [name, scope.physicalName(FUNCTION_NAME, name)]);
  const { project, store } = site.logs;
  return {
    kind: "task",
    part: plan.name,
    definition: JSON.stringify(taskDefinition(plan)),
    instance: site.tables,
    table: site.taskTable,
    claims: site.artifacts,
    worker: scope.physicalName(FUNCTION_NAME, plan.worker),
    dispatcher: scope.physicalName(FUNCTION_NAME, plan.dispatcher),
    keeper: keeperName(scope, plan),
    queues: queues.apply((names) => JSON.stringify(names)),
    functions: JSON.stringify(Object.fromEntries(functions)),
    account: site.account,
    region: site.region,
    logs: pulumi.interpolate`${project}/${store}`,
  };
}

function keeperOf(site: Site, scope: Scope, plan: TaskPlan, address: pulumi.Output<LinkAddress>): Built {
  const schedule = scheduleBeside(plan, "keep", KEEPER_SECONDS);
  const keeper = functionBeside(plan, "keep", {
    handler: { id: "tasks/keep" },
    sources: [{ type: "schedule.fired", schedule: schedule.name }],
    timeout: 2 * KEEPER_SECONDS,
  });
  const inside = scopeBeside(scope, plan, "keep", schedule);
  return functionOf(site, inside, keeper, {
    name: keeperName(scope, plan),
    links: { tasks: { port: runtimeFile("keeper"), address } },
    grants: ownTaskGrants(site, scope, plan),
    sources: keeper.sources,
  });
}
