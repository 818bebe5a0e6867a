import { type ChildProcess, fork } from "node:child_process";
import type { Clock } from "../../../runtime/clock.ts";
import { type ErrorRecord, toErrorRecord } from "../../../runtime/errors.ts";
import type { SourceEvent } from "../../../runtime/events.ts";
import type { Failure } from "../../../runtime/serve.ts";
import type {
  AbortKind,
  Call,
  Done,
  LinkAddress,
  LogLine,
  Measurement,
  Progress,
  RunIdentity,
  ToHost,
  ToProcess,
} from "../runtime/channel.ts";
import { LineSplitter, LONGEST_LOG } from "../runtime/output.ts";
import { VirtualClock } from "./virtual-clock.ts";

/** What a process runs, and what it is given of the machine. Another program: another process. */
export interface Program {
  /** The function's name. */
  readonly name: string;
  /** The bundle: an ES module that calls `start`. */
  readonly file: string;
  /** Bytes. */
  readonly memory: number;
  readonly environment: Readonly<Record<string, string>>;
  readonly links: readonly LinkAddress[];
  /** Paths by tool. */
  readonly tools: Readonly<Record<string, string>>;
}

/** One invocation as an instance is given it. Times are milliseconds. */
export interface Job {
  readonly events: readonly SourceEvent[];
  readonly run: RunIdentity;
  readonly timeout: number;
  /** Between the request to end and the kill. */
  readonly grace: number;
  /** The longest result, in bytes of JSON. @default any */
  readonly limit?: number;
  readonly onCall?: (call: Call, job: JobHandle) => Promise<unknown>;
  readonly onLog?: (lines: readonly LogLine[]) => void;
  readonly onProgress?: (progress: Progress) => void;
  readonly onMeasure?: (measurements: readonly Measurement[]) => void;
  /** The invocation is handed to its process: one that is killed now never begins with it. */
  readonly onStart?: (job: JobHandle) => void;
}

/** A running invocation, to those who answer its calls. */
export interface JobHandle {
  readonly scratch: string;
  /** Ends the process at once, as a crash would. */
  kill(): void;
}

/** How an invocation ended: results and failures per event, or an error of the whole. */
export type Ending =
  | {
      /** JSON texts in the events' order; undefined where the event failed. */
      readonly results: readonly (string | undefined)[];
      readonly failures: readonly Failure[];
    }
  | { readonly error: ErrorRecord };

/** The process was on its way out before it took the invocation, which may run elsewhere. */
export const NOT_TAKEN = Symbol("not taken");

interface Current {
  readonly invocation: number;
  readonly job: Job;
  readonly handle: JobHandle;
  readonly resolve: (ending: Ending | typeof NOT_TAKEN) => void;
  readonly timers: (() => void)[];
  /** Why it was asked to end. */
  asked?: ErrorRecord;
  /** The request has reached its code. */
  isTold?: boolean;
  crash?: ErrorRecord;
  /** Where time is virtual: it waits for the code's first steps. */
  readonly settle?: number;
  /** Characters that its programs have printed past the channel. */
  printed: number;
}

/** Real milliseconds from a fork to the bundle's `start`. */
const LONGEST_START = 30_000;
/** Real milliseconds for what a dead process has printed to arrive. */
const LAST_WORDS = 200;
/** Real milliseconds that virtual time waits for code that neither ends nor waits for time. */
const LONGEST_HOLD = 5000;
/** Characters of the raw output that a crash is explained from. */
const TAIL = 4096;

/** One process of a function: its own group, so that a kill takes all it has started. */
export class Instance {
  readonly program: Program;
  readonly pid: number;
  /** Resolves once the process is gone, with all of its group. */
  readonly gone: Promise<void>;
  readonly #child: ChildProcess;
  readonly #clock: Clock;
  readonly #alarms = new Map<number, () => void>();
  readonly #settling = new Map<number, () => void>();
  readonly #stopListening: () => void;
  #startTimer: NodeJS.Timeout | undefined;
  #current: Current | undefined;
  #begin: (() => void) | undefined;
  #isReady = false;
  #isGone = false;
  #wasAsked = false;
  #invocations = 0;
  #settles = 0;
  /** The last message since which nothing but time can wake the code. */
  #rested = 0;
  #tail = "";
  #hasCrashedIdle = false;

  /** @throws if the process cannot be made at all */
  constructor(program: Program, clock: Clock, folder: string, searchPath: string) {
    this.program = program;
    this.#clock = clock;
    this.#child = fork(program.file, [], {
      cwd: folder,
      env: environmentOf(program, folder, searchPath),
      execArgv: [`--max-old-space-size=${Math.max(16, Math.floor(program.memory / 2 ** 20))}`, "--enable-source-maps"],
      serialization: "advanced",
      detached: true,
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    this.#child.on("error", (error) => {
      this.#tail = error.message;
    });
    if (this.#child.pid === undefined) throw new Error(`function "${program.name}": no process could be started`);
    this.pid = this.#child.pid;
    this.gone = this.#watch();
    this.#startTimer = setTimeout(() => this.#failStart(), LONGEST_START);
    this.#stopListening =
      clock instanceof VirtualClock ? clock.onMove((now) => this.#send({ type: "time", now })) : () => {};
    this.#send({
      type: "setup",
      links: program.links,
      tools: program.tools,
      virtual: clock instanceof VirtualClock,
    });
  }

  /** Runs one invocation; its time counts from when the bundle is loaded. */
  run(job: Job, scratch: string): Promise<Ending | typeof NOT_TAKEN> {
    this.#invocations += 1;
    const invocation = this.#invocations;
    return new Promise((resolve) => {
      const handle = { scratch, kill: () => this.kill() };
      const current: Current = { invocation, job, handle, resolve, timers: [], printed: 0, ...this.#holdTime() };
      this.#current = current;
      const begin = () => this.#hand(current);
      if (this.#isReady) begin();
      else this.#begin = begin;
    });
  }

  /** Asks the current invocation to end; after its grace it is killed. */
  abort(kind: AbortKind, message: string): void {
    const current = this.#current;
    if (!current || current.asked) return;
    current.asked = { kind, message };
    this.#wasAsked = true;
    const { invocation, job } = current;
    if (!this.#isReady) {
      this.kill();
      return;
    }
    current.isTold = true;
    this.#send({ type: "abort", invocation, error: current.asked, ...this.#holdTime() });
    current.timers.push(this.#clock.at(this.#clock.now() + job.grace, () => this.kill()));
  }

  /** Ends an idle process. */
  end(): void {
    if (this.#child.connected) this.#child.disconnect();
  }

  kill(): void {
    if (!this.#isGone) killGroup(this.pid);
  }

  #hand(current: Current): void {
    const { job, invocation, handle, settle } = current;
    const now = this.#clock.now();
    const deadline = now + job.timeout;
    current.timers.push(
      this.#clock.at(deadline, () =>
        this.abort("timed-out", `function "${this.program.name}" ran longer than ${job.timeout / 1000} seconds`),
      ),
    );
    const { events, run, limit } = job;
    const { scratch } = handle;
    job.onStart?.(handle);
    this.#send({
      type: "invoke",
      invocation,
      events,
      run,
      deadline,
      now,
      scratch,
      ...(limit !== undefined && { limit }),
      ...(settle !== undefined && { settle }),
    });
  }

  #send(message: ToProcess): void {
    if (this.#child.connected) this.#child.send(message, undefined, undefined, () => {});
  }

  #receive(message: ToHost): void {
    const current = this.#current;
    switch (message.type) {
      case "ready":
        clearTimeout(this.#startTimer);
        this.#isReady = true;
        this.#begin?.();
        break;
      case "call":
        void this.#answer(message);
        break;
      case "log":
        if (current?.invocation === message.invocation) current.job.onLog?.(message.lines);
        break;
      case "progress":
        if (current?.invocation === message.invocation) current.job.onProgress?.(message.progress);
        break;
      case "done":
        if (current?.invocation === message.invocation) this.#finish(current, message);
        break;
      case "crash":
        if (message.invocation === undefined) this.#crashIdle(message.error);
        else if (current?.invocation === message.invocation) current.crash = message.error;
        break;
      case "set-alarm":
        this.#setAlarm(message.alarm, message.time);
        break;
      case "clear-alarm":
        this.#alarms.get(message.alarm)?.();
        this.#alarms.delete(message.alarm);
        break;
      case "settled":
        for (const [settle, settled] of this.#settling) if (settle <= message.settle) settled();
        break;
      case "resting":
        this.#rested = message.settle;
        break;
    }
  }

  /** What an earlier invocation left behind spares the next one; what loading the code set going would hit every one. */
  #crashIdle(error: ErrorRecord): void {
    this.#hasCrashedIdle = true;
    if (!this.#current || this.#invocations > 1) return;
    const message = `function "${this.program.name}" crashed while its code was loaded: ${error.message}`;
    this.#current.crash = { ...error, message };
  }

  async #answer({ call, invocation, ...rest }: Call): Promise<void> {
    const current = this.#current;
    try {
      if (current?.invocation !== invocation) throw new Error(`${rest.link}.${rest.method}: its invocation is over`);
      const value = await current.job.onCall?.({ call, invocation, ...rest }, current.handle);
      this.#send({ type: "reply", call, value });
    } catch (error) {
      this.#send({ type: "reply", call, error: toErrorRecord(error) });
    }
  }

  #finish(current: Current, { results, failures, aborted, measurements }: Done): void {
    if (measurements) current.job.onMeasure?.(measurements);
    this.#settle(current, aborted && current.asked ? { error: current.asked } : { results, failures });
  }

  #settle(current: Current, ending: Ending | typeof NOT_TAKEN): void {
    for (const cancel of current.timers) cancel();
    this.#releaseTime();
    this.#current = undefined;
    current.resolve(ending);
  }

  #setAlarm(alarm: number, time: number): void {
    const cancel = this.#clock.at(time, () => {
      this.#alarms.delete(alarm);
      const { settle } = this.#holdTime();
      if (settle !== undefined) this.#send({ type: "alarm", alarm, now: this.#clock.now(), settle });
    });
    this.#alarms.set(alarm, cancel);
  }

  /**
   * Makes virtual time wait until the code, too, waits for time, or is over; for some seconds at most, since it may
   * wait for something else. Nothing where time is real.
   */
  #holdTime(): { readonly settle?: number } {
    if (!(this.#clock instanceof VirtualClock) || !this.#child.connected) return {};
    this.#settles += 1;
    const settle = this.#settles;
    const work = new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, LONGEST_HOLD);
      this.#settling.set(settle, () => {
        clearTimeout(timer);
        this.#settling.delete(settle);
        resolve();
      });
    });
    this.#clock.hold(work);
    return { settle };
  }

  /** What one invocation has asked of time ends with it. */
  #releaseTime(): void {
    for (const cancel of this.#alarms.values()) cancel();
    this.#alarms.clear();
    for (const settled of [...this.#settling.values()]) settled();
  }

  async #watch(): Promise<void> {
    const child = this.#child;
    child.on("message", (message: ToHost) => this.#receive(message));
    for (const stream of [child.stdout!, child.stderr!]) this.#readOutput(stream, stream === child.stderr);
    const closed = new Promise<void>((resolve) => child.once("close", () => resolve()));
    const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve) =>
      child.once("exit", (code, signal) => resolve([code, signal])),
    );
    killGroup(this.pid);
    await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, LAST_WORDS))]);
    this.#end(code, signal);
  }

  #end(code: number | null, signal: NodeJS.Signals | null): void {
    this.#isGone = true;
    clearTimeout(this.#startTimer);
    this.#stopListening();
    this.#releaseTime();
    const current = this.#current;
    if (!current) return;
    const isTaken = !this.#hasCrashedIdle || current.crash !== undefined;
    this.#settle(current, isTaken ? { error: this.#explain(current, code, signal) } : NOT_TAKEN);
  }

  /** Whether its invocation waits for virtual time, and for nothing else. */
  get isResting(): boolean {
    return this.#current !== undefined && this.#settles > 0 && this.#rested === this.#settles;
  }

  /** Whether an invocation of it was asked to end; what that has left behind is not to meet the next one. */
  get wasAsked(): boolean {
    return this.#wasAsked;
  }

  /** Whether it can take no invocation any more. */
  get isGone(): boolean {
    return this.#isGone || !this.#child.connected || this.#hasCrashedIdle;
  }

  #explain(current: Current, code: number | null, signal: NodeJS.Signals | null): ErrorRecord {
    const { asked, isTold, crash } = current;
    if (asked)
      return isTold ? { ...asked, message: `${asked.message}; it did not end by itself and was killed` } : asked;
    if (crash) return crash;
    const { name, memory } = this.program;
    if (/heap out of memory|allocation failed/i.test(this.#tail)) {
      return { kind: "failed", message: `function "${name}" ran out of its ${memory / 2 ** 20} MB of memory` };
    }
    const how = signal === null ? `exited with code ${code}` : `was killed by ${signal}`;
    const when = this.#isReady ? "" : " before it was ready";
    const words = lastWords(this.#tail);
    return { kind: "failed", message: `function "${name}" ${how}${when}${words && `: ${words}`}` };
  }

  #failStart(): void {
    this.#tail = `it did not start within ${LONGEST_START / 1000} seconds`;
    this.kill();
  }

  /** What is printed before the code is ready, by the programs it runs, and by Node itself when it dies. */
  #readOutput(stream: NodeJS.ReadableStream, isError: boolean): void {
    const level = isError ? "warn" : "info";
    const lines = new LineSplitter((message) => {
      const current = this.#current;
      if (!current || current.printed > LONGEST_LOG) return;
      current.printed += message.length;
      current.job.onLog?.([{ time: this.#clock.now(), level, message }]);
    });
    stream.setEncoding("utf8");
    stream.on("data", (text: string) => {
      if (isError) this.#tail = (this.#tail + text).slice(-TAIL);
      lines.write(text);
    });
    stream.on("end", () => lines.end());
  }
}

/** All a function's process gets of the environment: where programs are, its own places, and what its plan says. */
const environmentOf = ({ environment }: Program, folder: string, searchPath: string): NodeJS.ProcessEnv => ({
  PATH: searchPath,
  HOME: folder,
  TMPDIR: folder,
  LANG: "C.UTF-8",
  ...environment,
});

/** Kills a process group; one that is gone is no error, nor one of which only a zombie is left (macOS: EPERM). */
export function killGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH" && (error as NodeJS.ErrnoException).code !== "EPERM")
      throw error;
  }
}

/** The line that says it: Node prints the source, then `SyntaxError: …`, then the stack. */
function lastWords(tail: string): string {
  const lines = tail.split("\n").map((line) => line.trim());
  return lines.find((line) => /^[A-Za-z]*Error\b.*: /.test(line)) ?? lines.findLast((line) => line !== "") ?? "";
}
