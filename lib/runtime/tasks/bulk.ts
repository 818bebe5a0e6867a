import { type ErrorRecord, toErrorRecord } from "../errors.ts";
import { isFinal, type Task, type TaskClient, type TaskFilter, type TaskStatus } from "./task.ts";

/** Which runs a bulk verb means; all pages of them. */
export type BulkFilter = Omit<TaskFilter, "order" | "limit" | "cursor">;

export interface BulkOptions {
  /** Only counts. @default false */
  readonly dryRun?: boolean;
  /** Who asks, for the runs' histories. @default client */
  readonly by?: string;
  readonly onProgress?: (progress: BulkProgress) => void;
  /** Ends it between two runs; what is done stays done. */
  readonly signal?: AbortSignal;
}

export interface BulkProgress {
  /** Runs that match. */
  readonly matched: number;
  /** Runs handled so far, the failed ones included. */
  readonly done: number;
}

export interface BulkOutcome {
  readonly matched: number;
  /** Runs that were stopped or retried; 0 in a dry run. */
  readonly changed: number;
  /** Runs it could not be done to. */
  readonly failed: readonly { readonly id: string; readonly error: ErrorRecord }[];
}

/** A `TaskClient` that also stops and retries by filter. */
export interface BulkTaskClient extends TaskClient {
  /** Stops every run that matches and is not over. */
  stopAll(task: string, filter: BulkFilter, options?: BulkOptions): Promise<BulkOutcome>;
  /** Retries every run that matches and failed, was stopped or expired. */
  retryAll(task: string, filter: BulkFilter, options?: BulkOptions): Promise<BulkOutcome>;
}

const STOPPABLE: readonly TaskStatus[] = ["queued", "running", "retrying"];
const RETRYABLE: readonly TaskStatus[] = ["failed", "stopped", "expired"];

/** Runs handled at once. */
const AT_ONCE = 8;

const PAGE = 1000;

/** Stops every run that matches and is not over. */
export const stopAll = (client: TaskClient, task: string, filter: BulkFilter = {}, options: BulkOptions = {}) =>
  forAll(client, task, filter, STOPPABLE, options, async (id, by) => {
    const { status } = await client.stop(task, id, by);
    return status === "stopping" || status === "stopped";
  });

/** Retries every run that matches and failed, was stopped or expired. */
export const retryAll = (client: TaskClient, task: string, filter: BulkFilter = {}, options: BulkOptions = {}) =>
  forAll(
    client,
    task,
    filter,
    RETRYABLE,
    options,
    async (id, by) => !isFinal((await client.retry(task, id, by)).status),
  );

/** The runs are settled before the first is touched: a verb that makes new matches does not chase them. */
async function forAll(
  client: TaskClient,
  task: string,
  filter: BulkFilter,
  applicable: readonly TaskStatus[],
  { dryRun = false, by, onProgress, signal }: BulkOptions,
  verb: (id: string, by: { readonly by?: string }) => Promise<boolean>,
): Promise<BulkOutcome> {
  const asked = filter.status === undefined ? applicable : [filter.status].flat();
  const status = asked.filter((one) => applicable.includes(one));
  const ids = status.length === 0 ? [] : await matching(client, task, { ...filter, status }, signal);
  const matched = ids.length;
  if (dryRun) return { matched, changed: 0, failed: [] };

  const failed: { readonly id: string; readonly error: ErrorRecord }[] = [];
  let changed = 0;
  let done = 0;
  const handle = async (id: string) => {
    try {
      if (await verb(id, by === undefined ? {} : { by })) changed += 1;
    } catch (error) {
      const { kind, message } = toErrorRecord(error);
      failed.push({ id, error: { kind, message } });
    }
    done += 1;
    onProgress?.({ matched, done });
  };
  const waiting = ids.values();
  const work = async () => {
    for (const id of waiting) {
      signal?.throwIfAborted();
      await handle(id);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return { matched, changed, failed };
}

async function matching(client: TaskClient, task: string, filter: TaskFilter, signal: AbortSignal | undefined) {
  const ids = new Set<Task["id"]>();
  let cursor: string | undefined;
  do {
    signal?.throwIfAborted();
    const page = await client.list(task, { ...filter, limit: PAGE, ...(cursor !== undefined && { cursor }) });
    for (const { id } of page.tasks) ids.add(id);
    cursor = page.next;
  } while (cursor !== undefined);
  return [...ids];
}
