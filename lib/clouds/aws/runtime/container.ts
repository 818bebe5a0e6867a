import { tmpdir } from "node:os";
import {
  SendTaskFailureCommand,
  SendTaskHeartbeatCommand,
  SendTaskSuccessCommand,
  SFNClient,
} from "@aws-sdk/client-sfn";
import { DeployedFunction } from "../../../runtime/deployed.ts";
import { type Deployment, field, type LinkAddress, type PortWorld } from "../../../runtime/deployment.ts";
import { MillraceError, toErrorRecord } from "../../../runtime/errors.ts";
import { jsonLog } from "../../../runtime/json-log.ts";
import { SURROUNDINGS, type Surroundings } from "../../../runtime/surroundings.ts";
import { type AttemptCall, readAttemptCall } from "../../../runtime/tasks/attempt.ts";
import type { TaskDefinition } from "../../../runtime/tasks/definition.ts";
import type { Outcome } from "../../../runtime/tasks/platform.ts";
import { OWN_TASK, readEnvironment } from "../../../shared/environment.ts";
import { type AwsWorld, clientSettings } from "./account.ts";
import { ask } from "./ask.ts";
import { toOutput } from "./execution-output.ts";

/** And how a container's process ends. */
interface ContainerSurroundings extends Surroundings {
  /** Calls back when the process is told to end. */
  readonly onEnd: (callback: () => void) => void;
  /** Calls back with what nobody caught. */
  readonly onCrash: (callback: (error: unknown) => void) => void;
  /** Ends the process, once what it has printed is out. */
  readonly exit: (code: number) => void;
}

const REAL: ContainerSurroundings = {
  ...SURROUNDINGS,
  onEnd: (callback) => void process.once("SIGTERM", callback),
  onCrash: (callback) => void process.once("uncaughtException", callback),
  exit: (code) => void process.stdout.write("", () => process.exit(code)),
};

/** Seconds that Fargate waits at most between asking a container to end and killing it. https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html */
const LONGEST_END = 120;
/** The part of that time which the handler gets: the rest is for saying what became of it. */
const HANDLERS = 0.9;

/**
 * Works on the one attempt that a Fargate task was started for: called by the bundle when it is loaded. Step Functions
 * hears of it by heartbeats, and at its end how it went. The process ends with 0 if the attempt succeeded, else with 1.
 */
export async function start(deployment: Deployment, around: ContainerSurroundings = REAL): Promise<void> {
  const { clock, write, variables } = around;
  const environment = readEnvironment(variables);
  const { attempt, token, heartbeat } = readVariables(variables);
  const address = environment.links[OWN_TASK] as LinkAddress | undefined;
  if (!address) throw new Error("this container works for no task: deploy it again");
  const world = (plain: PortWorld): AwsWorld => ({ ...plain, region: field(address, "region") });
  const log = jsonLog({ clock, write, fields: { run: attempt.id, task: attempt.task, attempt: attempt.attempt } });
  const { signal } = new AbortController();
  const state = new WaitingState(address, world({ signal, clock, log, files: tmpdir() }), token);
  const fail = async (error: unknown) => {
    log.error("the container ends without its attempt's end", { error });
    await state.failed(error);
    around.exit(1);
  };
  around.onCrash((error) => void fail(error));

  const ending = endOf(attempt, graceOf(address), around, fail);
  const stopBeating = state.beat(heartbeat, ending.begin);
  const deployed = new DeployedFunction({ deployment, environment, world, clock, write });
  const call = { id: attempt.attemptId, deadline: attempt.deadline, signal: ending.signal };
  try {
    const outcome = await deployed.work(attempt, call);
    await state.ended(outcome);
    around.exit("error" in outcome ? 1 : 0);
  } catch (error) {
    await fail(error);
  } finally {
    stopBeating();
  }
}

const graceOf = (address: LinkAddress): number => (JSON.parse(field(address, "definition")) as TaskDefinition).grace;

/**
 * The attempt's end before its work is done: the platform wants it, or its time is over. A handler that does not listen
 * within the grace is not to run, and cost, for ever.
 */
function endOf(
  { deadline }: AttemptCall,
  grace: number,
  { clock, onEnd }: ContainerSurroundings,
  fail: (error: unknown) => Promise<void>,
) {
  const ending = new AbortController();
  const failAt = (time: number, error: MillraceError) => clock.at(time, () => void fail(error));
  const begin = (why: string) => {
    if (ending.signal.aborted) return;
    const reason = new MillraceError("interrupted", why);
    ending.abort(reason);
    failAt(clock.now() + Math.min(grace, LONGEST_END) * HANDLERS * 1000, reason);
  };
  failAt(deadline + grace * 1000, new MillraceError("timed-out", "the handler did not end when its time was over"));
  onEnd(() => begin("the container was told to end"));
  return { signal: ending.signal, begin };
}

/** Written by the state machine. @throws an error that names the variable that is missing or broken */
function readVariables(variables: Readonly<Record<string, string | undefined>>) {
  const get = (name: string): string => {
    const value = variables[name];
    if (value) return value;
    throw new Error(`the environment variable ${name} is missing: Step Functions starts this container`);
  };
  const text = Buffer.from(get("MILLRACE_ATTEMPT"), "base64").toString("utf8");
  const attempt: AttemptCall | undefined = readAttemptCall(JSON.parse(text));
  if (!attempt) throw new Error(`MILLRACE_ATTEMPT: must be an attempt's start in base 64, got ${text.slice(0, 200)}`);
  return { attempt, token: get("MILLRACE_TASK_TOKEN"), heartbeat: Number(get("MILLRACE_HEARTBEAT")) };
}

/** The state of the execution that waits for this container. */
class WaitingState {
  readonly #client: SFNClient;
  readonly #world: AwsWorld;
  readonly #taskToken: string;

  constructor(address: LinkAddress, world: AwsWorld, taskToken: string) {
    this.#client = new SFNClient(clientSettings(world, field(address, "region"), address.statesEndpoint));
    this.#world = world;
    this.#taskToken = taskToken;
  }

  /**
   * Says at once, and then three times in every so many seconds, that the work goes on.
   *
   * @param end called when nobody waits for it any more
   * @returns ends it
   */
  beat(seconds: number, end: (why: string) => void): () => void {
    const { clock, log } = this.#world;
    let cancel = () => {};
    let isOver = false;
    const tell = async () => {
      try {
        await this.#client.send(new SendTaskHeartbeatCommand({ taskToken: this.#taskToken }));
      } catch (error) {
        if (isClosed(error)) return end("Step Functions has ended the attempt");
        log.warn("a heartbeat was not taken", { error });
      }
      if (!isOver) cancel = clock.at(clock.now() + (seconds * 1000) / 3, () => void tell());
    };
    void tell();
    return () => {
      isOver = true;
      cancel();
    };
  }

  /** The end is in the task's table: the state machine is only to know too. */
  async ended(outcome: Outcome): Promise<void> {
    const output = JSON.stringify(toOutput(outcome));
    await this.#tell(new SendTaskSuccessCommand({ taskToken: this.#taskToken, output }));
  }

  /** The end could not be stored: the state machine tells the keeper. */
  async failed(error: unknown): Promise<void> {
    const { kind, message } = toErrorRecord(error);
    const cause = message.slice(0, 4096);
    await this.#tell(new SendTaskFailureCommand({ taskToken: this.#taskToken, error: `Millrace.${kind}`, cause }));
  }

  /** Not told, the state fails when it misses the heartbeats. */
  async #tell(command: SendTaskSuccessCommand | SendTaskFailureCommand): Promise<void> {
    const send = () => this.#client.send(command as SendTaskSuccessCommand);
    await ask("telling the state machine", this.#world, send).catch((error: unknown) => {
      if (!isClosed((error as Error).cause)) this.#world.log.warn("its end was not taken", { error });
    });
  }
}

/** https://docs.aws.amazon.com/step-functions/latest/apireference/API_SendTaskHeartbeat.html */
const isClosed = (error: unknown): boolean =>
  error instanceof Error && ["TaskTimedOut", "TaskDoesNotExist", "InvalidToken"].includes(error.name);
