import type { FlowDefinition } from "../../../../lib/clouds/alicloud/deploy/flow-states.ts";
import { type FlowServices, runFlow } from "../fdl-interpreter.ts";
import { isSigned, openApiError } from "./open-api.ts";
import { type FakeAnswer, type FakeRequest, FakeServer } from "./server.ts";

const VERSION = "2019-03-15";

interface FakeExecution {
  readonly FlowName: string;
  readonly Name: string;
  Status: "Running" | "Stopped" | "Succeeded" | "Failed";
  readonly StartedTime: string;
  StoppedTime: string;
  readonly Input: string;
  Output: string;
  readonly Events: { EventId: number; StepName: string; Type: string; Time: string; EventDetail: string }[];
}

type Form = Readonly<Record<string, string>>;

/** What somebody waits for. */
interface Token {
  readonly promise: Promise<Form>;
  readonly resolve: (output: Form) => void;
  isReported: boolean;
}

/**
 * CloudFlow's API on the wire, as the vendor's clients speak it: RPC, reads in the query, writes in a form, signatures
 * checked by the vendor's own client. Executions run by the interpreter of the tests.
 */
export class FakeFnf {
  readonly server = new FakeServer((request) => this.#answer(request));
  readonly executions: FakeExecution[] = [];
  readonly #flows: ReadonlyMap<string, FlowDefinition>;
  readonly #services: Omit<FlowServices, "reported" | "record">;
  readonly #tokens = new Map<string, Token>();
  readonly #ended: Promise<void>[] = [];
  readonly #stops = new Map<FakeExecution, () => void>();

  /** @param flow one, or several */
  constructor(flow: FlowDefinition | readonly FlowDefinition[], services: Omit<FlowServices, "reported" | "record">) {
    this.#flows = new Map([flow].flat().map((one: FlowDefinition) => [one.Name, one] as const));
    this.#services = services;
  }

  /** Resolves when all that was started is over. */
  async over(): Promise<void> {
    // One may start others.
    for (let known = -1; known < this.#ended.length; ) {
      known = this.#ended.length;
      await Promise.all(this.#ended);
    }
  }

  #answer(request: FakeRequest): FakeAnswer {
    if (!isSigned(request, VERSION)) return openApiError(403, "SignatureNotMatch");
    if (this.server.forbids(request)) return openApiError(403, "AccessDenied");
    const { method, path, query, headers, body } = request;
    const action = headers["x-acs-action"] ?? "";
    const isWrite = /^(Start|Stop|Report)/.test(action);
    if (path !== "/" || method !== (isWrite ? "POST" : "GET")) return openApiError(400, "InvalidArgument");
    if (isWrite && headers["content-type"] !== "application/x-www-form-urlencoded") {
      return openApiError(400, "InvalidArgument");
    }
    return this.#do(action, { ...query, ...Object.fromEntries(new URLSearchParams(body.toString("utf8"))) });
  }

  #do(action: string, form: Form): FakeAnswer {
    if (action === "ReportTaskSucceeded") return this.#report(form);
    const flow = this.#flows.get(form.FlowName ?? "");
    if (!flow) return openApiError(404, "FlowNotExists");
    const found = this.executions.find(({ FlowName, Name }) => FlowName === flow.Name && Name === form.ExecutionName);
    switch (action) {
      case "StartExecution":
        return this.#start(form, flow, found);
      case "ListExecutions":
        return this.#list(form);
    }
    if (!found) return openApiError(404, "ExecutionNotExists");
    const { Events, ...described } = found;
    switch (action) {
      case "DescribeExecution":
        return ok(described);
      case "GetExecutionHistory":
        return ok(page(Events, Number(form.Limit), form.NextToken, "Events"));
      case "StopExecution":
        if (found.Status !== "Running") return openApiError(400, "ExecutionAlreadyStopped");
        found.Status = "Stopped";
        found.StoppedTime = this.#now();
        this.#stops.get(found)?.();
        return ok({ Status: "Stopped" });
      default:
        return openApiError(400, "InvalidAction");
    }
  }

  #start(form: Form, flow: FlowDefinition, found: FakeExecution | undefined): FakeAnswer {
    if (found)
      return found.Status === "Running"
        ? ok({ ...found, Events: undefined })
        : openApiError(400, "ExecutionAlreadyExists");
    const name = form.ExecutionName ?? "";
    if (!/^[A-Za-z_][A-Za-z0-9_-]{0,127}$/.test(name)) return openApiError(400, "InvalidArgument");
    if (Buffer.byteLength(form.Input ?? "") > 64 * 1024) return openApiError(400, "InvalidArgument");
    const times = { StartedTime: this.#now(), StoppedTime: "" };
    const execution: FakeExecution = {
      ...{ FlowName: flow.Name, Name: name, Status: "Running", Input: form.Input ?? "{}", Output: "" },
      ...times,
      Events: [],
    };
    this.executions.unshift(execution);
    this.#ended.push(this.#run(execution, flow));
    const { Input: _, Output: __, Events: ___, ...answered } = execution;
    return ok(answered);
  }

  async #run(execution: FakeExecution, flow: FlowDefinition): Promise<void> {
    const { FlowName, Name, Input, Events } = execution;
    const services: FlowServices = {
      ...this.#services,
      reported: (token) =>
        Promise.race([this.#token(`${FlowName}/${Name}/${token}`).promise, this.#stopped(execution)]),
      invoke: (arn, body, mode) => {
        if (execution.Status !== "Running") throw new Stopped();
        const own = withRun(body, `${FlowName}/${Name}`);
        // A token is there before the function is called: its answer may come before the call's.
        const { token } = (own.input ?? {}) as { readonly token?: string };
        if (token !== undefined) this.#token(token);
        return this.#services.invoke(arn, own, mode);
      },
      record: (Type, StepName, detail) =>
        void Events.push({
          ...{ EventId: Events.length + 1, StepName, Type, Time: this.#now() },
          // Written down when it is asked for, which of thousands of items it never is.
          get EventDetail() {
            return JSON.stringify(detail);
          },
        }),
    };
    const end = await runFlow(flow, { name: Name, input: JSON.parse(Input) as Form }, services).catch(
      (error: unknown) => {
        if (error instanceof Stopped) return undefined;
        throw error;
      },
    );
    if (!end || execution.Status !== "Running") return;
    execution.Status = end.status;
    execution.StoppedTime = this.#now();
    // What a failed execution has for an output no page says: here it has none.
    execution.Output = end.status === "Succeeded" ? JSON.stringify(end.output) : "";
  }

  #list({
    FlowName,
    Status,
    ExecutionNamePrefix = "",
    StartedTimeEnd,
    StartedTimeBegin,
    Limit,
    NextToken,
  }: Form): FakeAnswer {
    const chosen = this.executions
      .filter((one) => one.FlowName === FlowName && one.Name.startsWith(ExecutionNamePrefix))
      .filter((one) => Status === undefined || one.Status === Status)
      .filter(({ StartedTime }) => StartedTimeEnd === undefined || StartedTime < StartedTimeEnd)
      .filter(({ StartedTime }) => StartedTimeBegin === undefined || StartedTime >= StartedTimeBegin)
      .map(({ Events: _, ...described }) => described);
    return ok(page(chosen, Number(Limit), NextToken, "Executions"));
  }

  #report({ TaskToken = "", Output = "" }: Form): FakeAnswer {
    const found = this.#tokens.get(TaskToken);
    if (!found || found.isReported) return openApiError(400, "InvalidTaskToken");
    found.isReported = true;
    found.resolve(JSON.parse(Output) as Form);
    return ok({});
  }

  /** Rejects when the execution is stopped. */
  #stopped(execution: FakeExecution): Promise<never> {
    return new Promise((_, reject) => {
      if (execution.Status !== "Running") reject(new Stopped());
      const others = this.#stops.get(execution);
      this.#stops.set(execution, () => {
        others?.();
        reject(new Stopped());
      });
    });
  }

  #token(name: string): Token {
    const found = this.#tokens.get(name);
    if (found) return found;
    let resolve: Token["resolve"] = () => {};
    const promise = new Promise<Form>((done) => {
      resolve = done;
    });
    const made = { promise, resolve, isReported: false };
    this.#tokens.set(name, made);
    return made;
  }

  #now = (): string => new Date(this.server.now()).toISOString();
}

/** The execution was stopped: nothing more is called. */
class Stopped extends Error {}

/** Tokens are the service's own: of which execution they are is told apart. */
function withRun(body: Readonly<Record<string, unknown>>, name: string): Readonly<Record<string, unknown>> {
  const input = body.input as { readonly token?: string } | undefined;
  return input?.token === undefined ? body : { ...body, input: { ...input, token: `${name}/${input.token}` } };
}

const ok = (value: object): FakeAnswer => ({
  status: 200,
  headers: { "content-type": "application/json" },
  body: JSON.stringify({ RequestId: "r", ...value }),
});

function page(all: readonly object[], limit: number, from: string | undefined, name: string): object {
  const start = Number(from ?? 0);
  const end = start + limit;
  return { [name]: all.slice(start, end), ...(end < all.length && { NextToken: String(end) }) };
}
