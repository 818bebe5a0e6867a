import { readStepCall, type StepAnswer, type StepCall } from "../../../runtime/workflows/step-call.ts";
import type { Mapping, Origin } from "../../../shared/workflow/definition.ts";

/** The step of a workflow that a pod does, as it is written when the workflow is deployed. */
export interface FlowStep {
  readonly step: string;
  /** The most there are. */
  readonly attempts: number;
  /** Most bytes of the answer, as JSON. */
  readonly most: number;
  /** Seconds of one attempt. @default no bound */
  readonly timeout?: number;
  /** The input. */
  readonly mapping: Mapping;
  /** What it refers to: in the variables `MILLRACE_KNOWN_<n>`. */
  readonly known: readonly Origin[];
}

/** A call, and the time it has. */
export interface FlowCall {
  readonly call: StepCall;
  /** What it is remembered by: its path, and which attempts of the steps around it these are. */
  readonly key: string;
  /** Seconds. @default no bound */
  readonly timeout?: number;
}

/** Where a pod writes its answer. */
export const ANSWER_FILE = "/tmp/millrace-answer";

type Variables = Readonly<Record<string, string | undefined>>;

/**
 * The step that a pod was started for.
 *
 * @throws an error that names the variable which is missing.
 */
export function readFlowCall(variables: Variables): FlowCall {
  const { step, attempts, most, timeout, mapping, known } = decoded(variable(variables, "MILLRACE_STEP")) as FlowStep;
  const values = known.map((origin, index) => [
    origin,
    knownValue(origin, variable(variables, `MILLRACE_KNOWN_${index}`)),
  ]);
  const key = `${variables.MILLRACE_AT ?? ""}${step}`;
  const call = readStepCall({
    millrace: "step",
    run: variable(variables, "MILLRACE_RUN"),
    step: plainPath(key),
    // Argo counts retries from 0.
    attempt: Number(variables.MILLRACE_RETRIES ?? 0) + 1,
    attempts,
    most,
    mapping: JSON.stringify(mapping),
    known: Object.fromEntries(values),
  })!;
  return { call, key, ...(timeout !== undefined && { timeout }) };
}

/** A path without the attempts of the steps around it, which are written `~0~`. */
export const plainPath = (place: string): string => place.replaceAll(/~\d+~/g, "");

/** An answer as the workflow carries it: its JSON in base64. */
export const writtenAnswer = (answer: StepAnswer): string => Buffer.from(JSON.stringify(answer)).toString("base64");

/** Answers are handed on whole; the run's input and a map's items by themselves. */
function knownValue(origin: Origin, text: string): unknown {
  if (origin === "run") return text;
  const value = decoded(text);
  if (origin === "input" || origin.startsWith("item:")) return value;
  const { output = null, error } = value as { readonly output?: unknown; readonly error?: unknown };
  return origin.startsWith("error:") ? error : output;
}

const decoded = (text: string): unknown => JSON.parse(Buffer.from(text, "base64").toString()) as unknown;

function variable(variables: Variables, name: string): string {
  const text = variables[name];
  if (text) return text;
  throw new Error(`the environment variable ${name} is missing: this pod was not started by a workflow of Millrace`);
}
