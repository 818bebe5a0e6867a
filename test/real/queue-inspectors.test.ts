import { CreateQueueCommand, SQSClient } from "@aws-sdk/client-sqs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { port as sqsPort } from "../../lib/clouds/aws/runtime/sqs.ts";
import { inspector as sqsInspector } from "../../lib/clouds/aws/runtime/sqs-inspector.ts";
import { inspector as natsInspector } from "../../lib/clouds/kubernetes/runtime/queue-inspector.ts";
import type { QueueReceiver, QueueSender } from "../../lib/runtime/ports.ts";
import type { QueueInspector } from "../../lib/runtime/system.ts";
import { receiveUntil } from "../ports/conformance.ts";
import { NatsWorld } from "./nats-world.ts";
import { awsAccount } from "./servers/aws-account.ts";

type Inspected = QueueSender & QueueReceiver & QueueInspector;

/** Counts messages, shows them, and takes nothing away by it. */
function testInspector(make: () => Promise<Inspected>): void {
  it("counts what waits, what is received and what is delayed; shows what waits, and takes nothing", async () => {
    const queue = await make();
    expect(await queue.stats()).toMatchObject({ ready: 0, inFlight: 0, delayed: 0 });
    expect(await queue.peek(10)).toEqual([]);
    await queue.send("one", { attributes: { colour: "blue" } });
    await queue.send("two");
    await queue.send("later", { delay: 60 });
    expect(await queue.stats()).toMatchObject({ ready: 2, inFlight: 0, delayed: 1 });
    const shown = await queue.peek(10);
    expect(shown.map(({ body }) => body).sort()).toEqual(["one", "two"]);
    expect(shown.find(({ body }) => body === "one")).toMatchObject({ attributes: { colour: "blue" }, receives: 0 });
    expect(await queue.peek(1)).toHaveLength(1);
    const [message] = await receiveUntil(queue, 1);
    await queue.acknowledge(message!.receipt);
    expect((await queue.stats()).ready).toBeLessThanOrEqual(1);
  });
}

describe("SQS, as moto plays it", () => {
  const { fresh, account, moto, around } = awsAccount();
  const make = async (Attributes: Record<string, string>): Promise<Inspected> => {
    const { QueueUrl } = await new SQSClient(account()).send(
      new CreateQueueCommand({ QueueName: fresh("q"), Attributes }),
    );
    const { world } = await around();
    const place = { region: moto().region, endpoint: moto().url };
    const address = { kind: "queue", part: "work", queue: QueueUrl!, ...place } as const;
    return Object.assign(sqsPort(address, world), sqsInspector(address, world));
  };
  testInspector(() => make({}));

  it("shows nothing where a look would count towards the dead letters", async () => {
    await new SQSClient(account()).send(new CreateQueueCommand({ QueueName: "dead-ones" }));
    const deadLetterTargetArn = `arn:aws:sqs:${moto().region}:123456789012:dead-ones`;
    const RedrivePolicy = JSON.stringify({ deadLetterTargetArn, maxReceiveCount: 3 });
    const queue = await make({ RedrivePolicy });
    await queue.send("one");
    await expect(queue.peek(1)).rejects.toMatchObject({
      kind: "refused",
      message: /counts here towards the dead letters/,
    });
    expect(await receiveUntil(queue, 1)).toMatchObject([{ receives: 1 }]);
  });
});

describe("NATS", () => {
  let around: NatsWorld;
  beforeAll(async () => {
    around = await NatsWorld.start();
  });
  afterAll(() => around.stop());
  testInspector(async () => {
    const { queue, address } = await around.queue();
    return Object.assign(queue, natsInspector(address, around.world)) as Inspected;
  });
});
