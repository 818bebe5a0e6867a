import {
  DescribeExecutionCommand,
  type DescribeExecutionOutput,
  SFNClient,
  StartExecutionCommand,
  StopExecutionCommand,
} from "@aws-sdk/client-sfn";
import { field, type LinkAddress } from "../../../runtime/deployment.ts";
import { type ErrorRecord, isErrorKind, MillraceError } from "../../../runtime/errors.ts";
import { type AttemptCall, attemptCall } from "../../../runtime/tasks/attempt.ts";
import { type AttemptRef, attemptId, type PlatformNameRule, platformName } from "../../../runtime/tasks/ids.ts";
import type { AttemptStart, AttemptState, Outcome, TaskPlatform } from "../../../runtime/tasks/platform.ts";
import { kindOfWords } from "../../../runtime/tasks/platform-words.ts";
import { type AwsWorld, clientSettings } from "./account.ts";
import { ask, type Kinds } from "./ask.ts";

/** https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html */
const EXECUTION: PlatformNameRule = { max: 80, pattern: /^[A-Za-z0-9_-]+$/ };

const KINDS: Kinds = {
  ExecutionDoesNotExist: "not-found",
  ExecutionAlreadyExists: "conflict",
  ExecutionLimitExceeded: "unavailable",
  StateMachineDeleting: "unavailable",
  StateMachineDoesNotExist: "not-found",
};

/** Runs attempts as Standard executions of the task's state machine: one execution per attempt, by the attempt's id. */
export class StatesPlatform implements TaskPlatform {
  readonly #client: SFNClient;
  readonly #machine: string;
  readonly #world: AwsWorld;

  constructor(address: LinkAddress, world: AwsWorld) {
    this.#client = new SFNClient(clientSettings(world, field(address, "region"), address.statesEndpoint));
    this.#machine = field(address, "machine");
    this.#world = world;
  }

  /**
   * A name that the service knows already is an attempt that it was asked to start before. Or one of a run that the
   * table has forgotten since: the service remembers for 90 days.
   *
   * @throws `unavailable` then: the next attempt has another name.
   */
  async start(attempt: AttemptStart): Promise<void> {
    const name = executionName(attempt);
    const input = JSON.stringify(toInput(attempt));
    try {
      await this.#start({ name, input });
    } catch (error) {
      if (!(error instanceof MillraceError) || error.kind !== "conflict") throw error;
      if ((await this.#describe(name))?.input === input) return;
      throw new MillraceError("unavailable", `Step Functions still knows "${name}" from a run that is forgotten`);
    }
  }

  /**
   * The worker sees the request in the table. Without a grace the execution ends: a container hears of that at its next
   * heartbeat; a Lambda function cannot be ended from outside and goes on until it looks or its time is over.
   */
  async stop(attempt: AttemptRef, graceSeconds: number): Promise<void> {
    if (graceSeconds > 0) return;
    const executionArn = this.#execution(executionName(attempt));
    const request = new StopExecutionCommand({ executionArn, error: "stopped", cause: "its grace is over" });
    try {
      await this.#ask(`stopping ${executionArn}`, (options) => this.#client.send(request, options));
    } catch (error) {
      if (!(error instanceof MillraceError) || error.kind !== "not-found") throw error;
    }
  }

  async inspect(attempt: AttemptRef): Promise<AttemptState> {
    const execution = await this.#describe(executionName(attempt));
    return execution ? stateOf(execution) : "gone";
  }

  /** Has the keeper come round, without another resource that would have to be made and removed. */
  async wake(seconds: number): Promise<void> {
    await this.#start({ input: JSON.stringify({ millrace: "wake", seconds }) });
  }

  async #start(request: { readonly name?: string; readonly input: string }): Promise<void> {
    const command = new StartExecutionCommand({ stateMachineArn: this.#machine, ...request });
    await this.#ask(`starting ${this.#machine}`, (options) => this.#client.send(command, options));
  }

  /** Nothing if the service does not know it (any more). */
  async #describe(name: string): Promise<DescribeExecutionOutput | undefined> {
    const executionArn = this.#execution(name);
    const request = new DescribeExecutionCommand({ executionArn });
    try {
      return await this.#ask(`execution ${executionArn}`, (options) => this.#client.send(request, options));
    } catch (error) {
      if (error instanceof MillraceError && error.kind === "not-found") return undefined;
      throw error;
    }
  }

  #execution(name: string): string {
    return `${this.#machine.replace(":stateMachine:", ":execution:")}:${name}`;
  }

  #ask<Answer>(what: string, request: Parameters<typeof ask<Answer>>[2]): Promise<Answer> {
    return ask(what, this.#world, request, KINDS);
  }
}

/** The execution's name. */
export const executionName = (attempt: AttemptRef): string => platformName(attemptId(attempt), EXECUTION);

/** A reference travels without its first bytes: nobody reads them on the way, and container overrides are short. */
function toInput(attempt: AttemptStart): AttemptCall {
  const call = attemptCall(attempt);
  const { payload } = call;
  return "reference" in payload ? { ...call, payload: { reference: { ...payload.reference, preview: "" } } } : call;
}

function stateOf({ status, output, error, cause }: DescribeExecutionOutput): AttemptState {
  switch (status) {
    case "SUCCEEDED":
      return outcomeIn(output);
    case "FAILED":
      return { error: recordOf(error ?? "", cause ?? "") };
    case "TIMED_OUT":
      return { error: { kind: "timed-out", message: "ended by Step Functions when its time was over" } };
    case "ABORTED":
      return { error: { kind: "stopped", message: "ended by Step Functions when its grace was over" } };
    default:
      return "running";
  }
}

/** Workers answer how the attempt ended. A result that was too large to answer nobody knows: it is done again. */
function outcomeIn(output: string | undefined): Outcome | "gone" {
  try {
    const outcome = JSON.parse(output ?? "") as Outcome;
    return "result" in outcome || "error" in outcome ? outcome : "gone";
  } catch {
    return "gone";
  }
}

/** What a worker answered, or what befell it, in the service's words. */
function recordOf(error: string, cause: string): ErrorRecord {
  if (isErrorKind(error)) return { kind: error, message: cause || error };
  const words = [error, cause].filter(Boolean).join(": ") || "it does not say why";
  return { kind: kindOfWords(words), message: `Step Functions ended the attempt: ${words}` };
}
