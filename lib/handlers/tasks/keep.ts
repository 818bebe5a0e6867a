import { type Clock, sleep } from "../../runtime/clock.ts";
import { MillraceError } from "../../runtime/errors.ts";
import type { FunctionInvoked, ScheduleFired } from "../../runtime/events.ts";
import type { Handler } from "../../runtime/handler.ts";
import type { Envelope } from "../../runtime/tasks/envelope.ts";
import { type AttemptRef, attemptId } from "../../runtime/tasks/ids.ts";
import type { Outcome } from "../../runtime/tasks/platform.ts";
import { kindOfWords } from "../../runtime/tasks/platform-words.ts";
import type { TaskService } from "../../runtime/tasks/service.ts";

/** What the keeper drives: the service of its task, with the task's store, platform and destinations behind it. */
export type KeptTasks = Pick<TaskService, "next" | "run" | "settled" | "finished">;

/** Settings of the keeper. */
export interface KeepSettings {
  /**
   * For how many seconds after its start it waits for what is due soon, so that a short delay does not last until
   * the schedule comes round again. Waiting costs as much as working. @default 10
   */
  readonly patience?: number;
}

/** What the keeper did. */
export interface Kept {
  /** How often it looked. */
  readonly turns: number;
  /** When there is something to do next, ISO 8601. */
  readonly next?: string;
}

const PATIENCE = 10;

/** What is under way gets this long to come to rest before the platform ends the keeper, in milliseconds. */
const RESERVE = 5000;

/**
 * Does for a deployed task what no other process is there to do: delays, retries, expiry, attempts nobody has heard
 * of, destinations that did not answer, retention. Started by a schedule; or by the platform, to be told of an
 * attempt that could not report its own end.
 */
export const handler: Handler<
  ScheduleFired | FunctionInvoked,
  { readonly tasks: KeptTasks },
  KeepSettings,
  Kept
> = async (event, { links: { tasks }, settings: { patience = PATIENCE }, run, clock, signal, log }) => {
  const end = run.deadline - RESERVE;
  const waitsUntil = Math.min(end, clock.now() + patience * 1000);
  if (event.type === "function.invoked") {
    const { attempt, outcome } = toFinished(event.payload);
    log.info(`${attempt.task} "${attemptId(attempt)}": the platform says how it ended`, { outcome });
    await tasks.finished(attempt, outcome);
    await tasks.settled();
  }
  let turns = 0;
  while (!signal.aborted) {
    const now = clock.now();
    const next = tasks.next() ?? Infinity;
    if (next > now) {
      if (next > waitsUntil) break;
      await sleep(clock, next - now, signal).catch(() => {});
      continue;
    }
    if (now >= end) break;
    turns += 1;
    tasks.run(now);
    if (await isLate(tasks.settled(), end, clock)) {
      log.warn("the keeper's time is over before its work; the next one goes on");
      break;
    }
  }
  const next = tasks.next();
  return { turns, ...(next !== undefined && { next: new Date(next).toISOString() }) };
};

/** Whether the work is still going on at that time. */
function isLate(work: Promise<void>, end: number, clock: Clock): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const cancel = clock.at(end, () => resolve(true));
    work.then(() => resolve(false), reject).finally(cancel);
  });
}

/**
 * The attempt that a failure destination tells of, and how it ended. The worker was invoked with the attempt's start,
 * which names the attempt; the platform's own request id does not. Function Compute sends the payloads as texts, Lambda
 * as JSON; the rest of the envelope differs in its words alone. Step Functions says an error's name and cause.
 *
 * https://www.alibabacloud.com/help/en/functioncompute/fc/user-guide/result-callback
 * https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
 * https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
 *
 * @throws `bad-input` if it names no attempt
 */
export function toFinished(payload: unknown): { readonly attempt: AttemptRef; readonly outcome: Outcome } {
  const envelope = asRecord(parsed(payload)) as Partial<Record<keyof Envelope, unknown>>;
  const request = asRecord(parsed(envelope.requestPayload));
  const { task, id, attempt } = request;
  if (typeof task !== "string" || typeof id !== "string" || !Number.isSafeInteger(attempt)) {
    throw new MillraceError(
      "bad-input",
      `requestPayload: must be an attempt's start with task, id and attempt, got ${JSON.stringify(envelope.requestPayload)?.slice(0, 200)}`,
    );
  }
  const { condition } = asRecord(envelope.requestContext);
  const { functionError } = asRecord(envelope.responseContext);
  const { errorType, errorMessage, Error: name, Cause: cause } = asRecord(parsed(envelope.responsePayload));
  const said = [condition, functionError, errorType, errorMessage, name, cause];
  const words = said.filter((word) => typeof word === "string" && word);
  const message = words.join(": ") || "the platform does not say why";
  return {
    attempt: { task, id, attempt: attempt as number },
    outcome: { error: { kind: kindOfWords(message), message: `the platform ended the attempt: ${message}` } },
  };
}

function parsed(value: unknown): unknown {
  if (typeof value !== "string") return value;
  try {
    return JSON.parse(value);
  } catch {
    return undefined;
  }
}

const asRecord = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
