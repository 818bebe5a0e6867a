import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { setImmediate as nextTurn } from "node:timers/promises";
import { onTestFinished } from "vitest";
import { Agenda } from "../../../lib/clouds/local/host/agenda.ts";
import { Journal } from "../../../lib/clouds/local/host/journal.ts";
import { SqliteTaskLogs } from "../../../lib/clouds/local/host/task-logs.ts";
import { SqliteTaskStore } from "../../../lib/clouds/local/host/task-store.ts";
import { VirtualClock } from "../../../lib/clouds/local/host/virtual-clock.ts";
import { MillraceError } from "../../../lib/runtime/errors.ts";
import type { Log } from "../../../lib/runtime/handler.ts";
import type { ObjectInfo } from "../../../lib/runtime/ports.ts";
import type { ClaimsBucket } from "../../../lib/runtime/tasks/bodies.ts";
import type { Destination, TaskDefinition } from "../../../lib/runtime/tasks/definition.ts";
import type { Envelope } from "../../../lib/runtime/tasks/envelope.ts";
import { type AttemptRef, attemptId } from "../../../lib/runtime/tasks/ids.ts";
import type { AttemptStart, AttemptState, Outcome, TaskPlatform } from "../../../lib/runtime/tasks/platform.ts";
import { TaskService, type TaskWorld } from "../../../lib/runtime/tasks/service.ts";
import type { TaskStore } from "../../../lib/runtime/tasks/store.ts";
import type { Duration } from "../../../lib/shared/duration.ts";

/** A task that is tried three times, at once, and tells two queues. */
export const definition = (given: Partial<TaskDefinition> = {}): TaskDefinition => ({
  name: "work",
  timeout: 60,
  grace: 10,
  attempts: 3,
  backoff: { first: 1, factor: 2, longest: 8 },
  retention: 86_400,
  onSuccess: [{ kind: "queue", name: "successes" }],
  onFailure: [{ kind: "queue", name: "failures" }],
  ...given,
});

/** A journal in a folder of its own, gone after the test. */
export function tempJournal(): Journal {
  const folder = mkdtempSync(join(tmpdir(), "millrace-tasks-"));
  const journal = new Journal(folder);
  onTestFinished(() => {
    journal.close();
    rmSync(folder, { recursive: true, force: true });
  });
  return journal;
}

/** A platform that does nothing by itself: the test ends its attempts. */
export class HandPlatform implements TaskPlatform {
  readonly started: AttemptStart[] = [];
  readonly stopped: { readonly attempt: string; readonly grace: number }[] = [];
  /** What `inspect` says of attempts that are not running. */
  readonly known = new Map<string, AttemptState>();
  readonly running = new Map<string, AttemptStart>();
  /** Called in every start; throws to refuse it. */
  onStart: (start: AttemptStart) => void | Promise<void> = () => {};

  async start(start: AttemptStart): Promise<void> {
    await this.onStart(start);
    this.started.push(start);
    this.running.set(attemptId(start), start);
  }

  stop(attempt: AttemptRef, grace: number): void {
    this.stopped.push({ attempt: attemptId(attempt), grace });
  }

  inspect(attempt: AttemptRef): AttemptState {
    const id = attemptId(attempt);
    return this.known.get(id) ?? (this.running.has(id) ? "running" : "gone");
  }
}

export interface Delivered {
  readonly destination: Destination;
  readonly envelope: Envelope;
  readonly key: string;
}

/** Objects in memory, as much of a bucket as claims need. */
export function memoryBucket(): ClaimsBucket & { readonly objects: Map<string, Buffer> } {
  const objects = new Map<string, Buffer>();
  const info = (key: string, body: Buffer): ObjectInfo => ({
    key,
    size: body.length,
    etag: String(body.length),
    modified: new Date(0).toISOString(),
    metadata: {},
  });
  const get = async (key: string) => {
    const found = objects.get(key);
    if (!found) throw new MillraceError("not-found", `no object ${key}`);
    return found;
  };
  const put = async (key: string, body: Uint8Array | string | Readable) => {
    const bytes = body instanceof Readable ? Buffer.concat(await body.toArray()) : Buffer.from(body);
    objects.set(key, bytes);
    return info(key, bytes);
  };
  return {
    bucket: "claims",
    objects,
    get,
    put,
    remove: async (key) => void objects.delete(key),
  };
}

export type World = ReturnType<typeof makeWorld>;

/** A service with everything around it, in virtual time. */
export function makeWorld(
  given: Partial<TaskWorld> & {
    readonly tasks?: readonly TaskDefinition[];
    readonly journal?: Journal;
    readonly wrapStore?: (store: TaskStore) => TaskStore;
    readonly clock?: VirtualClock;
  } = {},
) {
  const { tasks = [definition()], journal = tempJournal(), clock = new VirtualClock(), wrapStore, ...rest } = given;
  const platform = new HandPlatform();
  const delivered: Delivered[] = [];
  const warnings: string[] = [];
  const note = (message: string) => void warnings.push(message);
  const log: Log = { debug: note, info: note, warn: note, error: note };
  const claims = memoryBucket();
  const store = wrapStore ? wrapStore(new SqliteTaskStore(journal)) : new SqliteTaskStore(journal);
  const logs = new SqliteTaskLogs(journal);
  const definitions = new Map(tasks.map((task) => [task.name, task]));
  const agenda = new Agenda(clock);
  const service = new TaskService({
    definitions,
    store,
    platform,
    deliver: (destination, envelope, key) => void delivered.push({ destination, envelope, key }),
    claims,
    dispatch: () => Promise.reject(new Error("no dispatcher")),
    logs,
    clock,
    random: () => 0.5,
    log,
    wake: () => agenda.wake(),
    ...rest,
  });
  agenda.add({
    next: () => service.next(),
    run: (now) => {
      service.run(now);
      clock.hold(service.settled());
    },
  });
  onTestFinished(() => agenda.stop());

  /** All that is under way comes to rest, at this time. */
  const settle = async () => {
    for (let turn = 0; turn < 6; turn += 1) {
      await nextTurn();
      await service.settled();
    }
  };
  return {
    service,
    platform,
    store,
    logs,
    claims,
    clock,
    journal,
    delivered,
    warnings,
    definitions,
    agenda,
    settle,
    /** Ends the run's current attempt. */
    async finish(id: string, outcome: Outcome, task = "work") {
      const run = await store.get(task, id);
      platform.running.delete(attemptId(run!));
      await service.finished({ task, id, attempt: run!.attempt }, outcome);
      await settle();
    },
    async advance(duration: Duration) {
      await clock.advance(duration);
      await settle();
    },
    async status(id: string, task = "work") {
      return (await service.get(task, id))?.status;
    },
    async events(id: string, task = "work") {
      return (await store.events(task, id)).map(({ type }) => type);
    },
  };
}
