import { setMaxListeners } from "node:events";
import type { Plan, WorkflowPlan } from "../../../parts/plan.ts";
import type { Clock } from "../../../runtime/clock.ts";
import { fromErrorRecord, MillraceError, toErrorRecord } from "../../../runtime/errors.ts";
import type { Log } from "../../../runtime/handler.ts";
import type { TaskService } from "../../../runtime/tasks/service.ts";
import { isFinal } from "../../../runtime/tasks/task.ts";
import { interpret } from "../../../runtime/workflows/interpret.ts";
import { historyOf, type StepEntry } from "../../../runtime/workflows/journal.ts";
import {
  type Answer,
  RUN_ID,
  type StepRecord,
  type WorkflowClient,
  type WorkflowFilter,
  type WorkflowHistory,
  type WorkflowPage,
  type WorkflowRun,
} from "../../../runtime/workflows/run.ts";
import { stepId } from "../../../runtime/workflows/step-call.ts";
import {
  type FunctionCall,
  type Question,
  Suspended,
  type TaskCall,
  type WorkflowWorld,
} from "../../../runtime/workflows/world.ts";
import { type Block, stepsOf } from "../../../shared/workflow/definition.ts";
import type { Functions } from "./functions.ts";
import type { Journal } from "./journal.ts";
import { RunJournal, StepWriter } from "./workflow-steps.ts";
import { type RunChange, type RunRow, toRun, WorkflowStore } from "./workflow-store.ts";

/**
 * Items of a map at once, where it does not say: more than there are processes for functions, since items also wait
 * for tasks, times and answers.
 */
const ITEMS_AT_ONCE = 200;

/** Between two times that steps of one run are told of, in milliseconds: they may be thousands. */
const TELL_EVERY = 250;

/** Before the next try after the journal refused a write, in milliseconds. */
const PAUSE = 1000;

export interface WorkflowsOptions {
  readonly journal: Journal;
  readonly clock: Clock;
  readonly random: () => number;
  readonly functions: Pick<Functions, "step">;
  readonly tasks: () => Pick<TaskService, "get" | "submit" | "retry" | "wait" | "stop" | "audit">;
  /** Hands a question to a queue or a function, at least once. */
  readonly ask: (to: Question["to"], body: Asked, key: string) => void;
  /** Called at every change of a run or its steps. */
  readonly onChange: (run: WorkflowRun) => void;
  /** Bytes of an input as JSON. @default any */
  readonly inputBytes?: number;
  readonly log: Log;
}

/** What somebody outside is asked. */
export interface Asked {
  /** Names what is answered. */
  readonly callback: string;
  readonly input: unknown;
}

/** A run that is under way in this process. */
interface Active {
  row: RunRow;
  readonly journal: RunJournal;
  readonly stop: AbortController;
  readonly over: Promise<void>;
  /** What functions at work say, by path. */
  readonly progress: Map<string, NonNullable<StepRecord["progress"]>>;
  /** Its steps are told of in a moment. */
  isTelling: boolean;
}

/**
 * The stack's workflows: every run is gone through step by step, and written down before the next step begins, so that
 * it goes on where it was when the host ends. A run keeps to the definition it began with; one whose workflow is gone
 * waits until it is back.
 */
export class Workflows implements WorkflowClient {
  readonly #options: WorkflowsOptions;
  readonly #store: WorkflowStore;
  readonly #writer: StepWriter;
  readonly #plans = new Map<string, WorkflowPlan>();
  /** Constructs with one workflow, by name. */
  readonly #aliases = new Map<string, string>();
  /** By the run's place in the journal. */
  readonly #active = new Map<number, Active>();
  /** Steps that wait for an answer, by callback. */
  readonly #waiting = new Map<string, (answer: Answer) => void>();
  /** Runs whose end is being written down. */
  #busy = 0;
  readonly #closing = new AbortController();

  constructor(options: WorkflowsOptions) {
    const { journal, clock, log } = options;
    this.#options = options;
    this.#store = new WorkflowStore(journal);
    this.#writer = new StepWriter({
      store: this.#store,
      clock,
      onWrite: (runs) => this.#tellOf(runs),
      onError: (error) => log.error(`workflows: ${toErrorRecord(error).message}; trying again`),
    });
  }

  /** Takes these workflows in place of those before: runs of one that is gone wait, runs of one that is back go on. */
  define({ parts, constructs }: Plan): void {
    const plans = parts.filter((part): part is WorkflowPlan => part.kind === "workflow");
    this.#plans.clear();
    this.#aliases.clear();
    for (const plan of plans) this.#plans.set(plan.name, plan);
    for (const { name } of constructs) {
      const own = plans.filter(({ construct }) => construct === name);
      if (own.length === 1 && !this.#plans.has(name)) this.#aliases.set(name, own[0]!.name);
    }
    for (const { row, stop } of this.#active.values()) {
      if (!this.#plans.has(row.workflow)) stop.abort(new Suspended());
    }
    this.resume();
  }

  /** Goes on with every run that is not over. */
  resume(): void {
    for (const row of this.#store.open()) {
      const before = this.#active.get(row.sequence);
      if (!this.#plans.has(row.workflow)) continue;
      if (!before) this.#begin(row);
      // It was asked to wait a moment ago, and its workflow is back before it does.
      else if (before.stop.signal.reason instanceof Suspended) void before.over.then(() => this.resume());
    }
  }

  /** Whether all that is under way waits: for functions and tasks, for its time, for an answer. */
  get isQuiet(): boolean {
    return this.#busy === 0 && this.#writer.isQuiet;
  }

  /** Goes no further with any run. What it has done so far is written down. */
  suspend(): void {
    this.#writer.close();
    this.#closing.abort(new Suspended());
    for (const { stop } of this.#active.values()) stop.abort(new Suspended());
  }

  /** Resolves when no run is under way any more. */
  async settled(): Promise<void> {
    await Promise.all([...this.#active.values()].map(({ over }) => over));
  }

  async start(
    workflow: string,
    input: unknown,
    { id = this.#newId() }: { readonly id?: string } = {},
  ): Promise<WorkflowRun> {
    const plan = this.#plan(workflow);
    checkId(id);
    checkInput(plan.name, input, this.#options.inputBytes);
    const started = this.#options.clock.now();
    const { name, definition, timeout } = plan;
    const deadline = started + timeout * 1000;
    const { row, isNew } = this.#store.insert({ workflow: name, id, definition, started, deadline, input });
    if (!isNew) return { ...toRun(row), deduplicated: true };
    this.#begin(row);
    this.#options.onChange(toRun(row));
    return toRun(row);
  }

  async get(workflow: string, id: string): Promise<WorkflowHistory | undefined> {
    const row = this.#store.get(this.#plan(workflow).name, id);
    if (!row) return undefined;
    const active = this.#active.get(row.sequence);
    const { input, output } = row;
    const steps = historyOf(active?.journal.entries ?? this.#store.entries(row.sequence)).map((step) => {
      const progress = active?.progress.get(step.path);
      return progress && step.status === "running" ? { ...step, progress } : step;
    });
    return { run: toRun(row), input, ...(output !== undefined && { output }), steps };
  }

  async list(workflow: string, filter: WorkflowFilter = {}): Promise<WorkflowPage> {
    const { rows, next } = this.#store.list(this.#plan(workflow).name, filter);
    return { runs: rows.map(toRun), ...(next !== undefined && { next }) };
  }

  async stop(workflow: string, id: string): Promise<WorkflowRun> {
    const row = this.#row(workflow, id);
    if (row.status !== "running") return toRun(row);
    const stopping = this.#change(row, { status: "stopping" });
    this.#active.get(row.sequence)?.stop.abort(stopped());
    return toRun(stopping);
  }

  async retry(workflow: string, id: string): Promise<WorkflowRun> {
    const { name, timeout } = this.#plan(workflow);
    const row = this.#row(name, id);
    if (row.status !== "failed" && row.status !== "stopped") {
      throw new MillraceError("conflict", `${name} "${id}" is ${row.status}; only failed and stopped runs are retried`);
    }
    const deadline = this.#options.clock.now() + timeout * 1000;
    const retried = this.#change(row, { status: "running", deadline, retries: row.retries + 1 });
    this.#begin(retried);
    return toRun(retried);
  }

  async answer(callback: string, answer: Answer): Promise<void> {
    const [workflow = "", id = "", ...path] = callback.split("/");
    const row = this.#plans.has(workflow) ? this.#store.get(workflow, id) : undefined;
    if (!row || !isCallback(row.definition, path.at(-1) ?? "")) {
      throw new MillraceError("not-found", `no step waits, or will wait, for an answer to "${callback}"`);
    }
    const asked = this.#entry(row, path.join("/"));
    if (row.status === "succeeded" || (asked?.ended !== undefined && asked.status !== "stopped")) return;
    this.#store.addAnswer(row.sequence, path.join("/"), answer);
    this.#waiting.get(callback)?.(this.#store.answer(row.sequence, path.join("/"))!);
  }

  /** As {@link answer}, for callbacks of one workflow only. */
  async answerOf(workflow: string, callback: string, answer: Answer): Promise<void> {
    if (callback.startsWith(`${this.#plan(workflow).name}/`)) return this.answer(callback, answer);
    throw new MillraceError("not-found", `"${callback}" is no callback of ${workflow}`);
  }

  #begin(row: RunRow): void {
    const { clock } = this.#options;
    const stop = new AbortController();
    // Every function, task and timer under way listens to it.
    setMaxListeners(0, stop.signal);
    if (row.status === "stopping") stop.abort(stopped());
    const late = new MillraceError(
      "timed-out",
      `the run takes longer than ${(row.deadline - row.started) / 1000} seconds`,
    );
    const cancel = clock.at(row.deadline, () => stop.abort(late));
    const journal = new RunJournal(row.sequence, this.#store.entries(row.sequence), this.#writer);
    const { id, definition, input, retries } = row;
    const over = interpret({ id, definition, input, retries }, this.#world(row, journal), stop.signal)
      .then(
        (output) => this.#end(row, { status: "succeeded", output }),
        (thrown) => this.#fail(row, thrown),
      )
      .finally(() => cancel());
    this.#active.set(row.sequence, { row, journal, stop, over, progress: new Map(), isTelling: false });
  }

  async #fail(row: RunRow, thrown: unknown): Promise<void> {
    if (thrown instanceof Suspended || this.#closing.signal.aborted) {
      this.#active.delete(row.sequence);
      return;
    }
    const { kind, message } = toErrorRecord(thrown);
    const isStopped = this.#store.get(row.workflow, row.id)?.status === "stopping";
    await this.#end(row, { status: isStopped ? "stopped" : "failed", error: { kind, message } });
  }

  /** A full disk holds up the end of a run, and loses none. */
  async #end(row: RunRow, change: RunChange): Promise<void> {
    const { clock, log } = this.#options;
    this.#busy += 1;
    try {
      while (!this.#closing.signal.aborted) {
        try {
          this.#writer.flush();
          this.#change(row, { ...change, ended: clock.now() });
          return;
        } catch (error) {
          log.error(`workflows: ${toErrorRecord(error).message}; trying again`);
          await new Promise<void>((resolve) => clock.at(clock.now() + PAUSE, resolve));
        }
      }
    } finally {
      this.#busy -= 1;
    }
  }

  #change(row: RunRow, change: RunChange): RunRow {
    const changed = this.#store.update(row, change);
    const active = this.#active.get(row.sequence);
    if (active) active.row = changed;
    // Whoever is told that it is over may retry it at once.
    if (change.ended !== undefined) this.#active.delete(row.sequence);
    this.#options.onChange(toRun(changed));
    return changed;
  }

  #world(row: RunRow, journal: RunJournal): WorkflowWorld {
    const { clock, random } = this.#options;
    return {
      ...{ journal, clock, random },
      concurrency: ITEMS_AT_ONCE,
      callback: (path) => `${row.workflow}/${row.id}/${path}`,
      invoke: (call, signal) => this.#invoke(row, call, signal),
      perform: (call, signal) => this.#perform(call, signal),
      ask: async ({ to, callback, input, key }) => this.#options.ask(to, { callback, input }, key),
      answer: (path, signal) => this.#answerTo(row, path, signal),
    };
  }

  async #invoke(row: RunRow, { path, function: name, input, attempt, timeout }: FunctionCall, signal: AbortSignal) {
    const id = stepId({ run: row.id, step: path });
    return this.#options.functions
      .step(name, input, {
        ...{ id, attempt, signal },
        ...(timeout !== undefined && { timeout: timeout * 1000 }),
        onProgress: (said) => {
          this.#active.get(row.sequence)?.progress.set(path, said);
          this.#tellOf(new Set([row.sequence]));
        },
      })
      .finally(() => this.#active.get(row.sequence)?.progress.delete(path));
  }

  /** A run that is known is waited for, or retried if the step is. */
  async #perform({ task, id, input, retries }: TaskCall, signal: AbortSignal): Promise<unknown> {
    const tasks = this.#options.tasks();
    const known = await tasks.get(task, id);
    if (!known) {
      signal.throwIfAborted();
      await tasks.submit(task, input, { id, by: "workflow" });
    } else if (retries && isFinal(known.status) && known.status !== "succeeded" && !signal.aborted) {
      await tasks.retry(task, id, { by: "workflow" });
    }
    try {
      const { status, error } = await tasks.wait(task, id, { signal });
      if (status === "succeeded") return (await tasks.audit(task, id))?.result ?? null;
      if (error) throw fromErrorRecord(error);
      throw new MillraceError(
        status === "stopped" || status === "expired" ? status : "failed",
        `the run "${id}" of ${task} is ${status}`,
      );
    } catch (error) {
      if (!signal.aborted || signal.reason instanceof Suspended) throw error;
      await tasks.stop(task, id, { by: "workflow" });
      await tasks.wait(task, id, { signal: this.#closing.signal });
      throw error;
    }
  }

  #answerTo({ workflow, id, sequence }: RunRow, path: string, signal: AbortSignal): Promise<Answer> {
    const given = this.#store.answer(sequence, path);
    if (given) return Promise.resolve(given);
    const callback = `${workflow}/${id}/${path}`;
    return new Promise<Answer>((resolve, reject) => {
      const onAbort = () => reject(signal.reason);
      this.#waiting.set(callback, resolve);
      if (signal.aborted) onAbort();
      else signal.addEventListener("abort", onAbort, { once: true });
    }).finally(() => this.#waiting.delete(callback));
  }

  #entry(row: RunRow, path: string): StepEntry | undefined {
    const active = this.#active.get(row.sequence);
    return active ? active.journal.read(path) : this.#store.entries(row.sequence).find((entry) => entry.path === path);
  }

  #tellOf(runs: ReadonlySet<number>): void {
    const { clock, onChange } = this.#options;
    for (const run of runs) {
      const active = this.#active.get(run);
      if (!active || active.isTelling) continue;
      active.isTelling = true;
      clock.at(clock.now() + TELL_EVERY, () => {
        active.isTelling = false;
        if (this.#active.get(run) === active) onChange(toRun(active.row));
      });
    }
  }

  #row(workflow: string, id: string): RunRow {
    const { name } = this.#plan(workflow);
    const row = this.#store.get(name, id);
    if (!row) throw new MillraceError("not-found", `${name} has no run "${id}"`);
    return row;
  }

  #plan(workflow: string): WorkflowPlan {
    const plan = this.#plans.get(this.#aliases.get(workflow) ?? workflow);
    if (plan) return plan;
    const known = [...this.#plans.keys()].join(", ") || "none";
    throw new MillraceError("not-found", `there is no workflow "${workflow}"; there are: ${known}`);
  }

  #newId(): string {
    const { clock, random } = this.#options;
    const digits = () => Math.floor(random() * 2 ** 32).toString(36);
    return `${clock.now().toString(36)}-${digits()}${digits()}`;
  }
}

const stopped = () => new MillraceError("stopped", "the run was stopped");

function checkId(id: string): void {
  if (RUN_ID.test(id)) return;
  const allowed = "letters, digits, - and _, a letter or digit first, at most 64";
  throw new MillraceError("bad-input", `a run's id has ${allowed}, got ${JSON.stringify(id)}`);
}

function checkInput(workflow: string, input: unknown, most = Number.POSITIVE_INFINITY): void {
  const bytes = Buffer.byteLength(JSON.stringify(input ?? null));
  if (bytes <= most) return;
  const message = `${workflow}: the input is ${bytes} bytes of JSON, at most ${most} are allowed; put it into a bucket and give its key`;
  throw new MillraceError("refused", message);
}

/** Whether a step of this name waits for an answer. */
const isCallback = (definition: Block, name: string): boolean => {
  const step = stepsOf(definition).find((one) => one.name === name);
  return step?.type === "callback";
};
