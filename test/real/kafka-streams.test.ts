import { afterAll, beforeAll } from "vitest";
import { PARTITIONS, type StreamName, testStream } from "../ports/stream.ts";
import { KafkaWorld } from "./kafka-world.ts";

let kafka: KafkaWorld;
beforeAll(async () => {
  kafka = await KafkaWorld.start();
});
afterAll(() => kafka.stop());

testStream("in a real Kafka", async () => {
  const topics = { orders: await kafka.topic(PARTITIONS), results: await kafka.topic(PARTITIONS) };
  return {
    producer: async (stream: StreamName) => kafka.stream(topics[stream], { part: stream }),
    claimer: async (stream: StreamName, group: string) =>
      kafka.stream(topics[stream], { part: stream, group: `${topics.orders}-${group}` }),
    reader: async (stream: StreamName) => kafka.stream(topics[stream], { part: stream }),
    read: (stream: StreamName) => kafka.read(topics[stream]),
    close: async () => {},
  };
});
