import { tmpdir } from "node:os";
import type { Environment } from "../shared/environment.ts";
import { OWN_TASK } from "../shared/environment.ts";
import type { Clock } from "./clock.ts";
import { connect, type Deployment, type LinkAddress, type PortWorld } from "./deployment.ts";
import { fromErrorRecord, toErrorRecord } from "./errors.ts";
import type { SourceEvent } from "./events.ts";
import type { Run } from "./handler.ts";
import { invocation } from "./invocation.ts";
import { jsonLog } from "./json-log.ts";
import type { Served } from "./serve.ts";
import { type AttemptCall, readAttemptCall } from "./tasks/attempt.ts";
import type { Outcome } from "./tasks/platform.ts";
import { type AttemptHost, workAttempt } from "./tasks/worker.ts";
import { type StepAnswer, type StepCall, stepFailed, stepId, stepSucceeded } from "./workflows/step-call.ts";

/** What a deployed function is made of, and what is around it. */
export interface DeployedWorld<World extends PortWorld> {
  readonly deployment: Deployment;
  readonly environment: Environment;
  /** Adds what the cloud's ports need. */
  readonly world: (world: PortWorld) => World;
  readonly clock: Clock;
  /** Takes a line of the log. */
  readonly write: (line: string) => void;
}

/** One call of the platform. */
export interface PlatformCall {
  /** The platform's own id. */
  readonly id: string;
  /** When the platform ends it, milliseconds since 1970. */
  readonly deadline: number;
  /** Deliveries of the same events, this one included. @default 1 */
  readonly attempt?: number;
  /** Aborts it earlier, with its reason. @default nobody does */
  readonly signal?: AbortSignal;
}

/**
 * A function where its platform has put it: it serves events, does steps of workflows, and works on attempts of the task
 * that is its own.
 */
export class DeployedFunction<World extends PortWorld> {
  readonly #around: DeployedWorld<World>;
  readonly #links: Readonly<Record<string, LinkAddress>>;

  constructor(around: DeployedWorld<World>) {
    this.#around = around;
    this.#links = around.environment.links as Readonly<Record<string, LinkAddress>>;
  }

  /** The attempt that a call tells of, if this function is a worker. */
  attemptIn(value: unknown): AttemptCall | undefined {
    return OWN_TASK in this.#around.deployment.ports ? readAttemptCall(value) : undefined;
  }

  serve(events: readonly SourceEvent[], { id, deadline, attempt = 1, signal }: PlatformCall): Promise<Served> {
    return this.#invoke(events, { id, attempt, deadline, progress: () => {} }, signal);
  }

  /**
   * Does one step of a workflow: its input is the payload of a call whose id is the same at every attempt.
   *
   * @throws what the handler threw, where the workflow's own retry is to do the step again.
   */
  async step(call: StepCall, { deadline, signal }: PlatformCall): Promise<StepAnswer> {
    const id = stepId(call);
    const time = new Date(this.#around.clock.now()).toISOString();
    const event = { type: "function.invoked", id, payload: call.input, time } as const;
    const run = { id, attempt: call.attempt, deadline, progress: () => {} };
    const { results, failures } = await this.#invoke([event], run, signal);
    try {
      if (failures[0]) throw fromErrorRecord(failures[0].error);
      return stepSucceeded(call, results[0] ?? "null");
    } catch (error) {
      return stepFailed(call, error);
    }
  }

  /** Runs one attempt of the function's own task, and reports its progress and its end. */
  async work(call: AttemptCall, { deadline, signal: ending }: PlatformCall): Promise<Outcome> {
    const { deployment, world, clock, write } = this.#around;
    const log = jsonLog({ clock, write, fields: { run: call.id, task: call.task, attempt: call.attempt } });
    // Not the handler's signal: what became of the attempt is reported after that has aborted.
    const { signal } = new AbortController();
    const module = await deployment.ports[OWN_TASK]!();
    const host = (await module.port(
      this.#links[OWN_TASK]!,
      world({ signal, clock, log, files: tmpdir() }) as never,
    )) as AttemptHost;
    return workAttempt(call, host, clock, async (event, run, stop) => {
      const signal = ending ? AbortSignal.any([stop, ending]) : stop;
      const until = Math.min(run.deadline, deadline);
      const outcome = toOutcome(await this.#invoke([event], { ...run, deadline: until }, signal));
      // What failed after it was told to end failed for that reason.
      return "error" in outcome && ending?.aborted ? { error: toErrorRecord(ending.reason) } : outcome;
    });
  }

  #invoke(events: readonly SourceEvent[], run: Run, signal?: AbortSignal): Promise<Served> {
    const { deployment, environment, world, clock, write } = this.#around;
    const { [OWN_TASK]: _, ...linked } = this.#links;
    return invocation(deployment, events, {
      run,
      ...(signal && { signal }),
      connect: (plain) => connect(deployment.ports, linked, world(plain)),
      tools: environment.tools,
      write,
      level: environment.logLevel,
      clock,
    });
  }
}

const toOutcome = ({ results, failures }: Served): Outcome =>
  failures[0] ? { error: failures[0].error } : { result: JSON.parse(results[0] ?? "null") as unknown };
