import type { ErrorRecord } from "../../../runtime/errors.ts";
import { MillraceError } from "../../../runtime/errors.ts";
import { type AttemptCall, attemptCall } from "../../../runtime/tasks/attempt.ts";
import type { AttemptRef } from "../../../runtime/tasks/ids.ts";
import type { AttemptStart, AttemptState, TaskPlatform } from "../../../runtime/tasks/platform.ts";
import type { KubernetesApi, ObjectMeta, WatchEvent } from "./api.ts";
import { attemptVariable, type EnvironmentVariable } from "./attempt-variable.ts";
import { attemptIn, attemptNote, BOOTSTRAP, jobName, labelsOf, selector, taskLabels, WORKER } from "./labels.ts";

/** Of a Job what we ask about. https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/job-v1/ */
export interface Job {
  readonly metadata: ObjectMeta;
  readonly status?: { readonly conditions?: readonly Condition[] };
}

/** Of a pod what we ask about. https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/ */
export interface Pod {
  readonly metadata: ObjectMeta;
  readonly status?: {
    readonly phase?: string;
    readonly reason?: string;
    readonly message?: string;
    readonly conditions?: readonly Condition[];
    readonly initContainerStatuses?: readonly ContainerStatus[];
    readonly containerStatuses?: readonly ContainerStatus[];
  };
}

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason?: string;
  readonly message?: string;
}

interface ContainerStatus {
  readonly name: string;
  readonly state?: {
    readonly terminated?: {
      readonly exitCode: number;
      readonly signal?: number;
      readonly reason?: string;
      readonly message?: string;
    };
  };
}

/** Of a suspended CronJob what its attempts' Jobs are made of. */
interface Template {
  readonly metadata: ObjectMeta;
  readonly spec: {
    readonly jobTemplate: {
      readonly metadata?: Partial<ObjectMeta>;
      readonly spec: {
        readonly template: {
          readonly metadata?: Partial<ObjectMeta>;
          readonly spec: { readonly containers: readonly Container[] };
        };
      };
    };
  };
}

interface Container {
  readonly name: string;
  readonly env?: readonly EnvironmentVariable[];
}

/** What is said of Jobs while they are followed. */
export type JobNews =
  | { readonly type: "all"; readonly jobs: readonly Job[] }
  | { readonly type: "changed" | "removed"; readonly job: Job };

/** Jobs in one answer: each may carry a payload. */
const PAGE = 100;

/** Seconds of one watch; then the next one begins where it ended. */
const WATCH_SECONDS = 240;

/** A Job that Kueue is to let in waits for it. https://kueue.sigs.k8s.io/docs/tasks/run/jobs/ */
const KUEUE = "kueue.x-k8s.io/queue-name";

/** The Jobs of one task's attempts, each made from the task's suspended CronJob. For the keeper: nobody else may. */
export class Jobs implements TaskPlatform {
  readonly #api: KubernetesApi;
  readonly #task: string;
  readonly #template: string;
  readonly #paths: { readonly jobs: string; readonly pods: string; readonly cronJobs: string };

  /** @param template name of the suspended CronJob */
  constructor(api: KubernetesApi, namespace: string, task: string, template: string) {
    this.#api = api;
    this.#task = task;
    this.#template = template;
    const batch = `/apis/batch/v1/namespaces/${namespace}`;
    this.#paths = {
      jobs: `${batch}/jobs`,
      cronJobs: `${batch}/cronjobs`,
      pods: `/api/v1/namespaces/${namespace}/pods`,
    };
  }

  start(attempt: AttemptStart): Promise<void> {
    return this.create(attemptCall(attempt));
  }

  /** Makes the attempt's Job; one that is there already is the same start told twice. */
  async create(call: AttemptCall): Promise<void> {
    const template = await this.#api.ask<Template>({ verb: "get", path: `${this.#paths.cronJobs}/${this.#template}` });
    try {
      await this.#api.ask({ verb: "create", path: this.#paths.jobs, body: jobOf(call, template) });
    } catch (error) {
      if (!(error instanceof MillraceError && error.kind === "conflict")) throw error;
    }
  }

  /** Deletes the attempt's Job: its pod gets the signal to end, and is killed when the grace of its template is over. */
  async stop(attempt: AttemptRef, graceSeconds: number): Promise<void> {
    await this.#api.find({
      verb: "delete",
      path: `${this.#paths.jobs}/${jobName(attempt)}`,
      body: {
        apiVersion: "v1",
        kind: "DeleteOptions",
        propagationPolicy: "Background",
        gracePeriodSeconds: Math.ceil(graceSeconds),
      },
    });
  }

  /** What became of the attempt. As long as a pod of it may run, it runs. */
  async inspect(attempt: AttemptRef): Promise<AttemptState> {
    const job = await this.#api.find<Job>({ verb: "get", path: `${this.#paths.jobs}/${jobName(attempt)}` });
    if (job && !isOver(job)) return "running";
    const { items: pods } = await this.#api.ask<{ readonly items: readonly Pod[] }>({
      verb: "list",
      path: this.#paths.pods,
      query: { labelSelector: selector(labelsOf(attempt)) },
    });
    if (pods.some(mayRun)) return "running";
    return job ? { error: errorOf(job, pods) } : "gone";
  }

  /** Tells of all Jobs of the task, then of every change, until the signal aborts or the server refuses. */
  async *follow(signal: AbortSignal): AsyncGenerator<JobNews, void> {
    while (!signal.aborted) {
      const { jobs, version } = await this.#list();
      yield { type: "all", jobs };
      yield* this.#watch(version, signal);
    }
  }

  async #list() {
    const jobs: Job[] = [];
    for (let next: string | undefined = ""; next !== undefined; ) {
      const page: JobPage = await this.#api.ask<JobPage>({
        verb: "list",
        path: this.#paths.jobs,
        query: { ...this.#selected(), limit: String(PAGE), ...(next && { continue: next }) },
      });
      // Without the payloads that their pods carry: only what is asked about is kept.
      jobs.push(...page.items.map(({ metadata, status }) => ({ metadata, ...(status && { status }) })));
      next = page.metadata.continue || undefined;
      if (next === undefined) return { jobs, version: page.metadata.resourceVersion };
    }
    throw new Error("a list has a last page");
  }

  /** Ends when the server has forgotten where it is to go on from (410): then everything is listed again. */
  async *#watch(from: string, signal: AbortSignal): AsyncGenerator<JobNews, void> {
    let version = from;
    while (!signal.aborted) {
      const query = { ...this.#selected(), resourceVersion: version, timeoutSeconds: String(WATCH_SECONDS) };
      try {
        for await (const event of this.#api.watch<Job>({ path: this.#paths.jobs, query, signal })) {
          if (event.type === "ERROR") return checkExpired(event);
          version = event.object.metadata.resourceVersion ?? version;
          if (event.type !== "BOOKMARK") {
            yield { type: event.type === "DELETED" ? "removed" : "changed", job: event.object };
          }
        }
      } catch (error) {
        if (error instanceof MillraceError && error.kind === "expired") return;
        throw error;
      }
    }
  }

  #selected() {
    return { labelSelector: selector(taskLabels(this.#task)) };
  }
}

interface JobPage {
  readonly metadata: { readonly resourceVersion: string; readonly continue?: string };
  readonly items: readonly Job[];
}

/** @throws `unavailable` unless the watch is merely too old */
function checkExpired({ object }: WatchEvent<unknown>): void {
  const { code, message } = object as { readonly code?: number; readonly message?: string };
  if (code !== 410) throw new MillraceError("unavailable", `Kubernetes, watch jobs: ${code} ${message}`);
}

/**
 * Owned by the CronJob, so that it goes with the stack, but not controlled by it: else the controller of CronJobs would
 * count it, and delete it when there are more than its history keeps.
 */
function jobOf(call: AttemptCall, { metadata: owner, spec: { jobTemplate } }: Template): object {
  const { metadata: head = {}, spec } = jobTemplate;
  const { metadata: podHead = {}, spec: podSpec } = spec.template;
  const labels = labelsOf(call);
  return {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: {
      name: jobName(call),
      labels: { ...head.labels, ...labels },
      annotations: { ...head.annotations, ...attemptNote(call) },
      ownerReferences: [
        { apiVersion: "batch/v1", kind: "CronJob", name: owner.name, uid: owner.uid, controller: false },
      ],
    },
    spec: {
      ...spec,
      podFailurePolicy: POD_FAILURES,
      ...(head.labels?.[KUEUE] !== undefined && { suspend: true }),
      template: {
        ...spec.template,
        metadata: { ...podHead, labels: { ...podHead.labels, ...labels } },
        spec: {
          ...podSpec,
          containers: podSpec.containers.map((container) =>
            container.name === WORKER
              ? { ...container, env: [...(container.env ?? []), attemptVariable(call)] }
              : container,
          ),
        },
      },
    },
  };
}

/**
 * The Job says so if the cluster ended its pod, for that may be gone by the time somebody asks. A Job with such a policy
 * fails once its pod has ended, and not while that is still ending.
 *
 * https://kubernetes.io/docs/concepts/workloads/controllers/job/#pod-failure-policy
 */
const POD_FAILURES = {
  rules: [{ action: "FailJob", onPodConditions: [{ type: "DisruptionTarget", status: "True" }] }],
};

/** The attempt a Job was made for; nothing if it is none of ours. */
export const attemptOf = ({ metadata }: Job): AttemptRef | undefined => attemptIn(metadata.annotations);

/** Whether the Job says that it is over: complete, or failed. */
export const isOver = ({ status }: Job): boolean => conditionOf(status?.conditions, "Complete", "Failed") !== undefined;

const conditionOf = (conditions: readonly Condition[] = [], ...types: readonly string[]): Condition | undefined =>
  conditions.find(({ type, status }) => types.includes(type) && status === "True");

/** A pod that was never started, or is being ended, counts too: nobody knows better. */
const mayRun = ({ status }: Pod): boolean => status?.phase !== "Succeeded" && status?.phase !== "Failed";

/** Why a Job is over whose worker has not reported: the first that applies. */
function errorOf({ status }: Job, pods: readonly Pod[]): ErrorRecord {
  const failure = conditionOf(status?.conditions, "Failed");
  if (failure?.reason === "DeadlineExceeded") return TIMED_OUT;
  if (failure?.reason === "PodFailurePolicy")
    return { kind: "interrupted", message: `the cluster ended its pod: ${words(failure)}` };
  const errors = pods.map(podError).filter((error) => error !== undefined);
  const error = errors.find(({ kind }) => kind === "interrupted") ?? errors[0];
  if (error) return error;
  if (!failure) return { kind: "failed", message: "its process ended without a report of its end" };
  // A pod that failed by itself stays until its Job goes.
  if (pods.length === 0) return { kind: "interrupted", message: `its pod was deleted: ${words(failure)}` };
  return { kind: "failed", message: `its Job failed: ${words(failure)}` };
}

const TIMED_OUT: ErrorRecord = { kind: "timed-out", message: "the platform ended it: its time was over" };

/** Ended by the cluster: https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-conditions */
const DISRUPTIONS = ["Evicted", "Preempting", "NodeShutdown", "Terminated", "NodeLost", "NodeAffinity", "Shutdown"];

function podError({ metadata: { name }, status = {} }: Pod): ErrorRecord | undefined {
  const disruption = conditionOf(status.conditions, "DisruptionTarget");
  if (disruption || DISRUPTIONS.includes(status.reason ?? "")) {
    return { kind: "interrupted", message: `the cluster ended its pod ${name}: ${words(disruption ?? status)}` };
  }
  for (const { name: container, state } of [
    ...(status.initContainerStatuses ?? []),
    ...(status.containerStatuses ?? []),
  ]) {
    const end = state?.terminated;
    if (!end || end.exitCode === 0) continue;
    const what = end.reason === "OOMKilled" ? "there was not enough memory" : `exit code ${end.exitCode}`;
    // Nothing of the user's has run: the store was away, or a deployment has replaced the code since.
    if (container === BOOTSTRAP) {
      return { kind: "interrupted", message: `its pod ${name} could not fetch its code: ${end.message || what}` };
    }
    const message = `${container} of its pod ${name} ended before its end was reported: ${what}`;
    return { kind: "failed", message: end.message ? `${message}: ${end.message}` : message };
  }
  return status.phase === "Failed"
    ? { kind: "failed", message: `its pod ${name} failed: ${words(status)}` }
    : undefined;
}

const words = ({ reason, message }: { readonly reason?: string; readonly message?: string }): string =>
  [reason, message].filter((word) => word).join(": ") || "it does not say why";
