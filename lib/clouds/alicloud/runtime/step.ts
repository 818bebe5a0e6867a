import { readStepCall, type StepAnswer, type StepCall } from "../../../runtime/workflows/step-call.ts";

/** The step a call is one of. The service counts retries from 0, and its language cannot add. */
export function toStepCall(value: unknown): StepCall | undefined {
  const call = readStepCall(value);
  const { retries } = (value ?? {}) as { readonly retries?: number | string };
  return call && retries !== undefined ? { ...call, attempt: Number(retries) + 1 } : call;
}

/** What functions answered, by the paths of the steps. */
export type DoneSteps = Readonly<Record<string, StepAnswer>>;

/** An answer that is found again in the history of its execution. */
interface MarkedAnswer {
  readonly millrace: "answer";
  readonly step: string;
}

/** Does a step, unless the run was retried and had done it before. What may be wanted then is marked. */
export async function doStep(value: unknown, { step }: StepCall, work: () => Promise<StepAnswer>): Promise<StepAnswer> {
  const { done } = value as { readonly done?: DoneSteps | null };
  // Helpers of ours are asked anew.
  if (done === undefined) return work();
  const answer = done !== null && Object.hasOwn(done, step) ? done[step]! : await work();
  return { ...answer, ...({ millrace: "answer", step } satisfies MarkedAnswer) };
}

/** What succeeded, in what happened in an execution: the last answer of each step. @param details JSON */
export function doneIn(details: readonly (string | undefined)[]): DoneSteps {
  const done: Record<string, StepAnswer> = {};
  for (const detail of details) {
    // Most have none, and there may be thousands.
    if (detail?.includes(MARK)) for (const { step, ...answer } of markedIn(JSON.parse(detail))) done[step] = answer;
  }
  return done;
}

const MARK = '"millrace":"answer"';

/** Of a state's output and what a function answered; what is inside an answer is the user's. */
function markedIn(value: unknown): readonly (StepAnswer & { readonly step: string })[] {
  if (typeof value !== "object" || value === null) return [];
  const { millrace, step, status, output } = value as Partial<MarkedAnswer> & { status?: unknown; output?: unknown };
  if (millrace !== "answer") return Object.values(value).flatMap(markedIn);
  return status === "succeeded" && typeof step === "string" ? [{ step, status, output }] : [];
}

/** As many as fit into so many bytes, the smallest first: those others are done again. */
export function atMost(done: DoneSteps, bytes: number): DoneSteps {
  const sized = Object.entries(done)
    .map((entry) => ({ entry, size: Buffer.byteLength(JSON.stringify(entry)) }))
    .sort((one, other) => one.size - other.size);
  let left = bytes;
  const kept = sized.filter(({ size }) => {
    left -= size;
    return left >= 0;
  });
  return Object.fromEntries(kept.map(({ entry }) => entry));
}
