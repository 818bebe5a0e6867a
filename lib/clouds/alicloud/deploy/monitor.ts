import * as alicloud from "@pulumi/alicloud";
import * as pulumi from "@pulumi/pulumi";
import type { Scope } from "../../../parts/cloud.ts";
import type { Built } from "../../../parts/part.ts";
import type { AlarmPlan, MonitorPlan } from "../../../parts/plan.ts";
import { FUNCTION_NAME, functionArn, queueArn } from "./permissions.ts";
import type { Site } from "./shared.ts";
import { FLOW_NAME } from "./workflow.ts";

/** Periods that CloudMonitor knows, in seconds. */
const PERIODS = [60, 300, 900, 3600] as const;

/** A metric of CloudMonitor. */
interface Metric {
  readonly project: string;
  readonly metric: string;
  readonly statistics: "Sum" | "Average" | "Maximum";
}

/**
 * Where each number is found. https://www.alibabacloud.com/help/en/functioncompute/fc/monitoring-metrics-1 and
 * https://www.alibabacloud.com/help/en/mns/user-guide/monitoring-metrics
 */
const METRICS = {
  failures: { project: "acs_fc", metric: "FunctionFunctionErrors", statistics: "Sum" },
  duration: { project: "acs_fc", metric: "FunctionLatencyMax", statistics: "Maximum" },
  messages: { project: "acs_mns_new", metric: "ActiveMessages", statistics: "Maximum" },
  age: { project: "acs_mns_new", metric: "OldestMessageAge", statistics: "Maximum" },
  // The check refuses it.
  lag: { project: "acs_fc", metric: "", statistics: "Maximum" },
} as const satisfies Record<AlarmPlan["metric"], Metric>;

/**
 * Those of flows. The names of the numbers are documented, that of the service among them is not.
 * https://help.aliyun.com/en/document_detail/2527025.html
 */
const FLOW_METRICS: Readonly<Partial<Record<AlarmPlan["metric"], Metric>>> = {
  failures: { project: "acs_fnf", metric: "ExecutionsFailed", statistics: "Sum" },
  duration: { project: "acs_fnf", metric: "ExecutionExecTimeMs", statistics: "Average" },
};

/**
 * Alarms of CloudMonitor, to the contact groups of the settings and to queues and functions.
 *
 * @see https://www.alibabacloud.com/help/en/cms/cloudmonitor-1-0/developer-reference/api-cms-2019-01-01-putresourcemetricrule
 */
export function monitor(site: Site, scope: Scope, { alarms, notify }: MonitorPlan): Built {
  const groups = site.settings.contactGroups ?? [];
  const targets = notify.map(({ kind, name }, index) => ({
    targetId: String(index + 1),
    level: "Critical",
    arn:
      kind === "queue"
        ? queueArn(site, scope.part(name).id)
        : functionArn(site, scope.physicalName(FUNCTION_NAME, name)),
  }));
  const made =
    groups.length === 0
      ? []
      : alarms.map((alarm) => [nameOf(alarm), alarmOf(site, scope, alarm, groups, targets)] as const);
  return { id: pulumi.output(scope.name), address: {}, resources: Object.fromEntries(made) };
}

const nameOf = ({ part, metric }: AlarmPlan): string => `${part}-${metric}`;

/** It stays when a construct is renamed and keeps its `id`. */
const lastingName = (scope: Scope, { part, metric }: AlarmPlan): string => `${scope.plan(part).stem}-${metric}`;

function alarmOf(
  site: Site,
  scope: Scope,
  alarm: AlarmPlan,
  contactGroups: readonly string[],
  targets: alicloud.types.input.cms.AlarmTarget[],
) {
  const isFlow = scope.plan(alarm.part).kind === "workflow";
  const found: Metric = (isFlow ? FLOW_METRICS[alarm.metric] : undefined) ?? METRICS[alarm.metric];
  const { project, metric, statistics } = found;
  return site.make(
    alicloud.cms.Alarm,
    `${scope.name}-${lastingName(scope, alarm)}`,
    {
      name: `${scope.physicalName(ALARM_NAME)}-${lastingName(scope, alarm)}`,
      project,
      metric,
      metricDimensions: dimensionsOf(site, scope, alarm),
      // The next longer one that CloudMonitor counts in.
      period: PERIODS.find((period) => period >= alarm.period) ?? 3600,
      contactGroups: [...contactGroups],
      escalationsCritical: {
        statistics,
        comparisonOperator: ">",
        // Functions and flows count in milliseconds.
        threshold: String(alarm.metric === "duration" ? alarm.above * 1000 : alarm.above),
        times: 1,
      },
      ...(targets.length > 0 && { targets }),
      tags: site.tags(scope.name),
    },
    scope.options,
  );
}

/** Whose numbers they are; a task's are its worker's. */
function dimensionsOf(site: Site, scope: Scope, { part, metric }: AlarmPlan): pulumi.Output<string> {
  const plan = scope.plan(part);
  const [dimension, name] =
    metric === "messages" || metric === "age"
      ? ["queue", scope.part(part).id]
      : plan.kind === "workflow"
        ? ["flowName", scope.physicalName(FLOW_NAME, part)]
        : ["functionName", scope.physicalName(FUNCTION_NAME, plan.kind === "task" ? plan.worker : part)];
  return pulumi
    .all([name, site.account])
    .apply(([name, userId]) => JSON.stringify([{ userId, region: site.region, [dimension as string]: name }]));
}

/** https://www.alibabacloud.com/help/en/cms/cloudmonitor-1-0/developer-reference/api-cms-2019-01-01-putresourcemetricrule */
const ALARM_NAME = { max: 60, allowed: /[A-Za-z0-9-]/ } as const;
