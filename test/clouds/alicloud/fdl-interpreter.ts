import { randomUUID } from "node:crypto";
import type { FlowDefinition, FlowScope, FlowState } from "../../../lib/clouds/alicloud/deploy/flow-states.ts";

/**
 * Runs Flow Definition Language, as far as flows of ours use it and the vendor's pages describe it; what they do not
 * describe it refuses. It was written from the same pages as the compiler, by the same people: that both agree proves
 * that they agree, and nothing of the service.
 *
 * Where the pages are silent: what is not there is `null`, and values of different kinds compare as false.
 */
export interface FlowServices {
  /** Calls a function: its ARN without `/LATEST`, and how it is called. Throws what the platform fails with. */
  invoke(arn: string, body: Json, mode: { readonly async: boolean }): Promise<unknown>;
  /** The answer to a token, once it comes. */
  reported(token: string): Promise<Json>;
  /** Lets that many seconds pass. */
  wait(seconds: number): void;
  /** Takes what happens, as an execution's history tells it. @default nobody does */
  record?(type: string, state: string, detail: Json): void;
}

type Json = Readonly<Record<string, unknown>>;

/** How an execution ended, with what it took. */
export interface FlowEnd {
  readonly status: "Succeeded" | "Failed";
  readonly output: Json;
  /** Names of states, in the order they were entered. */
  readonly entered: readonly string[];
  readonly events: number;
  /** Of the largest input or output of a state. */
  readonly bytes: number;
}

/** What a state fails with. */
export class FlowError extends Error {
  readonly code: string;
  /** Of the Fail state that said so. */
  readonly input: Json;

  constructor(code: string, detail: string, input: Json = {}) {
    super(detail);
    this.code = code;
    this.input = input;
  }
}

const MOST_EVENTS = 5000;
const MOST_BYTES = 64 * 1024;

export async function runFlow(
  flow: FlowDefinition,
  execution: { readonly name: string; readonly input: Json },
  services: FlowServices,
): Promise<FlowEnd> {
  const run = new FlowRun(execution, services);
  try {
    const output = await run.scope(flow, execution.input);
    return { status: "Succeeded", output, ...run.used };
  } catch (error) {
    if (!(error instanceof FlowError)) throw error;
    return { status: "Failed", output: error.input, ...run.used };
  }
}

interface Around {
  readonly Name: string;
  readonly Input: Json;
  Output?: unknown;
  Error?: { readonly Code: string; readonly Detail: string };
  RetryCount: number;
  TaskToken?: string;
}

class FlowRun {
  readonly #execution: { readonly name: string; readonly input: Json };
  readonly #services: FlowServices;
  readonly #entered: string[] = [];
  #events = 2;
  #bytes = 0;
  #tokens = 0;

  constructor(execution: { readonly name: string; readonly input: Json }, services: FlowServices) {
    this.#execution = execution;
    this.#services = services;
  }

  get used() {
    return { entered: this.#entered, events: this.#events, bytes: this.#bytes };
  }

  async scope({ StartAt, States }: FlowScope, input: Json): Promise<Json> {
    let name = StartAt;
    let data = input;
    for (;;) {
      const state = States.find((one) => one.Name === name);
      if (!state) throw new Error(`there is no state "${name}" in this scope`);
      const { output, next } = await this.#state(state, data);
      if (next === undefined) return output;
      [name, data] = [next, output];
    }
  }

  async #state(state: FlowState, input: Json): Promise<{ readonly output: Json; readonly next: string | undefined }> {
    this.#entered.push(state.Name);
    this.#services.record?.("StepEntered", state.Name, { input });
    const went = await this.#goneThrough(state, input);
    this.#services.record?.("StepExited", state.Name, { output: went.output });
    return went;
  }

  async #goneThrough(
    state: FlowState,
    input: Json,
  ): Promise<{ readonly output: Json; readonly next: string | undefined }> {
    this.#count(state.Type === "Task" ? 5 : 2);
    this.#measure(state, "input", input);
    const around: Around = { Name: state.Name, Input: input, RetryCount: 0 };
    if (state.Type === "Choice") {
      const branches = state.Branches as readonly { readonly Condition: string; readonly Next: string }[];
      const chosen = branches.find(({ Condition }) => this.#expression(Condition, around) === true);
      return { output: input, next: chosen?.Next ?? state.Default! };
    }
    if (state.Type === "Fail") throw new FlowError(state.Code ?? "", state.Detail ?? "", input);
    const next = state.End ? undefined : state.Next;
    try {
      around.Output = await this.#tried(state, around);
    } catch (error) {
      if (!(error instanceof FlowError)) throw error;
      const rule = state.Catch?.find(({ Errors }) => Errors.includes(error.code) || Errors.includes("FnF.ALL"));
      if (!rule) throw error;
      around.Error = { Code: error.code, Detail: error.message };
      const output = this.#construct(rule.OutputConstructor, around);
      this.#measure(state, "output", output);
      return { output, next: rule.Next };
    }
    const output = state.OutputConstructor ? this.#construct(state.OutputConstructor, around) : (around.Output as Json);
    this.#measure(state, "output", output);
    return { output, next };
  }

  async #tried(state: FlowState, around: Around): Promise<unknown> {
    for (;;) {
      try {
        if (state.Type === "Task") this.#services.record?.("TaskScheduled", state.Name, {});
        return await this.#done(state, around);
      } catch (error) {
        if (!(error instanceof FlowError)) throw error;
        const { code } = error;
        if (state.Type === "Task") this.#services.record?.("TaskFailed", state.Name, { code });
        const rule = state.Retry?.find(({ Errors }) => Errors.includes(code) || Errors.includes("FnF.ALL"));
        if (!rule || around.RetryCount >= rule.MaxAttempts) throw error;
        around.RetryCount += 1;
        this.#count(3);
      }
    }
  }

  async #done(state: FlowState, around: Around): Promise<unknown> {
    switch (state.Type) {
      case "Pass":
        return around.Input;
      case "Wait":
        return this.#waited(state, around);
      case "Task":
        return this.#task(state, around);
      case "Parallel": {
        const branches = (state.Branches as readonly FlowScope[]).map((branch) => this.scope(branch, around.Input));
        return Object.fromEntries((await all(branches)).map((output, index) => [`Branch${index}`, output]));
      }
      case "Map": {
        const items = this.#expression(state.ItemsPath!, around);
        if (!Array.isArray(items)) throw new FlowError("FnF.Unexpected", `${state.ItemsPath} is no list`);
        const outputs = items.map((item) => {
          if (typeof item !== "object" || item === null) throw new Error("no page shows an item that is no object");
          return this.scope(state.Processor!, item as Json);
        });
        return { Items: await all(outputs) };
      }
      default:
        throw new Error(`a state of type ${state.Type} is not run here`);
    }
  }

  #waited(state: FlowState, around: Around): Json {
    const expression = state["Seconds.$"];
    const seconds = expression === undefined ? state.Seconds : this.#expression(expression, around);
    if (typeof seconds !== "number" || !Number.isInteger(seconds) || seconds < 1 || seconds > 300) {
      throw new Error(`${state.Name}: a wait takes 1 to 300 seconds, got ${JSON.stringify(seconds)}`);
    }
    this.#services.wait(seconds);
    return around.Input;
  }

  async #task(state: FlowState, around: Around): Promise<unknown> {
    if (state.Action !== "FC:InvokeFunction") throw new Error(`no page describes ${state.Action}`);
    const isCustom = state.TaskMode === "WaitForCustomCallback";
    this.#tokens += 1;
    if (isCustom) around.TaskToken = `token-${this.#tokens}`;
    const { resourceArn, invocationType, body } = this.#construct(state.Parameters!, around);
    const isAsync = invocationType === "Async";
    if (isAsync !== (state.TaskMode === "WaitForSystemCallback")) {
      throw new Error(`${state.Name}: ${invocationType as string} does not go with ${state.TaskMode}`);
    }
    const arn = (resourceArn as string).replace(/\/LATEST$/, "");
    const answer = await this.#services.invoke(arn, body as Json, { async: isAsync });
    return isCustom ? this.#services.reported(around.TaskToken!) : { Body: answer };
  }

  #construct(fields: Json, around: Around): Json {
    return Object.fromEntries(
      Object.entries(fields).map(([name, value]) =>
        name.endsWith(".$")
          ? [name.slice(0, -2), this.#expression(value as string, around)]
          : [name, this.#literal(value, around)],
      ),
    );
  }

  /** Objects may hold expressions in turn; no page shows one in a list. */
  #literal(value: unknown, around: Around): unknown {
    if (Array.isArray(value) || typeof value !== "object" || value === null) return value;
    return this.#construct(value as Json, around);
  }

  #expression(text: string, around: Around): unknown {
    const { Name, Input, Output, Error: error, RetryCount, TaskToken } = around;
    const Current = { Name, Input, Output, Error: error, RetryCount, TaskToken };
    const Execution = { Name: this.#execution.name, Input: this.#execution.input };
    return evaluate(text, { $Input: Input, $Output: Output, $Context: { Current, Execution } });
  }

  #count(events: number): void {
    this.#events += events;
    if (this.#events > MOST_EVENTS) throw new Error(`the execution has more than ${MOST_EVENTS} events`);
  }

  #measure({ Name }: FlowState, what: string, value: Json): void {
    const bytes = Buffer.byteLength(JSON.stringify(value));
    this.#bytes = Math.max(this.#bytes, bytes);
    if (bytes > MOST_BYTES) throw new FlowError("FnF.Size", `the ${what} of ${Name} has ${bytes} bytes`);
  }
}

/** All of them come to their ends, whatever some fail with. */
async function all<Value>(promises: readonly Promise<Value>[]): Promise<Value[]> {
  await Promise.allSettled(promises);
  return Promise.all(promises);
}

type Scope = Json;

/** An expression: paths, literals, operators, and `format`, as the pages show them. */
export function evaluate(text: string, scope: Scope): unknown {
  const parser = new ExpressionParser(tokensOf(text), scope);
  return parser.whole();
}

/** Flows say the same for each of thousands of items. */
const KNOWN_TOKENS = new Map<string, readonly string[]>();

function tokensOf(text: string): readonly string[] {
  const known = KNOWN_TOKENS.get(text);
  if (known) return known;
  const tokens = [...text.matchAll(TOKEN)].map(([token]) => token).filter((token) => token.trim() !== "");
  if (tokens.join("") !== text.replace(/\s+(?=(?:[^"]*"[^"]*")*[^"]*$)/g, ""))
    throw new Error(`no expression: ${text}`);
  KNOWN_TOKENS.set(text, tokens);
  return tokens;
}

const TOKEN =
  /"[^"\\]*"|\$?[A-Za-z_][\w]*(?:\.[A-Za-z_]\w*)*|-?\d+(?:\.\d+)?(?:e[+-]?\d+)?|==|!=|>=|<=|&&|\|\||[!<>(),]|\s+/g;

class ExpressionParser {
  readonly #tokens: readonly string[];
  readonly #scope: Scope;
  #at = 0;

  constructor(tokens: readonly string[], scope: Scope) {
    this.#tokens = tokens;
    this.#scope = scope;
  }

  whole(): unknown {
    const value = this.#or();
    if (this.#at !== this.#tokens.length) throw new Error(`what is "${this.#tokens[this.#at]}" here?`);
    return value;
  }

  #or(): unknown {
    let left = this.#and();
    while (this.#take("||")) left = [left, this.#and()].includes(true);
    return left;
  }

  #and(): unknown {
    let left = this.#compared();
    while (this.#take("&&")) left = [left, this.#compared()].every((one) => one === true);
    return left;
  }

  #compared(): unknown {
    const left = this.#one();
    const operator = ["==", "!=", ">=", "<=", ">", "<"].find((one) => this.#take(one));
    if (operator === undefined) return left;
    const right = this.#one();
    if (operator === "==") return left === right;
    if (operator === "!=") return left !== right;
    if (typeof left !== "number" || typeof right !== "number") return false;
    return { ">": left > right, "<": left < right, ">=": left >= right, "<=": left <= right }[operator];
  }

  #one(): unknown {
    if (this.#take("!")) return this.#one() !== true;
    if (this.#take("(")) {
      const value = this.#or();
      this.#expect(")");
      return value;
    }
    const token = this.#tokens[this.#at++];
    if (token === undefined) throw new Error("an expression ends too early");
    if (token.startsWith('"')) return token.slice(1, -1);
    if (/^-?\d/.test(token)) return Number(token);
    if (token === "true" || token === "false") return token === "true";
    if (token === "format") return this.#format();
    if (token === "uuid") {
      this.#expect("(");
      this.#expect(")");
      return randomUUID();
    }
    if (token.startsWith("$")) return at(token.split("."), this.#scope);
    throw new Error(`no page describes "${token}"`);
  }

  #format(): string {
    this.#expect("(");
    const pattern = this.#or();
    const values: unknown[] = [];
    while (this.#take(",")) values.push(this.#or());
    this.#expect(")");
    return String(pattern).replaceAll("{}", () => String(values.shift()));
  }

  #take(token: string): boolean {
    if (this.#tokens[this.#at] !== token) return false;
    this.#at += 1;
    return true;
  }

  #expect(token: string): void {
    if (!this.#take(token)) throw new Error(`"${token}" is missing`);
  }
}

function at([root, ...fields]: readonly string[], scope: Scope): unknown {
  if (!(root! in scope) || scope[root!] === undefined) throw new Error(`${root} cannot be used here`);
  return fields.reduce<unknown>(
    (value, field) =>
      typeof value === "object" && value !== null && !Array.isArray(value) && Object.hasOwn(value, field)
        ? ((value as Json)[field] ?? null)
        : null,
    scope[root!],
  );
}
