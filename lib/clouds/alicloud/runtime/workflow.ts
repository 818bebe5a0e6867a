import { field, type LinkAddress } from "../../../runtime/deployment.ts";
import { type ErrorRecord, isErrorKind, MillraceError } from "../../../runtime/errors.ts";
import type { WorkflowAnswerer, WorkflowController, WorkflowStarter } from "../../../runtime/ports.ts";
import {
  isOver,
  RUN_ID,
  type StepRecord,
  type WorkflowFilter,
  type WorkflowHistory,
  type WorkflowPage,
  type WorkflowRun,
  type WorkflowStatus,
} from "../../../runtime/workflows/run.ts";
import type { AlicloudWorld } from "./account.ts";
import { batchesOf } from "./batches.ts";
import { callbacksOf } from "./callbacks.ts";
import { executionName, isUnderWay, RETRIED, roundName, runIn, stopChunks } from "./chunks.ts";
import { chunkFlows, type Execution, type ExecutionEvent, Flows } from "./flows.ts";
import { atMost, type DoneSteps, doneIn } from "./step.ts";

/** A workflow on CloudFlow. */
export const port = (address: LinkAddress, world: AlicloudWorld): CloudFlow => new CloudFlow(address, world);

const PREVIEW = 1024;

/** Runs of one workflow: executions of its flow, by the run's id. */
export class CloudFlow implements WorkflowStarter, WorkflowController, WorkflowAnswerer {
  readonly #address: LinkAddress;
  readonly #world: AlicloudWorld;
  readonly #flows: Flows;

  constructor(address: LinkAddress, world: AlicloudWorld) {
    this.#address = address;
    this.#world = world;
    this.#flows = new Flows(address, world);
  }

  /**
   * The service answers an execution that is under way, and says no where one of the name is over: both are known.
   *
   * @throws `bad-input` for an id that is none.
   */
  async start(id: string, input: unknown): Promise<WorkflowRun> {
    const known = await this.#latest(id);
    if (known) return { ...this.#run(known), deduplicated: true };
    const name = executionName(id);
    const text = JSON.stringify({ run: id, round: 1, done: {}, input: input ?? null });
    const bytes = Buffer.byteLength(text);
    if (bytes > MOST_BYTES) {
      throw new MillraceError(
        "refused",
        `the input has ${bytes} bytes, and CloudFlow carries at most ${MOST_BYTES}: put it into a bucket and pass its key`,
      );
    }
    const started = await this.#flows.start(name, text);
    const found = started ?? (await this.#flows.describe(name));
    if (!found) throw new MillraceError("unavailable", `${this.#address.part}: "${id}" is there, and is not found`);
    const first = { Input: text, ...found, Name: name };
    return { ...this.#run({ first, last: first }), ...(!started && { deduplicated: true }) };
  }

  async get(id: string): Promise<WorkflowHistory | undefined> {
    const found = await this.#latest(id);
    if (!found) return undefined;
    const { last } = found;
    const events = await this.#flows.history(last.Name);
    const run = this.#run(found, events);
    const output = (jsonOf(last.Output) as { readonly output?: unknown } | undefined)?.output;
    const steps = stepsOf(events, field(this.#address, "steps").split(","));
    return {
      run,
      input: inputOf(last),
      ...(run.status === "succeeded" && { output: output ?? null }),
      steps: await this.#withItems(id, steps),
    };
  }

  /** Whether there is a run of this id. */
  async has(id: string): Promise<boolean> {
    return RUN_ID.test(id) && (await this.#flows.describe(executionName(id))) !== undefined;
  }

  /** Runs that were retried are where they began, and what they are now. */
  async list({ status, after, before, prefix, limit = 100, cursor }: WorkflowFilter = {}): Promise<WorkflowPage> {
    const wanted = status === undefined ? undefined : [status].flat();
    const retried = await this.#retried();
    // The service knows how each execution ended, and not that another went on with its run.
    const only = wanted?.length === 1 && retried.size === 0 ? STATUSES[wanted[0]!] : undefined;
    const { executions, next } = await this.#flows.list({
      limit,
      ...(only !== undefined && { status: only }),
      ...(prefix !== undefined && { prefix: executionName(prefix) }),
      ...(after !== undefined && { after }),
      ...(before !== undefined && { before }),
      ...(cursor !== undefined && { next: cursor }),
    });
    const runs = executions
      .filter(({ Name }) => runIn(Name).round === 1)
      .map((first) => this.#run({ first, last: retried.get(runIn(first.Name).run) ?? first }));
    return {
      runs: wanted ? runs.filter((run) => wanted.includes(run.status)) : runs,
      ...(next !== undefined && { next }),
    };
  }

  /** Functions that run go on to their ends; the flow does not wait for them. Executions of its items are stopped too. */
  async stop(id: string): Promise<WorkflowRun> {
    const found = await this.#known(id);
    const run = this.#run(found);
    if (isOver(run.status)) return run;
    await this.#flows.stop(found.last.Name, "stopped", "somebody asked for it");
    // After the run itself: whatever is started from now on finds that nobody waits.
    await stopChunks(chunkFlows(this.#address, this.#world), id);
    return this.#run(await this.#known(id));
  }

  /**
   * A new execution, since the service begins none again: functions that succeeded are not called again by it but
   * answer what they answered, up to {@link MOST_DONE} bytes in all; what is more is done again, and so are waits.
   *
   * @throws `conflict` unless it failed or was stopped
   */
  async retry(id: string): Promise<WorkflowRun> {
    const found = await this.#known(id);
    const { status } = this.#run(found);
    if (status !== "failed" && status !== "stopped") {
      throw new MillraceError("conflict", `"${id}" is ${status}: only what failed or was stopped is retried`);
    }
    const { Name, Input } = found.last;
    const { input = null, done = {} } = (jsonOf(Input) ?? {}) as {
      readonly input?: unknown;
      readonly done?: DoneSteps;
    };
    const events = await this.#flows.history(Name);
    const all = { ...done, ...doneIn(events.map(({ EventDetail }) => EventDetail)) };
    const round = runIn(Name).round + 1;
    const given = { run: id, round, input };
    const room = MOST_BYTES - Buffer.byteLength(JSON.stringify({ ...given, done: {} }));
    const text = JSON.stringify({ ...given, done: atMost(all, Math.min(MOST_DONE, room)) });
    await this.#flows.start(roundName(id, round), text);
    return this.#run(await this.#known(id));
  }

  /** @throws `not-found` where no step of the workflow asks anybody. */
  async answer(...[callback, answer]: Parameters<WorkflowAnswerer["answer"]>): Promise<void> {
    if (this.#address.table === undefined) {
      throw new MillraceError("not-found", `no step of "${this.#address.part}" waits for an answer`);
    }
    await (await callbacksOf(this.#address, this.#world)).answer(callback, answer);
  }

  async #known(id: string): Promise<Rounds> {
    const found = await this.#latest(id);
    if (found) return found;
    throw new MillraceError("not-found", `${this.#address.part} has no run "${id}"`);
  }

  /** What succeeded or is under way was not retried. @throws `bad-input` for an id that is none. */
  async #latest(id: string): Promise<Rounds | undefined> {
    checkId(id);
    const first = await this.#flows.describe(executionName(id));
    let last = first;
    for (let next = last; next; next = await this.#after(id, last!)) last = next;
    return first && last && { first, last };
  }

  async #after(id: string, last: Execution): Promise<Execution | undefined> {
    if (isUnderWay(last) || last.Status === "Succeeded") return undefined;
    return this.#flows.describe(roundName(id, runIn(last.Name).round + 1));
  }

  /** The last executions of runs that were retried, by the runs. */
  async #retried(): Promise<ReadonlyMap<string, Execution>> {
    const found = new Map<string, Execution>();
    for (let next: string | undefined = ""; next !== undefined; ) {
      const page = await this.#flows.list({ prefix: RETRIED, limit: 99, ...(next && { next }) });
      for (const execution of page.executions) {
        const { run, round } = runIn(execution.Name);
        const known = found.get(run);
        if (!known || runIn(known.Name).round < round) found.set(run, execution);
      }
      next = page.next;
    }
    return found;
  }

  /** What is known of items that have executions of their own. */
  async #withItems(id: string, steps: readonly StepRecord[]): Promise<readonly StepRecord[]> {
    if (this.#address.chunks === undefined) return steps;
    return (await batchesOf(this.#address, this.#world)).withItems(id, steps);
  }

  #run({ first, last }: Rounds, events: readonly ExecutionEvent[] = []): WorkflowRun {
    const { StoppedTime } = last;
    const isLate = this.#isLate(last);
    const status = isLate ? "failed" : STATES[last.Status];
    const output = (jsonOf(last.Output) as { readonly output?: unknown } | undefined)?.output;
    return {
      workflow: this.#address.part,
      id: runIn(first.Name).run,
      status,
      started: first.StartedTime,
      ...(StoppedTime && isOver(status) && { ended: StoppedTime }),
      ...(status === "failed" && { error: isLate ? LATE : errorOf(last, events) }),
      inputPreview: previewOf(inputOf(last)),
      ...(status === "succeeded" && { outputPreview: previewOf(output ?? null) }),
    };
  }

  /** The keeper stops what takes longer than the workflow's timeout: that is a failure, and no stop. */
  #isLate({ Status, StartedTime, StoppedTime }: Execution): boolean {
    const longest = Number(field(this.#address, "timeout")) * 1000;
    return Status === "Stopped" && Date.parse(StoppedTime ?? "") - Date.parse(StartedTime) >= longest;
  }
}

/** The executions of a run: of one that was never retried they are the same. */
interface Rounds {
  readonly first: Execution;
  readonly last: Execution;
}

/** Of an execution's input, and of a state's. https://www.alibabacloud.com/help/en/serverless-workflow/latest/limits */
const MOST_BYTES = 64 * 1024;
/** Of what a run that is retried had done before: every call of a function carries it. */
const MOST_DONE = 32 * 1024;

const LATE: ErrorRecord = { kind: "timed-out", message: "the run took longer than its workflow allows" };

const STATES: Readonly<Record<Execution["Status"], WorkflowStatus>> = {
  Starting: "running",
  Running: "running",
  Stopped: "stopped",
  Succeeded: "succeeded",
  Failed: "failed",
  TimedOut: "failed",
};

/** What the service is asked for; where it has several words for one of ours, all are asked for and looked through. */
const STATUSES: Readonly<Partial<Record<WorkflowStatus, Execution["Status"]>>> = {
  running: "Running",
  succeeded: "Succeeded",
};

function checkId(id: string): void {
  if (RUN_ID.test(id)) return;
  throw new MillraceError(
    "bad-input",
    `id: got ${JSON.stringify(id)}, allowed: letters, digits, - and _, a letter or digit first, at most 64`,
  );
}

const inputOf = ({ Input }: Execution): unknown =>
  (jsonOf(Input) as { readonly input?: unknown } | undefined)?.input ?? null;

const previewOf = (value: unknown): string => JSON.stringify(value).slice(0, PREVIEW);

function jsonOf(text: string | undefined): unknown {
  try {
    return text === undefined || text === "" ? undefined : (JSON.parse(text) as unknown);
  } catch {
    return undefined;
  }
}

/** In the output of the execution, or in the input of the state that failed it. */
function errorOf({ Status, Output }: Execution, events: readonly ExecutionEvent[]): ErrorRecord {
  if (Status === "TimedOut") return LATE;
  const details = [Output, ...events.map(({ EventDetail }) => EventDetail).reverse()];
  const found = details
    .map(jsonOf)
    .map(errorIn)
    .find((error) => error !== undefined);
  return found ?? { kind: "failed", message: "the service does not say why: see the run's steps" };
}

function errorIn(value: unknown): ErrorRecord | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { error, input, output } = value as Readonly<Record<string, unknown>>;
  const { kind, message } = (error ?? {}) as { readonly kind?: unknown; readonly message?: unknown };
  if (isErrorKind(kind)) return { kind, message: String(message ?? "") };
  return errorIn(input) ?? errorIn(output);
}

/** The states that are steps of the user's, as the history tells of them: one record for each time it was entered. */
function stepsOf(events: readonly ExecutionEvent[], steps: readonly string[]): readonly StepRecord[] {
  const names = new Set(steps);
  const records: StepRecord[] = [];
  for (const { StepName, Type, Time } of events) {
    if (StepName === undefined || !names.has(StepName)) continue;
    if (Type === "StepEntered") {
      records.push({ path: StepName, step: StepName, status: "running", started: Time, attempts: 1 });
      continue;
    }
    const index = records.findLastIndex(({ step, ended }) => step === StepName && ended === undefined);
    if (index < 0) continue;
    records[index] = after(records[index]!, Type, Time);
  }
  return records;
}

function after(record: StepRecord, type: string, time: string): StepRecord {
  if (type === "StepExited")
    return { ...record, ended: time, status: record.status === "running" ? "succeeded" : record.status };
  if (type === "TaskFailed" || type === "TaskTimedOut") return { ...record, status: "failed" };
  if (type === "TaskScheduled" && record.status === "failed") {
    return { ...record, status: "running", attempts: record.attempts + 1 };
  }
  return record;
}
