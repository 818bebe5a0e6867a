import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { constants as os, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import type { KubernetesApi, ObjectMeta } from "../../../lib/clouds/kubernetes/runtime/api.ts";

interface Resource {
  readonly metadata: ObjectMeta & {
    readonly ownerReferences?: readonly { readonly uid: string }[];
    readonly deletionGracePeriodSeconds?: number;
  };
}

export interface StoredJob extends Resource {
  readonly spec: {
    readonly suspend?: boolean;
    readonly activeDeadlineSeconds?: number;
    readonly podFailurePolicy?: { readonly rules: readonly object[] };
    readonly template: { readonly metadata?: Partial<ObjectMeta>; readonly spec: object };
  };
  readonly status?: {
    readonly startTime?: string;
    readonly conditions?: readonly { readonly type: string; readonly reason?: string }[];
  };
}

export interface StoredPod extends Resource {
  readonly spec: {
    readonly containers: readonly {
      readonly name: string;
      readonly command: readonly string[];
      readonly env?: readonly { readonly name: string; readonly value?: string }[];
    }[];
  };
  readonly status: { readonly phase?: string };
}

interface Terminated {
  readonly exitCode: number;
  readonly signal?: number;
  readonly reason: string;
  readonly startedAt: string;
  readonly finishedAt: string;
}

/** A line that a container has printed. */
export interface PrintedLine {
  readonly time: string;
  readonly text: string;
}

/** Puts conditions together as the controllers do. */
const condition = (type: string, reason: string) => ({
  type,
  status: "True",
  reason,
  message: reason,
  lastTransitionTime: new Date().toISOString(),
});

/**
 * Plays, in one namespace of a real API server, all that makes Jobs run: the controller of Jobs, the garbage collector,
 * and a node, whose containers are processes of this machine.
 */
export class StandInNode {
  readonly #api: KubernetesApi;
  readonly #namespace: string;
  readonly #over = new AbortController();
  readonly #folder = mkdtempSync(join(tmpdir(), "millrace-node-"));
  /** Jobs that have got their pod. */
  readonly #started = new Set<string>();
  readonly #containers = new Map<string, ChildProcess>();
  readonly #ending = new Set<string>();
  readonly #kubelet: Server;
  readonly #evicted = new Set<string>();
  readonly #work = new Set<Promise<void>>();
  /** What each pod has printed. */
  readonly logs = new Map<string, PrintedLine[]>();
  /** The command lines that were run, with when: every start of every worker. */
  readonly runs: { readonly pod: string; readonly attempt: string; readonly from: number; until?: number }[] = [];

  /** @param api as somebody who may do everything */
  constructor(api: KubernetesApi, namespace: string) {
    this.#api = api;
    this.#namespace = namespace;
    this.#kubelet = this.#serveLogs();
    this.#go(this.#register());
    this.#go(this.#follow<StoredJob>(this.path.jobs, (type, job) => this.#onJob(type, job)));
    this.#go(this.#follow<StoredPod>(this.path.pods, (type, pod) => this.#onPod(type, pod)));
  }

  get path() {
    return {
      jobs: `/apis/batch/v1/namespaces/${this.#namespace}/jobs`,
      pods: `/api/v1/namespaces/${this.#namespace}/pods`,
    };
  }

  /** The pods that run now, by name. */
  get running(): readonly string[] {
    return [...this.#containers.keys()];
  }

  /** Sends a signal to the process of a pod, as somebody on the node could. */
  kill(pod: string, signal: NodeJS.Signals): void {
    this.#containers.get(pod)?.kill(signal);
  }

  /** Ends a pod as a cluster does that wants its node for something else. */
  async evict(pod: string): Promise<void> {
    this.#evicted.add(pod);
    const path = `${this.path.pods}/${pod}`;
    await this.#setStatus(path, { conditions: [condition("DisruptionTarget", "EvictionByEvictionAPI")] });
    await this.#api.find({ verb: "delete", path, body: {} });
  }

  /** Ends everything that runs, without a word to anybody. */
  async close(): Promise<void> {
    this.#over.abort();
    this.#kubelet.closeAllConnections();
    this.#kubelet.close();
    for (const child of this.#containers.values()) child.kill("SIGKILL");
    while (this.#work.size > 0) await Promise.all(this.#work);
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #go(work: Promise<void>): void {
    const watched = work
      .catch((error: unknown) => {
        if (!this.#over.signal.aborted) console.error("the stand-in of a node:", error);
      })
      .finally(() => this.#work.delete(watched));
    this.#work.add(watched);
  }

  async #follow<One extends Resource>(path: string, hear: (type: string, one: One) => void): Promise<void> {
    const list = await this.#api.ask<{ metadata: { resourceVersion: string }; items: One[] }>({ verb: "list", path });
    for (const one of list.items) hear("ADDED", one);
    let { resourceVersion } = list.metadata;
    while (!this.#over.signal.aborted) {
      const query = { resourceVersion };
      for await (const { type, object } of this.#api.watch<One>({ path, query, signal: this.#over.signal })) {
        resourceVersion = object.metadata.resourceVersion ?? resourceVersion;
        if (type !== "BOOKMARK") hear(type, object);
      }
    }
  }

  /** So that the API server finds who has the logs. */
  async #register(): Promise<void> {
    if (!this.#kubelet.listening) await new Promise((resolve) => this.#kubelet.once("listening", resolve));
    const { port: Port } = this.#kubelet.address() as AddressInfo;
    const addresses = [{ type: "InternalIP", address: "127.0.0.1" }];
    const status = { addresses, daemonEndpoints: { kubeletEndpoint: { Port } } };
    const body = { apiVersion: "v1", kind: "Node", metadata: { name: this.#namespace }, status };
    await this.#api.ask({ verb: "create", path: "/api/v1/nodes", body });
  }

  /** `GET /containerLogs/<namespace>/<pod>/<container>`, as kubelets answer the API server. */
  #serveLogs(): Server {
    const server = createServer(certificate(this.#folder), async ({ url = "/" }, response) => {
      const { pathname, searchParams } = new URL(url, "https://kubelet");
      const pod = pathname.split("/")[3] ?? "";
      const lines = this.logs.get(pod) ?? [];
      const tail = searchParams.get("tailLines");
      let sent = tail === null ? 0 : Math.max(0, lines.length - Number(tail));
      const isOpen = () => !response.destroyed && !this.#over.signal.aborted;
      response.writeHead(200, { "content-type": "text/plain" });
      response.flushHeaders();
      do {
        const hasEnded = !this.#containers.has(pod);
        for (; sent < lines.length; sent++) {
          const { time, text } = lines[sent]!;
          response.write(searchParams.has("timestamps") ? `${time} ${text}\n` : `${text}\n`);
        }
        if (searchParams.get("follow") !== "true" || hasEnded) break;
        await sleep(20);
      } while (isOpen());
      response.end();
    });
    return server.listen(0, "127.0.0.1");
  }

  #onJob(type: string, job: StoredJob): void {
    const uid = job.metadata.uid!;
    if (type === "DELETED") this.#go(this.#collect(uid));
    else if (!this.#started.has(uid) && !job.spec.suspend) {
      this.#started.add(uid);
      this.#go(this.#startJob(job));
    }
  }

  async #startJob(job: StoredJob): Promise<void> {
    const { name, uid } = job.metadata;
    await this.#setStatus(`${this.path.jobs}/${name}`, { startTime: new Date().toISOString(), active: 1, ready: 0 });
    const { metadata = {}, spec } = job.spec.template;
    await this.#api.ask({
      verb: "create",
      path: this.path.pods,
      body: {
        apiVersion: "v1",
        kind: "Pod",
        metadata: {
          name: `${name}-${uid!.slice(0, 5)}`,
          labels: { ...metadata.labels, "batch.kubernetes.io/job-name": name },
          ownerReferences: [{ apiVersion: "batch/v1", kind: "Job", name, uid, controller: true }],
        },
        spec: { ...spec, nodeName: this.#namespace },
      },
    });
    if (job.spec.activeDeadlineSeconds !== undefined) this.#go(this.#endInTime(job, job.spec.activeDeadlineSeconds));
  }

  async #endInTime({ metadata: { name, uid } }: StoredJob, seconds: number): Promise<void> {
    await sleep(seconds * 1000, undefined, { signal: this.#over.signal }).catch(() => {});
    if (this.#over.signal.aborted) return;
    const job = await this.#api.find<StoredJob>({ verb: "get", path: `${this.path.jobs}/${name}` });
    if (!job || job.metadata.uid !== uid || job.status?.conditions?.length) return;
    await this.#setStatus(`${this.path.jobs}/${name}`, {
      conditions: [condition("FailureTarget", "DeadlineExceeded")],
    });
    await this.#collect(uid!);
  }

  /** Deletes what belonged to what is gone. */
  async #collect(uid: string): Promise<void> {
    const { items } = await this.#api.ask<{ items: StoredPod[] }>({ verb: "list", path: this.path.pods });
    for (const { metadata } of items) {
      if (!metadata.ownerReferences?.some((owner) => owner.uid === uid)) continue;
      await this.#api.find({ verb: "delete", path: `${this.path.pods}/${metadata.name}`, body: {} });
    }
  }

  #onPod(type: string, pod: StoredPod): void {
    const { name, deletionTimestamp, deletionGracePeriodSeconds = 30 } = pod.metadata;
    if (type === "ADDED" && !deletionTimestamp) this.#go(this.#run(pod));
    if (type === "DELETED" || !deletionTimestamp || this.#ending.has(name)) return;
    this.#ending.add(name);
    this.#go(this.#end(name, deletionGracePeriodSeconds));
  }

  async #end(name: string, graceSeconds: number): Promise<void> {
    const child = this.#containers.get(name);
    child?.kill("SIGTERM");
    const timer = setTimeout(() => child?.kill("SIGKILL"), graceSeconds * 1000);
    this.#over.signal.addEventListener("abort", () => clearTimeout(timer));
    if (!child) await this.#remove(name);
  }

  /** Nothing is left of it: now it goes from the API server too. */
  async #remove(name: string): Promise<void> {
    await this.#api.find({ verb: "delete", path: `${this.path.pods}/${name}`, body: { gracePeriodSeconds: 0 } });
  }

  async #run(pod: StoredPod): Promise<void> {
    const { name } = pod.metadata;
    if (this.#containers.has(name) || pod.status.phase === "Succeeded" || pod.status.phase === "Failed") return;
    const { command, env = [] } = pod.spec.containers.find((one) => one.name === "main")!;
    const variables = Object.fromEntries(env.map(({ name, value = "" }) => [name, expanded(value)]));
    const child = spawn(command[0]!, command.slice(1), {
      cwd: this.#folder,
      env: { PATH: process.env.PATH, TMPDIR: this.#folder, ...variables },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#containers.set(name, child);
    const { attemptId = "" } = JSON.parse(variables.MILLRACE_ATTEMPT ?? "{}") as { readonly attemptId?: string };
    const run: (typeof this.runs)[number] = { pod: name, attempt: attemptId, from: Date.now() };
    this.runs.push(run);
    const lines: PrintedLine[] = [];
    this.logs.set(name, lines);
    for (const output of [child.stdout, child.stderr])
      createInterface({ input: output }).on("line", (text) => lines.push({ time: new Date().toISOString(), text }));
    const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
      child.once("close", (code, signal) => resolve({ code, signal }));
    });
    const startedAt = new Date().toISOString();
    await this.#setStatus(`${this.path.pods}/${name}`, {
      phase: "Running",
      startTime: startedAt,
      containerStatuses: [containerStatus({ running: { startedAt } })],
    });
    const { code, signal } = await ended;
    run.until = Date.now();
    this.#containers.delete(name);
    if (this.#over.signal.aborted) return;
    const exitCode = code ?? 128 + os.signals[signal!];
    await this.#report(pod, {
      exitCode,
      ...(signal && { signal: os.signals[signal] }),
      reason: exitCode === 0 ? "Completed" : "Error",
      startedAt,
      finishedAt: new Date().toISOString(),
    });
  }

  async #report(pod: StoredPod, terminated: Terminated): Promise<void> {
    const { name } = pod.metadata;
    const hasSucceeded = terminated.exitCode === 0;
    await this.#setStatus(`${this.path.pods}/${name}`, {
      phase: hasSucceeded ? "Succeeded" : "Failed",
      containerStatuses: [containerStatus({ terminated })],
    });
    const owner = pod.metadata.ownerReferences![0]!.uid;
    if (this.#ending.has(name)) await this.#remove(name);
    const { items } = await this.#api.ask<{ items: StoredJob[] }>({ verb: "list", path: this.path.jobs });
    const job = items.find(({ metadata }) => metadata.uid === owner);
    if (!job) return;
    const late = job.status?.conditions?.find(({ type }) => type === "FailureTarget");
    const reason = this.#evicted.has(name) && job.spec.podFailurePolicy ? "PodFailurePolicy" : "BackoffLimitExceeded";
    await this.#setStatus(`${this.path.jobs}/${job.metadata.name}`, {
      active: 0,
      ...(hasSucceeded && !late
        ? {
            succeeded: 1,
            completionTime: new Date().toISOString(),
            conditions: [
              condition("SuccessCriteriaMet", "CompletionsReached"),
              condition("Complete", "CompletionsReached"),
            ],
          }
        : {
            failed: 1,
            conditions: [late ?? condition("FailureTarget", reason), condition("Failed", late?.reason ?? reason)],
          }),
    });
  }

  async #setStatus(path: string, status: object): Promise<void> {
    for (let tries = 1; ; tries++) {
      const current = await this.#api.find<Resource & { readonly status?: object }>({ verb: "get", path });
      if (!current) return;
      try {
        const body = { ...current, status: { ...current.status, ...status } };
        await this.#api.ask({ verb: "update", path: `${path}/status`, body });
        return;
      } catch (error) {
        const { kind } = error as { readonly kind?: string };
        if (kind === "not-found") return;
        if (kind !== "conflict" || tries === 10) throw error;
      }
    }
  }
}

/** The API server takes any from a kubelet, unless it is told whose to take. */
function certificate(folder: string) {
  const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
  const args = ["-newkey", "rsa:2048", "-nodes", "-subj", "/CN=stand-in", "-keyout", key, "-out", cert, "-days", "2"];
  execFileSync("openssl", ["req", "-x509", ...args], { stdio: "ignore" });
  return { key: readFileSync(key), cert: readFileSync(cert) };
}

const containerStatus = (state: object) => ({
  name: "main",
  image: "node",
  imageID: "node",
  ready: "running" in state,
  restartCount: 0,
  state,
});

/** As kubelets do it. https://github.com/kubernetes/kubernetes/blob/master/third_party/forked/golang/expansion/expand.go */
const expanded = (value: string): string =>
  value.replace(/\$\$|\$\(([^)]*)\)/g, (found, name?: string) => (name === undefined ? "$" : found));
