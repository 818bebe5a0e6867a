import { tmpdir } from "node:os";
import { type Clock, sleep } from "../../../runtime/clock.ts";
import { DeployedFunction } from "../../../runtime/deployed.ts";
import type { Deployment, LinkAddress } from "../../../runtime/deployment.ts";
import { MillraceError, toErrorRecord } from "../../../runtime/errors.ts";
import type { Log } from "../../../runtime/handler.ts";
import { jsonLog } from "../../../runtime/json-log.ts";
import { SURROUNDINGS, type Surroundings } from "../../../runtime/surroundings.ts";
import type { AttemptCall } from "../../../runtime/tasks/attempt.ts";
import type { Task } from "../../../runtime/tasks/task.ts";
import { type AttemptHost, isUnderWay, reasonToEnd } from "../../../runtime/tasks/worker.ts";
import { OWN_TASK, readEnvironment } from "../../../shared/environment.ts";
import { type KubernetesWorld, natsAccess, sharedNats } from "./account.ts";
import { readAttemptVariable } from "./attempt-variable.ts";

/** Milliseconds between two tries to reach NATS before the work begins. */
const AGAIN = 1000;

/** Milliseconds that are spent on finding out why the pod is to end. */
const LOOK = 1000;

/**
 * Works on one attempt in a process of its own, and ends it with 0 once its end is reported: called by the bundle when it
 * is loaded. At SIGTERM the work is asked to end: it is stopped if that was asked for, and else handed back to be done
 * again, which uses up no attempt.
 */
export async function start(deployment: Deployment, around: Surroundings = SURROUNDINGS): Promise<void> {
  const { variables, clock, write } = around;
  // Whatever ends the process before then, the handler's own `process.exit(0)` too, is no success.
  let isReported = false;
  process.on("exit", (code) => {
    if (code === 0 && !isReported) process.exitCode = 1;
  });
  const environment = readEnvironment(variables);
  const attempt = readAttemptVariable(variables);
  const log = jsonLog({ clock, write, fields: { run: attempt.id, task: attempt.task, attempt: attempt.attempt } });
  const { nats, close } = sharedNats(natsAccess(environment.place, variables));
  const world = (plain: object) => ({ ...plain, nats, prefix: environment.place.prefix ?? "" }) as KubernetesWorld;
  const module = await deployment.ports[OWN_TASK]!();
  const plain = { signal: new AbortController().signal, clock, log, files: tmpdir() };
  const host = (await module.port(environment.links[OWN_TASK] as LinkAddress, world(plain) as never)) as AttemptHost;

  const ending = endingOf(attempt, host, clock);
  const run = await runOf(attempt, host, { clock, log, ending });
  const deployed = new DeployedFunction({ deployment, environment, world, clock, write });
  if (run?.status === "stopping" && isUnderWay(run, attempt)) {
    await host.finished(attempt, { error: { kind: "stopped", message: "stopped before its work began" } });
  } else if (isUnderWay(run, attempt)) {
    await deployed.work(attempt, { id: attempt.attemptId, deadline: attempt.deadline, signal: ending });
  } else {
    log.info("the run has gone on without this attempt: there is nothing to do");
  }
  isReported = true;
  await close();
  process.exit(0);
}

/** Aborts with the reason when the cluster asks the process to end. */
function endingOf(attempt: AttemptCall, host: AttemptHost, clock: Clock): AbortSignal {
  const ending = new AbortController();
  process.on("SIGTERM", async () => ending.abort(await reasonOf(attempt, host, clock)));
  return ending.signal;
}

async function reasonOf(attempt: AttemptCall, host: AttemptHost, clock: Clock): Promise<MillraceError> {
  if (clock.now() >= attempt.deadline) return new MillraceError("timed-out", "the run's time is over");
  const unknown = new MillraceError("interrupted", "the cluster ends the pod");
  const run = await Promise.race([host.get(attempt.task, attempt.id).catch(() => undefined), sleep(clock, LOOK)]);
  return (run && reasonToEnd(run, attempt)) ?? unknown;
}

/** The run as it is now: this attempt may have been started twice, or too late. Waits for NATS, which may be away. */
async function runOf(
  { task, id, deadline }: AttemptCall,
  host: AttemptHost,
  { clock, log, ending }: { readonly clock: Clock; readonly log: Log; readonly ending: AbortSignal },
): Promise<Task | undefined> {
  while (true) {
    try {
      return await host.get(task, id);
    } catch (error) {
      if (clock.now() >= deadline) throw error;
      log.warn("the run cannot be looked up, trying again", { error: toErrorRecord(error).message });
      await sleep(clock, AGAIN, ending);
    }
  }
}
