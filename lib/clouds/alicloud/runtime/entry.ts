import { tmpdir } from "node:os";
import { type Clock, systemClock } from "../../../runtime/clock.ts";
import type { Deployment } from "../../../runtime/deployment.ts";
import type { SourceEvent } from "../../../runtime/events.ts";
import type { Run } from "../../../runtime/handler.ts";
import { invocation } from "../../../runtime/invocation.ts";
import { jsonLog } from "../../../runtime/json-log.ts";
import type { Served } from "../../../runtime/serve.ts";
import { type AttemptCall, readAttemptCall } from "../../../runtime/tasks/attempt.ts";
import type { Outcome } from "../../../runtime/tasks/platform.ts";
import { type AttemptHost, workAttempt } from "../../../runtime/tasks/worker.ts";
import { type Environment, OWN_TASK, readEnvironment } from "../env.ts";
import type { AlicloudWorld, Credentials } from "./account.ts";
import { connect } from "./connect.ts";
import { parse, toEvents } from "./events.ts";
import { toThrown } from "./functions.ts";

/** What Function Compute tells a function of its call. https://www.alibabacloud.com/help/en/functioncompute/fc/user-guide/event-handlers-1 */
export interface FunctionContext {
  readonly requestId: string;
  /** The timeout is seconds. */
  readonly function: { readonly timeout: number };
  readonly credentials: Credentials;
}

/** What Function Compute calls: bytes in, JSON out. Failures are thrown, so that the service tries again. */
export type FunctionHandler = (event: Uint8Array, context: FunctionContext) => Promise<Uint8Array>;

/** What is around a function; a test has its own. */
interface Surroundings {
  readonly variables: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  /** Takes a line of the log. */
  readonly write: (line: string) => void;
}

const REAL: Surroundings = {
  variables: process.env,
  clock: systemClock,
  write: (line) => void process.stdout.write(`${line}\n`),
};

/** Runs a function on Function Compute: called by the bundle when it is loaded. */
export function start(deployment: Deployment, around: Surroundings = REAL): FunctionHandler {
  const environment = readEnvironment(around.variables);
  return async (event, context) => {
    const call = OWN_TASK in deployment.ports ? readAttemptCall(parse(Buffer.from(event).toString("utf8"))) : undefined;
    const host = new FunctionHost(deployment, environment, context, around);
    return call ? host.work(call) : host.serve(event);
  };
}

/** One invocation. */
class FunctionHost {
  readonly #deployment: Deployment;
  readonly #environment: Environment;
  readonly #context: FunctionContext;
  readonly #around: Surroundings;
  readonly #deadline: number;

  constructor(deployment: Deployment, environment: Environment, context: FunctionContext, around: Surroundings) {
    this.#deployment = deployment;
    this.#environment = environment;
    this.#context = context;
    this.#around = around;
    this.#deadline = around.clock.now() + context.function.timeout * 1000;
  }

  async serve(bytes: Uint8Array): Promise<Uint8Array> {
    const { requestId } = this.#context;
    const now = new Date(this.#around.clock.now()).toISOString();
    const events = toEvents(bytes, { requestId, now, sources: this.#environment.sources });
    const run: Run = { id: requestId, attempt: 1, deadline: this.#deadline, progress: () => {} };
    return toAnswer(await this.#invoke(events, run));
  }

  /** Runs one attempt of the function's own task, and reports its progress and its end. */
  async work(call: AttemptCall): Promise<Uint8Array> {
    const { region } = this.#environment;
    const { clock, write } = this.#around;
    const log = jsonLog({ clock, write, fields: { run: call.id, task: call.task, attempt: call.attempt } });
    // Not the handler's signal: what became of the attempt is reported after that has aborted.
    const { signal } = new AbortController();
    const world = { signal, clock, log, files: tmpdir(), region, credentials: this.#credentials };
    const module = await this.#deployment.ports[OWN_TASK]!();
    const host = (await module.port(this.#environment.links[OWN_TASK]!, world as never)) as AttemptHost;
    const outcome = await workAttempt(call, host, clock, async (event, run, stop) =>
      toOutcome(await this.#invoke([event], { ...run, deadline: Math.min(run.deadline, this.#deadline) }, stop)),
    );
    // The service is to know too: its own state and count of errors, and what it answers when it is asked.
    if ("error" in outcome) throw toThrown(outcome.error);
    return Buffer.from(JSON.stringify(outcome));
  }

  #invoke(events: readonly SourceEvent[], run: Run, signal?: AbortSignal): Promise<Served> {
    const { region, tools, logLevel, links } = this.#environment;
    const { [OWN_TASK]: _, ...linked } = links;
    return invocation(this.#deployment, events, {
      run,
      ...(signal && { signal }),
      connect: (world) => {
        const more: AlicloudWorld = { ...world, region, credentials: this.#credentials };
        return connect(this.#deployment.ports, linked, more);
      },
      tools,
      write: this.#around.write,
      level: logLevel,
      clock: this.#around.clock,
    });
  }

  #credentials = (): Credentials => this.#context.credentials;
}

/** @throws the first failure, which tells of the others */
function toAnswer({ results, failures }: Served): Uint8Array {
  const [first, ...others] = failures;
  if (!first) return Buffer.from(results.length === 1 ? (results[0] ?? "null") : "null");
  const rest = others.length === 0 ? "" : ` (and ${others.length} more of ${results.length} events failed)`;
  throw toThrown({ ...first.error, message: first.error.message + rest });
}

const toOutcome = ({ results, failures }: Served): Outcome =>
  failures[0] ? { error: failures[0].error } : { result: JSON.parse(results[0] ?? "null") as unknown };
