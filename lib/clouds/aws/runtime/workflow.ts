import {
  DescribeExecutionCommand,
  type DescribeExecutionOutput,
  DescribeStateMachineForExecutionCommand,
  type ExecutionStatus,
  GetExecutionHistoryCommand,
  type HistoryEvent,
  ListExecutionsCommand,
  RedriveExecutionCommand,
  SFNClient,
  StartExecutionCommand,
  StopExecutionCommand,
} from "@aws-sdk/client-sfn";
import { field, type LinkAddress } from "../../../runtime/deployment.ts";
import { type ErrorRecord, MillraceError } from "../../../runtime/errors.ts";
import type { WorkflowAnswerer, WorkflowController, WorkflowStarter } from "../../../runtime/ports.ts";
import {
  type Answer,
  isOver,
  RUN_ID,
  type StepRecord,
  type WorkflowFilter,
  type WorkflowHistory,
  type WorkflowPage,
  type WorkflowRun,
  type WorkflowStatus,
} from "../../../runtime/workflows/run.ts";
import { type AwsWorld, clientSettings } from "./account.ts";
import { ask, type Kinds } from "./ask.ts";
import { failureOf, placesIn, stepsOf } from "./flow-history.ts";

/** A workflow on Step Functions. */
export const port = (address: LinkAddress, world: AwsWorld): StatesFlow => new StatesFlow(address, world);

const KINDS: Kinds = {
  ExecutionAlreadyExists: "conflict",
  ExecutionDoesNotExist: "not-found",
  ExecutionLimitExceeded: "unavailable",
  ExecutionNotRedrivable: "conflict",
  StateMachineDeleting: "unavailable",
  StateMachineDoesNotExist: "not-found",
};

/** Of an execution's input. https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html */
const MOST_BYTES = 256 * 1024;

/** Requests for what a list does not say, at once. */
const AT_ONCE = 8;

/** Runs of one workflow: executions of its state machine, by the run's id, which the service knows for 90 days. */
export class StatesFlow implements WorkflowStarter, WorkflowController, WorkflowAnswerer {
  readonly #address: LinkAddress;
  readonly #client: SFNClient;
  readonly #machine: string;
  readonly #world: AwsWorld;

  constructor(address: LinkAddress, world: AwsWorld) {
    this.#address = address;
    this.#client = new SFNClient(clientSettings(world, field(address, "region"), address.statesEndpoint));
    this.#machine = field(address, "machine");
    this.#world = world;
  }

  /**
   * The service answers an execution that is under way with the same input, and says no to what else has its name: all
   * are known runs.
   *
   * @throws `bad-input` for an id that is none, `refused` for an input that is too large
   */
  async start(id: string, input: unknown): Promise<WorkflowRun> {
    checkId(id);
    const text = JSON.stringify(input ?? null);
    const bytes = Buffer.byteLength(text);
    if (bytes > MOST_BYTES) {
      throw new MillraceError(
        "refused",
        `the input has ${bytes} bytes, and Step Functions carries at most ${MOST_BYTES}: put it into a bucket and pass its key`,
      );
    }
    const known = await this.#describe(id);
    if (known) return { ...this.#run(known), deduplicated: true };
    const request = new StartExecutionCommand({ stateMachineArn: this.#machine, name: id, input: text });
    try {
      const { startDate } = await this.#ask(`starting ${this.#machine}`, (options) =>
        this.#client.send(request, options),
      );
      return this.#run({ name: id, status: "RUNNING", startDate, input: text });
    } catch (error) {
      if (!isOfKind(error, "conflict")) throw error;
      return { ...(await this.#known(id)), deduplicated: true };
    }
  }

  async get(id: string): Promise<WorkflowHistory | undefined> {
    checkId(id);
    const execution = await this.#describe(id);
    if (!execution) return undefined;
    const run = this.#run(execution);
    const output = run.status === "succeeded" && { output: JSON.parse(execution.output ?? "null") as unknown };
    return { run, input: JSON.parse(execution.input ?? "null") as unknown, ...output, steps: await this.#steps(run) };
  }

  /** The service lists by status alone: the rest is looked through here. */
  async list({ status, after, before, prefix = "", limit = 100, cursor }: WorkflowFilter = {}): Promise<WorkflowPage> {
    const wanted = status === undefined ? undefined : [status].flat();
    const only = wanted?.length === 1 ? STATUSES[wanted[0]!] : undefined;
    const found: string[] = [];
    let next = cursor;
    do {
      const request = new ListExecutionsCommand({
        stateMachineArn: this.#machine,
        maxResults: limit - found.length,
        ...(only && { statusFilter: only }),
        ...(next !== undefined && { nextToken: next }),
      });
      const { executions = [], nextToken } = await this.#ask("listing runs", (options) =>
        this.#client.send(request, options),
      );
      const isWanted = (run: {
        readonly name?: string | undefined;
        readonly status?: ExecutionStatus | undefined;
        readonly startDate?: Date | undefined;
      }) =>
        (!wanted || wanted.includes(statusOf(run.status))) &&
        run.name!.startsWith(prefix) &&
        (after === undefined || run.startDate!.getTime() >= Date.parse(after)) &&
        (before === undefined || run.startDate!.getTime() < Date.parse(before));
      found.push(...executions.filter(isWanted).map(({ name }) => name!));
      // Newest first: what comes is older still.
      const isPast =
        after !== undefined && executions.some(({ startDate }) => startDate!.getTime() < Date.parse(after));
      next = isPast ? undefined : nextToken;
    } while (next !== undefined && found.length < limit);
    return { runs: await this.#describeAll(found), ...(next !== undefined && { next }) };
  }

  /** A Lambda function that runs goes on to its end: nobody waits for it any more. */
  async stop(id: string): Promise<WorkflowRun> {
    const run = await this.#known(id);
    if (isOver(run.status)) return run;
    const executionArn = this.#execution(id);
    const request = new StopExecutionCommand({ executionArn, error: "stopped", cause: "somebody asked for it" });
    await this.#ask(`stopping ${executionArn}`, (options) => this.#client.send(request, options));
    return this.#known(id);
  }

  /** @throws `conflict` unless it failed or was stopped, not longer than 14 days ago */
  async retry(id: string): Promise<WorkflowRun> {
    const run = await this.#known(id);
    if (run.status !== "failed" && run.status !== "stopped") {
      throw new MillraceError("conflict", `"${id}" is ${run.status}: only what failed or was stopped is retried`);
    }
    const executionArn = this.#execution(id);
    const request = new RedriveExecutionCommand({ executionArn });
    await this.#ask(`redriving ${executionArn}`, (options) => this.#client.send(request, options));
    return this.#known(id);
  }

  /** @throws `not-found` where no step of the workflow asks anybody, or there is no such run */
  async answer(callback: string, answer: Answer): Promise<void> {
    if (this.#address.table === undefined || !(await this.has(callback))) {
      throw new MillraceError("not-found", `no step of "${this.#address.part}" waits for an answer to "${callback}"`);
    }
    const { Callbacks } = await import("./callbacks.ts");
    await new Callbacks(this.#address, this.#world).answer(callback, answer);
  }

  /** Whether a callback is of a run of this workflow. */
  async has(callback: string): Promise<boolean> {
    const id = callback.slice(0, Math.max(0, callback.indexOf("/")));
    return RUN_ID.test(id) && (await this.#describe(id)) !== undefined;
  }

  async #steps(run: WorkflowRun): Promise<readonly StepRecord[]> {
    const executionArn = this.#execution(run.id);
    const what = `the history of ${executionArn}`;
    const machine = await this.#ask(what, (options) =>
      this.#client.send(new DescribeStateMachineForExecutionCommand({ executionArn }), options),
    );
    const events: HistoryEvent[] = [];
    let nextToken: string | undefined;
    do {
      const request = new GetExecutionHistoryCommand({
        executionArn,
        maxResults: 1000,
        ...(nextToken && { nextToken }),
      });
      const page = await this.#ask(what, (options) => this.#client.send(request, options));
      events.push(...(page.events ?? []));
      nextToken = page.nextToken;
    } while (nextToken !== undefined);
    const places = placesIn(JSON.parse(machine.definition ?? "{}"));
    const asking = [...(machine.definition ?? "").matchAll(/"([\w-]+): answer":/g)].map(([, step]) => step!);
    return stepsOf(events, places, new Set(asking), run);
  }

  async #describeAll(ids: readonly string[]): Promise<readonly WorkflowRun[]> {
    const runs: WorkflowRun[] = [];
    for (let from = 0; from < ids.length; from += AT_ONCE) {
      const some = await Promise.all(ids.slice(from, from + AT_ONCE).map((id) => this.#describe(id)));
      runs.push(...some.flatMap((execution) => (execution ? [this.#run(execution)] : [])));
    }
    return runs;
  }

  async #known(id: string): Promise<WorkflowRun> {
    checkId(id);
    const execution = await this.#describe(id);
    if (execution) return this.#run(execution);
    throw new MillraceError("not-found", `${this.#address.part} has no run "${id}"`);
  }

  async #describe(id: string): Promise<DescribeExecutionOutput | undefined> {
    const executionArn = this.#execution(id);
    const request = new DescribeExecutionCommand({ executionArn });
    try {
      return await this.#ask(`execution ${executionArn}`, (options) => this.#client.send(request, options));
    } catch (error) {
      if (isOfKind(error, "not-found")) return undefined;
      throw error;
    }
  }

  #execution(id: string): string {
    return `${this.#machine.replace(":stateMachine:", ":execution:")}:${id}`;
  }

  #run(execution: Execution): WorkflowRun {
    const { name, startDate, stopDate, input, output } = execution;
    const status = statusOf(execution.status);
    return {
      workflow: this.#address.part,
      id: name!,
      status,
      started: startDate!.toISOString(),
      ...(stopDate && isOver(status) && { ended: stopDate.toISOString() }),
      ...(status === "failed" && { error: errorOf(execution) }),
      inputPreview: preview(input),
      ...(status === "succeeded" && { outputPreview: preview(output) }),
    };
  }

  #ask<Answer>(what: string, request: Parameters<typeof ask<Answer>>[2]): Promise<Answer> {
    return ask(what, this.#world, request, KINDS);
  }
}

/** Of JSON, which the service may space out. */
const preview = (text = "null"): string => JSON.stringify(JSON.parse(text)).slice(0, 1024);

type Execution = Pick<
  DescribeExecutionOutput,
  "name" | "status" | "startDate" | "stopDate" | "input" | "output" | "error" | "cause"
>;

function checkId(id: string): void {
  if (RUN_ID.test(id)) return;
  throw new MillraceError(
    "bad-input",
    `id: got ${JSON.stringify(id)}, allowed: letters, digits, - and _, a letter or digit first, at most 64`,
  );
}

const isOfKind = (error: unknown, kind: string): boolean => error instanceof MillraceError && error.kind === kind;

function statusOf(status: ExecutionStatus | undefined): WorkflowStatus {
  switch (status) {
    case "SUCCEEDED":
      return "succeeded";
    case "FAILED":
    case "TIMED_OUT":
      return "failed";
    case "ABORTED":
      return "stopped";
    default:
      return "running";
  }
}

/** What the service is asked for; where it has several words for one of ours, all are asked for and looked through. */
const STATUSES: Readonly<Partial<Record<WorkflowStatus, ExecutionStatus>>> = {
  running: "RUNNING",
  succeeded: "SUCCEEDED",
  stopped: "ABORTED",
};

function errorOf({ status, error, cause }: Execution): ErrorRecord {
  if (status === "TIMED_OUT") return { kind: "timed-out", message: "the run took longer than its workflow allows" };
  return failureOf(error, cause);
}
