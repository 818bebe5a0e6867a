import type { HistoryEvent } from "@aws-sdk/client-sfn";
import { type ErrorRecord, isErrorKind } from "../../../runtime/errors.ts";
import type { StepRecord, WorkflowStatus } from "../../../runtime/workflows/run.ts";

/** What names of the service's mean that something took too long. */
const LATE: ReadonlySet<string> = new Set(["States.Timeout", "States.HeartbeatTimeout", "Sandbox.Timedout"]);

/** A state was handed more than the service carries. https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html */
const TOO_LARGE = "States.DataLimitExceeded";

/** What a state or a run failed with: one of our kinds with a message, or the service's own words. */
export function failureOf(error = "", cause = ""): ErrorRecord {
  if (isErrorKind(error)) return { kind: error, message: messageIn(cause) ?? (cause || error) };
  const words = [error, messageIn(cause) ?? cause].filter(Boolean).join(": ");
  if (error === TOO_LARGE) {
    const message = `${words}: Step Functions carries 256 KiB from step to step: put what is large into a bucket and pass its key`;
    return { kind: "refused", message };
  }
  const isLate = LATE.has(error) || /Task timed out after/.test(cause);
  return { kind: isLate ? "timed-out" : "unavailable", message: words || "the service does not say why" };
}

/** Of what a function threw. */
function messageIn(cause: string): string | undefined {
  const { errorMessage } = (jsonOf(cause) ?? {}) as { readonly errorMessage?: unknown };
  return typeof errorMessage === "string" ? errorMessage : undefined;
}

/** JSON that may be cut off. */
function jsonOf(text: string | undefined): unknown {
  try {
    return JSON.parse(text ?? "null") as unknown;
  } catch {
    return undefined;
  }
}

interface State {
  readonly Comment?: string;
}

/** The states that are steps, by their names, each with its path, as the compiled definition says it. */
export function placesIn(definition: unknown): ReadonlyMap<string, string> {
  if (typeof definition !== "object" || definition === null) return new Map();
  return new Map(
    Object.entries(definition).flatMap(([field, value]) => [
      ...(field === "States" ? Object.entries(value as Readonly<Record<string, State>>).flatMap(placeOf) : []),
      ...placesIn(value),
    ]),
  );
}

const placeOf = ([name, { Comment }]: readonly [string, State]): readonly (readonly [string, string])[] =>
  Comment === undefined ? [] : [[name, Comment]];

/** A step while its run's history is read. */
type Draft = { -readonly [Field in keyof StepRecord]: StepRecord[Field] };

/**
 * The steps of a run from the history of its execution, in the order they began.
 *
 * @param asking names of steps that wait for somebody's answer
 * @see https://docs.aws.amazon.com/step-functions/latest/apireference/API_HistoryEvent.html
 */
export function stepsOf(
  events: readonly HistoryEvent[],
  places: ReadonlyMap<string, string>,
  asking: ReadonlySet<string>,
  run: { readonly id: string; readonly status: WorkflowStatus },
): readonly StepRecord[] {
  const records = new Map<string, Draft>();
  const owners = new Map<number, Draft>();
  for (const event of events) {
    const owner = read(event, owners.get(event.previousEventId ?? 0), places, records);
    if (owner) owners.set(event.id!, owner);
  }
  return [...records.values()].map((record) => ended(record, asking, run));
}

/** @returns the step that the event, and what follows from it, belongs to */
function read(
  event: HistoryEvent,
  owner: Draft | undefined,
  places: ReadonlyMap<string, string>,
  records: Map<string, Draft>,
): Draft | undefined {
  const { stateEnteredEventDetails: entered, stateExitedEventDetails: exited, type = "" } = event;
  const time = event.timestamp!.toISOString();
  if (entered) {
    const place = places.get(entered.name!);
    return place === undefined ? undefined : enter(pathOf(place, entered.input), type, time, records);
  }
  if (exited) {
    const place = places.get(exited.name!);
    const record = place === undefined ? undefined : records.get(pathOf(place, exited.output));
    if (record) leave(record, time);
    return record;
  }
  if (owner) happen(owner, event, type);
  return owner;
}

function enter(path: string, type: string, time: string, records: Map<string, Draft>): Draft {
  const before = records.get(path);
  const status = type === "WaitStateEntered" ? "waiting" : "running";
  // A task that is looked at again goes on; what is done anew is another attempt.
  const record: Draft = before ?? {
    path,
    step: path.slice(path.lastIndexOf("/") + 1),
    status,
    started: time,
    attempts: 0,
  };
  record.status = status;
  delete record.ended;
  delete record.error;
  if (!type.startsWith("Task") || !before) record.attempts += type.startsWith("Task") ? 0 : 1;
  records.set(path, record);
  return record;
}

function leave(record: Draft, time: string): void {
  record.status = record.error ? "caught" : "succeeded";
  record.ended = time;
}

function happen(record: Draft, event: HistoryEvent, type: string): void {
  if (type === "TaskScheduled") {
    record.attempts += 1;
    record.status = "running";
    delete record.error;
  }
  const failed = event.taskFailedEventDetails ?? event.taskTimedOutEventDetails ?? event.taskSubmitFailedEventDetails;
  if (failed) {
    record.status = "retrying";
    record.error = failureOf(failed.error, failed.cause);
  }
  const { Payload } = (jsonOf(event.taskSucceededEventDetails?.output) ?? {}) as {
    readonly Payload?: { readonly output?: unknown };
  };
  if (Payload) record.outputPreview = JSON.stringify(Payload.output ?? null).slice(0, 1024);
}

/** `each[items.each.index]/double` with the numbers that the state has there. */
function pathOf(place: string, state: string | undefined): string {
  const known = jsonOf(state);
  return place.replace(/\[([\w.]+)\]/g, (_, at: string) => `[${String(at.split(".").reduce(fieldOf, known))}]`);
}

const fieldOf = (value: unknown, field: string): unknown =>
  typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>)[field] : undefined;

/** What the end of the run means for steps that were not through. */
function ended(
  record: Draft,
  asking: ReadonlySet<string>,
  run: { readonly id: string; readonly status: WorkflowStatus },
): StepRecord {
  if (record.ended !== undefined) return record;
  if (run.status === "running") {
    const isAsking = asking.has(record.step) && record.status === "running";
    return isAsking ? { ...record, status: "waiting", callback: `${run.id}/${record.path}` } : record;
  }
  return { ...record, status: record.error && run.status === "failed" ? "failed" : "stopped" };
}
