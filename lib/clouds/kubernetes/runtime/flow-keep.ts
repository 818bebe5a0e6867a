import { tmpdir } from "node:os";
import type { LinkAddress } from "../../../runtime/deployment.ts";
import { jsonLog } from "../../../runtime/json-log.ts";
import { SURROUNDINGS } from "../../../runtime/surroundings.ts";
import { readEnvironment } from "../../../shared/environment.ts";
import { natsAccess, sharedNats } from "./account.ts";
import { insideCluster, type KubernetesApi } from "./api.ts";
import { ArgoWorkflows } from "./argo.ts";
import type { handler as keeperOf } from "./flow-keeper.ts";
import { rowsOf } from "./flow-rows.ts";
import type { FlowTemplates } from "./flow-steps.ts";
import { answerHealth } from "./health.ts";
import type { KeepSurroundings } from "./keep.ts";

/** What a deployment tells the keeper of a workflow, as JSON in `MILLRACE_KEEPER`. */
export interface FlowKeeperJson {
  /** Where its messages are kept, and the durable consumer it gets them from. */
  readonly stream: string;
  readonly consumer: string;
  readonly namespace: string;
  /** The WorkflowTemplate. */
  readonly template: string;
  readonly templates: FlowTemplates;
  /** Of what it makes. */
  readonly labels: Readonly<Record<string, string>>;
  /** Longest time of a run, in seconds. */
  readonly timeout: number;
}

/** The link to the workflow that is kept. */
export const KEPT_FLOW = "runs";

/** Milliseconds that it has to come to its end: less than the grace of a pod. */
const LONGEST_END = 20_000;

const REAL: KeepSurroundings = { ...SURROUNDINGS, api: insideCluster };

/** Runs the keeper of a workflow, until SIGTERM: called by the bundle when it is loaded. */
export async function start(
  { handler }: { readonly handler: typeof keeperOf },
  around: KeepSurroundings = REAL,
): Promise<void> {
  const { variables, clock, write } = around;
  const environment = readEnvironment(variables);
  const { stream, consumer, namespace, template, templates, labels, timeout } = settingsIn(variables);
  const address = environment.links[KEPT_FLOW] as LinkAddress;
  const log = jsonLog({ clock, write, level: environment.logLevel, fields: { keeper: address.part } });
  const api: KubernetesApi = await around.api(variables);
  const { nats, isConnected, close } = sharedNats(natsAccess(environment.place, variables));
  const { prefix = "" } = environment.place;
  const { signal } = new AbortController();
  const keeper = handler({
    ...{ template, templates, timeout, nats, stream, consumer, clock, log },
    rows: rowsOf(address, { signal, clock, log, files: tmpdir(), nats, prefix }),
    workflows: new ArgoWorkflows(api, { namespace, template, labels }),
  });
  const ending = new AbortController();
  for (const name of ["SIGTERM", "SIGINT"] as const) process.once(name, () => ending.abort());
  const isReady = () => keeper.isAlive && isConnected() && !ending.signal.aborted;
  const health = answerHealth(variables, isReady, () => keeper.isAlive);
  ending.signal.addEventListener("abort", () => setTimeout(() => process.exit(1), LONGEST_END).unref());
  await keeper.run(ending.signal);
  health?.close();
  api.close();
  await close();
}

function settingsIn({ MILLRACE_KEEPER: text }: KeepSurroundings["variables"]): FlowKeeperJson {
  if (!text) throw new Error("the environment variable MILLRACE_KEEPER is missing: this keeper was not deployed by us");
  return JSON.parse(text) as FlowKeeperJson;
}
