import { tmpdir } from "node:os";
import { type Clock, systemClock } from "../../../runtime/clock.ts";
import type { Deployment, LinkAddress } from "../../../runtime/deployment.ts";
import { jsonLog } from "../../../runtime/json-log.ts";
import type { TaskService } from "../../../runtime/tasks/service.ts";
import { readEnvironment } from "../../../shared/environment.ts";
import { natsAccess, sharedNats } from "./account.ts";
import { insideCluster, type KubernetesApi } from "./api.ts";
import { answerHealth } from "./health.ts";
import { Jobs } from "./jobs.ts";
import type { KeeperWorld } from "./keeper.ts";
import { TaskKeeper } from "./task-keeper.ts";

/** What a deployment tells a keeper, as JSON in `MILLRACE_KEEPER`. */
export interface KeeperJson {
  /** Of its messages. */
  readonly subject: string;
  /** Where they are kept, and the durable consumer it gets them from. */
  readonly stream: string;
  readonly consumer: string;
  /** The suspended CronJob that its Jobs are made from. */
  readonly job: string;
  readonly namespace: string;
}

/** What is around a keeper; a test has its own. */
export interface KeepSurroundings {
  readonly variables: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  /** Takes a line of the log. */
  readonly write: (line: string) => void;
  readonly api: (variables: KeepSurroundings["variables"]) => Promise<KubernetesApi>;
}

const REAL: KeepSurroundings = {
  variables: process.env,
  clock: systemClock,
  write: (line) => void process.stdout.write(`${line}\n`),
  api: insideCluster,
};

/** The link to the task that is kept. */
const LINK = "tasks";

/** Milliseconds that it has to come to its end: less than the grace of a pod. */
const LONGEST_END = 20_000;

/** Runs the keeper of a task, until SIGTERM: called by the bundle when it is loaded. */
export async function start(deployment: Deployment, around: KeepSurroundings = REAL): Promise<void> {
  const { variables, clock, write } = around;
  const environment = readEnvironment(variables);
  const { stream, consumer, job, namespace } = settingsIn(variables);
  const address = environment.links[LINK] as LinkAddress;
  const log = jsonLog({ clock, write, level: environment.logLevel, fields: { keeper: address.part } });
  const api = await around.api(variables);
  const { nats, isConnected, close } = sharedNats(natsAccess(environment.place, variables));
  const jobs = new Jobs(api, namespace, address.part, job);
  const world: KeeperWorld = {
    signal: new AbortController().signal,
    clock,
    log,
    files: tmpdir(),
    nats,
    prefix: environment.place.prefix ?? "",
    platform: jobs,
  };
  const module = await deployment.ports[LINK]!();
  const service = (await module.port(address, world as never)) as TaskService;
  const keeper = new TaskKeeper({ service, jobs, nats, stream, consumer, clock, log });
  const ending = new AbortController();
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => ending.abort());
  const isReady = () => keeper.isAlive && isConnected() && !ending.signal.aborted;
  const health = answerHealth(variables, isReady, () => keeper.isAlive);
  ending.signal.addEventListener("abort", () => setTimeout(() => process.exit(1), LONGEST_END).unref());
  await keeper.run(ending.signal);
  health?.close();
  api.close();
  await close();
}

function settingsIn({ MILLRACE_KEEPER: text }: KeepSurroundings["variables"]): KeeperJson {
  if (!text) throw new Error("the environment variable MILLRACE_KEEPER is missing: this keeper was not deployed by us");
  return JSON.parse(text) as KeeperJson;
}
