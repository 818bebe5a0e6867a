import * as aws from "@pulumi/aws";
import type * as pulumi from "@pulumi/pulumi";
import type { Scope } from "../../../parts/cloud.ts";
import type { FunctionPlan, SchedulePlan, SourcePlan } from "../../../parts/plan.ts";
import { type NameRule, shortHash } from "../../../shared/name.ts";
import { role } from "./permissions.ts";
import { openToServices } from "./queue.ts";
import { scheduleExpressions } from "./schedule.ts";
import type { Site } from "./shared.ts";
import { kafkaSource } from "./stream.ts";

/** https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutRule.html */
const RULE_NAME: NameRule = { max: 64, allowed: /[A-Za-z0-9_-]/ };
/** https://docs.aws.amazon.com/scheduler/latest/APIReference/API_CreateSchedule.html */
const SCHEDULE_NAME: NameRule = { max: 64, allowed: /[A-Za-z0-9_-]/ };

/** A function that cannot be called is called again for a day. */
const RULE_RETRY = { maximumEventAgeInSeconds: 86_400, maximumRetryAttempts: 185 };
/** A time that nobody could be called at is of no use much later. */
const SCHEDULE_RETRY = { maximumEventAgeInSeconds: 3600, maximumRetryAttempts: 10 };

type Sourced<Type extends SourcePlan["type"]> = Extract<SourcePlan, { readonly type: Type }>;

interface Target {
  readonly site: Site;
  readonly scope: Scope;
  readonly made: aws.lambda.Function;
  readonly plan: FunctionPlan;
}

type Resources = Readonly<Record<string, pulumi.Resource>>;

/** What starts a function, by names that say what it is. */
export function triggers(
  site: Site,
  scope: Scope,
  made: aws.lambda.Function,
  plan: FunctionPlan,
  sources: readonly SourcePlan[],
): Resources {
  const target = { site, scope, made, plan };
  const scheduler = sources.some(({ type }) => type === "schedule.fired") ? schedulerRole(target) : undefined;
  return Object.assign({}, ...sources.map((source) => triggerOf(target, source, scheduler)));
}

function triggerOf(target: Target, source: SourcePlan, scheduler: pulumi.Output<string> | undefined): Resources {
  switch (source.type) {
    case "bucket.created":
      return bucketTrigger(target, source);
    case "queue.received":
      return queueTrigger(target, source);
    case "schedule.fired":
      return scheduleTrigger(target, target.scope.plan(source.schedule) as SchedulePlan, scheduler!);
    case "stream.consumed":
      return streamTrigger(target, source);
  }
}

/**
 * A rule for each source, and the permission of exactly that rule to call the function.
 *
 * @see https://docs.aws.amazon.com/AmazonS3/latest/userguide/EventBridge.html
 */
function bucketTrigger({ site, scope, made, plan }: Target, source: Sourced<"bucket.created">): Resources {
  const { id, name } = named(scope, source, source.bucket);
  notifyEventBridge(site, scope, source.bucket);
  const bucket = scope.part(source.bucket).address.bucket!;
  const rule = site.make(
    aws.cloudwatch.EventRule,
    name,
    {
      name: scope.physicalName(RULE_NAME, scope.name, `on-${id}`),
      eventPattern: bucket.apply((physical) => JSON.stringify(createdPattern(physical, source))),
      tags: site.tags(scope.name),
    },
    scope.options,
  );
  const permission = site.make(
    aws.lambda.Permission,
    `${name}-permission`,
    {
      action: "lambda:InvokeFunction",
      function: made.name,
      principal: "events.amazonaws.com",
      sourceArn: rule.arn,
      statementId: `millrace-${id}`,
    },
    scope.options,
  );
  const dead = deadLettersOf(site, scope, plan);
  const target = site.make(
    aws.cloudwatch.EventTarget,
    `${name}-target`,
    {
      rule: rule.name,
      targetId: "function",
      arn: made.arn,
      retryPolicy: RULE_RETRY,
      ...(dead && { deadLetterConfig: { arn: dead } }),
    },
    { ...scope.options, dependsOn: [permission] },
  );
  return { [`rule-${id}`]: rule, [`permission-${id}`]: permission, [`target-${id}`]: target };
}

/** A bucket has one set of notifications: of ours it is this; what is a user's own is never touched. */
function notifyEventBridge(site: Site, scope: Scope, part: string): void {
  const { plan, address } = scope.part(part);
  if (plan.existing !== undefined) return;
  site.once(`notification ${part}`, () =>
    site.make(
      aws.s3.BucketNotification,
      `${plan.stem}-notification`,
      { bucket: address.bucket!, eventbridge: true },
      site.shared,
    ),
  );
}

/** @see https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html */
export function createdPattern(
  bucket: string,
  { prefix, suffix }: Pick<Sourced<"bucket.created">, "prefix" | "suffix">,
) {
  const key =
    prefix !== "" && suffix !== ""
      ? { wildcard: `${escaped(prefix)}*${escaped(suffix)}` }
      : prefix !== ""
        ? { prefix }
        : suffix !== ""
          ? { suffix }
          : undefined;
  return {
    source: ["aws.s3"],
    "detail-type": ["Object Created"],
    detail: { bucket: { name: [bucket] }, ...(key && { object: { key: [key] } }) },
  };
}

/** https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html#eb-filtering-wildcard-matching */
const escaped = (text: string): string => text.replace(/[\\*]/g, "\\$&");

/** What a service could not even hand over goes where the function's own failures go, if that queue is ours. */
function deadLettersOf(site: Site, scope: Scope, { failures }: FunctionPlan): pulumi.Output<string> | undefined {
  if (failures === undefined) return undefined;
  const { plan, id } = scope.part(failures);
  if (plan.existing !== undefined) return undefined;
  openToServices(site, scope, failures);
  return id;
}

/**
 * Messages that fail come back alone, as often as the queue lets them.
 *
 * @see https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
 */
function queueTrigger({ site, scope, made, plan }: Target, source: Sourced<"queue.received">): Resources {
  const { id, name } = named(scope, source, source.queue);
  const most = mostAtOnce(plan);
  const mapping = site.make(
    aws.lambda.EventSourceMapping,
    name,
    {
      eventSourceArn: scope.part(source.queue).id,
      functionName: made.arn,
      batchSize: source.batch,
      maximumBatchingWindowInSeconds: source.window,
      functionResponseTypes: ["ReportBatchItemFailures"],
      ...(most !== undefined && { scalingConfig: { maximumConcurrency: most } }),
      tags: site.tags(scope.name),
    },
    scope.options,
  );
  return { [`mapping-${id}`]: mapping };
}

/**
 * Records that fail come back with those of their batch, and those behind them wait. Named by stream and group alone:
 * with other batches it is the same, and goes on where it was. Two of them cannot be there at once.
 *
 * @see https://docs.aws.amazon.com/lambda/latest/dg/kafka-retry-configurations.html
 */
function streamTrigger({ site, scope, made, plan }: Target, source: Sourced<"stream.consumed">): Resources {
  const { type, stream, group, batch, window, from } = source;
  const { id, name } = named(scope, { type, stream, ...(group !== undefined && { group }) }, stream);
  const { pollers } = site.settings.kafka ?? {};
  const { attempts, failures } = plan;
  const mapping = site.make(
    aws.lambda.EventSourceMapping,
    name,
    {
      ...kafkaSource(site, scope, source),
      functionName: made.arn,
      startingPosition: from === "earliest" ? "TRIM_HORIZON" : "LATEST",
      batchSize: batch,
      // Without one it is half a second.
      ...(window > 0 && { maximumBatchingWindowInSeconds: window }),
      ...(failures !== undefined && {
        destinationConfig: { onFailure: { destinationArn: scope.part(failures).id } },
      }),
      ...(pollers && {
        provisionedPollerConfig: { minimumPollers: pollers.min ?? 1, maximumPollers: pollers.max },
        maximumRetryAttempts: attempts - 1,
        bisectBatchOnFunctionError: true,
      }),
      tags: site.tags(scope.name),
    },
    { ...scope.options, deleteBeforeReplace: true },
  );
  return { [`mapping-${id}`]: mapping };
}

/** A mapping calls its function that often at once. https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html */
export const LEAST_AT_ONCE = 2;
const MOST_AT_ONCE = 1000;

/**
 * How often each of its queues calls a function at once. Together that is no more than the function takes: messages
 * that it turns away count as received, and become dead letters that nobody ever worked on.
 */
export function mostAtOnce({ concurrency, sources }: Pick<FunctionPlan, "concurrency" | "sources">) {
  if (concurrency === undefined) return undefined;
  const queues = sources.filter(({ type }) => type === "queue.received").length;
  return Math.min(MOST_AT_ONCE, Math.floor(concurrency / Math.max(1, queues)));
}

/** What the Scheduler takes on to call the function. */
function schedulerRole({ site, scope, made, plan: { failures } }: Target): pulumi.Output<string> {
  const dead = failures === undefined ? [] : [{ actions: ["sqs:SendMessage"], resources: [scope.part(failures).id] }];
  const grants = [{ actions: ["lambda:InvokeFunction"], resources: [made.arn] }, ...dead];
  return role(site, scope, "scheduler", "scheduler.amazonaws.com", grants).arn;
}

/** @see https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html */
function scheduleTrigger(
  { site, scope, made, plan: { failures } }: Target,
  { name: schedule, timing, enabled }: SchedulePlan,
  roleArn: pulumi.Output<string>,
): Resources {
  const { id, name } = named(scope, { schedule }, schedule);
  const all = scheduleExpressions(timing).map((scheduleExpression, index) => {
    const suffix = index === 0 ? "" : `-${index + 1}`;
    const one = site.make(
      aws.scheduler.Schedule,
      `${name}${suffix}`,
      {
        name: scope.physicalName(SCHEDULE_NAME, scope.name, `on-${id}${suffix}`),
        scheduleExpression,
        ...("timeZone" in timing && { scheduleExpressionTimezone: timing.timeZone }),
        flexibleTimeWindow: { mode: "OFF" },
        state: enabled ? "ENABLED" : "DISABLED",
        target: {
          arn: made.arn,
          roleArn,
          input: JSON.stringify({ millrace: "schedule", schedule, time: "<aws.scheduler.scheduled-time>" }),
          retryPolicy: SCHEDULE_RETRY,
          ...(failures !== undefined && { deadLetterConfig: { arn: scope.part(failures).id } }),
        },
      },
      scope.options,
    );
    return [`schedule-${id}${suffix}`, one] as const;
  });
  return Object.fromEntries(all);
}

/**
 * Named by what it says: another prefix is another trigger, another order of sources is not. Parts are meant by their
 * stems, so that a construct that is renamed and keeps its `id` keeps its triggers.
 */
function named({ name, plan }: Scope, source: object, part: string): { readonly id: string; readonly name: string } {
  const { stem } = plan(part);
  const lasting = Object.entries(source).map(([field, value]) => [field, value === part ? stem : value]);
  const id = shortHash(JSON.stringify(Object.fromEntries(lasting)), 6);
  return { id, name: `${name}-on-${stem}-${id}` };
}
