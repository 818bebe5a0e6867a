import { ReceiveMessageCommand, SQSClient } from "@aws-sdk/client-sqs";
import { afterAll, beforeAll } from "vitest";
import { connectAws } from "../../lib/clouds/aws/client.ts";
import type { Clock } from "../../lib/runtime/clock.ts";
import type { Envelope } from "../../lib/runtime/tasks/envelope.ts";
import { CONFORMANCE_TASKS, testTasks } from "../ports/tasks-conformance.ts";
import { deployTasks } from "./aws/deployed-tasks.ts";
import { type MotoServer, startMoto } from "./servers/moto.ts";

/** Time goes that much quicker, so that what is looked at every few seconds is looked at often. */
const SPEED = 20;

let moto: MotoServer;
beforeAll(async () => {
  moto = await startMoto();
  // As Lambda gives a function its role's keys.
  process.env.AWS_ACCESS_KEY_ID = moto.credentials.accessKeyId;
  process.env.AWS_SECRET_ACCESS_KEY = moto.credentials.secretAccessKey;
});
afterAll(async () => {
  delete process.env.AWS_ACCESS_KEY_ID;
  delete process.env.AWS_SECRET_ACCESS_KEY;
  await moto?.stop();
});

let made = 0;
testTasks("AWS, on moto", async () => {
  made += 1;
  const clock = quickClock();
  const tasks = await deployTasks(moto, `conformance-${made}`, CONFORMANCE_TASKS, { platform: "lambda" }, clock, SPEED);
  const { credentials, region, url: endpoint } = moto;
  const sqs = new SQSClient({ endpoint, region, credentials });
  const seen = { successes: new Map<string, Envelope>(), failures: new Map<string, Envelope>() };
  return {
    client: connectAws({ addresses: tasks.addresses, credentials: async () => credentials, clock }),
    async envelopes(queue) {
      const request = { QueueUrl: tasks.queues[queue], MaxNumberOfMessages: 10 };
      const { Messages = [] } = await sqs.send(new ReceiveMessageCommand(request));
      for (const { MessageId, Body } of Messages) seen[queue].set(MessageId!, JSON.parse(Body!) as Envelope);
      return [...seen[queue].values()];
    },
    close: tasks.close,
  };
});

function quickClock(): Clock {
  const begin = Date.now();
  const now = () => begin + (Date.now() - begin) * SPEED;
  return {
    now,
    at(time, callback) {
      const timer = setTimeout(callback, Math.min(Math.max(0, time - now()) / SPEED, 2 ** 31 - 1));
      timer.unref();
      return () => clearTimeout(timer);
    },
  };
}
