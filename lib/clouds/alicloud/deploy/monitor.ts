import * as alicloud from "@pulumi/alicloud";
import * as pulumi from "@pulumi/pulumi";
import type { Scope } from "../../../parts/cloud.ts";
import type { Built } from "../../../parts/part.ts";
import type { AlarmPlan, FunctionPlan, MonitorPlan, StreamPlan } from "../../../parts/plan.ts";
import { FUNCTION_NAME, functionArn, queueArn } from "./permissions.ts";
import type { Site } from "./shared.ts";
import { consumerGroupName } from "./stream.ts";
import { FLOW_NAME } from "./workflow.ts";

/** Periods that CloudMonitor knows, in seconds. */
const PERIODS = [60, 300, 900, 3600] as const;

/** A metric of CloudMonitor. */
interface Metric {
  readonly project: string;
  readonly metric: string;
  readonly statistics: "Sum" | "Average" | "Maximum" | "Value";
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
  // What a group has not consumed, in all topics together. https://www.alibabacloud.com/help/doc-detail/433347.htm
  lag: { project: "acs_kafka", metric: "message_accumulation", statistics: "Value" },
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
      : alarms.flatMap((alarm) =>
          measuresOf(scope, alarm).map((measure) => {
            const made = alarmOf(site, scope, alarm, measure, groups, targets);
            return [nameOf(alarm, measure), made] as const;
          }),
        );
  return { id: pulumi.output(scope.name), address: {}, resources: Object.fromEntries(made) };
}

/** Whose number it is that an alarm is on; a function's lag is one of each of its streams. */
interface Measure {
  readonly dimensions: Readonly<Record<string, pulumi.Input<string>>>;
  /** The stream that has the lag. */
  readonly stream?: string;
}

const nameOf = ({ part, metric }: AlarmPlan, { stream }: Measure): string =>
  [part, metric, ...(stream === undefined ? [] : [stream])].join("-");

/** It stays when a construct is renamed and keeps its `id`. */
const lastingName = (scope: Scope, { part, metric }: AlarmPlan, { stream }: Measure): string =>
  [scope.plan(part).stem, metric, ...(stream === undefined ? [] : [scope.plan(stream).stem])].join("-");

function alarmOf(
  site: Site,
  scope: Scope,
  alarm: AlarmPlan,
  measure: Measure,
  contactGroups: readonly string[],
  targets: alicloud.types.input.cms.AlarmTarget[],
) {
  const isFlow = scope.plan(alarm.part).kind === "workflow";
  const found: Metric = (isFlow ? FLOW_METRICS[alarm.metric] : undefined) ?? METRICS[alarm.metric];
  const { project, metric, statistics } = found;
  return site.make(
    alicloud.cms.Alarm,
    `${scope.name}-${lastingName(scope, alarm, measure)}`,
    {
      name: `${scope.physicalName(ALARM_NAME)}-${lastingName(scope, alarm, measure)}`,
      project,
      metric,
      metricDimensions: pulumi
        .all([site.account, pulumi.all(measure.dimensions)])
        .apply(([userId, dimensions]) => JSON.stringify([{ userId, region: site.region, ...dimensions }])),
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

/** A task's numbers are its worker's. */
function measuresOf(scope: Scope, { part, metric }: AlarmPlan): readonly Measure[] {
  const plan = scope.plan(part);
  if (metric === "lag") return plan.kind === "function" ? lagsOf(scope, plan) : [];
  if (metric === "messages" || metric === "age") return [{ dimensions: { queue: scope.part(part).id } }];
  if (plan.kind === "workflow") return [{ dimensions: { flowName: scope.physicalName(FLOW_NAME, part) } }];
  const functionName = scope.physicalName(FUNCTION_NAME, plan.kind === "task" ? plan.worker : part);
  return [{ dimensions: { functionName } }];
}

const lagsOf = (scope: Scope, { name, sources }: FunctionPlan): readonly Measure[] =>
  sources.flatMap((source) => {
    if (source.type !== "stream.consumed") return [];
    const { stream, group = consumerGroupName(scope, name, stream) } = source;
    const { kafka } = scope.plan(stream) as StreamPlan;
    return [{ stream, dimensions: { instanceId: kafka!.instance!, consumerGroup: group } }];
  });

/** https://www.alibabacloud.com/help/en/cms/cloudmonitor-1-0/developer-reference/api-cms-2019-01-01-putresourcemetricrule */
const ALARM_NAME = { max: 60, allowed: /[A-Za-z0-9-]/ } as const;
