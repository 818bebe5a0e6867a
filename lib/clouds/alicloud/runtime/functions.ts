import { field, type LinkAddress } from "../../../runtime/deployment.ts";
import { type ErrorRecord, fromErrorRecord, type MillraceError, toErrorRecord } from "../../../runtime/errors.ts";
import { programAnswer, programError } from "../../../runtime/program.ts";
import type { AlicloudWorld } from "./account.ts";
import { discard, encode, type HttpAnswer, textOf } from "./http.ts";
import { callOpenApi, openApiError } from "./open-api.ts";

const VERSION = "2023-03-30";

/** How a function is called without waiting for its end. */
export interface AsyncOptions {
  /** Seconds until it is called, at most 3,600; the service does not promise the second. @default none */
  readonly delay?: number;
  /** The task's id, where the function takes tasks. @default the service's own */
  readonly taskId?: string;
}

/** What the service says of an asynchronous task. https://www.alibabacloud.com/help/en/functioncompute/developer-reference/api-fc-2023-03-30-getasynctask */
export interface AsyncTask {
  readonly status:
    | "Enqueued"
    | "Dequeued"
    | "Running"
    | "Succeeded"
    | "Failed"
    | "Stopped"
    | "Stopping"
    | "Expired"
    | "Invalid"
    | "Retrying";
  readonly taskErrorMessage?: string;
  readonly returnPayload?: string;
}

/** The functions of one account and region: the calls of the service that a running system needs. */
export class Functions {
  readonly #origin: string;
  readonly #world: AlicloudWorld;

  /** @param address of a function, or of something that lies where its functions do */
  constructor(address: LinkAddress, world: AlicloudWorld) {
    this.#origin =
      address.functionEndpoint ?? `https://${field(address, "account")}.${field(address, "region")}.fc.aliyuncs.com`;
    this.#world = world;
  }

  /**
   * Calls a function and waits for its answer.
   *
   * @throws what the function threw.
   */
  async invoke(name: string, payload: string): Promise<unknown> {
    const { type, text } = await this.#wait(name, payload);
    if (type !== undefined) throw fromErrorRecord(readFunctionError(type, text));
    return text === "" ? undefined : (JSON.parse(text) as unknown);
  }

  /**
   * Calls a program that is a function of its own, and waits for its answer.
   *
   * @throws `failed` with what the program says, `timed-out` if it took too long
   */
  async call(name: string, payload: string): Promise<unknown> {
    const { type, text } = await this.#wait(name, payload);
    if (type === undefined) return programAnswer(text);
    const { kind, message } = readFunctionError(type, text);
    throw kind === "timed-out" ? fromErrorRecord({ kind, message }) : programError(text, type);
  }

  /** The answer; with the error's type if the function failed. */
  async #wait(name: string, payload: string): Promise<{ readonly type: string | undefined; readonly text: string }> {
    const answer = await this.#invoke(name, payload, { "x-fc-invocation-type": "Sync" });
    if (answer.status !== 200) throw await this.#error(answer, `calling ${name}`);
    return { type: answer.headers["x-fc-error-type"], text: await textOf(answer) };
  }

  /** Has a function called later; `known` if the task's id has been used already. */
  async start(name: string, payload: string, { delay, taskId }: AsyncOptions = {}): Promise<"started" | "known"> {
    const answer = await this.#invoke(name, payload, {
      "x-fc-invocation-type": "Async",
      ...(taskId !== undefined && { "x-fc-async-task-id": taskId }),
      ...(delay !== undefined && { "x-fc-async-delay": String(delay) }),
    });
    if (answer.status === 202) {
      await discard(answer);
      return "started";
    }
    if (answer.status !== 409) throw await this.#error(answer, `starting ${name}`);
    await discard(answer);
    return "known";
  }

  /** What became of a task; nothing if the service does not know it (any more). */
  async task(name: string, taskId: string): Promise<AsyncTask | undefined> {
    const answer = await this.#call("GetAsyncTask", "GET", `${this.#tasks(name)}/${encode(taskId)}`);
    if (answer.status === 200) return JSON.parse(await textOf(answer)) as AsyncTask;
    if (answer.status !== 404) throw await this.#error(answer, `task ${taskId} of ${name}`);
    await discard(answer);
    return undefined;
  }

  /** Ends a task; one that is over or unknown is no error (412, 404). */
  async stop(name: string, taskId: string): Promise<void> {
    const answer = await this.#call("StopAsyncTask", "PUT", `${this.#tasks(name)}/${encode(taskId)}/stop`);
    const isDone = answer.status < 300 || answer.status === 404 || answer.status === 412;
    if (!isDone) throw await this.#error(answer, `stopping task ${taskId} of ${name}`);
    await discard(answer);
  }

  #invoke(name: string, body: string, headers: Readonly<Record<string, string>>): Promise<HttpAnswer> {
    const path = `/${VERSION}/functions/${encode(name)}/invocations`;
    return this.#call("InvokeFunction", "POST", path, {
      body,
      headers: { "content-type": "application/octet-stream", ...headers },
    });
  }

  #call(
    action: string,
    method: "GET" | "POST" | "PUT",
    path: string,
    options: { readonly body?: string; readonly headers?: Readonly<Record<string, string>> } = {},
  ): Promise<HttpAnswer> {
    return callOpenApi({ action, version: VERSION, method, origin: this.#origin, path, ...options }, this.#world);
  }

  #tasks = (name: string): string => `/${VERSION}/functions/${encode(name)}/async-tasks`;

  #error = (answer: HttpAnswer, what: string): Promise<MillraceError> => openApiError(answer, what);
}

/** How a function's failure travels: in the message, since of an error the service keeps message and stack only. */
const MARK = "millrace:";

/** The error to throw so that a caller gets the same kind of error. */
export function toThrown(record: ErrorRecord): Error {
  const error = new Error(`${MARK}${record.kind}: ${record.message}`);
  if (record.stack !== undefined) error.stack = record.stack;
  return error;
}

/** The error that a text tells of that the service made of a thrown one. */
export function readThrown(message: string): ErrorRecord {
  const [, kind, rest] = new RegExp(`${MARK}([a-z-]+): ([^]*)`).exec(message) ?? [];
  return kind === undefined ? { kind: "failed", message } : toErrorRecord(errorWith(kind, rest ?? ""));
}

const errorWith = (kind: string, message: string): Error =>
  Object.assign(new Error(message), { kind, stack: undefined });

/** https://www.alibabacloud.com/help/en/functioncompute/fc/user-guide/error-handling-1-2 */
function readFunctionError(type: string, text: string): ErrorRecord {
  const message = errorMessageOf(text);
  if (/timed out/i.test(message)) return { kind: "timed-out", message };
  const record = readThrown(message);
  return { ...record, message: record.message || type };
}

function errorMessageOf(text: string): string {
  try {
    const { errorMessage } = JSON.parse(text) as { readonly errorMessage?: string };
    return errorMessage ?? text;
  } catch {
    return text;
  }
}
