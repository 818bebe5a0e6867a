import type { Mapping, Origin } from "../../shared/workflow/definition.ts";
import { resolve } from "../../shared/workflow/mapping.ts";
import { type ErrorRecord, isRetryable, MillraceError, toErrorRecord } from "../errors.ts";

/** A call of a function by a workflow, as platforms carry it. */
export interface StepCall {
  readonly millrace: "step";
  /** The workflow's run. */
  readonly run: string;
  readonly step: string;
  /** From 1. */
  readonly attempt: number;
  /** The most there are: at the last one the function answers what it failed with in place of failing. */
  readonly attempts: number;
  readonly input: unknown;
  /** Most bytes of the answer, as JSON. @default no bound */
  readonly most?: number;
}

/** What a function answers a workflow: platforms differ in what they say of an error, so its kind is a field. */
export type StepAnswer =
  | { readonly status: "succeeded"; readonly output: unknown }
  | { readonly status: "failed"; readonly error: ErrorRecord };

/**
 * The step a call is one of; nothing if it is something else. Platforms hand numbers on as texts at times, and their own
 * languages fail where a reference leads nowhere: then `mapping` (JSON) and `known`, what it refers to, come in place of
 * the input.
 */
export function readStepCall(value: unknown): StepCall | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { millrace, run, step, attempt, attempts, most, ...given } = value as Readonly<Record<string, unknown>>;
  if (millrace !== "step" || typeof run !== "string" || typeof step !== "string") return undefined;
  return {
    millrace,
    run,
    step,
    attempt: Number(attempt ?? 1),
    attempts: Number(attempts ?? 1),
    input: inputOf(given),
    ...(most !== undefined && { most: Number(most) }),
  };
}

function inputOf({ input = null, mapping, known }: Readonly<Record<string, unknown>>): unknown {
  if (typeof mapping !== "string") return input;
  return resolve(JSON.parse(mapping) as Mapping, new Map(Object.entries(known ?? {}) as [Origin, unknown][]));
}

/** The id of what a step does: the same at every attempt. */
export const stepId = ({ run, step }: Pick<StepCall, "run" | "step">): string => `${run}/${step}`;

/** @throws `refused` for an output that the workflow cannot carry. */
export function stepSucceeded({ step, most = Infinity }: StepCall, result: string): StepAnswer {
  const bytes = Buffer.byteLength(result);
  if (bytes > most) {
    throw new MillraceError(
      "refused",
      `the output of step "${step}" has ${bytes} bytes, and a workflow carries at most ${most}: put it into a bucket and answer its key`,
    );
  }
  return { status: "succeeded", output: JSON.parse(result) as unknown };
}

/**
 * What the workflow is told of a failure: an answer, if no other attempt is to come.
 *
 * @throws the error itself where the platform is to try again.
 */
export function stepFailed({ attempt, attempts }: StepCall, thrown: unknown): StepAnswer {
  const error = toErrorRecord(thrown);
  if (isRetryable(error) && attempt < attempts) throw thrown;
  // Without its stack: it is in the log, and what a workflow carries is small.
  return { status: "failed", error: { kind: error.kind, message: error.message.slice(0, 1024) } };
}
