import { attemptCall } from "../../../runtime/tasks/attempt.ts";
import { type AttemptRef, attemptId, type PlatformNameRule, platformName } from "../../../runtime/tasks/ids.ts";
import type { AttemptStart, AttemptState, Outcome, TaskPlatform } from "../../../runtime/tasks/platform.ts";
import { type AsyncTask, type Functions, readThrown } from "./functions.ts";

/** https://www.alibabacloud.com/help/en/functioncompute/fc/user-guide/async-task */
const TASK_ID: PlatformNameRule = { max: 128, pattern: /^[A-Za-z_][A-Za-z0-9_-]*$/ };

/** Runs attempts as asynchronous tasks of the worker's function: one task per attempt, by the attempt's id. */
export class FcPlatform implements TaskPlatform {
  readonly #functions: Functions;
  readonly #worker: string;

  /** @param worker the function's physical name */
  constructor(functions: Functions, worker: string) {
    this.#functions = functions;
    this.#worker = worker;
  }

  /** An id that the service knows already is an attempt that it was asked to start before. */
  async start(attempt: AttemptStart): Promise<void> {
    const payload = JSON.stringify(attemptCall(attempt));
    await this.#functions.start(this.#worker, payload, { taskId: taskIdOf(attempt) });
  }

  /** The worker sees the request in the table; without a grace, the service ends it. */
  async stop(attempt: AttemptRef, graceSeconds: number): Promise<void> {
    if (graceSeconds <= 0) await this.#functions.stop(this.#worker, taskIdOf(attempt));
  }

  async inspect(attempt: AttemptRef): Promise<AttemptState> {
    const task = await this.#functions.task(this.#worker, taskIdOf(attempt));
    return task ? stateOf(task) : "gone";
  }
}

/** The task's id on the service. */
export const taskIdOf = (attempt: AttemptRef): string => platformName(attemptId(attempt), TASK_ID);

function stateOf({ status, taskErrorMessage = "", returnPayload }: AsyncTask): AttemptState {
  switch (status) {
    case "Succeeded":
      return outcomeIn(returnPayload);
    case "Failed": {
      const record = readThrown(taskErrorMessage || "the function failed without a message");
      return { error: /timed out/i.test(taskErrorMessage) ? { ...record, kind: "timed-out" } : record };
    }
    case "Stopped":
      return { error: { kind: "stopped", message: "ended by the service when its grace was over" } };
    case "Expired":
    case "Invalid":
      return "gone";
    default:
      return "running";
  }
}

/** Workers answer how the attempt ended. Where the service does not keep answers, nobody knows: it is done again. */
function outcomeIn(returnPayload: string | undefined): Outcome | "gone" {
  try {
    const outcome = JSON.parse(returnPayload ?? "") as Outcome;
    return "result" in outcome || "error" in outcome ? outcome : "gone";
  } catch {
    return "gone";
  }
}
