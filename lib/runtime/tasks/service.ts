import type { Clock } from "../clock.ts";
import { MillraceError, toErrorRecord } from "../errors.ts";
import type { Log } from "../handler.ts";
import { Admission } from "./admission.ts";
import { Background } from "./background.ts";
import { Bodies, type ClaimsBucket, type TaskLimits, toJson } from "./bodies.ts";
import { type BulkFilter, type BulkOptions, type BulkOutcome, retryAll, stopAll } from "./bulk.ts";
import { Caretaker } from "./caretaker.ts";
import { Changes } from "./changes.ts";
import type { TaskDefinition } from "./definition.ts";
import { Endings } from "./endings.ts";
import { type AttemptRef, attemptId } from "./ids.ts";
import type { NewLogLine, TaskLogs } from "./logs.ts";
import { type Deliver, Outbox } from "./outbox.ts";
import type { Outcome, TaskPlatform } from "./platform.ts";
import { checkFilter } from "./requests.ts";
import { isWaiting, type TaskRow, toTask, wakeOf } from "./row.ts";
import { retried } from "./steps.ts";
import type { TaskStore } from "./store.ts";
import { Submits } from "./submits.ts";
import {
  isFinal,
  type SubmitOptions,
  type Task,
  type TaskAudit,
  type TaskClient,
  type TaskFilter,
  type TaskLogLine,
  type TaskPage,
} from "./task.ts";

/** Everything a {@link TaskService} stands on. */
export interface TaskWorld {
  /** By name. It may change while the service works; a run whose task has gone waits until it is back. */
  readonly definitions: ReadonlyMap<string, TaskDefinition>;
  /** Other names of tasks: a construct that holds exactly one. @default none */
  readonly aliases?: ReadonlyMap<string, string>;
  readonly store: TaskStore;
  readonly platform: TaskPlatform;
  readonly deliver: Deliver;
  readonly claims: ClaimsBucket;
  /** Has the task's dispatcher derive the id of a payload, and submit it. */
  readonly dispatch: (task: string, payload: unknown, options: SubmitOptions) => Promise<Task>;
  readonly logs: TaskLogs;
  readonly clock: Clock;
  /** From 0 up to, not including, 1. */
  readonly random: () => number;
  /** @default every text is kept in the store */
  readonly limits?: TaskLimits;
  /** For what happens behind everybody's back: late reports, destinations that do not answer. */
  readonly log: Log;
  /** Called when `next` has become earlier. @default nobody is */
  readonly wake?: () => void;
}

/** What is taken for the definition of a task that has gone while its run was under way. */
const GONE = {
  timeout: 3600,
  grace: 30,
  attempts: 1,
  backoff: { first: 1, factor: 2, longest: 300 },
  retention: 7 * 86_400,
  onSuccess: [],
  onFailure: [],
} as const satisfies Omit<TaskDefinition, "name">;

/** How soon what went wrong in the background is tried again. */
const TRY_AGAIN = 1000;

/** Log lines read at once. */
const LINES = 500;

/**
 * Task runs, on any cloud: what was submitted is run at least once, retried, stopped, told of and remembered. Several
 * services may share one store. A host calls `run` when `next` has come, and awaits `settled` before it sleeps.
 */
export class TaskService implements TaskClient {
  readonly #world: TaskWorld;
  readonly #background: Background;
  readonly #changes: Changes;
  readonly #bodies: Bodies;
  readonly #endings: Endings;
  readonly #admission: Admission;
  readonly #caretaker: Caretaker;
  readonly #submits: Submits;
  /** The last progress stored of each attempt that reported any. */
  readonly #progress = new Map<string, string>();
  #next = 0;
  #isTurning = false;

  constructor(world: TaskWorld) {
    const { store, platform, clock, random, log, claims, limits = {} } = world;
    this.#world = world;
    const background = new Background((error) => {
      log.error(`tasks: ${toErrorRecord(error).message}; trying again`);
      this.#schedule(clock.now() + TRY_AGAIN);
    });
    const changes = new Changes(store, clock, (row) => this.#note(row));
    const bodies = new Bodies(store, claims, limits, random);
    const outbox = new Outbox({ store, changes, bodies, deliver: world.deliver, clock, random, log });
    const definitionOf = (task: string) => world.definitions.get(task) ?? { name: task, ...GONE };
    const shared = { store, platform, changes, bodies, outbox, background, clock, random, log, definitionOf };
    const endings = new Endings({
      ...shared,
      admission: () => this.#admission,
      schedule: (time) => this.#schedule(time),
    });
    this.#background = background;
    this.#changes = changes;
    this.#bodies = bodies;
    this.#endings = endings;
    this.#admission = new Admission({
      ...shared,
      definitions: world.definitions,
      finished: (attempt, outcome) => endings.finished(attempt, outcome),
    });
    this.#caretaker = new Caretaker({ ...shared, endings, admission: this.#admission, logs: world.logs });
    this.#submits = new Submits(shared);
  }

  async submit(task: string, payload: unknown, options: SubmitOptions & { readonly id?: string } = {}): Promise<Task> {
    const definition = this.#definition(task);
    const { id, ...rest } = options;
    if (id === undefined) return this.#world.dispatch(definition.name, payload, rest);
    const { row, deduplicated } = await this.#submits.submit(definition, id, toJson(payload, "payload"), rest);
    if (!deduplicated) this.#admission.request(definition.name);
    return deduplicated ? { ...toTask(row), deduplicated } : toTask(row);
  }

  async get(task: string, id: string): Promise<Task | undefined> {
    const row = await this.#world.store.get(this.#definition(task).name, id);
    return row && toTask(row);
  }

  async list(task: string, filter: TaskFilter = {}): Promise<TaskPage> {
    const { name } = this.#definition(task);
    checkFilter(filter);
    const { rows, next } = await this.#world.store.list(name, filter);
    return { tasks: rows.map(toTask), ...(next !== undefined && { next }) };
  }

  /** A run that succeeds although it was asked to stop stays `succeeded`: its work is done. */
  async stop(task: string, id: string, { by = "client" }: { readonly by?: string } = {}): Promise<Task> {
    const { name, grace } = this.#definition(task);
    const taken = (await this.#endings.stop(name, id, by)) ?? notFound(name, id);
    if (taken.changed && taken.row.status === "stopping") await this.#stopAttempt(taken.row, grace);
    return toTask(taken.row);
  }

  async retry(task: string, id: string, { by = "client" }: { readonly by?: string } = {}): Promise<Task> {
    const definition = this.#definition(task);
    const taken = await this.#changes.change(definition.name, id, (row) => {
      if (row.status === "failed" || row.status === "stopped" || row.status === "expired") {
        return retried(row, definition, by, this.#world.clock.now());
      }
      throw new MillraceError(
        "conflict",
        `${definition.name} "${id}" is ${row.status}; only failed, stopped and expired runs are retried`,
      );
    });
    if (!taken) return notFound(definition.name, id);
    this.#admission.request(definition.name);
    return toTask(taken.row);
  }

  /** Ends quietly when the signal aborts. */
  async *logs(
    task: string,
    id: string,
    options: { readonly after?: number; readonly follow?: boolean; readonly signal?: AbortSignal } = {},
  ): AsyncGenerator<TaskLogLine, void, undefined> {
    const { store, logs } = this.#world;
    const { follow = false, signal } = options;
    const { name } = this.#definition(task);
    const { submitted: since } = (await store.get(name, id)) ?? notFound(name, id);
    const news = this.#changes.watch(name, id, signal);
    const unwatch = logs.watch(name, id, news.notify);
    let after = options.after ?? 0;
    try {
      while (!signal?.aborted) {
        // Asked before the lines are read: a run all of whose lines were there by then has none after them.
        const row = await store.get(name, id);
        const isWhole = !row || (isFinal(row.status) && this.#isPast(row.ended, logs.delay));
        for (let isMore = true; isMore; ) {
          const lines = await logs.read(name, id, { after, limit: LINES, since });
          for (const line of lines) {
            yield line;
            after = line.sequence;
          }
          isMore = lines.length === LINES;
        }
        if (!follow || isWhole) return;
        await news.next();
      }
    } finally {
      unwatch();
      news.close();
    }
  }

  #isPast = (time = 0, delay = 0): boolean => this.#world.clock.now() >= time + delay;

  async audit(task: string, id: string): Promise<TaskAudit | undefined> {
    const { store } = this.#world;
    const row = await store.get(this.#definition(task).name, id);
    if (!row) return undefined;
    const payload = JSON.parse(await this.#bodies.read(row, "payload", row.payload)) as unknown;
    const result = row.result && (JSON.parse(await this.#bodies.read(row, "result", row.result)) as unknown);
    const events = await store.events(row.task, id);
    return { task: toTask(row), payload, ...(result !== undefined && { result }), events };
  }

  async wait(
    task: string,
    id: string,
    options: { readonly signal?: AbortSignal; readonly onProgress?: (task: Task) => void } = {},
  ): Promise<Task> {
    const { signal, onProgress } = options;
    const { name } = this.#definition(task);
    const news = this.#changes.watch(name, id, signal);
    let last: TaskRow | undefined;
    try {
      while (true) {
        signal?.throwIfAborted();
        const row = (await this.#world.store.get(name, id)) ?? notFound(name, id);
        if (isFinal(row.status)) return toTask(row);
        const isNew = row.version !== last?.version || row.progress !== last.progress;
        if (isNew || row.progressMessage !== last?.progressMessage) onProgress?.(toTask(row));
        last = row;
        await news.next();
      }
    } finally {
      news.close();
    }
  }

  /** Stops every run that matches and is not over. */
  stopAll(task: string, filter: BulkFilter = {}, options: BulkOptions = {}): Promise<BulkOutcome> {
    return stopAll(this, task, filter, options);
  }

  /** Retries every run that matches and failed, was stopped or expired. */
  retryAll(task: string, filter: BulkFilter = {}, options: BulkOptions = {}): Promise<BulkOutcome> {
    return retryAll(this, task, filter, options);
  }

  /** The platform says how far an attempt is, 0 to 1. Anything but the current attempt's word is ignored. */
  async progressed({ task, id, attempt }: AttemptRef, fraction: number, message?: string): Promise<void> {
    const { store, log } = this.#world;
    if (Number.isNaN(fraction)) return;
    const key = `${task}\0${id}`;
    const share = Math.min(1, Math.max(0, fraction));
    const said = `${attempt} ${share.toFixed(3)} ${message ?? ""}`;
    if (this.#progress.get(key) === said) return;
    try {
      if (!(await store.progress({ task, id, attempt }, share, message))) {
        return log.warn(`${task} "${attemptId({ id, attempt })}": its progress comes too late and is ignored`);
      }
      this.#progress.set(key, said);
      const row = this.#changes.isHeard(task, id) ? await store.get(task, id) : undefined;
      if (row) this.#changes.announce(row);
    } catch (error) {
      log.warn(`${task} "${id}": its progress could not be stored: ${toErrorRecord(error).message}`);
    }
  }

  /**
   * The platform says how an attempt ended. Anything but the current attempt's word is ignored. Never rejects: what
   * cannot be stored now is kept and stored later.
   */
  finished({ task, id, attempt }: AttemptRef, outcome: Outcome): Promise<void> {
    const work = this.#endings.finished({ task, id, attempt }, outcome);
    this.#background.run(work);
    return work;
  }

  /** The platform says what a run has logged. Never rejects: lines that cannot be stored are lost, and that is told. */
  async logged({ task, id }: Pick<AttemptRef, "task" | "id">, lines: readonly NewLogLine[]): Promise<void> {
    try {
      await this.#world.logs.append(task, id, lines);
    } catch (error) {
      const { message } = toErrorRecord(error);
      this.#world.log.warn(`${task} "${id}": lines of its log could not be stored: ${message}`);
    }
  }

  /** Calls back with every run this service changes, until the answer is called. */
  onChange(listener: (task: Task) => void): () => void {
    return this.#changes.onChange(listener);
  }

  /**
   * For the start of a host that is the only one to run attempts: asks the platform about every run that held a slot,
   * sends what was not confirmed, and starts what waits. Elsewhere lapsed leases do the same, in their time.
   */
  async recover(): Promise<void> {
    await this.#caretaker.recover();
    this.redefined();
  }

  /** Definitions came, or changed: what waits may start now, whose time came while its task was not there. */
  redefined(): void {
    for (const task of this.#world.definitions.keys()) this.#admission.request(task);
    this.#schedule(this.#world.clock.now());
  }

  /** When it has work next, in milliseconds of the clock; nothing while it works, for `wake` follows. */
  next(): number | undefined {
    return this.#isTurning || this.#next === Infinity ? undefined : this.#next;
  }

  /** Starts, expires, asks about, tells of and forgets what is due; goes on in the background. */
  run(now: number): void {
    if (this.#isTurning) return;
    this.#isTurning = true;
    this.#background.run(this.#turn(now));
  }

  /** Whether nothing is under way here. */
  get isSettled(): boolean {
    return this.#background.isSettled;
  }

  /** Resolves once nothing is under way here: before a process sleeps or ends. */
  settled(): Promise<void> {
    return this.#background.settled();
  }

  /** Nothing is started from here on; resolves once nothing is under way. */
  async close(): Promise<void> {
    this.#admission.close();
    await this.settled();
  }

  async #turn(now: number): Promise<void> {
    const { definitions, store, wake } = this.#world;
    try {
      this.#next = Infinity;
      await this.#endings.storeAgain();
      await this.#caretaker.lookAfter(now);
      for (const task of definitions.keys()) this.#admission.request(task);
      const next = (await store.nextDue()) ?? Infinity;
      // What was due and still is could not be done now.
      this.#schedule(next <= now ? now + TRY_AGAIN : next);
    } finally {
      this.#isTurning = false;
      wake?.();
    }
  }

  /** Has `run` called by then, whatever else is planned. */
  #schedule(time: number): void {
    if (!(time < this.#next)) return;
    this.#next = time;
    if (!this.#isTurning) this.#world.wake?.();
  }

  #note(row: TaskRow): void {
    if (isFinal(row.status)) this.#progress.delete(`${row.task}\0${row.id}`);
    if (isWaiting(row) && row.due > row.updated) this.#schedule(row.due);
    this.#schedule(wakeOf(row) ?? Infinity);
  }

  async #stopAttempt(row: TaskRow, grace: number): Promise<void> {
    const { platform, log } = this.#world;
    await this.#admission.startOf(row);
    try {
      await platform.stop({ task: row.task, id: row.id, attempt: row.attempt }, grace);
    } catch (error) {
      // It is asked again once its grace is over.
      log.warn(`${row.task} "${attemptId(row)}": could not be asked to stop: ${toErrorRecord(error).message}`);
    }
  }

  #definition(task: string): TaskDefinition {
    const { definitions, aliases } = this.#world;
    const definition = definitions.get(task) ?? definitions.get(aliases?.get(task) ?? "");
    if (definition) return definition;
    const known = [...definitions.keys()].map((name) => `"${name}"`).join(", ");
    throw new MillraceError("not-found", `there is no task "${task}"; there ${known ? `are: ${known}` : "are none"}`);
  }
}

function notFound(task: string, id: string): never {
  throw new MillraceError("not-found", `${task} has no run "${id}"`);
}
