import type { Clock } from "../../../runtime/clock.ts";
import { DeployedFunction } from "../../../runtime/deployed.ts";
import type { Deployment } from "../../../runtime/deployment.ts";
import type { Log } from "../../../runtime/handler.ts";
import { jsonLog } from "../../../runtime/json-log.ts";
import { SURROUNDINGS, type Surroundings } from "../../../runtime/surroundings.ts";
import { OWN_STREAMS, readEnvironment } from "../../../shared/environment.ts";
import { type KubernetesWorld, natsAccess, sharedNats } from "./account.ts";
import { type FunctionJson, readFunctionJson } from "./function-json.ts";
import { FunctionWork } from "./function-work.ts";
import { answerHealth } from "./health.ts";
import { Receiver } from "./receiver.ts";
import type { StreamConsumer } from "./stream-consumer.ts";

/**
 * Runs a function until SIGTERM: called by the bundle when it is loaded. At the signal it begins nothing any more, gives
 * back what it has not begun, and ends with 0 once what runs has ended, which the pod's grace has time for.
 */
export async function start(deployment: Deployment, around: Surroundings = SURROUNDINGS): Promise<void> {
  const { variables, clock, write } = around;
  const environment = readEnvironment(variables);
  const spec = readFunctionJson(variables);
  const { prefix = "" } = environment.place;
  const { nats, isConnected, close } = sharedNats(natsAccess(environment.place, variables));
  const world = (plain: object) => ({ ...plain, nats, prefix }) as KubernetesWorld;
  const deployed = new DeployedFunction({ deployment, environment, world, clock, write });
  const log = jsonLog({ clock, write, level: environment.logLevel, fields: { function: spec.function } });
  const ending = new AbortController();
  let isStuck = false;
  const onStuck = () => {
    isStuck = true;
    ending.abort();
  };
  const { signal } = ending;
  const work = new FunctionWork({
    spec,
    deployed,
    ports: deployment.ports,
    nats,
    prefix,
    clock,
    random: Math.random,
    log,
    ending: signal,
    onStuck,
  });
  const receiver = new Receiver({ inlets: work.inlets, concurrency: spec.concurrency, nats, clock, log });
  signal.addEventListener("abort", () => receiver.end());
  for (const name of ["SIGTERM", "SIGINT"] as const) process.once(name, () => ending.abort());
  const health = answerHealth(variables, () => receiver.isReady && isConnected() && !signal.aborted);
  await Promise.all([receiver.run(), ...(await streamsOf(deployment, spec, { work, clock, log, signal }))]);
  health?.close();
  await close();
  // What a handler has left behind, timers and connections, does not keep the pod.
  process.exit(isStuck ? 1 : 0);
}

interface StreamsWorld {
  readonly work: FunctionWork;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** One for each stream that starts the function, until the signal. What Kafka refuses for good ends the process. */
async function streamsOf(
  { ports }: Deployment,
  { streams }: FunctionJson,
  { work, ...options }: StreamsWorld,
): Promise<readonly Promise<void>[]> {
  if (streams.length === 0) return [];
  const module = await ports[OWN_STREAMS]!();
  const consumer = (await module.port({ kind: "stream", part: "" }, undefined as never)) as StreamConsumer;
  return streams.map((source) =>
    consumer.consume(source, { ...options, handle: (records) => work.records(source.stream, records) }),
  );
}
