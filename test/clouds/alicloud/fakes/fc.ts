import { randomUUID } from "node:crypto";
import { openApiError as error, isSigned } from "./open-api.ts";
import { type FakeAnswer, type FakeRequest, FakeServer, KEYS, type Keys } from "./server.ts";

const VERSION = "2023-03-30";

/** A function as the service knows it. */
export interface FakeFunction {
  readonly handler: (
    event: Buffer,
    context: { requestId: string; function: { timeout: number }; credentials: Keys },
  ) => Promise<Uint8Array>;
  /** Seconds. */
  readonly timeout: number;
  /** Of its role. @default those that every fake knows */
  readonly credentials?: Keys;
  readonly asyncTask?: boolean;
  /** The function that hears of failed asynchronous calls. */
  readonly onFailure?: string;
}

interface FakeTask {
  status: "Enqueued" | "Running" | "Succeeded" | "Failed" | "Stopped";
  taskErrorMessage?: string;
  returnPayload?: string;
}

/**
 * Function Compute's API on the wire: paths, verbs and headers as the vendor's client sends them, signatures checked by
 * that client. It waits a part of the time it is told to.
 */
export class FakeFc {
  readonly server = new FakeServer((request) => this.#answer(request));
  readonly functions = new Map<string, FakeFunction>();
  readonly tasks = new Map<string, FakeTask>();
  /** Calls that went wrong and nobody else hears of. */
  readonly errors: unknown[] = [];
  readonly #speed: number;
  readonly #timers: NodeJS.Timeout[] = [];
  #isClosed = false;

  /** @param speed how many times quicker time goes */
  constructor(speed = 1) {
    this.#speed = speed;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const timer of this.#timers) clearInterval(timer);
    await this.server.close();
  }

  /** Gives a function a timer trigger. */
  every(seconds: number, name: string): void {
    const fire = () => {
      const event = { triggerTime: new Date(this.server.now()).toISOString(), triggerName: "t", payload: name };
      void this.#run(
        this.functions.get(name)!,
        { status: "Enqueued" },
        Buffer.from(JSON.stringify(event)),
        randomUUID(),
      );
    };
    this.#timers.push(setInterval(fire, (seconds * 1000) / this.#speed));
  }

  async #answer(request: FakeRequest): Promise<FakeAnswer> {
    if (!isSigned(request, VERSION)) return error(403, "SignatureNotMatch");
    if (this.server.forbids(request)) return error(403, "AccessDenied");
    const [, name = "", rest = ""] = /^\/2023-03-30\/functions\/([^/]+)\/(.+)$/.exec(request.path) ?? [];
    const found = this.functions.get(decodeURIComponent(name));
    if (!found) return error(404, "FunctionNotFound");
    const [, task, verb] = /^async-tasks\/([^/]+)(\/stop)?$/.exec(rest) ?? [];
    if (rest === "invocations" && request.method === "POST") return this.#invoke(name, found, request);
    if (task !== undefined && verb && request.method === "PUT") return this.#stop(`${name}/${task}`);
    if (task !== undefined && !verb && request.method === "GET") return this.#get(`${name}/${task}`);
    return error(400, "InvalidArgument");
  }

  async #invoke(name: string, found: FakeFunction, { headers, body }: FakeRequest): Promise<FakeAnswer> {
    if (headers["x-fc-invocation-type"] !== "Async") return this.#call(found, body, randomUUID());
    const id = headers["x-fc-async-task-id"] ?? randomUUID();
    const delay = Number(headers["x-fc-async-delay"] ?? 0);
    const isId = /^[A-Za-z_][A-Za-z0-9_-]{0,127}$/.test(id) || headers["x-fc-async-task-id"] === undefined;
    if (!isId || delay < 0 || delay > 3600) return error(400, "InvalidArgument");
    if (body.length > 128 * 1024) return error(413, "PayloadTooLarge");
    if (found.asyncTask && this.tasks.has(`${name}/${id}`)) return error(409, "StatefulAsyncInvocationAlreadyExists");
    const task: FakeTask = { status: "Enqueued" };
    this.tasks.set(`${name}/${id}`, task);
    setTimeout(() => void this.#run(found, task, body, id), (delay * 1000) / this.#speed);
    return { status: 202, headers: { "x-fc-request-id": id } };
  }

  async #run(found: FakeFunction, task: FakeTask, body: Buffer, id: string): Promise<void> {
    if (this.#isClosed) return;
    if (task.status === "Enqueued") task.status = "Running";
    const answer = await this.#call(found, body, id);
    if (task.status !== "Running") return;
    const hasFailed = answer.headers?.["x-fc-error-type"] !== undefined;
    task.status = hasFailed ? "Failed" : "Succeeded";
    const text = Buffer.from(answer.body as Uint8Array).toString();
    if (!hasFailed) task.returnPayload = text;
    else task.taskErrorMessage = (JSON.parse(text) as { errorMessage: string }).errorMessage;
    if (hasFailed) this.#tellFailure(found, body, id, text);
  }

  #tellFailure({ onFailure }: FakeFunction, body: Buffer, requestId: string, responsePayload: string): void {
    const target = onFailure === undefined ? undefined : this.functions.get(onFailure);
    if (!target) return void this.errors.push(responsePayload);
    const envelope = {
      timestamp: this.server.now(),
      requestContext: {
        requestId,
        functionArn: "acs:fc:cn-hangzhou:1:functions/f",
        condition: "",
        approximateInvokeCount: 1,
      },
      requestPayload: body.toString(),
      responseContext: { statusCode: 200, functionError: "HandledInvocationError" },
      responsePayload,
    };
    setImmediate(
      () => void this.#run(target, { status: "Enqueued" }, Buffer.from(JSON.stringify(envelope)), randomUUID()),
    );
  }

  async #call(
    { handler, timeout, credentials = KEYS }: FakeFunction,
    body: Buffer,
    requestId: string,
  ): Promise<FakeAnswer> {
    try {
      return { status: 200, body: await handler(body, { requestId, function: { timeout }, credentials }) };
    } catch (thrown) {
      const { message, name, stack = "" } = thrown as Error;
      const body = JSON.stringify({ errorMessage: message, errorType: name, stackTrace: stack.split("\n") });
      return { status: 200, headers: { "x-fc-error-type": "HandledInvocationError" }, body: Buffer.from(body) };
    }
  }

  #stop(id: string): FakeAnswer {
    const task = this.tasks.get(id);
    if (!task) return error(404, "AsyncTaskNotFound");
    if (task.status !== "Enqueued" && task.status !== "Running") {
      return error(412, "StatefulAsyncInvocationAlreadyCompleted");
    }
    task.status = "Stopped";
    return { status: 204 };
  }

  #get(id: string): FakeAnswer {
    const task = this.tasks.get(id);
    return task
      ? { status: 200, body: JSON.stringify({ taskId: id.split("/")[1], ...task }) }
      : error(404, "AsyncTaskNotFound");
  }
}
