import { field, type LinkAddress } from "../../../runtime/deployment.ts";
import type { AlicloudWorld } from "./account.ts";
import { encode, textOf } from "./http.ts";
import { callOpenApi, openApiError } from "./open-api.ts";

const VERSION = "2019-03-15";

/** An execution as the service tells of it. https://api.aliyun.com/document/fnf/2019-03-15/DescribeExecution */
export interface Execution {
  readonly Name: string;
  readonly Status: "Starting" | "Running" | "Stopped" | "Succeeded" | "Failed" | "TimedOut";
  readonly StartedTime: string;
  readonly StoppedTime?: string;
  /** JSON. */
  readonly Input?: string;
  /** JSON. */
  readonly Output?: string;
}

/** Something that happened in an execution. https://api.aliyun.com/document/fnf/2019-03-15/GetExecutionHistory */
export interface ExecutionEvent {
  readonly EventId: number;
  readonly StepName?: string;
  readonly Type: string;
  readonly Time: string;
  /** JSON. */
  readonly EventDetail?: string;
}

export interface ExecutionFilter {
  readonly status?: Execution["Status"];
  readonly prefix?: string;
  /** ISO 8601. */
  readonly after?: string;
  /** ISO 8601. */
  readonly before?: string;
  readonly limit: number;
  readonly next?: string;
}

type Parameters = Readonly<Record<string, string | undefined>>;

/** The executions of one flow of CloudFlow, by the service's own API: RPC, as its vendor's clients send it. */
export class Flows {
  readonly #flow: string;
  readonly #origin: string;
  readonly #world: AlicloudWorld;

  constructor(address: LinkAddress, world: AlicloudWorld) {
    this.#flow = field(address, "flow");
    this.#origin = address.flowEndpoint ?? `https://${field(address, "region")}.fnf.aliyuncs.com`;
    this.#world = world;
  }

  /** Nothing, if an execution of this name is over. One that is under way is answered as if it were new. */
  async start(name: string, input: string): Promise<Execution | undefined> {
    try {
      const parameters = { FlowName: this.#flow, ExecutionName: name, Input: input };
      return (await this.#post("StartExecution", parameters, name)) as Execution;
    } catch (error) {
      if (error instanceof Error && error.message.includes("ExecutionAlreadyExists")) return undefined;
      throw error;
    }
  }

  /** Nothing, if there is none of this name. */
  async describe(name: string): Promise<Execution | undefined> {
    try {
      return (await this.#get("DescribeExecution", { FlowName: this.#flow, ExecutionName: name }, name)) as Execution;
    } catch (error) {
      if (error instanceof Error && error.message.includes("ExecutionNotExists")) return undefined;
      throw error;
    }
  }

  /** Newest first. */
  async list({ status, prefix, after, before, limit, next }: ExecutionFilter) {
    const { Executions = [], NextToken } = (await this.#get(
      "ListExecutions",
      {
        FlowName: this.#flow,
        Status: status,
        ExecutionNamePrefix: prefix,
        StartedTimeBegin: after,
        StartedTimeEnd: before,
        Limit: String(Math.min(limit, MOST_EXECUTIONS)),
        NextToken: next,
      },
      this.#flow,
    )) as { readonly Executions?: readonly Execution[]; readonly NextToken?: string };
    return { executions: Executions, ...(NextToken && { next: NextToken }) };
  }

  /** In the order they happened. */
  async history(name: string): Promise<readonly ExecutionEvent[]> {
    const all: ExecutionEvent[] = [];
    for (let next: string | undefined = ""; next !== undefined; ) {
      const page = (await this.#get(
        "GetExecutionHistory",
        { FlowName: this.#flow, ExecutionName: name, Limit: "999", NextToken: next || undefined },
        name,
      )) as { readonly Events?: readonly ExecutionEvent[]; readonly NextToken?: string };
      all.push(...(page.Events ?? []));
      next = page.NextToken || undefined;
    }
    return all;
  }

  async stop(name: string, error: string, cause: string): Promise<void> {
    await this.#post("StopExecution", { FlowName: this.#flow, ExecutionName: name, Error: error, Cause: cause }, name);
  }

  /** Ends a task that waits for this token. */
  async report(token: string, output: string): Promise<void> {
    await this.#call("ReportTaskSucceeded", "POST", { TaskToken: token }, { Output: output }, "a callback");
  }

  #get = (action: string, query: Parameters, what: string) => this.#call(action, "GET", query, {}, what);
  #post = (action: string, body: Parameters, what: string) => this.#call(action, "POST", {}, body, what);

  async #call(
    action: string,
    method: "GET" | "POST",
    query: Parameters,
    form: Parameters,
    what: string,
  ): Promise<unknown> {
    const body = Object.entries(given(form)).map(([name, value]) => `${encode(name)}=${encode(value)}`);
    const answer = await callOpenApi(
      {
        ...{ action, version: VERSION, method, origin: this.#origin, path: "/", query: given(query) },
        ...(method === "POST" && {
          body: body.join("&"),
          headers: { "content-type": "application/x-www-form-urlencoded" },
        }),
      },
      this.#world,
    );
    if (answer.status !== 200) throw await openApiError(answer, `${action} of ${what}`);
    return JSON.parse(await textOf(answer)) as unknown;
  }
}

/** The flows that do items of a workflow's maps. */
export const chunkFlows = (address: LinkAddress, world: AlicloudWorld): readonly Flows[] =>
  (address.chunks ?? "")
    .split(",")
    .filter((flow) => flow !== "")
    .map((flow) => new Flows({ ...address, flow }, world));

/** https://api.aliyun.com/document/fnf/2019-03-15/ListExecutions */
const MOST_EXECUTIONS = 99;

const given = (parameters: Parameters): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.entries(parameters).filter((one): one is [string, string] => one[1] !== undefined));
