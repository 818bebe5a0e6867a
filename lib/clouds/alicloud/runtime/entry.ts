import { DeployedFunction } from "../../../runtime/deployed.ts";
import type { Deployment } from "../../../runtime/deployment.ts";
import { toErrorRecord } from "../../../runtime/errors.ts";
import type { Served } from "../../../runtime/serve.ts";
import { SURROUNDINGS, type Surroundings } from "../../../runtime/surroundings.ts";
import type { StepAnswer } from "../../../runtime/workflows/step-call.ts";
import { readEnvironment } from "../../../shared/environment.ts";
import type { AlicloudWorld, Credentials } from "./account.ts";
import { parse, toEvents } from "./events.ts";
import { toThrown } from "./functions.ts";
import { doStep, toStepCall } from "./step.ts";

/** What Function Compute tells a function of its call. https://www.alibabacloud.com/help/en/functioncompute/fc/user-guide/event-handlers-1 */
export interface FunctionContext {
  readonly requestId: string;
  /** The timeout is seconds. */
  readonly function: { readonly timeout: number };
  readonly credentials: Credentials;
}

/** What Function Compute calls: bytes in, JSON out. Failures are thrown, so that the service tries again. */
export type FunctionHandler = (event: Uint8Array, context: FunctionContext) => Promise<Uint8Array>;

/** Runs a function on Function Compute: called by the bundle when it is loaded. */
export function start(deployment: Deployment, around: Surroundings = SURROUNDINGS): FunctionHandler {
  const environment = readEnvironment(around.variables);
  const region = environment.place.region!;
  return async (event, { requestId, function: { timeout }, credentials }) => {
    const { clock, write } = around;
    const world = (plain: object) => ({ ...plain, region, credentials: () => credentials }) as AlicloudWorld;
    const deployed = new DeployedFunction({ deployment, environment, world, clock, write });
    const call = { id: requestId, deadline: clock.now() + timeout * 1000 };
    const value = parse(Buffer.from(event).toString("utf8"));
    const step = toStepCall(value);
    if (step) return toStepAnswer(() => doStep(value, step, () => deployed.step(step, call)));
    const attempt = deployed.attemptIn(value);
    if (attempt) {
      const outcome = await deployed.work(attempt, call);
      // The service is to know too: its own state and count of errors, and what it answers when it is asked.
      if ("error" in outcome) throw toThrown(outcome.error);
      return Buffer.from(JSON.stringify(outcome));
    }
    const now = new Date(clock.now()).toISOString();
    return toAnswer(await deployed.serve(toEvents(event, { requestId, now, sources: environment.sources }), call));
  };
}

/** @throws what is to be tried again: the workflow does it when the call fails. */
async function toStepAnswer(work: () => Promise<StepAnswer>): Promise<Uint8Array> {
  try {
    return Buffer.from(JSON.stringify(await work()));
  } catch (error) {
    throw toThrown(toErrorRecord(error));
  }
}

/** @throws the first failure, which tells of the others */
function toAnswer({ results, failures }: Served): Uint8Array {
  const [first, ...others] = failures;
  if (!first) return Buffer.from(results.length === 1 ? (results[0] ?? "null") : "null");
  const rest = others.length === 0 ? "" : ` (and ${others.length} more of ${results.length} events failed)`;
  throw toThrown({ ...first.error, message: first.error.message + rest });
}
