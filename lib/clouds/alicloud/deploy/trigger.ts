import * as alicloud from "@pulumi/alicloud";
import * as pulumi from "@pulumi/pulumi";
import type { Scope } from "../../../parts/cloud.ts";
import type { QueuePlan, SchedulePlan, SourcePlan, StreamPlan } from "../../../parts/plan.ts";
import { shortHash } from "../../../shared/name.ts";
import { functionArn, role } from "./permissions.ts";
import { cronExpression } from "./schedule.ts";
import type { Site } from "./shared.ts";
import { consumerGroup } from "./stream.ts";

/** What comes into being, as one object or as the last of its parts. */
const CREATED = ["PutObject", "PostObject", "CopyObject", "CompleteMultipartUpload"].map(
  (operation) => `oss:ObjectCreated:${operation}`,
);

type Sourced<Type extends SourcePlan["type"]> = Extract<SourcePlan, { readonly type: Type }>;

interface Target {
  readonly site: Site;
  readonly scope: Scope;
  readonly name: pulumi.Output<string>;
  /** The queue that takes what the function gave up. */
  readonly failures: string | undefined;
}

/**
 * What starts a function, one trigger for each source.
 *
 * @see https://www.alibabacloud.com/help/en/functioncompute/fc/user-guide/trigger-management
 */
export function triggers(
  site: Site,
  scope: Scope,
  name: pulumi.Output<string>,
  sources: readonly SourcePlan[],
  failures: string | undefined,
): readonly alicloud.fc.V3Trigger[] {
  const target = { site, scope, name, failures };
  const invoker = sources.some(({ type }) => type === "bucket.created") ? ossRole(target) : undefined;
  return sources.map((source) => triggerOf(target, source, invoker));
}

function triggerOf(target: Target, source: SourcePlan, ossInvoker: pulumi.Output<string> | undefined) {
  switch (source.type) {
    case "bucket.created":
      return bucketTrigger(target, source, ossInvoker!);
    case "queue.received":
      return queueTrigger(target, source);
    case "schedule.fired":
      return timerTrigger(target, target.scope.plan(source.schedule) as SchedulePlan);
    case "stream.consumed":
      return streamTrigger(target, source);
  }
}

/** What the service of buckets takes on to call the function. */
const ossRole = ({ site, scope, name }: Target): pulumi.Output<string> =>
  role(site, scope, "oss", "oss.aliyuncs.com", [
    { actions: ["fc:InvokeFunction"], resources: [functionArn(site, name)] },
  ]).arn;

const bucketTrigger = (target: Target, source: Sourced<"bucket.created">, invocationRole: pulumi.Output<string>) =>
  trigger(target, source, source.bucket, {
    triggerType: "oss",
    sourceArn: target.site.arn("oss", target.scope.part(source.bucket).id),
    invocationRole,
    triggerConfig: JSON.stringify({
      events: CREATED,
      filter: { key: { prefix: source.prefix, suffix: source.suffix } },
    }),
  });

/**
 * A batch is tried three times, then its messages go to the queue's dead letters: the stream goes on in any case.
 * https://www.alibabacloud.com/help/en/functioncompute/fc/user-guide/advanced-features-of-triggers
 */
function queueTrigger(target: Target, source: Sourced<"queue.received">) {
  const { site, scope } = target;
  const { deadLetters } = scope.plan(source.queue) as QueuePlan;
  const config = pulumi
    .all({ queue: scope.part(source.queue).id, dead: deadLetterArn(target, deadLetters) })
    .apply(({ queue, dead }) =>
      batches(source, {
        source: {
          eventSourceType: "MNS",
          eventSourceParameters: {
            sourceMNSParameters: { RegionId: site.region, QueueName: queue, IsBase64Decode: false },
          },
        },
        goesOn: true,
        dead,
      }),
    );
  return trigger(target, source, source.queue, { triggerType: "eventbridge", triggerConfig: config });
}

/**
 * A batch is tried again three times, then its records go to the function's failures; without such a queue the stream stops,
 * for nothing is to be lost. Named by stream and group alone: with other batches it is the same, and goes on where it was.
 *
 * @see https://www.alibabacloud.com/help/en/functioncompute/fc-3-0/user-guide/apsaramq-for-kafka-triggers
 */
function streamTrigger(target: Target, source: Sourced<"stream.consumed">) {
  const { site, scope, failures } = target;
  const { type, stream, from } = source;
  const { kafka } = scope.plan(stream) as StreamPlan;
  const group = consumerGroup(site, scope, source);
  const config = pulumi
    .all({ topic: scope.part(stream).id, group, dead: deadLetterArn(target, failures) })
    .apply(({ topic, group, dead }) =>
      batches(source, {
        source: {
          eventSourceType: "Kafka",
          eventSourceParameters: {
            sourceKafkaParameters: {
              RegionId: site.region,
              InstanceId: kafka!.instance,
              Topic: topic,
              ConsumerGroup: group,
              OffsetReset: from,
              // The instance's own, in which it can be reached.
              Network: "Default",
            },
          },
        },
        goesOn: dead !== undefined,
        dead,
      }),
    );
  const named = { type, stream, ...(source.group !== undefined && { group: source.group }) };
  return trigger(target, named, stream, { triggerType: "eventbridge", triggerConfig: config });
}

/** Sources and dead letters leave out the end that a destination has. */
const deadLetterArn = ({ site, scope }: Target, queue: string | undefined): pulumi.Output<string> | undefined =>
  queue === undefined ? undefined : site.arn("mns", pulumi.interpolate`/queues/${scope.part(queue).id}`);

interface Batching {
  readonly source: object;
  /** Whether what comes after a batch that failed every time is tried. */
  readonly goesOn: boolean;
  readonly dead: string | undefined;
}

/** The settings of a trigger that brings batches and waits for what becomes of each. */
const batches = (
  window: { readonly batch: number; readonly window: number },
  { source, goesOn, dead }: Batching,
): string =>
  JSON.stringify({
    triggerEnable: true,
    asyncInvocationType: false,
    eventRuleFilterPattern: "{}",
    eventSinkConfig: { deliveryOption: { eventSchema: "CloudEvents" } },
    eventSourceConfig: source,
    runOptions: {
      mode: "event-streaming",
      errorsTolerance: goesOn ? "ALL" : "NONE",
      retryStrategy: { PushRetryStrategy: "BACKOFF_RETRY" },
      ...(dead !== undefined && { deadLetterQueue: { Arn: dead } }),
      batchWindow: { CountBasedWindow: window.batch, TimeBasedWindow: window.window },
    },
  });

const timerTrigger = (target: Target, { name, timing, enabled }: SchedulePlan) =>
  trigger(target, { schedule: name }, name, {
    triggerType: "timer",
    triggerConfig: JSON.stringify({ cronExpression: cronExpression(timing), enable: enabled, payload: name }),
  });

type TriggerArgs = Pick<alicloud.fc.V3TriggerArgs, "triggerType" | "sourceArn" | "invocationRole" | "triggerConfig">;

/**
 * Named by what it says: another prefix is another trigger, another order of sources is not. Parts are meant by their
 * stems, so that a construct that is renamed and keeps its `id` keeps its triggers.
 */
function trigger({ site, scope, name }: Target, source: object, part: string, args: TriggerArgs) {
  const { stem } = scope.plan(part);
  const lasting = Object.entries(source).map(([field, value]) => [field, value === part ? stem : value]);
  const id = shortHash(JSON.stringify(Object.fromEntries(lasting)), 6);
  return site.make(
    alicloud.fc.V3Trigger,
    `${scope.name}-on-${stem}-${id}`,
    { functionName: name, qualifier: "LATEST", triggerName: `millrace-${id}`, ...args },
    scope.options,
  );
}
