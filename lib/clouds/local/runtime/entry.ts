import { type Clock, systemClock } from "../../../runtime/clock.ts";
import { type ErrorRecord, fromErrorRecord, MillraceError, toErrorRecord } from "../../../runtime/errors.ts";
import type { Metrics, Run } from "../../../runtime/handler.ts";
import { type Definition, type Failure, type Served, serve, type World } from "../../../runtime/serve.ts";
import { Channel, type Invoke, type Measurement, type Setup, type ToProcess } from "./channel.ts";
import { HostedClock } from "./hosted-clock.ts";
import { captureOutput, InvocationLog, ProgressReport } from "./output.ts";
import { portsOf } from "./ports.ts";

/** Between the loss of the host and the end of the process with all it started, in milliseconds. */
const ORPHAN_GRACE = 500;

/**
 * Runs a function in a process of the local cloud: called by the bundle once it is loaded. From then on the process
 * does what the host says over Node's IPC, one invocation at a time, and ends when the host does.
 */
export function start(definition: Definition): void {
  if (!process.connected) {
    process.stderr.write("this bundle runs inside the local cloud: start it with millrace dev\n");
    process.exit(1);
  }
  new FunctionProcess(definition).listen();
}

interface Current {
  readonly invocation: number;
  readonly controller: AbortController;
  readonly log: InvocationLog;
  readonly progress: ProgressReport;
}

class FunctionProcess {
  readonly #definition: Definition;
  readonly #channel = new Channel();
  readonly #hosted = new HostedClock(this.#channel);
  readonly #home = process.cwd();
  #setup: Setup = { type: "setup", links: [], tools: {}, virtual: false };
  #current: Current | undefined;
  #isCrashed = false;
  /** Why invocations were asked to end: promises that reject with one of these later are no crash. */
  readonly #abortReasons = new WeakSet<object>();

  constructor(definition: Definition) {
    this.#definition = definition;
  }

  listen(): void {
    captureOutput((level, message) => this.#current?.log.write(level, message));
    process.on("message", (message: ToProcess) => this.#receive(message));
    process.on("disconnect", () => this.#orphaned());
    process.on("uncaughtException", (error) => this.#crash(error));
    process.on("unhandledRejection", (error) => this.#crash(error));
    process.on("exit", () => this.#current?.log.flush());
    this.#channel.send({ type: "ready" });
  }

  get #clock(): Clock {
    return this.#setup.virtual ? this.#hosted : systemClock;
  }

  #receive(message: ToProcess): void {
    // What it is told on its way out runs elsewhere, and must not begin here too.
    if (this.#isCrashed) return;
    switch (message.type) {
      case "setup":
        this.#setup = message;
        break;
      case "invoke":
        void this.#invoke(message);
        break;
      case "abort":
        if (message.invocation === this.#current?.invocation) this.#abort(message.error);
        if (message.settle !== undefined) this.#hosted.settle(message.settle);
        break;
      case "reply":
        this.#channel.reply(message);
        break;
      case "time":
        this.#hosted.tell(message.now);
        break;
      case "alarm":
        this.#hosted.ring(message.alarm, message.now, message.settle);
        break;
    }
  }

  async #invoke(invoke: Invoke): Promise<void> {
    const { invocation, events, scratch, now, settle } = invoke;
    this.#hosted.tell(now);
    if (settle !== undefined) this.#hosted.settle(settle);
    enter(scratch);
    const controller = new AbortController();
    const log = new InvocationLog(this.#clock, (lines) => this.#channel.send({ type: "log", invocation, lines }));
    const progress = new ProgressReport((report) =>
      this.#channel.send({ type: "progress", invocation, progress: report }),
    );
    const current = { invocation, controller, log, progress };
    this.#current = current;
    const measurements: Measurement[] = [];
    const world = this.#world(invoke, current, measurements);
    const served = withinLimit(await serve(this.#definition, events, () => world), events, invoke.limit);
    progress.flush();
    log.flush();
    this.#current = undefined;
    this.#hosted.clear();
    enter(this.#home);
    this.#channel.send({
      type: "done",
      invocation,
      ...served,
      ...(controller.signal.aborted && { aborted: true }),
      ...(measurements.length > 0 && { measurements }),
    });
  }

  #world({ invocation, run, deadline, scratch }: Invoke, current: Current, measurements: Measurement[]): World {
    const { links, tools } = this.#setup;
    const { signal } = current.controller;
    const measure = (kind: Measurement["kind"]) => (name: string, value: number) =>
      void measurements.push({ name, kind, value });
    const metrics: Metrics = { count: (name, value = 1) => measure("count")(name, value), gauge: measure("gauge") };
    const identity: Run = {
      ...run,
      deadline,
      progress: (fraction, message) => current.progress.report(fraction, message),
    };
    const ask = (link: string, method: string, args: readonly unknown[]) =>
      this.#channel.call(invocation, link, method, args);
    return {
      links: portsOf(links, ask, signal),
      run: identity,
      signal,
      log: current.log,
      metrics,
      clock: this.#clock,
      tools,
      scratch,
    };
  }

  #abort(record: ErrorRecord): void {
    const reason = fromErrorRecord(record);
    this.#abortReasons.add(reason);
    this.#current?.controller.abort(reason);
  }

  /** What nobody caught leaves the process in an unknown state: it tells the host and goes. */
  #crash(error: unknown): void {
    if (typeof error === "object" && error !== null && this.#abortReasons.has(error)) return;
    this.#isCrashed = true;
    const current = this.#current;
    current?.log.flush();
    this.#channel.send({
      type: "crash",
      ...(current && { invocation: current.invocation }),
      error: toErrorRecord(error),
    });
    setImmediate(() => process.exit(1));
  }

  /** The host is gone, or is done with this process: nothing that was started here may live on. */
  #orphaned(): void {
    if (!this.#current) endGroup();
    this.#abort(toErrorRecord(new MillraceError("interrupted", "the local cloud ended while this was running")));
    setTimeout(endGroup, ORPHAN_GRACE);
  }
}

/** An invocation's own folder is where the code is, and where temporary files go. */
function enter(folder: string): void {
  process.chdir(folder);
  process.env.HOME = folder;
  process.env.TMPDIR = folder;
}

/** Results above the limit are failures; that they were made is no help to a caller who cannot be told. */
function withinLimit(served: Served, events: Invoke["events"], limit = Number.POSITIVE_INFINITY): Served {
  const failures: Failure[] = [...served.failures];
  const results = served.results.map((result, index) => {
    if (result === undefined || result.length * 3 <= limit || Buffer.byteLength(result) <= limit) return result;
    const message = `the result is ${Buffer.byteLength(result)} bytes of JSON, at most ${limit} are allowed; put it into a bucket and return its key`;
    failures.push({ id: events[index]!.id, error: { kind: "refused", message } });
    return undefined;
  });
  return { results, failures };
}

/** Ends this process and, as its group's leader, whatever it has started. */
function endGroup(): never {
  try {
    process.kill(-process.pid, "SIGKILL");
  } finally {
    process.exit(1);
  }
}
