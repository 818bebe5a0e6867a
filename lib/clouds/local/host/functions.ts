import type { FunctionPlan } from "../../../parts/plan.ts";
import { type Clock, sleep } from "../../../runtime/clock.ts";
import { type ErrorRecord, fromErrorRecord, MillraceError, toErrorRecord } from "../../../runtime/errors.ts";
import type { FunctionInvoked, SourceEvent } from "../../../runtime/events.ts";
import type { FunctionInvoker } from "../../../runtime/ports.ts";
import type { SubmitOptions } from "../../../runtime/tasks/task.ts";
import { toMilliseconds } from "../../../shared/duration.ts";
import { isKeysLink } from "../../../shared/environment.ts";
import type { LogLine, Measurement, Progress, RunIdentity } from "../runtime/channel.ts";
import type { Agenda, Duty } from "./agenda.ts";
import type { Calls } from "./calls.ts";
import { Deliveries } from "./deliveries.ts";
import { type Faults, faultError } from "./faults.ts";
import type { Ending, Job } from "./instance.ts";
import type { Journal } from "./journal.ts";
import { kindOf, type Permissions } from "./permissions.ts";
import type { Lane, Processes } from "./processes.ts";

/** Between the request to end and the kill of a function that runs past its timeout, in milliseconds. */
const FUNCTION_GRACE = 1000;

export interface FunctionsOptions {
  readonly journal: Journal;
  readonly clock: Clock;
  readonly agenda: Pick<Agenda, "wake">;
  /** 0 to 1, for the jitter of retries and the ids of calls. */
  readonly random: () => number;
  readonly processes: Processes;
  readonly calls: Calls;
  readonly permissions: Permissions;
  readonly faults: Faults;
  /** Bytes; absent: any. */
  readonly limits?: { readonly functionPayloadBytes?: number; readonly eventPayloadBytes?: number };
  /** Paths by tool. */
  readonly tools?: Readonly<Record<string, string>>;
  /** A volume's folder. */
  readonly volume?: (part: string) => string;
  /** Sends to a failure queue; called inside the transaction that ends the event. */
  readonly send: (queue: string, body: string) => void;
  readonly onLog?: (entry: FunctionLog) => void;
  /** Called when a function has failed every attempt of an event. */
  readonly onGiveUp?: (name: string) => void;
  readonly onMeasure?: (name: string, measurements: readonly Measurement[]) => void;
}

/** Lines of a function's log, outside of tasks. */
export interface FunctionLog {
  readonly function: string;
  /** The run's id: that of the event, or of the batch. */
  readonly run: string;
  readonly attempt: number;
  readonly lines: readonly LogLine[];
}

/** An event that has failed every attempt. */
export interface GivenUp {
  readonly event: { readonly id: string };
  readonly error: ErrorRecord;
  readonly attempts: number;
}

/** How one run of a task ended. */
export type Outcome = { readonly result: unknown } | { readonly error: ErrorRecord };

export interface RunOptions {
  readonly event: SourceEvent;
  readonly run: RunIdentity;
  /** Milliseconds. @default the function's own */
  readonly timeout?: number;
  /** Milliseconds between the request to end and the kill. @default a second */
  readonly grace?: number;
  /** Asks the run to end; the outcome is then `stopped`, unless it had just ended by itself. */
  readonly signal?: AbortSignal;
  /** It has left the line and runs. */
  readonly onStart?: () => void;
  readonly onProgress?: (progress: Progress) => void;
  readonly onLog?: (lines: readonly LogLine[]) => void;
}

type Invocation = Omit<RunOptions, "event"> & {
  readonly events: readonly SourceEvent[];
  readonly lane: Lane;
  readonly limit?: number;
};

type StepOptions = Pick<RunOptions, "timeout" | "onProgress"> & { readonly signal: AbortSignal };

type CallOptions = Pick<RunOptions, "signal" | "timeout" | "onProgress"> & {
  readonly lane: Lane;
  /** @default a new one */
  readonly run?: RunIdentity;
  /** How a task's dispatcher is to submit the payload. */
  readonly submit?: SubmitOptions;
};

/**
 * The stack's functions: called for an answer, or given events that are journaled and tried until they succeed or
 * have failed every attempt.
 *
 * A function that is defined anew runs its new code from the next invocation on; what runs finishes on the old code.
 */
export class Functions {
  /** Handles the journaled events: for the agenda. */
  readonly duty: Duty;
  readonly #options: FunctionsOptions;
  readonly #plans = new Map<string, FunctionPlan>();
  readonly #deliveries: Deliveries;
  #ids = 0;
  /** Invocations whose caller has no answer yet. */
  #open = 0;

  constructor(options: FunctionsOptions) {
    this.#options = options;
    this.#deliveries = new Deliveries({
      ...options,
      most: options.processes.most,
      planOf: (name) => this.#plans.get(name),
      handle: (plan, event, attempt) => this.#handle(plan, [event], { id: event.id, attempt }),
      onGiveUp: (plan, failed) => this.giveUp(plan, failed),
    });
    this.duty = this.#deliveries;
  }

  define(plan: FunctionPlan, bundleFile: string): void {
    const { permissions, processes, agenda, volume, tools = {} } = this.#options;
    const linked = Object.entries(plan.links).filter(([name]) => !isKeysLink(name));
    const links = linked.map(([name, { part, actions }]) => {
      const kind = kindOf(actions);
      return { name, part, kind, ...(kind === "volume" && volume && { path: volume(part) }) };
    });
    const own = Object.fromEntries(plan.tools.flatMap((tool) => (tools[tool] ? [[tool, tools[tool]]] : [])));
    permissions.define(plan);
    const { name, memory, environment, concurrency } = plan;
    processes.define({ name, file: bundleFile, memory, environment, links, tools: own }, concurrency);
    this.#plans.set(name, plan);
    agenda.wake();
  }

  /** Forgets a function; events it has not handled stay in the journal, for when it is defined again. */
  remove(name: string): void {
    this.#plans.delete(name);
    this.#options.processes.remove(name);
    this.#options.permissions.remove(name);
  }

  /**
   * Calls a function and waits for its result.
   *
   * @param options.submit how a task's dispatcher is to submit the payload
   * @throws what the function throws; `refused` for a payload or result over the limit, `not-found` for an unknown name
   */
  async invoke(
    name: string,
    payload: unknown,
    options: { readonly signal?: AbortSignal; readonly submit?: SubmitOptions } = {},
  ): Promise<unknown> {
    return this.#call(name, payload, { ...options, lane: "function" });
  }

  /**
   * Calls a function as one step of a workflow and waits for its result.
   *
   * @param options.id the same at every attempt
   * @param options.timeout milliseconds. @default the function's own
   * @param options.onProgress is told how far it says it is
   * @throws as {@link invoke} does
   */
  async step(name: string, payload: unknown, { id, attempt, ...options }: RunIdentity & StepOptions): Promise<unknown> {
    return this.#call(name, payload, { ...options, run: { id, attempt }, lane: "function" });
  }

  /** A function as a link gives it: a call from a handler holds its caller's place and waits for no other. */
  port(name: string): FunctionInvoker {
    return { invoke: (payload) => this.#call(name, payload, { lane: "nested" }) };
  }

  /**
   * Gives a function an event, to be handled at least once: it is in the journal when this returns, as part of the
   * transaction it is called in.
   *
   * @param options.delay milliseconds before it is handled. @default at once
   * @throws `refused` if the event is over the limit, `not-found` for an unknown function
   */
  enqueue(name: string, event: SourceEvent, { delay = 0 }: { readonly delay?: number } = {}): void {
    this.#plan(name);
    checkSize(name, event, "an asynchronous call", this.#options.limits?.eventPayloadBytes);
    this.#deliveries.add(name, event, delay);
  }

  /**
   * Runs a function once on a batch and says which events failed; who delivers them tries again.
   *
   * @param options.attempt which try it is. @default 1
   */
  async deliver(
    name: string,
    events: readonly SourceEvent[],
    { attempt = 1 }: { readonly attempt?: number } = {},
  ): Promise<Ending> {
    const id = events.length === 1 ? events[0]!.id : this.#newId(name);
    return this.#handle(this.#plan(name), events, { id, attempt });
  }

  /** Tells, in the function's log too, that it has failed every attempt of an event. */
  giveUp({ name, failures }: Pick<FunctionPlan, "name" | "failures">, { event, error, attempts }: GivenUp): void {
    const where =
      failures === undefined ? "and is dropped: the function has no failure queue" : `and went to "${failures}"`;
    const tries = attempts === 1 ? "its attempt" : `all its ${attempts} attempts`;
    const message = `event ${event.id} failed ${tries} (${error.message}) ${where}`;
    const time = this.#options.clock.now();
    const line: LogLine = { time, level: "error", message, fields: { event, error } };
    this.#options.onLog?.({ function: name, run: event.id, attempt: attempts, lines: [line] });
    this.#options.onGiveUp?.(name);
  }

  /** Runs a task's attempt; never rejects. */
  async run(name: string, { event, ...options }: RunOptions): Promise<Outcome> {
    if (!this.#plans.has(name)) return { error: toErrorRecord(this.#unknown(name)) };
    const ending = await this.#run(this.#plan(name), { ...options, events: [event], lane: "task" });
    const error = errorOf(ending);
    return error ? { error } : { result: resultOf(ending) };
  }

  /** How many events wait for each function, those being handled included. */
  waiting(): Readonly<Record<string, number>> {
    return this.#deliveries.waiting();
  }

  /** Whether every invocation is over, and its caller has the answer, or waits for virtual time. */
  get isQuiet(): boolean {
    return this.#open === this.#options.processes.resting;
  }

  /** Ends all processes; resolves when what they have done is journaled. */
  async close(): Promise<void> {
    this.#deliveries.close();
    await this.#options.processes.close();
    await this.#deliveries.settled();
  }

  #plan(name: string): FunctionPlan {
    const plan = this.#plans.get(name);
    if (!plan) throw this.#unknown(name);
    return plan;
  }

  #unknown(name: string): MillraceError {
    const known = [...this.#plans.keys()].join(", ") || "none";
    return new MillraceError("not-found", `there is no function "${name}"; there are: ${known}`);
  }

  async #call(
    name: string,
    payload: unknown,
    { submit, run = { id: this.#newId(name), attempt: 1 }, ...options }: CallOptions,
  ): Promise<unknown> {
    const plan = this.#plan(name);
    const limit = this.#options.limits?.functionPayloadBytes;
    const event: FunctionInvoked = {
      type: "function.invoked",
      id: run.id,
      payload,
      ...(submit && { options: submit }),
      time: new Date(this.#options.clock.now()).toISOString(),
    };
    checkSize(name, event, "a call", limit);
    const ending = await this.#run(plan, { ...options, events: [event], run, ...(limit !== undefined && { limit }) });
    const error = errorOf(ending);
    if (error) throw fromErrorRecord(error);
    return resultOf(ending);
  }

  /** Nobody waits for the answer to an event: what goes wrong is told in the function's log. */
  async #handle(plan: FunctionPlan, events: readonly SourceEvent[], run: RunIdentity): Promise<Ending> {
    const ending = await this.#run(plan, { events, run, lane: "function" });
    const failures = "error" in ending ? [{ id: run.id, error: ending.error }] : ending.failures;
    if (failures.length > 0) {
      const time = this.#options.clock.now();
      const lines = failures.map(({ id, error }): LogLine => {
        const { kind, message, stack } = error;
        return { time, level: "error", message: `event ${id}: ${message}`, fields: { kind, ...(stack && { stack }) } };
      });
      this.#options.onLog?.({ function: plan.name, run: run.id, attempt: run.attempt, lines });
    }
    return ending;
  }

  async #run(plan: FunctionPlan, invocation: Invocation): Promise<Ending> {
    this.#open += 1;
    try {
      return await this.#runWithFaults(plan, invocation);
    } finally {
      this.#open -= 1;
    }
  }

  async #runWithFaults(plan: FunctionPlan, invocation: Invocation): Promise<Ending> {
    const { name } = plan;
    const fault = this.#options.faults.strike("function.start", name);
    if (fault?.delay !== undefined) await sleep(this.#options.clock, toMilliseconds(fault.delay));
    if (fault?.error) return { error: toErrorRecord(faultError(fault)) };
    const missing = plan.tools.find((tool) => !this.#options.tools?.[tool]);
    if (missing !== undefined) {
      const message = `function "${name}" wants the tool "${missing}", which is not on this machine`;
      return { error: { kind: "refused", message } };
    }
    const ending = await this.#runJob(plan, invocation, fault?.kill ?? false);
    const answer = () => Promise.resolve(ending);
    return this.#options.faults.around("function.end", name, answer, () => {}).catch(endingOf);
  }

  async #runJob(plan: FunctionPlan, invocation: Invocation, isKilled: boolean): Promise<Ending> {
    const { processes, calls, onLog, onMeasure } = this.#options;
    const { lane, signal, onStart, ...given } = invocation;
    const { name } = plan;
    const { id, attempt } = given.run;
    const asked = calls.begin(name);
    const job: Job = {
      timeout: plan.timeout * 1000,
      grace: FUNCTION_GRACE,
      onLog: (lines) => onLog?.({ function: name, run: id, attempt, lines }),
      ...given,
      onCall: (call, handle) => asked.answer(call, handle),
      onMeasure: (measurements) => onMeasure?.(name, measurements),
      onStart: (handle) => {
        onStart?.();
        if (isKilled) handle.kill();
      },
    };
    const ending = await processes.run(name, job, { lane, ...(signal && { signal }) });
    await asked.end();
    return ending;
  }

  #newId(name: string): string {
    this.#ids += 1;
    const { clock, random } = this.#options;
    return `${name}-${clock.now().toString(36)}-${this.#ids}-${Math.floor(random() * 2 ** 32).toString(36)}`;
  }
}

function checkSize(name: string, event: SourceEvent, what: string, limit = Number.POSITIVE_INFINITY): void {
  const isCall = event.type === "function.invoked";
  const text = JSON.stringify(isCall ? event.payload : event) ?? "";
  if (text.length * 3 <= limit) return;
  const bytes = Buffer.byteLength(text);
  if (bytes <= limit) return;
  throw new MillraceError(
    "refused",
    `function "${name}": the ${isCall ? "payload" : "event"} is ${bytes} bytes of JSON; ${what} takes at most ${limit}, put it into a bucket and send its key`,
  );
}

const endingOf = (error: unknown): Ending => ({ error: toErrorRecord(error) });

/** The error of an invocation with one event. */
const errorOf = (ending: Ending): ErrorRecord | undefined =>
  "error" in ending ? ending.error : ending.failures[0]?.error;

const resultOf = (ending: Ending): unknown =>
  "results" in ending && ending.results[0] !== undefined ? JSON.parse(ending.results[0]) : undefined;
