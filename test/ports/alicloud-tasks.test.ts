import { beforeAll } from "vitest";
import { connectAlicloud } from "../../lib/clouds/alicloud/client.ts";
import { start } from "../../lib/clouds/alicloud/runtime/entry.ts";
import { handler as dispatch } from "../../lib/handlers/tasks/dispatch.ts";
import { handler as keep } from "../../lib/handlers/tasks/keep.ts";
import type { RegisteredResource } from "../../lib/program/mocks.ts";
import type { Clock } from "../../lib/runtime/clock.ts";
import type { Deployment, LinkAddress } from "../../lib/runtime/deployment.ts";
import type { TaskDefinition } from "../../lib/runtime/tasks/definition.ts";
import type { Envelope } from "../../lib/runtime/tasks/envelope.ts";
import { OWN_TASK, readEnvironment, writeEnvironment } from "../../lib/shared/environment.ts";
import { guardFake } from "../clouds/alicloud/asked.ts";
import { FakeFc } from "../clouds/alicloud/fakes/fc.ts";
import { FakeOss } from "../clouds/alicloud/fakes/oss.ts";
import { KEYS, keysOf } from "../clouds/alicloud/fakes/server.ts";
import { FakeSls } from "../clouds/alicloud/fakes/sls.ts";
import { FakeSmq } from "../clouds/alicloud/fakes/smq.ts";
import { FakeTablestore } from "../clouds/alicloud/fakes/tablestore.ts";
import { deploy as deployResources, inputsOf, policiesOf } from "../clouds/alicloud/stack.ts";
import { Guard } from "../clouds/policies.ts";
import { CONFORMANCE_TASKS, testTasks } from "./tasks-conformance.ts";
import { ConformanceTasks, inFolder } from "./tasks-construct.ts";
import { handler as work } from "./work.ts";

/** Time goes that much quicker, so that what is looked at every few seconds is looked at often. */
const SPEED = 20;

let resources: readonly RegisteredResource[];
beforeAll(async () => {
  resources = await inFolder(() => deployResources((cloud) => void new ConformanceTasks(cloud)));
}, 120_000);

testTasks("Alibaba Cloud, on fakes of its services that keep to the policies of roles", async () => {
  const clock = quickClock();
  const queues = queuesOf(resources);
  const oss = new FakeOss(deployedAddress(resources, "tasks-work").claims!);
  const smq = new FakeSmq({ [queues.successes]: { visibility: 30 }, [queues.failures]: { visibility: 30 } });
  const tablestore = new FakeTablestore();
  const sls = new FakeSls("functions", clock.now);
  const fc = new FakeFc(SPEED);
  const guard = new Guard(policiesOf(resources));
  guardFake(oss.server, "oss", guard);
  guardFake(smq.server, "smq", guard);
  guardFake(tablestore.server, "tablestore", guard);
  guardFake(fc.server, "fc", guard);
  const servers = [oss.server, smq.server, tablestore.server, sls.server, fc.server];
  const [bucketEndpoint, queueEndpoint, tableEndpoint, logsEndpoint, functionEndpoint] = (await Promise.all(
    servers.map((server) => server.start()),
  )) as [string, string, string, string, string];
  const place = { bucketEndpoint, queueEndpoint, tableEndpoint, logsEndpoint, functionEndpoint };
  const addresses = Object.fromEntries(CONFORMANCE_TASKS.map((task) => [task.name, { ...addressOf(task), ...place }]));
  for (const address of Object.values(addresses)) deploy({ fc, sls, clock }, address);
  const client = connectAlicloud({ addresses, credentials: () => KEYS, region: "cn-hangzhou", clock });
  return {
    client,
    refused: () => guard.refused,
    envelopes: async (queue) => smq.bodies(queues[queue]).map((body) => JSON.parse(body) as Envelope),
    async close() {
      await fc.close();
      await Promise.all([oss.server, smq.server, tablestore.server, sls.server].map((server) => server.close()));
    },
  };
});

/** As the deployment writes it, but for the times, and for queues by the names that the suite knows. */
const addressOf = (task: TaskDefinition): LinkAddress => ({
  ...deployedAddress(resources, task.name),
  definition: JSON.stringify(task),
  queues: JSON.stringify(queuesOf(resources)),
});

function deployedAddress(resources: readonly RegisteredResource[], task: string): LinkAddress {
  const { environmentVariables } = inputsOf(resources, "V3Function", `${task}-work`);
  return readEnvironment(environmentVariables).links[OWN_TASK] as LinkAddress;
}

const queuesOf = (resources: readonly RegisteredResource[]) => ({
  successes: inputsOf(resources, "ServiceQueue", "tasks-successes").queueName as string,
  failures: inputsOf(resources, "ServiceQueue", "tasks-failures").queueName as string,
});

/** The three functions of a task, run by the entry that runs them on the service. */
function deploy({ fc, sls, clock }: { fc: FakeFc; sls: FakeSls; clock: Clock }, address: LinkAddress): void {
  const { part, worker, dispatcher, keeper, definition } = address as typeof address &
    Record<"worker" | "dispatcher" | "keeper" | "definition", string>;
  const { timeout } = JSON.parse(definition) as TaskDefinition;
  const handlerOf = (name: string, handler: unknown, link: string, module: () => Promise<unknown>) => {
    const deployment = { handler, code: {}, settings: {}, ports: { [link]: module } } as unknown as Deployment;
    const surroundings = {
      place: { region: address.region!, account: address.account! },
      logLevel: "info",
      tools: {},
      sources: {},
    } as const;
    const variables = writeEnvironment({ ...surroundings, links: { [link]: address } });
    return start(deployment, { variables, clock, write: (line) => sls.collect(name, line) });
  };
  fc.functions.set(worker, {
    credentials: keysOf(`${part}-work`),
    handler: handlerOf(worker, work, OWN_TASK, () => import("../../lib/clouds/alicloud/runtime/own-task.ts")),
    timeout,
    asyncTask: true,
    onFailure: keeper,
  });
  fc.functions.set(dispatcher, {
    credentials: keysOf(`${part}-dispatch`),
    handler: handlerOf(dispatcher, dispatch, "task", () => import("../../lib/clouds/alicloud/runtime/task.ts")),
    timeout: 60,
  });
  fc.functions.set(keeper, {
    credentials: keysOf(`${part}-keep`),
    handler: handlerOf(keeper, keep, "tasks", () => import("../../lib/clouds/alicloud/runtime/keeper.ts")),
    timeout: 120,
  });
  fc.every(60, keeper);
}

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
