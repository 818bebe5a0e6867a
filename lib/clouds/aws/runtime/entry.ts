import { DeployedFunction } from "../../../runtime/deployed.ts";
import type { Deployment, PortWorld } from "../../../runtime/deployment.ts";
import { type ErrorRecord, fromErrorRecord, shortened, toErrorRecord } from "../../../runtime/errors.ts";
import { jsonLog } from "../../../runtime/json-log.ts";
import type { Failure, Served } from "../../../runtime/serve.ts";
import { SURROUNDINGS, type Surroundings } from "../../../runtime/surroundings.ts";
import { readStepCall, type StepAnswer } from "../../../runtime/workflows/step-call.ts";
import { readEnvironment } from "../../../shared/environment.ts";
import type { AwsWorld } from "./account.ts";
import { isQueueBatch, toEvents } from "./events.ts";
import { toOutput } from "./execution-output.ts";
import { toThrown } from "./thrown.ts";

/** What Lambda tells a function of its call. https://docs.aws.amazon.com/lambda/latest/dg/nodejs-context.html */
export interface LambdaContext {
  readonly awsRequestId: string;
  getRemainingTimeInMillis(): number;
}

/** What Lambda calls: JSON in, JSON out. Failures are thrown, so that the service tries again; those of messages are named. */
export type LambdaHandler = (event: unknown, context: LambdaContext) => Promise<unknown>;

/** Runs a function on Lambda: called by the bundle when it is loaded. */
export function start(deployment: Deployment, around: Surroundings = SURROUNDINGS): LambdaHandler {
  const { clock, write } = around;
  const environment = readEnvironment(around.variables);
  const region = environment.place.region!;
  const world = (plain: PortWorld): AwsWorld => ({ ...plain, region });
  const deployed = new DeployedFunction({ deployment, environment, world, clock, write });
  return async (event, context) => {
    const now = clock.now();
    const call = { id: context.awsRequestId, deadline: now + context.getRemainingTimeInMillis() };
    const step = readStepCall(event);
    if (step) return toOutcome(await deployed.step(step, call).catch(rethrow));
    const attempt = deployed.attemptIn(event);
    // Not thrown: the state machine takes its own way with how the attempt ended.
    if (attempt) return toOutput(await deployed.work(attempt, call));
    const { sources } = environment;
    const events = toEvents(event, { requestId: call.id, now: new Date(now).toISOString(), sources });
    const served = await deployed.serve(events, call);
    if (!isQueueBatch(event)) return toAnswer(served);
    const log = jsonLog({ clock, write, fields: { run: call.id } });
    for (const { id, error } of served.failures) log.error(`message ${id} failed`, { error: fromErrorRecord(error) });
    return toBatchAnswer(served.failures);
  };
}

/**
 * What a workflow's state machine gets: Lambda hands on the kind of an error as its name, which the machine retries and
 * catches by, and only a state that fails by itself can be redriven.
 *
 * @throws what the step failed with
 * @see https://docs.aws.amazon.com/step-functions/latest/dg/redrive-executions.html
 */
function toOutcome(answer: StepAnswer): StepAnswer {
  if (answer.status === "succeeded") return answer;
  throw rethrown(answer.error);
}

/** What failed is in the log; the trace beside a message counts among the bytes of a cause. */
const rethrown = ({ kind, message }: ErrorRecord): Error => toThrown({ kind, message, stack: `${kind}: ${message}` });

const rethrow = (error: unknown): never => {
  const { kind, message } = shortened(toErrorRecord(error));
  throw rethrown({ kind, message });
};

/**
 * @returns the result of what was called alone; events have nobody to answer to
 * @throws the first failure, which tells of the others
 */
function toAnswer({ results, failures }: Served): unknown {
  const [first, ...others] = failures;
  if (!first) return results.length === 1 ? (JSON.parse(results[0] ?? "null") as unknown) : null;
  const rest = others.length === 0 ? "" : ` (and ${others.length} more of ${results.length} events failed)`;
  const error: ErrorRecord = { ...first.error, message: first.error.message + rest };
  throw toThrown(error);
}

/** Only these are delivered again. https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html */
const toBatchAnswer = (failures: readonly Failure[]) => ({
  batchItemFailures: failures.map(({ id }) => ({ itemIdentifier: id })),
});
