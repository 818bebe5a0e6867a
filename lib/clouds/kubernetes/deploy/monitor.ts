import type * as kubernetes from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import type { Scope } from "../../../parts/cloud.ts";
import type { Built } from "../../../parts/part.ts";
import type { AlarmPlan, FunctionPlan, MonitorPlan, PartPlan } from "../../../parts/plan.ts";
import { setupJob } from "./errand.ts";
import { failedStream, failedSubject, OBJECT_NAME } from "./names.ts";
import { queueAddress } from "./queue.ts";
import type { Site } from "./shared.ts";
import { streamSource, streamsOf } from "./stream.ts";
import { templateName } from "./workflow.ts";

/**
 * Rules of Prometheus, for its operator: who is told is a matter of its Alertmanager.
 *
 * @see https://prometheus-operator.dev/docs/api-reference/api/#monitoring.coreos.com/v1.PrometheusRule
 */
export function monitor(site: Site, scope: Scope, { alarms }: MonitorPlan): Built {
  const isKept = site.settings.alarms === "prometheus-operator" && alarms.length > 0;
  const counted = isKept ? countedHere(scope, alarms) : [];
  return {
    id: pulumi.output(scope.name),
    address: {},
    resources: {
      ...(isKept && { rule: ruleOf(site, scope, alarms) }),
      ...(counted.length > 0 && {
        setup: setupJob(site, scope, {
          streams: counted.map((name) => failuresOf(site, scope, name)),
          consumers: [],
          tables: [],
        }),
      }),
    },
  };
}

/** Seconds that what is only counted is kept. */
const COUNTED = 3600;

/** Functions whose failures no queue gets: what they tell is counted in streams of their own. */
const countedHere = (scope: Scope, alarms: readonly AlarmPlan[]): readonly string[] => [
  ...new Set(
    alarms
      .filter(({ part, metric }) => metric === "failures" && isCountedHere(scope.plan(part)))
      .map(({ part }) => part),
  ),
];

const isCountedHere = (plan: PartPlan): boolean => plan.kind === "function" && plan.failures === undefined;

const failuresOf = (site: Site, scope: Scope, name: string) => ({
  name: failedStream(site, scope, name),
  subjects: [failedSubject(site, scope, name)],
  maxAge: COUNTED,
});

const ruleOf = (site: Site, scope: Scope, alarms: readonly AlarmPlan[]): kubernetes.apiextensions.CustomResource =>
  site.custom(
    {
      apiVersion: "monitoring.coreos.com/v1",
      kind: "PrometheusRule",
      metadata: site.metadata(scope.physicalName(OBJECT_NAME), scope.name),
      spec: {
        groups: [
          {
            name: scope.physicalName(OBJECT_NAME),
            rules: alarms.map((alarm) => alertOf(site, scope, alarm)),
          },
        ],
      },
    },
    scope.name,
    scope.options,
  );

function alertOf(site: Site, scope: Scope, alarm: AlarmPlan) {
  const { part, metric, above, period } = alarm;
  return {
    alert: `millrace-${part}-${metric}`,
    expr: `${expressionOf(site, scope, alarm)} > ${above}`,
    // What happened within the period has happened; what waits has to wait for so long.
    ...((metric === "messages" || metric === "lag") && { for: `${period}s` }),
    labels: { severity: "critical", millrace_part: part, millrace_stack: site.prefix },
    annotations: { summary: `${metric} of ${part} above ${above}` },
  };
}

/**
 * Of Argo, or of the exporter of NATS. What fails is counted where it ends up: in a queue. The numbers' names begin with `nats` where
 * NATS' own chart runs the exporter, else with `jetstream`.
 *
 * @see https://github.com/nats-io/prometheus-nats-exporter/blob/main/collector/jsz.go
 */
function expressionOf(site: Site, scope: Scope, { part, metric, period }: AlarmPlan): string {
  if (metric === "messages") {
    const { stream, consumer } = queueAddress(site, scope, part);
    return `max({__name__=~"(nats|jetstream)_consumer_num_pending",stream_name="${stream}",consumer_name="${consumer}"})`;
  }
  const plan = scope.plan(part);
  if (metric === "lag") return lagOf(scope, plan as FunctionPlan);
  if (plan.kind === "workflow") return failedRuns(templateName(scope, plan), period);
  const stream = isCountedHere(plan)
    ? failedStream(site, scope, part)
    : queueAddress(site, scope, failureQueue(plan)!).stream;
  return `max(increase({__name__=~"(nats|jetstream)_stream_last_seq",stream_name="${stream}"}[${period}s]))`;
}

/**
 * As kafka_exporter tells it, which Strimzi runs beside its clusters: of the streams that start the function, the worst.
 *
 * @see https://github.com/danielqsj/kafka_exporter#consumer-groups
 */
function lagOf(scope: Scope, plan: FunctionPlan): string {
  const inside: Scope = {
    ...scope,
    name: plan.name,
    physicalName: (rule, part = plan.name, suffix) => scope.physicalName(rule, part, suffix),
  };
  const lags = streamsOf(plan).map((source) => {
    const { group, topic } = streamSource(inside, source);
    return `sum by (consumergroup, topic) (kafka_consumergroup_lag{consumergroup="${group}",topic="${topic}"})`;
  });
  return `max(${lags.join(" or ")})`;
}

/**
 * Argo's own count, in which a run that was stopped has failed. A series begins with its first failure: that one is no
 * increase.
 *
 * @see https://argo-workflows.readthedocs.io/en/latest/metrics/
 */
function failedRuns(template: string, period: number): string {
  const count = `argo_workflows_workflowtemplate_triggered_total{name="${template}",phase=~"Failed|Error"}`;
  const known = `sum(increase(${count}[${period}s]) and ${count} offset ${period}s)`;
  const fresh = `sum(${count} unless ${count} offset ${period}s)`;
  return `(${known} or vector(0)) + (${fresh} or vector(0))`;
}

/** The queue that gets what a function or task fails at; nothing if there is none. */
export const failureQueue = (plan: PartPlan): string | undefined =>
  plan.kind === "task"
    ? plan.onFailure.find(({ kind }) => kind === "queue")?.name
    : plan.kind === "function"
      ? plan.failures
      : undefined;
