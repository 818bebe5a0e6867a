import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import { functionBeside, scheduleBeside, scopeBeside } from "../../../parts/beside.ts";
import type { Scope } from "../../../parts/cloud.ts";
import type { Built } from "../../../parts/part.ts";
import type { TaskPlan } from "../../../parts/plan.ts";
import type { LinkAddress } from "../../../runtime/deployment.ts";
import { runtimeFile } from "./code.ts";
import { CONTAINER, clusterArn, runGrants } from "./container.ts";
import { functionOf } from "./function.ts";
import {
  FUNCTION_NAME,
  functionArn,
  type Grant,
  keeperName,
  machineName,
  ownTaskGrants,
  role,
  unscoped,
} from "./permissions.ts";
import type { Site } from "./shared.ts";
import { isContained } from "./sidecar.ts";
import { stateMachine } from "./state-machine.ts";
import { addressFields, taskAddress } from "./task-address.ts";

/** The keeper comes round once a minute: what nobody else saw is at most that late. */
const KEEPER_SECONDS = 60;

/**
 * A task: its rows in the region's task table, its attempts as executions of a state machine, and the keeper, a function
 * that looks after what no other process is there to see.
 *
 * @see https://docs.aws.amazon.com/step-functions/latest/dg/choosing-workflow-type.html
 */
export function task(site: Site, scope: Scope, plan: TaskPlan): Built {
  const keeper = keeperOf(site, scope, plan, taskAddress(site, scope, plan));
  const machine = machineOf(site, scope, plan);
  return {
    id: machine.machine.arn,
    address: Object.fromEntries(
      Object.entries(addressFields(site, scope, plan)).map(([name, value]) => [name, pulumi.output(value)]),
    ),
    resources: {
      ...machine,
      ...Object.fromEntries(Object.entries(keeper.resources).map(([name, made]) => [`keeper-${name}`, made])),
    },
  };
}

function machineOf(site: Site, scope: Scope, plan: TaskPlan) {
  const worker = scope.physicalName(FUNCTION_NAME, plan.worker);
  const logs = site.logGroup(
    `${scope.name}-logs`,
    `/aws/vendedlogs/states/${machineName(scope, plan)}`,
    scope.name,
    scope.options,
  );
  const called = [...(isContained(plan, scope.plan) ? [] : [worker]), keeperName(scope, plan)];
  const grants: readonly Grant[] = [
    { actions: ["lambda:InvokeFunction"], resources: called.map((name) => functionArn(site, name)) },
    ...(isContained(plan, scope.plan) ? runGrants(site, worker, scope.part(plan.worker)) : []),
    unscoped("logDelivery"),
  ];
  const own = role(site, scope, "machine", "states.amazonaws.com", grants);
  const machine = site.make(
    aws.sfn.StateMachine,
    scope.name,
    {
      name: machineName(scope, plan),
      type: "STANDARD",
      definition: definitionOf(site, scope, plan, worker),
      roleArn: own.arn,
      // Failures with their causes; what tasks are given and give is nobody's to read here.
      loggingConfiguration: {
        level: "ERROR",
        includeExecutionData: false,
        logDestination: pulumi.interpolate`${logs.arn}:*`,
      },
      tags: site.tags(scope.name),
    },
    scope.options,
  );
  return { machine, logs, role: own.role, policy: own.policy };
}

function definitionOf(site: Site, scope: Scope, plan: TaskPlan, worker: string): pulumi.Output<string> {
  const { timeout, grace } = plan;
  const keeper = functionArn(site, keeperName(scope, plan));
  if (!isContained(plan, scope.plan)) {
    return pulumi
      .all([functionArn(site, worker), keeper])
      .apply(([worker, keeper]) => written(site, stateMachine({ platform: "lambda", worker, keeper, timeout, grace })));
  }
  const { subnets, securityGroups, publicIp } = site.network.containers;
  // By its family its latest revision is run, and new code changes nothing here.
  const container = { taskDefinition: worker, container: CONTAINER, publicIp };
  return pulumi
    .all([keeper, clusterArn(site), pulumi.all([...subnets]), pulumi.all([...securityGroups])])
    .apply(([keeper, cluster, subnets, securityGroups]) => {
      const place = { cluster, subnets, securityGroups, ...container };
      return written(site, stateMachine({ platform: "fargate", keeper, timeout, grace, ...place }));
    });
}

/** Services have the ARNs of the region's own partition. https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html */
export const written = ({ partition }: Site, definition: object): string =>
  JSON.stringify(definition).replaceAll('"arn:aws:states:::', `"arn:${partition}:states:::`);

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
