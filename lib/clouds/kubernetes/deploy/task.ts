import * as pulumi from "@pulumi/pulumi";
import { functionBeside } from "../../../parts/beside.ts";
import type { Scope } from "../../../parts/cloud.ts";
import type { Built } from "../../../parts/part.ts";
import type { FunctionPlan, TaskPlan } from "../../../parts/plan.ts";
import { taskDefinition } from "../../../parts/task.ts";
import type { LinkAddress } from "../../../runtime/deployment.ts";
import { writeEnvironment } from "../../../shared/environment.ts";
import { codeOf, runtimeFile } from "./code.ts";
import { setupJob } from "./errand.ts";
import { keeper } from "./keeper.ts";
import { callSubject, keeperName, NATS_NAME, workerName } from "./names.ts";
import { HEALTH_PORT } from "./network.ts";
import { placeOf } from "./pod.ts";
import { queueAddress } from "./queue.ts";
import { keeperRules } from "./rbac.ts";
import type { Site } from "./shared.ts";
import { callStream } from "./trigger.ts";

/** Seconds until what a keeper was told is told to another one. */
const VISIBILITY = 30;

/**
 * A task: its rows in a table of its own, and the keeper, a process that is always there. It makes a Job for each
 * attempt, sees how Jobs end, and does what is due; nobody else may.
 */
export function task(site: Site, scope: Scope, plan: TaskPlan): Built {
  const { kind: _kind, part: _part, ...fields } = addressFields(site, scope, plan);
  const setup = setupJob(site, scope, {
    streams: [callStream(site)],
    consumers: [{ stream: site.calls, name: keeperName(scope, plan), subject: fields.keeper, visibility: VISIBILITY }],
    tables: [fields.table],
  });
  return {
    id: pulumi.output(plan.name),
    address: Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, pulumi.output(value)])),
    resources: { setup, ...keeperOf(site, scope, plan, setup) },
  };
}

/** Where the task lies, for those who submit, work, control and look after it; it need not be built yet. */
export const taskAddress = (site: Site, scope: Scope, plan: TaskPlan): pulumi.Output<LinkAddress> =>
  pulumi
    .all(addressFields(site, scope, plan))
    .apply((fields): LinkAddress => ({ ...fields, part: plan.name, kind: "task" }));

function addressFields(site: Site, scope: Scope, plan: TaskPlan) {
  const destinations = [...plan.onSuccess, ...plan.onFailure];
  const subjects = (kind: "queue" | "function", subjectOf: (name: string) => string) =>
    JSON.stringify(
      Object.fromEntries(destinations.filter((one) => one.kind === kind).map(({ name }) => [name, subjectOf(name)])),
    );
  return {
    kind: "task",
    part: plan.name,
    definition: JSON.stringify(taskDefinition(plan)),
    table: scope.physicalName(NATS_NAME, plan.name),
    claims: site.artifacts,
    endpoint: site.endpoint,
    region: site.region,
    job: workerName(scope, plan),
    keeper: `${site.prefix}.keep.${keeperName(scope, plan)}`,
    dispatcher: callSubject(site, scope, plan.dispatcher),
    queues: subjects("queue", (name) => queueAddress(site, scope, name).subject),
    functions: subjects("function", (name) => callSubject(site, scope, name)),
    namespace: site.namespace,
  };
}

function keeperOf(site: Site, scope: Scope, plan: TaskPlan, setup: pulumi.Resource) {
  const part = `${plan.name}-keep`;
  const address = taskAddress(site, scope, plan);
  return keeper(site, scope, {
    part,
    name: keeperName(scope, plan),
    code: codeOf(keeperPlan(plan), "keep", { tasks: runtimeFile("keeper") }),
    environment: environmentOf(site, scope, plan, address),
    rules: keeperRules(workerName(scope, plan)),
    setup,
  });
}

const environmentOf = (site: Site, scope: Scope, plan: TaskPlan, address: pulumi.Output<LinkAddress>) =>
  pulumi.all([placeOf(site), address]).apply(([place, tasks]) => ({
    ...writeEnvironment({ place, logLevel: "info", tools: {}, sources: {}, links: { tasks } }),
    MILLRACE_KEEPER: JSON.stringify({
      subject: tasks.keeper,
      stream: site.calls,
      consumer: keeperName(scope, plan),
      job: tasks.job,
      namespace: tasks.namespace,
    }),
    MILLRACE_HEALTH_PORT: String(HEALTH_PORT),
  }));

/** As a function, for its bundle's sake. */
const keeperPlan = (plan: TaskPlan): FunctionPlan => functionBeside(plan, "keep", { handler: { id: "tasks/keep" } });
