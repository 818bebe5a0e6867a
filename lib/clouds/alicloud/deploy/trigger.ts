import * as alicloud from "@pulumi/alicloud";
import * as pulumi from "@pulumi/pulumi";
import type { Scope } from "../../../parts/cloud.ts";
import type { QueuePlan, SchedulePlan, SourcePlan } from "../../../parts/plan.ts";
import { shortHash } from "../../../shared/name.ts";
import { functionArn, role } from "./permissions.ts";
import { cronExpression } from "./schedule.ts";
import type { Site } from "./shared.ts";

/** What comes into being, as one object or as the last of its parts. */
const CREATED = ["PutObject", "PostObject", "CopyObject", "CompleteMultipartUpload"].map(
  (operation) => `oss:ObjectCreated:${operation}`,
);

type Sourced<Type extends SourcePlan["type"]> = Extract<SourcePlan, { readonly type: Type }>;

interface Target {
  readonly site: Site;
  readonly scope: Scope;
  readonly name: pulumi.Output<string>;
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
): readonly alicloud.fc.V3Trigger[] {
  const target = { site, scope, name };
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
      throw new Error(`${target.scope.name}: the check refuses streams here`);
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
  const dead =
    deadLetters === undefined ? undefined : site.arn("mns", pulumi.interpolate`/queues/${scope.part(deadLetters).id}`);
  const config = pulumi.all({ queue: scope.part(source.queue).id, dead }).apply(({ queue, dead }) =>
    JSON.stringify({
      triggerEnable: true,
      asyncInvocationType: false,
      eventRuleFilterPattern: "{}",
      eventSinkConfig: { deliveryOption: { eventSchema: "CloudEvents" } },
      eventSourceConfig: {
        eventSourceType: "MNS",
        eventSourceParameters: {
          sourceMNSParameters: { RegionId: site.region, QueueName: queue, IsBase64Decode: false },
        },
      },
      runOptions: {
        mode: "event-streaming",
        errorsTolerance: "ALL",
        retryStrategy: { PushRetryStrategy: "BACKOFF_RETRY" },
        ...(dead !== undefined && { deadLetterQueue: { Arn: dead } }),
        batchWindow: { CountBasedWindow: source.batch, TimeBasedWindow: source.window },
      },
    }),
  );
  return trigger(target, source, source.queue, { triggerType: "eventbridge", triggerConfig: config });
}

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
