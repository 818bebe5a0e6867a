import { fileURLToPath } from "node:url";
import { afterAll, beforeAll } from "vitest";
import { connectKubernetes } from "../../lib/clouds/kubernetes/client.ts";
import { Jobs } from "../../lib/clouds/kubernetes/runtime/jobs.ts";
import { port as keeperPort } from "../../lib/clouds/kubernetes/runtime/keeper.ts";
import { TaskKeeper } from "../../lib/clouds/kubernetes/runtime/task-keeper.ts";
import type { Log } from "../../lib/runtime/handler.ts";
import { CONFORMANCE_TASKS, testTasks } from "../ports/tasks-conformance.ts";
import { Cluster, type Stack } from "./kubernetes/cluster.ts";
import { quickClock } from "./kubernetes/quick-clock.ts";
import { type NatsServer, startNats } from "./servers/index.ts";

/** Time goes that much quicker, so that what is looked at every few seconds is looked at often. */
const SPEED = 10;

let nats: NatsServer;
let cluster: Cluster;
beforeAll(async () => {
  nats = await startNats();
  cluster = await Cluster.start(nats.url, fileURLToPath(new URL("../ports/work.ts", import.meta.url)));
});
afterAll(async () => {
  await cluster?.stop();
  await nats?.stop();
});

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };

testTasks("Kubernetes, on a real API server, NATS and S3", async () => {
  const pace = { begin: Date.now(), speed: SPEED };
  const clock = quickClock(pace.begin, pace.speed);
  // Processes take their time to start, whatever the clock says.
  const definitions = CONFORMANCE_TASKS.map((task) => ({ ...task, timeout: task.timeout * SPEED, grace: 2 * SPEED }));
  const stack = await cluster.stack(definitions, pace);
  const ending = new AbortController();
  const token = await stack.token("keeper");
  const keepers = definitions.map(({ name }) => keep(stack, name, token, clock, ending.signal));
  const { s3 } = cluster;
  const client = connectKubernetes({
    addresses: stack.addresses,
    nats: { servers: nats.url },
    store: { credentials: s3.credentials },
    clock,
  });
  return {
    client,
    readsLogs: false,
    envelopes: (queue) => stack.envelopes(queue),
    async close() {
      ending.abort();
      await Promise.all(keepers);
      await client.close();
      await stack.close();
    },
  };
});

/** A keeper as `keep.ts` makes it, in this process. */
async function keep(
  stack: Stack,
  task: string,
  token: string,
  clock: ReturnType<typeof quickClock>,
  signal: AbortSignal,
): Promise<void> {
  const address = stack.addresses[task]!;
  const api = cluster.api(token);
  const jobs = new Jobs(api, stack.namespace, task, address.job!);
  const world = {
    ...{ signal: new AbortController().signal, clock, log: silent, files: "/nowhere", prefix: stack.namespace },
    nats: () => cluster.shared.nats(),
    platform: jobs,
    credentials: async () => cluster.s3.credentials,
  };
  const service = await keeperPort(address, world);
  const { nats } = world;
  const keeper = new TaskKeeper({
    service,
    jobs,
    nats,
    stream: stack.stream,
    consumer: `keep-${task}`,
    clock,
    log: silent,
  });
  await keeper.run(signal);
  api.close();
}
