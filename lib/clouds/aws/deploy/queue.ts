import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import type { Scope } from "../../../parts/cloud.ts";
import type { Built } from "../../../parts/part.ts";
import type { QueuePlan } from "../../../parts/plan.ts";
import type { NameRule } from "../../../shared/name.ts";
import type { Site } from "./shared.ts";

/** https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-queues.html */
const QUEUE_NAME: NameRule = { max: 80, allowed: /[A-Za-z0-9_-]/ };

/** The longest wait the service allows, so that an idle consumer makes few calls. */
const LONG_POLL_SECONDS = 20;

/**
 * A standard queue of SQS, encrypted with the service's own key.
 *
 * @see https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/standard-queues.html
 */
export function queue(site: Site, scope: Scope, plan: QueuePlan): Built {
  if (plan.existing !== undefined) return existing(site, plan.existing);
  const { visibility, retention, delay, attempts, deadLetters } = plan;
  const redrivePolicy =
    deadLetters === undefined
      ? undefined
      : scope
          .part(deadLetters)
          .id.apply((arn) => JSON.stringify({ deadLetterTargetArn: arn, maxReceiveCount: attempts }));
  const made = site.make(
    aws.sqs.Queue,
    scope.name,
    {
      name: scope.physicalName(QUEUE_NAME),
      visibilityTimeoutSeconds: visibility,
      messageRetentionSeconds: retention,
      delaySeconds: delay,
      receiveWaitTimeSeconds: LONG_POLL_SECONDS,
      sqsManagedSseEnabled: true,
      ...(redrivePolicy && { redrivePolicy }),
      tags: site.tags(scope.name),
    },
    scope.options,
  );
  return built(site, site.arn("sqs", made.name), made.url, { queue: made });
}

function existing(site: Site, name: string): Built {
  const url = pulumi.interpolate`https://sqs.${site.region}.${site.domain}/${site.account}/${name}`;
  return built(site, site.arn("sqs", name), url, {});
}

const built = (
  site: Site,
  arn: pulumi.Output<string>,
  url: pulumi.Output<string>,
  resources: Built["resources"],
): Built => ({
  id: arn,
  address: { queue: url, region: pulumi.output(site.region) },
  resources,
});

/**
 * Lets services send to a queue of ours: topics and rules of this account. A queue has one policy, so it is the same
 * for all that send.
 *
 * @see https://docs.aws.amazon.com/sns/latest/dg/subscribe-sqs-queue-to-sns-topic.html
 */
export function openToServices(site: Site, scope: Scope, queue: string): void {
  site.once(`policy ${queue}`, () => {
    const { id, address, plan } = scope.part(queue);
    const policy = pulumi.all([id, site.account]).apply(([arn, account]) =>
      JSON.stringify({
        Version: "2012-10-17",
        Statement: [
          { service: "sns", source: `arn:${site.partition}:sns:${site.region}:${account}:*` },
          { service: "events", source: `arn:${site.partition}:events:${site.region}:${account}:rule/*` },
        ].map(({ service, source }) => ({
          Effect: "Allow",
          Principal: { Service: `${service}.amazonaws.com` },
          Action: "sqs:SendMessage",
          Resource: arn,
          Condition: { ArnLike: { "aws:SourceArn": source } },
        })),
      }),
    );
    return site.make(aws.sqs.QueuePolicy, `${plan.stem}-policy`, { queueUrl: address.queue!, policy }, site.shared);
  });
}
