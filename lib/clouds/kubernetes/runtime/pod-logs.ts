import { type Clock, sleep } from "../../../runtime/clock.ts";
import { MillraceError } from "../../../runtime/errors.ts";
import type { LogFields, LogLevel } from "../../../runtime/handler.ts";
import type { TaskLogs } from "../../../runtime/tasks/logs.ts";
import type { TaskLogLine } from "../../../runtime/tasks/task.ts";
import type { KubernetesApi } from "./api.ts";
import type { Pod } from "./jobs.ts";
import { attemptLabel, runLabels, selector, WORKER } from "./labels.ts";

/** Lines of one attempt, at most: a line's sequence is its attempt's number and its own. */
const PER_ATTEMPT = 1e9;

/** Milliseconds until a follower looks for pods of another attempt. */
const LOOK = 1000;

/** The log that the pods of a run have printed, for as long as the pods are there. */
export function podLogs(api: KubernetesApi, namespace: string, clock: Clock): TaskLogs {
  const path = `/api/v1/namespaces/${namespace}/pods`;
  const podsOf = async (task: string, id: string): Promise<readonly Pod[]> => {
    const query = { labelSelector: selector(runLabels({ task, id })) };
    const { items } = await api.ask<{ readonly items: readonly Pod[] }>({ verb: "list", path, query });
    return items.toSorted((a, b) => attemptLabel(a.metadata.labels) - attemptLabel(b.metadata.labels));
  };
  const printed = (pod: Pod, query: Readonly<Record<string, string>>, signal?: AbortSignal) =>
    linesOf(
      api.lines({
        verb: "get",
        path: `${path}/${pod.metadata.name}/log`,
        query: { container: WORKER, ...query },
        ...(signal && { signal }),
      }),
    );
  /** Calls back at every line of the run's pods, those that are still to come too. */
  const follow = async (task: string, id: string, listener: () => void, signal: AbortSignal) => {
    const followed = new Set<string>();
    while (!signal.aborted) {
      for (const pod of await podsOf(task, id)) {
        if (followed.has(pod.metadata.name) || pod.status?.phase === "Pending") continue;
        followed.add(pod.metadata.name);
        void forEach(printed(pod, { follow: "true", tailLines: "1" }, signal), listener).catch(() => {});
      }
      await sleep(clock, LOOK, signal);
    }
  };
  return {
    append: async () => {},
    async read(task, id, { after, limit }) {
      const lines: TaskLogLine[] = [];
      const read = new Map<number, number>();
      for (const pod of await podsOf(task, id)) {
        const attempt = attemptLabel(pod.metadata.labels);
        if ((attempt + 1) * PER_ATTEMPT <= after) continue;
        for await (const text of printed(pod, { timestamps: "true" })) {
          const number = (read.get(attempt) ?? 0) + 1;
          read.set(attempt, number);
          const sequence = attempt * PER_ATTEMPT + number;
          if (sequence > after) lines.push({ sequence, attempt, ...lineOf(text) });
          if (lines.length === limit) return lines;
        }
      }
      return lines;
    },
    watch(task, id, listener) {
      const over = new AbortController();
      // What cannot be followed is read from time to time all the same.
      follow(task, id, listener, over.signal).catch(() => {});
      return () => over.abort();
    },
    remove: async () => {},
  };
}

/** Logs that only who may ask the API server can read: how that is done. */
export function podLogsElsewhere(namespace: string): TaskLogs {
  const refused = (task: string, id: string) =>
    Promise.reject(
      new MillraceError(
        "refused",
        `the log of ${task} "${id}" is on its pods, for as long as they are there: kubectl logs --namespace ${namespace} ` +
          `--container ${WORKER} --tail -1 --selector ${selector(runLabels({ task, id }))}`,
      ),
    );
  return { append: async () => {}, read: refused, watch: () => () => {}, remove: async () => {} };
}

/** A pod that has not begun has printed nothing yet, and one that has gone nothing more. */
async function* linesOf(lines: AsyncIterable<string>): AsyncGenerator<string, void> {
  try {
    yield* lines;
  } catch (error) {
    const isNothing =
      error instanceof MillraceError &&
      (error.kind === "not-found" || /waiting to start|ContainerCreating/.test(error.message));
    if (!isNothing) throw error;
  }
}

async function forEach(lines: AsyncIterable<string>, callback: () => void): Promise<void> {
  for await (const _ of lines) callback();
}

/** The cluster's time, and then either a line as our log writes it, or whatever else was printed. */
function lineOf(text: string): Omit<TaskLogLine, "sequence" | "attempt"> {
  const space = text.indexOf(" ");
  const [time, rest] = [text.slice(0, space), text.slice(space + 1)];
  const line = parsed(rest);
  if (typeof line?.message !== "string" || typeof line.level !== "string")
    return { time, level: "info", message: rest };
  const { level, message, fields } = line;
  return { time: line.time ?? time, level: level as LogLevel, message, ...(fields && { fields }) };
}

interface PrintedLine {
  readonly time?: string;
  readonly level?: string;
  readonly message?: string;
  readonly fields?: LogFields;
}

function parsed(text: string): PrintedLine | undefined {
  try {
    return (JSON.parse(text) as PrintedLine | null) ?? undefined;
  } catch {
    return undefined;
  }
}
