import * as alicloud from "@pulumi/alicloud";
import * as pulumi from "@pulumi/pulumi";
import type { Scope } from "../../../parts/cloud.ts";
import { DEFAULTS } from "../../../parts/defaults.ts";
import type { Built } from "../../../parts/part.ts";
import type { LinkPlan, SourcePlan, StreamPlan } from "../../../parts/plan.ts";
import { dataOptions } from "../../../parts/site.ts";
import { kafkaAddress } from "../../../parts/stream.ts";
import type { NameRule } from "../../../shared/name.ts";
import type { Site } from "./shared.ts";

/** https://www.alibabacloud.com/help/en/apsaramq-for-kafka/api-createtopic */
const TOPIC_NAME: NameRule = { max: 64, allowed: /[A-Za-z0-9_-]/ };
/** https://www.alibabacloud.com/help/en/apsaramq-for-kafka/api-createconsumergroup */
const GROUP_NAME: NameRule = { max: 64, allowed: /[A-Za-z0-9_-]/ };

/**
 * A topic of an ApsaraMQ for Kafka instance that is there already. How long records are kept is the instance's own
 * setting, unless the stream asks for another time than usual.
 *
 * @see https://www.alibabacloud.com/help/en/apsaramq-for-kafka/api-createtopic
 */
export function stream(site: Site, scope: Scope, plan: StreamPlan): Built {
  const { kafka, partitions, retention, removable, existing } = plan;
  if (existing !== undefined) return built(plan, pulumi.output(existing), {});
  const topic = scope.physicalName(TOPIC_NAME);
  const made = site.make(
    alicloud.alikafka.Topic,
    scope.name,
    {
      instanceId: kafka!.instance!,
      topic,
      // It has to have one, of the same letters as a name.
      remark: topic,
      partitionNum: partitions,
      ...(retention !== DEFAULTS.streamRetention && {
        configs: JSON.stringify({ "retention.ms": String(retention * 1000) }),
      }),
      tags: site.tags(scope.name),
    },
    dataOptions(scope, removable),
  );
  return built(plan, made.topic, { topic: made });
}

/** The instance is reached as any Kafka is: by its brokers, and as one of its own users. */
const built = ({ kafka }: StreamPlan, topic: pulumi.Output<string>, resources: Built["resources"]): Built => ({
  id: topic,
  address: {
    topic,
    ...kafkaAddress(kafka!),
  },
  resources,
});

/** Where a function keeps its place in a stream that starts it: a group of its own, or the one that is named, which is there. */
export function consumerGroup(
  site: Site,
  scope: Scope,
  { stream, group }: Extract<SourcePlan, { readonly type: "stream.consumed" }>,
): pulumi.Output<string> {
  if (group !== undefined) return pulumi.output(group);
  const { stem, kafka } = scope.plan(stream) as StreamPlan;
  return groupOf(site, scope, kafka!.instance!, {
    id: `group-${stem}`,
    name: consumerGroupName(scope, scope.name, stream),
  });
}

/** The group of its own that a function has in a stream. */
export const consumerGroupName = (scope: Scope, functionName: string, stream: string): string =>
  scope.physicalName(GROUP_NAME, functionName, scope.plan(stream).stem);

/** What a function's claims are kept under, in whatever stream. */
export const ledgerName = (scope: Scope): string => scope.physicalName(GROUP_NAME, scope.name, "done");

/** The ledger of a function is a group of each instance that has streams it claims. */
export function ledgers(site: Site, scope: Scope, links: readonly LinkPlan[]): void {
  const claimed = links.filter(({ actions }) => actions.includes("stream.claim"));
  const instances = claimed.map(({ part }) => (scope.plan(part) as StreamPlan).kafka?.instance);
  for (const instance of new Set(instances)) {
    if (instance !== undefined) groupOf(site, scope, instance, { id: `done-${instance}`, name: ledgerName(scope) });
  }
}

function groupOf(
  site: Site,
  scope: Scope,
  instanceId: string,
  { id, name }: { readonly id: string; readonly name: string },
) {
  const made = site.make(
    alicloud.alikafka.ConsumerGroup,
    `${scope.name}-${id}`,
    { instanceId, consumerId: name, remark: name, tags: site.tags(scope.name) },
    scope.options,
  );
  return made.consumerId;
}
