import type { FunctionPlan, MonitorPlan, PartPlan, StreamPlan } from "../../../parts/plan.ts";
import type { Problem } from "../../../shared/problem.ts";
import { STRIMZI, streamsOf } from "./stream.ts";

type Find = (name: string) => PartPlan | undefined;

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

/** Lag is what a function has not consumed. */
export const checkLag = ({ name, alarms }: MonitorPlan, find: Find): readonly Problem[] =>
  alarms
    .filter(({ metric, part }) => metric === "lag" && !isConsumer(find(part)))
    .map(({ part }) => ({
      path: `${name}.alarms`,
      message: "lag is of a function that is started by a stream",
      given: part,
    }));

const isConsumer = (plan: PartPlan | undefined): boolean => plan?.kind === "function" && streamsOf(plan).length > 0;
