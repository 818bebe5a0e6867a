import type { Duration } from "../../shared/duration.ts";
import type { ErrorRecord } from "../errors.ts";
import type { LogFields, LogLevel } from "../handler.ts";

/** Where a run stands. A delayed run is `queued`; `retrying` waits for its next attempt and holds no slot. */
export type TaskStatus =
  | "queued"
  | "running"
  | "retrying"
  | "succeeded"
  | "failed"
  | "stopping"
  | "stopped"
  | "expired";

export const TASK_STATUSES = [
  "queued",
  "running",
  "retrying",
  "succeeded",
  "failed",
  "stopping",
  "stopped",
  "expired",
] as const satisfies readonly TaskStatus[];

/** Whether a run in this state is over. */
export const isFinal = (status: TaskStatus): boolean =>
  status === "succeeded" || status === "failed" || status === "stopped" || status === "expired";

/** One try of a run. Its platform id is `<id>--a<number>`. */
export interface Attempt {
  readonly number: number;
  /** ISO 8601. */
  readonly started: string;
  readonly ended?: string;
  readonly error?: ErrorRecord;
}

/** One thing that happened to a run: who, what, when. */
export interface TaskEvent {
  /** ISO 8601. */
  readonly time: string;
  readonly type:
    | "submitted"
    | "deduplicated"
    | "started"
    | "retrying"
    | "stopping"
    | "succeeded"
    | "failed"
    | "stopped"
    | "expired"
    | "retried"
    | "interrupted";
  /** Who asked: `client`, `cli`, `dispatcher`, `platform`. */
  readonly by: string;
  readonly message?: string;
}

/** A run as everybody sees it. Times are ISO 8601. */
export interface Task {
  /** The task part's name: `videos-transcode`. */
  readonly task: string;
  readonly id: string;
  readonly status: TaskStatus;
  readonly tenant?: string;
  readonly lane: string;
  /** Higher first, 0 is ordinary. */
  readonly priority: number;
  readonly tags: Readonly<Record<string, string>>;
  /** 0 to 1. */
  readonly progress: number;
  readonly progressMessage?: string;
  readonly submitted: string;
  /** Not started before then. */
  readonly due: string;
  /** `expired` if not started by then. */
  readonly expires?: string;
  /** The caller wants it finished by then; kept for scheduling and reports. */
  readonly deadline?: string;
  readonly started?: string;
  readonly ended?: string;
  readonly attempts: readonly Attempt[];
  readonly error?: ErrorRecord;
  /** The first 1,024 characters of the payload as JSON; `audit` has it whole. */
  readonly payloadPreview: string;
  readonly resultPreview?: string;
  /** Whether this submit answered a run that was there already. */
  readonly deduplicated?: boolean;
}

export interface SubmitOptions {
  /** @default no tenant */
  readonly tenant?: string;
  /** @default the default lane */
  readonly lane?: string;
  /** Higher first. @default 0 */
  readonly priority?: number;
  readonly tags?: Readonly<Record<string, string>>;
  /** Starts no sooner than this. @default at once */
  readonly delay?: Duration;
  /** Gives up if not started within this time of its due time. @default the task's own `expires` */
  readonly expires?: Duration;
  /** ISO 8601; when the caller wants it finished. */
  readonly deadline?: string;
  /** Makes a new run `<id>--r<n>` even if the id is known. @default the known run is answered */
  readonly again?: boolean;
  /**
   * The id of the event that asks, for whoever submits because of one. The same event told again is answered the run
   * it started, even if that has failed since. @default nothing but the id tells
   */
  readonly event?: string;
  /** Who submits, for the run's history. @default client */
  readonly by?: string;
}

export interface TaskFilter {
  readonly status?: TaskStatus | readonly TaskStatus[];
  /** Submitted at or after, ISO 8601. */
  readonly after?: string;
  /** Submitted before, ISO 8601. */
  readonly before?: string;
  readonly tenant?: string;
  readonly tags?: Readonly<Record<string, string>>;
  /** Ids that begin with this. */
  readonly prefix?: string;
  /** @default newest first */
  readonly order?: "newest" | "oldest";
  /** 1 to 1,000. @default 100 */
  readonly limit?: number;
  /** The `next` of the page before. */
  readonly cursor?: string;
}

export interface TaskPage {
  readonly tasks: readonly Task[];
  /** Present if there are more. */
  readonly next?: string;
}

export interface TaskLogLine {
  /** Grows within a run; goes into `after` to read on. */
  readonly sequence: number;
  /** ISO 8601. */
  readonly time: string;
  readonly attempt: number;
  readonly level: LogLevel;
  readonly message: string;
  readonly fields?: LogFields;
}

/** The whole of what went in and came out, resolved if it lay in the claim-check bucket. */
export interface TaskAudit {
  readonly task: Task;
  readonly payload: unknown;
  readonly result?: unknown;
  readonly events: readonly TaskEvent[];
}

/**
 * Submits tasks and looks after them, the same on every cloud.
 *
 * Errors are `MillraceError`s: `not-found` for an unknown task or id, `refused` over a limit,
 * `conflict` for a verb the run's state does not allow, `unavailable` when the cloud does not answer.
 */
export interface TaskClient {
  /**
   * Starts a run, or answers the one that has this id already. A failed or expired run does not block its id.
   *
   * @param id 1 to 200 characters; without one, the task's dispatcher derives it from the payload.
   */
  submit(task: string, payload: unknown, options?: SubmitOptions & { readonly id?: string }): Promise<Task>;
  get(task: string, id: string): Promise<Task | undefined>;
  list(task: string, filter?: TaskFilter): Promise<TaskPage>;
  /** Asks the run to end; after its grace period it is ended. A run that is over is answered as it is. */
  stop(task: string, id: string, options?: { readonly by?: string }): Promise<Task>;
  /** Runs a failed, stopped or expired run again, with the payload it had. */
  retry(task: string, id: string, options?: { readonly by?: string }): Promise<Task>;
  /** The log so far; with `follow`, on until the run is over. */
  logs(
    task: string,
    id: string,
    options?: { readonly after?: number; readonly follow?: boolean; readonly signal?: AbortSignal },
  ): AsyncIterable<TaskLogLine>;
  audit(task: string, id: string): Promise<TaskAudit | undefined>;
  /** Resolves with the run once it is over. */
  wait(
    task: string,
    id: string,
    options?: { readonly signal?: AbortSignal; readonly onProgress?: (task: Task) => void },
  ): Promise<Task>;
}
