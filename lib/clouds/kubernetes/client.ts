import { randomUUID } from "node:crypto";
import { tmpdir } from "node:os";
import { type Clock, systemClock } from "../../runtime/clock.ts";
import { field } from "../../runtime/deployment.ts";
import { MillraceError } from "../../runtime/errors.ts";
import type { Log } from "../../runtime/handler.ts";
import type { DeployedSystem } from "../../runtime/system.ts";
import { type Addresses, briefTaskClient, partAddress } from "../../runtime/tasks/brief-service.ts";
import type { TaskClient } from "../../runtime/tasks/task.ts";
import type { WorkflowClient } from "../../runtime/workflows/run.ts";
import { type KubernetesWorld, sharedNats } from "./runtime/account.ts";
import { type ApiTarget, KubernetesApi } from "./runtime/api.ts";
import { port as bucketPort } from "./runtime/bucket.ts";
import { podLogs } from "./runtime/pod-logs.ts";
import { port as queuePort } from "./runtime/queue.ts";
import { inspector } from "./runtime/queue-inspector.ts";
import { taskService } from "./runtime/task-service.ts";
import { type ArgoFlow, port as flowPort } from "./runtime/workflow.ts";

export type { ApiTarget } from "./runtime/api.ts";

/** The tasks of a deployed stack, and how they are reached from where this program runs. */
export interface KubernetesTarget {
  /** The addresses of its parts, by their names: `addresses` of the stack's output `millrace`. */
  readonly addresses: Addresses;
  readonly nats: {
    /** `nats://host:4222`, or several. */
    readonly servers: string | readonly string[];
    readonly user?: string;
    readonly password?: string;
    readonly token?: string;
  };
  /** The store that large payloads and results lie in. */
  readonly store?: {
    /** @default the one that the stack itself uses */
    readonly endpoint?: string;
    /** @default the AWS SDK's own chain: the environment, shared files */
    readonly credentials?: { readonly accessKeyId: string; readonly secretAccessKey: string };
  };
  /** The API server, for the logs of runs: who asks it may list pods and read their logs. @default `logs` is refused, and says what to do */
  readonly api?: ApiTarget;
  /** For what goes on behind the answers. @default nobody reads it */
  readonly log?: Log;
  /** @default the machine's */
  readonly clock?: Clock;
}

/** Holds a connection to NATS from the first call on. */
export interface KubernetesTasks extends TaskClient {
  /** Ends the connection, which keeps the program running until then. */
  close(): Promise<void>;
}

/**
 * Submits tasks and looks after them on Kubernetes, from a user's own program, in the cluster or outside it: nothing of
 * Pulumi is loaded, and Node 20 will do. Needs the packages `@nats-io/transport-node`, `@nats-io/jetstream` and
 * `@aws-sdk/client-s3`.
 *
 * @example
 * // pulumi stack output --json > stack.json
 * import { readFileSync } from "node:fs";
 * const { addresses } = JSON.parse(readFileSync("stack.json", "utf8")).millrace;
 * const tasks = connectKubernetes({ addresses, nats: { servers: "nats://localhost:4222" } });
 * await tasks.submit("resize-task", { image: "cat.png" }, { id: "cat" });
 * await tasks.close();
 */
export function connectKubernetes(target: KubernetesTarget): KubernetesTasks {
  const { addresses, api: apiTarget, clock = systemClock } = target;
  const { world, close } = worldOf(target);
  const api = apiTarget && new KubernetesApi(apiTarget);
  const endpoint = target.store?.endpoint;
  const tasks = briefTaskClient(addresses, (address) =>
    taskService({ ...address, ...(endpoint !== undefined && { endpoint }) }, world, {
      ...(api && { logs: podLogs(api, field(address, "namespace"), clock) }),
    }),
  );
  return {
    ...tasks,
    async close() {
      api?.close();
      await close();
    },
  };
}

/**
 * A whole deployed stack from outside: its tasks, workflows, buckets and queues.
 *
 * @param target `nats.servers`: by default NATS_URL of the environment, which is what a port that is forwarded to NATS
 * is given by, with NATS_USER and NATS_PASSWORD or NATS_TOKEN; `store.endpoint`: by default MILLRACE_STORE_ENDPOINT
 */
export function openKubernetes(
  target: Omit<KubernetesTarget, "nats"> & Partial<Pick<KubernetesTarget, "nats">>,
): DeployedSystem {
  const { addresses, nats = environmentNats(), store = environmentStore() } = target;
  const whole = { ...target, nats, store };
  const tasks = connectKubernetes(whole);
  const { world, close } = worldOf(whole);
  const { endpoint } = store;
  return {
    tasks,
    workflows: workflowClient(addresses, (name) => flowPort(partAddress(addresses, "workflow", name), world)),
    bucket: async (name) =>
      bucketPort({ ...partAddress(addresses, "bucket", name), ...(endpoint !== undefined && { endpoint }) }, world),
    async queue(name) {
      const address = partAddress(addresses, "queue", name);
      return Object.assign(queuePort(address, world), inspector(address, world));
    },
    close: async () => void (await Promise.all([tasks.close(), close()])),
  };
}

/** Runs of the stack's workflows; a callback is looked for in each of them. */
function workflowClient(addresses: Addresses, open: (workflow: string) => ArgoFlow): WorkflowClient {
  return {
    start: async (workflow, input, { id = randomUUID() } = {}) => open(workflow).start(id, input),
    get: async (workflow, id) => open(workflow).get(id),
    list: async (workflow, filter) => open(workflow).list(filter),
    stop: async (workflow, id) => open(workflow).stop(id),
    retry: async (workflow, id) => open(workflow).retry(id),
    answer: async (callback, answer) => {
      for (const [name, { kind }] of Object.entries(addresses)) {
        if (kind !== "workflow") continue;
        const workflow = open(name);
        if (await workflow.has(callback)) return workflow.answer(callback, answer);
      }
      throw new MillraceError("not-found", `no run waits for the answer to "${callback}"`);
    },
  };
}

function environmentNats(): KubernetesTarget["nats"] {
  const { NATS_URL, NATS_USER, NATS_PASSWORD, NATS_TOKEN } = process.env;
  if (!NATS_URL)
    throw new MillraceError(
      "refused",
      "NATS_URL is not set: say where the stack's NATS is reached from here, for example after kubectl port-forward service/nats 4222",
    );
  return {
    servers: NATS_URL.split(","),
    ...(NATS_USER && { user: NATS_USER }),
    ...(NATS_PASSWORD && { password: NATS_PASSWORD }),
    ...(NATS_TOKEN && { token: NATS_TOKEN }),
  };
}

function environmentStore(): NonNullable<KubernetesTarget["store"]> {
  const { MILLRACE_STORE_ENDPOINT: endpoint } = process.env;
  return endpoint ? { endpoint } : {};
}

function worldOf({ nats, store, log = silent, clock = systemClock }: KubernetesTarget) {
  const { servers, ...access } = nats;
  const shared = sharedNats({ url: [servers].flat().join(","), name: "millrace/client", ...access });
  const keys = store?.credentials;
  const world: KubernetesWorld = {
    signal: new AbortController().signal,
    clock,
    log,
    files: tmpdir(),
    nats: shared.nats,
    prefix: "",
    ...(keys && { credentials: async () => keys }),
  };
  return { world, close: shared.close };
}

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };
