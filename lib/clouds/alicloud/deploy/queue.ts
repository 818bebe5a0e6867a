import * as alicloud from "@pulumi/alicloud";
import * as pulumi from "@pulumi/pulumi";
import type { Scope } from "../../../parts/cloud.ts";
import type { Built } from "../../../parts/part.ts";
import type { QueuePlan } from "../../../parts/plan.ts";
import type { NameRule } from "../../../shared/name.ts";
import type { Site } from "./shared.ts";

/** https://www.alibabacloud.com/help/en/mns/developer-reference/createqueue */
const QUEUE_NAME: NameRule = { max: 120, allowed: /[A-Za-z0-9-]/ };

/** The longest wait the service allows, so that an idle consumer makes few calls. */
const LONG_POLL_SECONDS = 30;

/**
 * A queue of Simple Message Queue, formerly MNS.
 *
 * @see https://www.alibabacloud.com/help/en/mns/developer-reference/createqueue
 */
export function queue(site: Site, scope: Scope, plan: QueuePlan): Built {
  if (plan.existing !== undefined) return built(site, pulumi.output(plan.existing), {});
  const { visibility, retention, delay, attempts, deadLetters } = plan;
  const made = site.make(
    alicloud.message.ServiceQueue,
    scope.name,
    {
      queueName: scope.physicalName(QUEUE_NAME),
      visibilityTimeout: visibility,
      messageRetentionPeriod: retention,
      delaySeconds: delay,
      pollingWaitSeconds: LONG_POLL_SECONDS,
      ...(deadLetters !== undefined && {
        dlqPolicy: {
          enabled: true,
          deadLetterTargetQueue: scope.part(deadLetters).id,
          ...(attempts !== undefined && { maxReceiveCount: attempts }),
        },
      }),
      tags: site.tags(scope.name),
    },
    scope.options,
  );
  return built(site, made.queueName, { queue: made });
}

const built = (site: Site, name: pulumi.Output<string>, resources: Built["resources"]): Built => ({
  id: name,
  address: { queue: name, account: site.account, region: pulumi.output(site.region) },
  resources,
});
