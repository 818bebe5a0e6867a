import type * as kubernetes from "@pulumi/kubernetes";
import type * as pulumi from "@pulumi/pulumi";
import type { Scope } from "../../../parts/cloud.ts";
import type { FunctionPlan, QueuePlan, SchedulePlan, SourcePlan } from "../../../parts/plan.ts";
import { shortHash } from "../../../shared/name.ts";
import type { BucketSource, FunctionJson, QueueSource } from "../runtime/function-json.ts";
import type { Setup } from "../runtime/setup.ts";
import { publishJob } from "./errand.ts";
import { BUCKET_NAME, CRON_JOB_NAME, callSubject, failedSubject, NATS_NAME, OBJECT_NAME } from "./names.ts";
import { queueAddress } from "./queue.ts";
import type { Site } from "./shared.ts";
import { lagTrigger, mostReaders, streamSource, streamsOf } from "./stream.ts";

type Sourced<Type extends SourcePlan["type"]> = Extract<SourcePlan, { readonly type: Type }>;

/** Seconds after which an event that nobody says anything of is given to another process. */
const VISIBILITY = 30;
/** Pods of a function whose concurrency nobody has bounded. */
const MOST_PODS = 20;
/** Seconds between two looks of KEDA at what waits: the wait of a first call. */
const POLLING = 5;
/** Seconds without a call until the last pod goes. */
const COOLDOWN = 120;
/** Seconds after which what the store has told of is forgotten, though a function has not taken it: 14 days. */
const NOTICES_KEPT = 14 * 86_400;
/** Buckets that cannot tell of themselves are looked at that often, in seconds. */
const LISTING = 60;

/** What the function's process reads: where its calls, queues and buckets lie. */
export function specOf(site: Site, scope: Scope, plan: FunctionPlan): FunctionJson {
  const { timeout, attempts, backoff, failures } = plan;
  const name = scope.physicalName(OBJECT_NAME);
  return {
    function: name,
    subject: callSubject(site, scope, plan.name),
    stream: site.calls,
    consumer: name,
    timeout,
    attempts,
    backoff,
    ...(failures !== undefined
      ? { failures: queueAddress(site, scope, failures).subject }
      : { failed: failedSubject(site, scope, plan.name) }),
    concurrency: 1,
    queues: queuesOf(plan).map((source) => queueSource(site, scope, source)),
    buckets: bucketsOf(plan).map((source) => bucketSource(site, scope, source)),
    streams: streamsOf(plan).map((source) => streamSource(scope, source)),
  };
}

function queueSource(site: Site, scope: Scope, { queue, batch, window }: Sourced<"queue.received">): QueueSource {
  const { attempts, deadLetters } = scope.plan(queue) as QueuePlan;
  const { stream, consumer } = queueAddress(site, scope, queue);
  return {
    queue,
    stream,
    consumer,
    ...(attempts !== undefined && { attempts }),
    ...(deadLetters !== undefined && { deadLetters: queueAddress(site, scope, deadLetters).subject }),
    batch,
    window,
  };
}

function bucketSource(site: Site, scope: Scope, { bucket, prefix, suffix }: Sourced<"bucket.created">): BucketSource {
  const plan = scope.plan(bucket);
  return {
    bucket,
    physical: plan.existing ?? scope.physicalName(BUCKET_NAME, bucket),
    prefix,
    suffix,
    endpoint: site.endpoint,
    region: site.region,
    ...(notified(site, scope) ?? { how: "listing" as const, journal: journalOf(scope) }),
  };
}

/** Where the store's notifications come in; nothing if it has none. */
function notified({ settings: { store } }: Site, scope: Scope) {
  if (!store.notifications) return undefined;
  const { subject } = store.notifications;
  // One subject is in one stream, whatever stacks listen to it.
  const stream = `millrace-notifications-${shortHash(subject)}`;
  return { how: "notifications", subject, stream, consumer: scope.physicalName(OBJECT_NAME) } as const;
}

/** The table of what a listing has seen. */
const journalOf = (scope: Scope): string => scope.physicalName(NATS_NAME, scope.name, "seen");

/** What the function needs in NATS beside its queues, which have their own. */
export function setupOf(site: Site, scope: Scope, plan: FunctionPlan): Omit<Setup, "replicas"> {
  const { stream, subject, consumer } = specOf(site, scope, plan);
  const isWatching = bucketsOf(plan).length > 0;
  const notices = isWatching ? notified(site, scope) : undefined;
  return {
    streams: [callStream(site), ...(notices ? [noticeStream(notices)] : [])],
    consumers: [
      { stream, name: consumer, subject, visibility: VISIBILITY },
      ...(notices
        ? [{ stream: notices.stream, name: notices.consumer, subject: notices.subject, visibility: VISIBILITY }]
        : []),
    ],
    tables: isWatching && !notices ? [journalOf(scope)] : [],
  };
}

/** What the store says is kept for every function that listens, for so long: one that is there no more asks for nothing. */
const noticeStream = ({ stream: name, subject }: { readonly stream: string; readonly subject: string }) =>
  ({ name, subjects: [subject], retention: "interest", maxAge: NOTICES_KEPT }) as const;

/** The stream of all calls of the stack, and of what its keepers are told. */
export const callStream = ({ calls, prefix }: Site): Setup["streams"][number] => ({
  name: calls,
  subjects: [`${prefix}.call.>`, `${prefix}.keep.>`],
});

/**
 * From nothing to as many pods as the function may have, by what waits for it.
 *
 * @see https://keda.sh/docs/latest/reference/scaledobject-spec/
 */
export function scaling(
  site: Site,
  scope: Scope,
  plan: FunctionPlan,
  name: string,
  dependsOn: readonly pulumi.Resource[],
): kubernetes.apiextensions.CustomResource {
  const { stream, consumer } = specOf(site, scope, plan);
  const notices = bucketsOf(plan).length > 0 ? notified(site, scope) : undefined;
  const queues = queuesOf(plan).map(({ queue, batch }) => ({ ...queueAddress(site, scope, queue), lag: batch }));
  const lags = streamsOf(plan).map((source, index) => lagTrigger(site, scope, source, index));
  // Each of them has to be there before KEDA asks about it.
  const asked = [...queuesOf(plan).map(({ queue }) => queue), ...streamsOf(plan).map(({ stream }) => stream)];
  const setups = [
    ...asked.flatMap((part) => Object.values(scope.part(part).resources)),
    ...lags.flatMap(({ resources }) => resources),
  ];
  return site.custom(
    {
      apiVersion: "keda.sh/v1alpha1",
      kind: "ScaledObject",
      metadata: site.metadata(name, scope.name),
      spec: {
        scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name },
        minReplicaCount: 0,
        maxReplicaCount: plan.concurrency ?? mostPods(scope, plan),
        pollingInterval: POLLING,
        cooldownPeriod: COOLDOWN,
        triggers: [
          ...[{ stream, consumer, lag: 1 }, ...(notices ? [{ ...notices, lag: 1 }] : []), ...queues].map((one) =>
            waiting(site, one),
          ),
          ...lags.map(({ trigger }) => trigger),
        ],
      },
    },
    `${scope.name}-scaling`,
    { ...scope.options, dependsOn: [...dependsOn, ...setups] },
  );
}

/** Pods beyond the partitions of its streams would have nothing of those to do. */
function mostPods(scope: Scope, plan: FunctionPlan): number {
  const readers = mostReaders(scope, plan);
  return readers > 0 && plan.sources.every(({ type }) => type === "stream.consumed")
    ? readers
    : Math.max(MOST_PODS, readers);
}

/** Texts all of them. https://keda.sh/docs/latest/scalers/nats-jetstream/ */
function waiting(
  { settings: { nats } }: Site,
  { stream, consumer, lag }: { readonly stream: string; readonly consumer: string; readonly lag: number },
) {
  const { monitoring, account = "$G" } = nats;
  return {
    type: "nats-jetstream",
    metadata: {
      natsServerMonitoringEndpoint: monitoring ?? `${new URL(nats.url.split(",")[0]!).hostname}:8222`,
      account,
      stream,
      consumer,
      lagThreshold: String(lag),
      activationLagThreshold: "0",
    },
  };
}

/** The CronJobs that call the function: at its times, and to look for new objects. */
export function publishers(
  site: Site,
  scope: Scope,
  plan: FunctionPlan,
  account: pulumi.Input<string>,
): readonly kubernetes.batch.v1.CronJob[] {
  const subject = callSubject(site, scope, plan.name);
  const times = plan.sources
    .filter((source): source is Sourced<"schedule.fired"> => source.type === "schedule.fired")
    .map(({ schedule }) => {
      const { stem, timing, enabled } = scope.plan(schedule) as SchedulePlan;
      return {
        // By its stem, which stays when the construct is renamed: its old name is then found.
        name: `${scope.name}-on-${stem}`,
        physical: scope.physicalName(CRON_JOB_NAME, schedule, shortHash(scope.physicalName(OBJECT_NAME), 6)),
        ...{ account, timing, enabled },
        message: { subject, schedule },
      };
    });
  const listing = {
    name: `${scope.name}-listing`,
    physical: scope.physicalName(CRON_JOB_NAME, scope.name, "listing"),
    ...{ account, timing: { every: LISTING }, enabled: true },
    message: { subject, listing: true as const },
  };
  const isListing = bucketsOf(plan).length > 0 && !notified(site, scope);
  return [...times, ...(isListing ? [listing] : [])].map((one) => publishJob(site, scope, one));
}

const queuesOf = ({ sources }: FunctionPlan) =>
  sources.filter((source): source is Sourced<"queue.received"> => source.type === "queue.received");

const bucketsOf = ({ sources }: FunctionPlan) =>
  sources.filter((source): source is Sourced<"bucket.created"> => source.type === "bucket.created");
