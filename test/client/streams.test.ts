import { expect, test } from "vitest";
import { deployedStreams } from "../../lib/client/streams.ts";
import type { StackOutput } from "../../lib/client/system.ts";

const stream = (name: string, user?: string) => ({
  ...{ kind: "stream", name, cloud: "aws", partitions: 3 },
  kafka: { brokers: ["kafka.invalid:9092"], tls: user !== undefined, ...(user && { user }) },
});
const stack = (...parts: readonly ReturnType<typeof stream>[]): StackOutput =>
  ({
    plan: { parts },
    addresses: { events: { kind: "stream", topic: "t-events", brokers: "kafka.invalid:9092", tls: "true" } },
  }) as unknown as StackOutput;

test("a Kafka that asks who connects is asked for nothing unless that is said", async () => {
  const { lag } = deployedStreams(stack(stream("events", "kafka-user")), { MILLRACE_KAFKA_USERNAME: "me" });
  await expect(lag("events")).rejects.toMatchObject({
    kind: "refused",
    message:
      "the Kafka of stream events asks who connects: set MILLRACE_KAFKA_USERNAME and MILLRACE_KAFKA_PASSWORD, as the secret kafka-user has them",
  });
});

test("a stream that the stack does not tell of, and one there is none of", async () => {
  await expect(deployedStreams(stack(stream("others")), {}).list()).rejects.toMatchObject({
    kind: "not-found",
    message: "the stack says not where stream others lies: deploy it again",
  });
  await expect(deployedStreams(stack(stream("events")), {}).lag("nobody")).rejects.toMatchObject({
    kind: "not-found",
    message: expect.stringContaining('"nobody"'),
  });
});
