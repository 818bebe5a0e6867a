import { writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { type Clock, sleep } from "../../../runtime/clock.ts";
import { DeployedFunction } from "../../../runtime/deployed.ts";
import type { Deployment } from "../../../runtime/deployment.ts";
import { isRetryable, MillraceError, toErrorRecord } from "../../../runtime/errors.ts";
import { jsonLog } from "../../../runtime/json-log.ts";
import { SURROUNDINGS, type Surroundings } from "../../../runtime/surroundings.ts";
import { type StepAnswer, type StepCall, stepFailed } from "../../../runtime/workflows/step-call.ts";
import { readEnvironment } from "../../../shared/environment.ts";
import { type KubernetesWorld, natsAccess, sharedNats } from "./account.ts";
import { FlowRows } from "./flow-rows.ts";
import { ANSWER_FILE, readFlowCall, writtenAnswer } from "./flow-step.ts";

/** Milliseconds before its deadline at which an invocation's signal aborts: until then the handler has its whole timeout. */
const MARGIN = 2000;
/** Milliseconds after its deadline at which a handler that does not end is given up. */
const PATIENCE = 5000;
/** Tries to speak with NATS, and milliseconds between them: it may be away for a moment. */
const TRIES = 10;
const AGAIN = 2000;

/**
 * Does one step of a workflow in a process of its own: called by the bundle when it is loaded. It ends with 0 once its
 * answer is written, a failure for good too; with 1 where Argo is to start another pod. SIGTERM interrupts the step.
 * Where `MILLRACE_FLOW` names the workflow's table, what was done is remembered there, and not done again when the run is
 * retried, or when the pod's end got lost.
 *
 * @param file takes the answer
 */
export async function start(
  deployment: Deployment,
  around: Surroundings = SURROUNDINGS,
  file = ANSWER_FILE,
): Promise<void> {
  const { variables, clock, write } = around;
  // Whatever ends the process before then, the handler's own `process.exit(0)` too, is no success.
  let isWritten = false;
  process.on("exit", (code) => {
    if (code === 0 && !isWritten) process.exitCode = 1;
  });
  const environment = readEnvironment(variables);
  const { call, key, timeout } = readFlowCall(variables);
  const { run, step, attempt } = call;
  const log = jsonLog({ clock, write, level: environment.logLevel, fields: { run, step, attempt } });
  const { nats, close } = sharedNats(natsAccess(environment.place, variables));
  const world = (plain: object) => ({ ...plain, nats, prefix: environment.place.prefix ?? "" }) as KubernetesWorld;
  const deployed = new DeployedFunction({ deployment, environment, world, clock, write });
  const deadline = timeout === undefined ? Number.MAX_SAFE_INTEGER : clock.now() + timeout * 1000 + MARGIN;
  const { MILLRACE_FLOW: table } = variables;
  const plain = { signal: new AbortController().signal, clock, log, files: tmpdir() };
  const rows = table ? new FlowRows(table, world(plain)) : undefined;
  try {
    const platform = { id: `${run}/${step}`, deadline, signal: interruption() };
    const known = rows && (await patiently(clock, () => rows.done(run, key)));
    if (known) log.info("the step was done before");
    const answer =
      known ?? (await Promise.race([deployed.step(call, platform), late(call, deadline + PATIENCE, clock)]));
    if (rows && !known && answer.status === "succeeded") {
      await patiently(clock, () => rows.keepDone(run, key, answer));
    }
    await writeFile(file, writtenAnswer(answer));
    isWritten = true;
  } catch (error) {
    log.error("the step failed, and is tried again", { error: toErrorRecord(error) });
  }
  await close();
  process.exit(isWritten ? 0 : 1);
}

/** Tries again what NATS is away for. */
async function patiently<Result>(clock: Clock, work: () => Promise<Result>): Promise<Result> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await work();
    } catch (error) {
      if (tries === TRIES || !isRetryable(toErrorRecord(error))) throw error;
      await sleep(clock, AGAIN);
    }
  }
}

/** Aborts when the cluster asks the process to end. */
function interruption(): AbortSignal {
  const ending = new AbortController();
  const end = () => ending.abort(new MillraceError("interrupted", "its pod was asked to end"));
  for (const name of ["SIGTERM", "SIGINT"] as const) process.once(name, end);
  return ending.signal;
}

/** What is said of a handler that does not end though its time is over. */
async function late(call: StepCall, time: number, clock: Clock): Promise<StepAnswer> {
  if (time >= Number.MAX_SAFE_INTEGER) return new Promise(() => {});
  await sleep(clock, time - clock.now());
  return stepFailed(
    call,
    new MillraceError("timed-out", `the handler did not end ${PATIENCE / 1000} seconds after its time was over`),
  );
}
