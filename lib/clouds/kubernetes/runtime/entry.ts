import { DeployedFunction } from "../../../runtime/deployed.ts";
import type { Deployment } from "../../../runtime/deployment.ts";
import { jsonLog } from "../../../runtime/json-log.ts";
import { SURROUNDINGS, type Surroundings } from "../../../runtime/surroundings.ts";
import { readEnvironment } from "../../../shared/environment.ts";
import { type KubernetesWorld, natsAccess, sharedNats } from "./account.ts";
import { readFunctionJson } from "./function-json.ts";
import { FunctionWork } from "./function-work.ts";
import { answerHealth } from "./health.ts";
import { Receiver } from "./receiver.ts";

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
  await receiver.run();
  health?.close();
  await close();
  // What a handler has left behind, timers and connections, does not keep the pod.
  process.exit(isStuck ? 1 : 0);
}
