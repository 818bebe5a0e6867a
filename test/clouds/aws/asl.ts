import { createRequire } from "node:module";
import { StateMachine } from "aws-local-stepfunctions";
import { flowDefinition } from "../../../lib/clouds/aws/deploy/flow-definition.ts";
import { type ErrorRecord, isRetryable, type MillraceError, toErrorRecord } from "../../../lib/runtime/errors.ts";
import type { Answer } from "../../../lib/runtime/workflows/run.ts";
import {
  readStepCall,
  type StepAnswer,
  stepFailed,
  stepId,
  stepSucceeded,
} from "../../../lib/runtime/workflows/step-call.ts";
import type { Block } from "../../../lib/shared/workflow/definition.ts";

type Validate = (definition: object) => { readonly isValid: boolean; errorsText(separator?: string): string };

/** It brings no types of its own. */
export const validate = createRequire(import.meta.url)("asl-validator") as Validate;

/** What the interpreter is given in place of what it does not have. */
interface Task {
  readonly Type: string;
  readonly Resource: string;
  readonly Parameters: Readonly<Record<string, unknown>>;
}

/** Everything that happens around a run of a compiled workflow. */
export interface Surroundings {
  /** The functions, which fail as they fail anywhere. */
  readonly functions: Readonly<Record<string, (input: never, attempt: number) => unknown>>;
  /** The functions behind tasks. */
  readonly tasks?: Readonly<Record<string, string>>;
  /** By the step's name. */
  readonly answers?: Readonly<Record<string, Answer>>;
  /** Sees the request of every state that waits for an answer. @default nobody does */
  readonly onWait?: (request: object) => void;
}

/** How a run ended, and what was called on the way. */
export interface Ended {
  readonly outcome:
    | { readonly output: unknown }
    | { readonly error: { readonly kind: string; readonly message: string } };
  readonly calls: Readonly<Record<string, number>>;
}

/** A workflow compiled as it is deployed. */
export const compiled = (definition: Block, timeout = 86_400): object =>
  flowDefinition(
    { definition, timeout },
    {
      functions: itself,
      timeouts: {},
      tasks: new Proxy({}, { get: (_, name) => `task:${String(name)}` }),
      queues: itself,
      table: "tasks",
      partition: "w",
    },
  );

/** Every name stands for itself. */
const itself: Readonly<Record<string, string>> = new Proxy({}, { get: (_, name) => name });

/** Runs the compiled workflow with somebody else's interpreter; functions, tasks and answers are real code. */
export async function execute(
  definition: object,
  input: unknown,
  { functions, tasks = {}, answers = {}, onWait = () => {} }: Surroundings,
): Promise<Ended> {
  const calls: Record<string, number> = {};
  const attempts = new Map<string, number>();
  const call = async (name: string, payload: unknown): Promise<StepAnswer> => {
    const step = readStepCall(payload)!;
    calls[name] = (calls[name] ?? 0) + 1;
    const attempt = (attempts.get(stepId(step)) ?? 0) + 1;
    // The interpreter does not number attempts.
    attempts.set(stepId(step), attempt);
    try {
      const result = functions[name]!(step.input as never, attempt);
      attempts.delete(stepId(step));
      return stepSucceeded(step, JSON.stringify(result ?? null));
    } catch (error) {
      const record = toErrorRecord(error);
      // What is tried again as a whole begins anew.
      if (!isRetryable(record) || attempt === step.attempts) attempts.delete(stepId(step));
      throw thrownBy({ ...step, attempt }, error);
    }
  };
  const runs = new Map<string, object>();
  /** As `handlers/flows/task.ts` answers: the first look comes too early. */
  const ask = (name: string, payload: unknown): StepAnswer => {
    const { verb, id, input, attempt } = readStepCall(payload)!.input as {
      readonly [field in "verb" | "id" | "input" | "attempt"]: never;
    };
    if (verb === "look") return { status: "succeeded", output: runs.get(id)! };
    calls[name] = (calls[name] ?? 0) + 1;
    const ended = (): object => {
      try {
        return { state: "succeeded", result: functions[name]!({ id, input } as never, attempt) };
      } catch (thrown) {
        const { kind, message } = thrown as MillraceError;
        return { state: "failed", error: { kind, message } };
      }
    };
    runs.set(id, ended());
    return { status: "succeeded", output: { state: "waiting", looks: 1, seconds: 1 } };
  };
  const states = tasksIn(definition);
  const handlers = Object.fromEntries(
    Object.entries(states).map(([label, { Resource, Parameters }]) => [
      label,
      async (given: Readonly<Record<string, unknown>>) => {
        if (Resource.includes("lambda:invoke")) {
          const name = String(Parameters.FunctionName);
          const task = name.startsWith("task:") ? tasks[name.slice("task:".length)] : undefined;
          return { Payload: task === undefined ? await call(name, given.Payload) : ask(task, given.Payload) };
        }
        if (!Resource.endsWith(".waitForTaskToken")) return {};
        onWait(given);
        const step = label.slice(0, label.indexOf(": "));
        const answer = answers[step]!;
        return { Answer: JSON.stringify({ status: "output" in answer ? "succeeded" : "failed", ...answer }) };
      },
    ]),
  );
  const machine = new StateMachine(adapted(definition) as never);
  const execution = machine.run(input as never, {
    overrides: {
      taskResourceLocalHandlers: handlers as never,
      waitTimeOverrides: Object.fromEntries(namesOf(definition, "Wait").map((name) => [name, 0])),
      retryIntervalOverrides: Object.fromEntries(
        ["Task", "Parallel", "Map"].flatMap((type) => namesOf(definition, type)).map((name) => [name, 0]),
      ),
    },
    context: { Execution: { Name: "run-1" }, Task: { Token: "token" }, State: { EnteredTime: ENTERED } } as never,
  });
  const outcome = await execution.result.then(
    (output) => ({ output }),
    (error: Error) => ({ error: recordIn((error.cause as Error | undefined) ?? error) }),
  );
  return { outcome, calls };
}

/** When every state was entered. */
export const ENTERED = "2026-08-09T10:11:12.345Z";

/** As the entry throws it, and Lambda tells the service of that. */
function thrownBy(step: Parameters<typeof stepFailed>[0], error: unknown): Error {
  const { kind, message } = failureOf(step, error);
  return Object.assign(new Error(JSON.stringify({ errorType: kind, errorMessage: message, trace: [] })), {
    name: kind,
  });
}

function failureOf(step: Parameters<typeof stepFailed>[0], error: unknown): ErrorRecord {
  try {
    return (stepFailed(step, error) as Extract<StepAnswer, { readonly status: "failed" }>).error;
  } catch (thrown) {
    return toErrorRecord(thrown);
  }
}

/** How a run failed, as the port reads it. */
function recordIn({ name, message }: Error): { readonly kind: string; readonly message: string } {
  if (!message.startsWith('{"errorType":')) return { kind: name, message };
  return { kind: name, message: (JSON.parse(message) as { readonly errorMessage: string }).errorMessage };
}

/** The interpreter has no `$$.State.RetryCount`. */
const adapted = (definition: object): object =>
  JSON.parse(
    JSON.stringify(definition).replaceAll('"attempt.$":"States.MathAdd($$.State.RetryCount, 1)"', '"attempt":1'),
  ) as object;

/** All states of a machine, those in others too. */
export function statesIn(definition: unknown): readonly (readonly [string, Readonly<Record<string, unknown>>])[] {
  if (typeof definition !== "object" || definition === null) return [];
  return Object.entries(definition).flatMap(([field, value]) => [
    ...(field === "States" ? Object.entries(value as Record<string, Readonly<Record<string, unknown>>>) : []),
    ...statesIn(value),
  ]);
}

const tasksIn = (definition: object): Readonly<Record<string, Task>> =>
  Object.fromEntries(statesIn(definition).filter(([, { Type }]) => Type === "Task")) as never;

const namesOf = (definition: object, type: string): readonly string[] =>
  statesIn(definition).flatMap(([name, { Type }]) => (Type === type ? [name] : []));
