import type { FunctionPlan, StreamPlan } from "../../../parts/plan.ts";
import type { Problem } from "../../../shared/problem.ts";
import { STRIMZI, streamsOf } from "./stream.ts";

/** What is missing of a stream: the Kafka it lies in, which somebody has to run. */
export function checkStream({ name, kafka, existing }: StreamPlan): readonly Problem[] {
  if (!kafka) {
    return [
      {
        path: `${name}.kafka`,
        message: "no Kafka is made: name yours",
        allowed: 'kafka: { brokers: ["main-kafka-bootstrap.kafka.svc:9092"], instance: "kafka/main" }',
      },
    ];
  }
  const { instance } = kafka;
  const path = `${name}.kafka.instance`;
  if (instance !== undefined && !STRIMZI.test(instance)) {
    return [
      { path, message: "a Kafka cluster of Strimzi's is wanted", given: instance, allowed: "<namespace>/<name>" },
    ];
  }
  if (existing !== undefined || instance !== undefined) return [];
  return [
    {
      path,
      message: "a new topic is made by Strimzi's operator, in a cluster of its own",
      allowed: 'instance: "<namespace>/<name>", or a topic you have by existing',
    },
  ];
}

/** KEDA knows a place by topic and group, and so does Kafka. */
export function checkStreamsOf(plan: FunctionPlan): readonly Problem[] {
  const places = streamsOf(plan).map(({ stream, group = "" }) => `${stream} ${group}`);
  return places
    .filter((place, index) => places.indexOf(place) < index)
    .map((place) => ({
      path: `${plan.name}.when`,
      message: "the stream starts it already",
      given: place.split(" ")[0],
    }));
}
