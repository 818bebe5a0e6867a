import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import type { Scope } from "../../../parts/cloud.ts";
import type { Built } from "../../../parts/part.ts";
import type { AlarmPlan, DestinationPlan, MonitorPlan } from "../../../parts/plan.ts";
import type { NameRule } from "../../../shared/name.ts";
import { nameIn } from "./environment.ts";
import { FUNCTION_NAME, machineArn } from "./permissions.ts";
import { openToServices } from "./queue.ts";
import type { Site } from "./shared.ts";

/** https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html */
const ALARM_NAME: NameRule = { max: 255, allowed: /[A-Za-z0-9_-]/ };
/** https://docs.aws.amazon.com/sns/latest/api/API_CreateTopic.html */
const TOPIC_NAME: NameRule = { max: 256, allowed: /[A-Za-z0-9_-]/ };

/** Alarms count in whole minutes. */
const MINUTE = 60;

/** A number of CloudWatch. */
interface Metric {
  readonly namespace: string;
  readonly metricName: string;
  readonly statistic: "Sum" | "Maximum";
  /** What a second is in it. @default 1 */
  readonly scale?: number;
}

/**
 * Where each number of functions and queues is found. https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
 * and https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
 */
const METRICS = {
  failures: { namespace: "AWS/Lambda", metricName: "Errors", statistic: "Sum" },
  duration: { namespace: "AWS/Lambda", metricName: "Duration", statistic: "Maximum", scale: 1000 },
  messages: { namespace: "AWS/SQS", metricName: "ApproximateNumberOfMessagesVisible", statistic: "Maximum" },
  age: { namespace: "AWS/SQS", metricName: "ApproximateAgeOfOldestMessage", statistic: "Maximum" },
  lag: { namespace: "AWS/Lambda", metricName: "OffsetLag", statistic: "Maximum" },
} as const satisfies Record<AlarmPlan["metric"], Metric>;

/** Those of what a state machine runs. https://docs.aws.amazon.com/step-functions/latest/dg/procedure-cw-metrics.html */
const MACHINE_METRICS: Readonly<Partial<Record<AlarmPlan["metric"], Metric>>> = {
  failures: { namespace: "AWS/States", metricName: "ExecutionsFailed", statistic: "Sum" },
  duration: { namespace: "AWS/States", metricName: "ExecutionTime", statistic: "Maximum", scale: 1000 },
};

/**
 * Alarms of CloudWatch, to the topic and the addresses of the settings, and through a topic of its own to queues and
 * functions.
 *
 * @see https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/AlarmThatSendsEmail.html
 */
export function monitor(site: Site, scope: Scope, { alarms, notify }: MonitorPlan): Built {
  const { alarmTopic, alarmEmails = [] } = site.settings;
  const isTold = alarmTopic !== undefined || alarmEmails.length > 0 || notify.length > 0;
  if (!isTold || alarms.length === 0) return { id: pulumi.output(scope.name), address: {}, resources: {} };
  const topic = notify.length > 0 ? notified(site, scope, notify) : undefined;
  const told: readonly pulumi.Input<string>[] = [
    ...(alarmTopic === undefined ? [] : [alarmTopic]),
    ...(alarmEmails.length > 0 ? [emailed(site, alarmEmails)] : []),
    ...(topic ? [topic.arn] : []),
  ];
  const made = alarms.map((alarm) => [nameOf(alarm), alarmOf(site, scope, alarm, told)] as const);
  return {
    id: pulumi.output(scope.name),
    address: {},
    resources: { ...(topic && { topic }), ...Object.fromEntries(made) },
  };
}

const nameOf = ({ part, metric }: AlarmPlan): string => `${part}-${metric}`;

/** It stays when a construct is renamed and keeps its `id`. */
const lastingName = (scope: Scope, { part, metric }: AlarmPlan): string => `${scope.plan(part).stem}-${metric}`;

function alarmOf(site: Site, scope: Scope, alarm: AlarmPlan, told: readonly pulumi.Input<string>[]) {
  const { part, metric, above, period } = alarm;
  const plan = scope.plan(part);
  const isMachine = plan.kind === "task" || plan.kind === "workflow";
  const found: Metric = (isMachine ? MACHINE_METRICS[metric] : undefined) ?? METRICS[metric];
  const { namespace, metricName, statistic, scale = 1 } = found;
  return site.make(
    aws.cloudwatch.MetricAlarm,
    `${scope.name}-${lastingName(scope, alarm)}`,
    {
      name: scope.physicalName(ALARM_NAME, scope.name, lastingName(scope, alarm)),
      namespace,
      metricName,
      statistic,
      dimensions: dimensionsOf(site, scope, alarm),
      period: Math.ceil(period / MINUTE) * MINUTE,
      evaluationPeriods: 1,
      comparisonOperator: "GreaterThanThreshold",
      threshold: above * scale,
      // Nothing happened: that is no alarm.
      treatMissingData: "notBreaching",
      alarmActions: [...told],
      tags: site.tags(scope.name),
    },
    scope.options,
  );
}

function dimensionsOf(site: Site, scope: Scope, { part }: AlarmPlan): Record<string, pulumi.Input<string>> {
  const plan = scope.plan(part);
  if (plan.kind === "task" || plan.kind === "workflow") return { StateMachineArn: machineArn(site, scope, plan) };
  if (plan.kind === "queue") return { QueueName: scope.part(part).id.apply(nameIn) };
  return { FunctionName: scope.physicalName(FUNCTION_NAME, part) };
}

/** One topic for all addresses; each has to confirm. */
const emailed = (site: Site, addresses: readonly string[]): pulumi.Output<string> =>
  site.once("alarms", () => {
    const name = `${site.name}-alarms`;
    const args = { name: site.physicalName(name, TOPIC_NAME), tags: site.tags("alarms") };
    const topic = site.make(aws.sns.Topic, name, args, site.shared);
    for (const endpoint of addresses) {
      site.make(
        aws.sns.TopicSubscription,
        `${name}-${endpoint}`,
        { topic: topic.arn, protocol: "email", endpoint },
        site.shared,
      );
    }
    return topic.arn;
  });

/** A topic from which queues and functions get the alarms, and nobody else. */
function notified(site: Site, scope: Scope, notify: readonly DestinationPlan[]): aws.sns.Topic {
  const args = { name: scope.physicalName(TOPIC_NAME), tags: site.tags(scope.name) };
  const topic = site.make(aws.sns.Topic, `${scope.name}-topic`, args, scope.options);
  for (const { kind, name } of notify) {
    if (kind === "queue") openToServices(site, scope, name);
    else permit(site, scope, name, topic);
    site.make(
      aws.sns.TopicSubscription,
      `${scope.name}-to-${scope.plan(name).stem}`,
      {
        topic: topic.arn,
        protocol: kind === "queue" ? "sqs" : "lambda",
        endpoint: scope.part(name).id,
        ...(kind === "queue" && { rawMessageDelivery: true }),
      },
      scope.options,
    );
  }
  return topic;
}

/** https://docs.aws.amazon.com/sns/latest/dg/lambda-console.html */
function permit(site: Site, scope: Scope, name: string, topic: aws.sns.Topic): void {
  site.make(
    aws.lambda.Permission,
    `${scope.name}-to-${scope.plan(name).stem}-permission`,
    {
      action: "lambda:InvokeFunction",
      function: scope.part(name).address.function!,
      principal: "sns.amazonaws.com",
      sourceArn: topic.arn,
    },
    scope.options,
  );
}
