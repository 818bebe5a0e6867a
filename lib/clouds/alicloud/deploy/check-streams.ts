import type { FunctionPlan, KafkaPlan, PartPlan, StreamPlan } from "../../../parts/plan.ts";
import type { Problem } from "../../../shared/problem.ts";
import type { AlicloudSettings } from "./shared.ts";

type Find = (name: string) => PartPlan | undefined;

/** What is missing of a stream: the Kafka it lies in, which is bought and never made. */
export function checkStream({ name, kafka, existing }: StreamPlan): readonly Problem[] {
  if (!kafka) {
    return [
      {
        path: `${name}.kafka`,
        message: "a Kafka costs from the moment it is there, so none is made: name yours",
        allowed: 'kafka: { brokers: ["…:9092"], instance: "alikafka_post-cn-…" }',
      },
    ];
  }
  if (existing !== undefined || kafka.instance !== undefined) return [];
  return [
    {
      path: `${name}.kafka.instance`,
      message: "a new topic is made in an ApsaraMQ for Kafka instance, by its id",
      allowed: 'instance: "alikafka_post-cn-…", or a topic you have by existing',
    },
  ];
}

/** What is wrong with the streams that start a function or that it is linked to. */
export const checkStreamsOf = (settings: AlicloudSettings, plan: FunctionPlan, find: Find): readonly Problem[] => [
  ...checkConsumed(plan, find),
  ...checkWay(settings, plan, find),
];

/** Function Compute is triggered by instances alone, and its events name no more of a stream than the topic. */
function checkConsumed({ name, sources }: FunctionPlan, find: Find): readonly Problem[] {
  const streams = sources.flatMap((source) => (source.type === "stream.consumed" ? [source.stream] : []));
  const topics = streams.map((stream) => find(stream)?.existing ?? stream);
  return streams.flatMap((stream, index): readonly Problem[] => {
    const plan = find(stream);
    if (plan?.kind !== "stream" || !plan.kafka) return [];
    const path = `${name}.when`;
    if (topics.indexOf(topics[index]!) < index) {
      const message =
        "the function is started by a topic of this name already, and its events say no more than the name";
      return [{ path, message, given: topics[index]! }];
    }
    if (plan.kafka.instance !== undefined) return [];
    return [
      {
        path,
        message: `Function Compute is triggered by an ApsaraMQ for Kafka instance alone: name the one that ${stream} lies in`,
        given: plan.kafka.brokers.join(","),
        allowed: 'kafka: { instance: "alikafka_post-cn-…" }',
      },
    ];
  });
}

/** A function that is in no network reaches the internet alone. */
function checkWay({ existing }: AlicloudSettings, { name, links }: FunctionPlan, find: Find): readonly Problem[] {
  if (existing?.network) return [];
  return Object.entries(links).flatMap(([link, { part }]): readonly Problem[] => {
    const plan = find(part);
    const broker = plan?.kind === "stream" ? plan.kafka?.brokers.find(isPrivate) : undefined;
    if (broker === undefined) return [];
    return [
      {
        path: `${name}.links.${link}`,
        message:
          "this Kafka is reached from its own network alone: name that by alicloud({ existing: { network: { vpc, vswitch, securityGroup } } })",
        given: broker,
        allowed: "brokers that are reached over the internet, as an instance's port 9093, or a network",
      },
    ];
  });
}

/** An instance's default and SASL endpoints are in its network. https://www.alibabacloud.com/help/en/apsaramq-for-kafka/view-endpoints */
const isPrivate = (broker: string): boolean =>
  /\.alikafka\.aliyuncs\.com:909[24]$/.test(broker) ||
  /^(10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.)[\d.]+(:|$)/.test(broker);

/** What the address of a link to a stream takes at most, with the JSON around it. */
export const streamBytes = ({ kafka }: { readonly kafka?: KafkaPlan }): number =>
  (kafka?.brokers.join(",").length ?? 0) + 249 + 64 + 190;
