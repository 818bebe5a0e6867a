import { execFile, execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { ReceiveMessageCommand, SQSClient } from "@aws-sdk/client-sqs";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { connectAws } from "../../lib/clouds/aws/client.ts";
import type { RegisteredResource } from "../../lib/program/mocks.ts";
import { type Clock, systemClock } from "../../lib/runtime/clock.ts";
import type { Envelope } from "../../lib/runtime/tasks/envelope.ts";
import { deploy } from "../clouds/aws/stack.ts";
import { CONFORMANCE_TASKS, testTasks } from "../ports/tasks-conformance.ts";
import { ConformanceTasks, inFolder } from "../ports/tasks-construct.ts";
import { type DeployedTasks, deployTasks } from "./aws/deployed-tasks.ts";
import { type MotoServer, startMoto } from "./servers/moto.ts";

/** Time goes that much quicker, so that what is looked at every few seconds is looked at often. */
const SPEED = 15;

const NODE20 = "/usr/bin/node";
const isNode20 = existsSync(NODE20) && execFileSync(NODE20, ["--version"]).toString().startsWith("v20.");

/** Packages that are CommonJS ask for `require`, which a module does not have. */
const REQUIRE = 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);';

let moto: MotoServer;
let resources: readonly RegisteredResource[];
beforeAll(async () => {
  resources = await inFolder(() => deploy((cloud) => void new ConformanceTasks(cloud)));
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
testTasks(
  "AWS, on moto, under the policies of roles",
  async () => {
    made += 1;
    const clock = quickClock();
    const name = `conformance-${made}`;
    const tasks = await deployTasks(moto, name, CONFORMANCE_TASKS, { platform: "lambda" }, clock, SPEED, resources);
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
      refused: tasks.refused,
      close: tasks.close,
    };
    // moto answers requests in threads, and holds no lock from a put's condition to its write: one of two may get lost.
  },
  2,
);

describe("a client of AWS", () => {
  let tasks: DeployedTasks;
  beforeAll(async () => {
    tasks = await deployTasks(moto, "client", CONFORMANCE_TASKS, { platform: "lambda" }, systemClock, 1);
  });
  afterAll(() => tasks?.close());

  test("a payload without an id goes to the dispatcher, which derives one", async () => {
    const client = connectAws({ addresses: tasks.addresses, credentials: async () => moto.credentials });
    const payload = { do: "succeed", result: 1 };
    const [run, again] = [await client.submit("tasks-work", payload), await client.submit("tasks-work", payload)];
    expect(run.id).not.toBe("");
    expect(await client.wait("tasks-work", run.id)).toMatchObject({ status: "succeeded" });
    expect(again.id).not.toBe(run.id);
    const called = tasks.workshop.calls.filter(({ name }) => name.endsWith("-dispatch"));
    expect(called).toMatchObject([{ payload: { millrace: "call", payload } }, { payload: { payload } }]);
  });

  test.skipIf(!isNode20)("runs on Node 20, without Pulumi (there is one at /usr/bin/node)", async () => {
    const folder = await mkdtemp(join(tmpdir(), "millrace-client-"));
    try {
      const file = join(folder, "client.mjs");
      const entryPoint = fileURLToPath(new URL("../../lib/clouds/aws/client.ts", import.meta.url));
      const { metafile } = await build({
        ...{
          entryPoints: [entryPoint],
          outfile: file,
          bundle: true,
          format: "esm",
          platform: "node",
          target: "node20",
        },
        ...{ metafile: true, banner: { js: REQUIRE } },
      });
      expect(Object.keys(metafile.inputs).filter((input) => input.includes("@pulumi"))).toEqual([]);
      const program = `
        const { connectAws } = await import(${JSON.stringify(file)});
        const client = connectAws({ addresses: ${JSON.stringify(tasks.addresses)} });
        await client.submit("tasks-work", { do: "log", lines: 3 }, { id: "twenty" });
        const run = await client.wait("tasks-work", "twenty");
        const lines = [];
        for await (const { message } of client.logs("tasks-work", "twenty")) lines.push(message);
        const { tasks } = await client.list("tasks-work", { prefix: "twenty" });
        const { events } = await client.audit("tasks-work", "twenty");
        console.log(JSON.stringify({ version: process.version, status: run.status, lines, tasks: tasks.length, events: events.length }));
      `;
      const { stdout } = await promisify(execFile)(NODE20, ["--input-type=module", "--eval", program]);
      expect(JSON.parse(stdout)).toEqual({
        ...{ version: expect.stringMatching(/^v20\./), status: "succeeded", tasks: 1, events: 3 },
        lines: ["line 1", "line 2", "line 3"],
      });
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
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
