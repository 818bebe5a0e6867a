import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Agenda } from "../../../lib/clouds/local/host/agenda.ts";
import { Journal } from "../../../lib/clouds/local/host/journal.ts";
import { Tables } from "../../../lib/clouds/local/host/tables.ts";
import { SqliteTaskLogs } from "../../../lib/clouds/local/host/task-logs.ts";
import { SqliteTaskStore } from "../../../lib/clouds/local/host/task-store.ts";
import { systemClock } from "../../../lib/runtime/clock.ts";
import { MillraceError, toErrorRecord } from "../../../lib/runtime/errors.ts";
import type { Log } from "../../../lib/runtime/handler.ts";
import type { Envelope } from "../../../lib/runtime/tasks/envelope.ts";
import { type AttemptRef, attemptId } from "../../../lib/runtime/tasks/ids.ts";
import type { NewLogLine } from "../../../lib/runtime/tasks/logs.ts";
import type { AttemptStart, TaskPlatform } from "../../../lib/runtime/tasks/platform.ts";
import { TaskService } from "../../../lib/runtime/tasks/service.ts";
import type { TaskStore } from "../../../lib/runtime/tasks/store.ts";
import { TableTaskStore } from "../../../lib/runtime/tasks/table-store.ts";
import { tablePlan } from "../../clouds/local/plans.ts";
import { CONFORMANCE_TASKS, type TasksSubject, testTasks } from "../../ports/tasks-conformance.ts";
import { type Work, handler as work } from "../../ports/work.ts";
import { memoryBucket } from "./world.ts";

/** Runs attempts as promises of this process; one that outlives its grace is given up. */
class PromisePlatform implements TaskPlatform {
  service: TaskService | undefined;
  readonly #running = new Map<string, (grace: number) => void>();

  start(start: AttemptStart): void {
    const stopped = new AbortController();
    const key = `${start.task} ${start.attemptId}`;
    const killed = new Promise<never>((_resolve, reject) => {
      this.#running.set(key, (grace) => {
        stopped.abort();
        setTimeout(() => reject(new MillraceError("stopped", "killed after its grace")), grace * 1000).unref();
      });
    });
    const done = work({ payload: start.payload as Work }, this.#context(start, stopped.signal));
    void Promise.race([done, killed])
      .then(
        (result) => ({ result }),
        (error: unknown) => ({ error: toErrorRecord(error) }),
      )
      .then((outcome) => {
        this.#running.delete(key);
        return this.service!.finished(start, outcome);
      });
  }

  stop(attempt: AttemptRef, grace: number): void {
    this.#running.get(`${attempt.task} ${attemptId(attempt)}`)?.(grace);
  }

  inspect(attempt: AttemptRef) {
    return this.#running.has(`${attempt.task} ${attemptId(attempt)}`) ? "running" : "gone";
  }

  #context({ task, id, attempt, deadline }: AttemptStart, signal: AbortSignal) {
    const service = this.service!;
    const logAt =
      (level: NewLogLine["level"]): Log["info"] =>
      (message, fields) =>
        void service.logged({ task, id }, [
          { time: new Date().toISOString(), attempt, level, message, ...(fields && { fields }) },
        ]);
    return {
      run: {
        id,
        task,
        attempt,
        deadline,
        progress: (fraction: number, message?: string) =>
          void service.progressed({ task, id, attempt }, fraction, message),
      },
      log: { debug: logAt("debug"), info: logAt("info"), warn: logAt("warn"), error: logAt("error") },
      signal,
    };
  }
}

/** Stores by their names, each in a journal. */
const STORES: Readonly<Record<string, (journal: Journal) => TaskStore>> = {
  SQLite: (journal) => new SqliteTaskStore(journal),
  "a table": (journal) => {
    const tables = new Tables({ journal, clock: systemClock });
    tables.define(tablePlan("tasks"));
    return new TableTaskStore({
      table: { ...tables.reader("tasks"), ...tables.writer("tasks") },
      tasks: CONFORMANCE_TASKS.map(({ name }) => name),
      clock: systemClock,
      random: Math.random,
    });
  },
};

for (const [name, makeStore] of Object.entries(STORES))
  testTasks(`TaskService on ${name}`, () => makeSubject(makeStore));

async function makeSubject(makeStore: (journal: Journal) => TaskStore): Promise<TasksSubject> {
  const folder = mkdtempSync(join(tmpdir(), "millrace-tasks-"));
  const journal = new Journal(folder);
  const platform = new PromisePlatform();
  const agenda = new Agenda(systemClock);
  const envelopes: { readonly queue: string; readonly envelope: Envelope }[] = [];
  const silent = () => {};
  const service = new TaskService({
    definitions: new Map(CONFORMANCE_TASKS.map((task) => [task.name, task])),
    store: makeStore(journal),
    platform,
    deliver: ({ name }, envelope) => void envelopes.push({ queue: name, envelope }),
    claims: memoryBucket(),
    dispatch: () => Promise.reject(new Error("no dispatcher")),
    logs: new SqliteTaskLogs(journal),
    clock: systemClock,
    random: Math.random,
    limits: { taskPayloadBytes: 128 * 1024, taskResultBytes: 128 * 1024 },
    log: { debug: silent, info: silent, warn: silent, error: silent },
    wake: () => agenda.wake(),
  });
  platform.service = service;
  agenda.add(service);
  return {
    client: service,
    envelopes: async (queue) => envelopes.filter((one) => one.queue === queue).map(({ envelope }) => envelope),
    async close() {
      agenda.stop();
      for (const { name } of CONFORMANCE_TASKS) await service.stopAll(name);
      await new Promise((resolve) => setTimeout(resolve, 20));
      await service.close();
      journal.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
