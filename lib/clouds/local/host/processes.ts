import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { rm } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join, resolve as resolvePath } from "node:path";
import type { Clock } from "../../../runtime/clock.ts";
import { toErrorRecord } from "../../../runtime/errors.ts";
import { type Ending, Instance, type Job, NOT_TAKEN, type Program } from "./instance.ts";
import type { Journal } from "./journal.ts";
import { Leftovers } from "./leftovers.ts";

export interface ProcessesOptions {
  readonly journal: Journal;
  readonly clock: Clock;
  /** Invocations at once in each lane; the others wait. @default the machine's cores, at least 2 */
  readonly most?: number;
  /** Real milliseconds after which an idle process is ended. @default a minute */
  readonly idle?: number;
  /** The PATH functions get. @default this process's */
  readonly searchPath?: string;
}

/**
 * What shares a cap. Long runs of tasks must not keep the functions waiting that start them, and a function that is
 * called by a running one must not wait for it: `nested` has no cap.
 */
export type Lane = "function" | "task" | "nested";
const LANES: readonly Lane[] = ["nested", "function", "task"];

interface Order {
  readonly job: Job;
  readonly lane: Lane;
  readonly signal: AbortSignal | undefined;
  readonly settle: (ending: Ending) => void;
  /** Leaves the line when its caller gives up. */
  readonly onAbort: () => void;
}

/** The processes of one function, and the invocations that wait for one. */
interface Pool {
  program: Program;
  most: number;
  /** In the order they came, by lane. */
  readonly waiting: Readonly<Record<Lane, Order[]>>;
  readonly idle: Instance[];
  busy: number;
}

const IDLE_MILLISECONDS = 60_000;
/** Real milliseconds between the request to end and the kill when the host closes. */
const CLOSING_GRACE = 2000;

/**
 * Runs invocations in child processes: warm ones are used again, the rest wait in a fair line. Every process leads a
 * group of its own and is journaled, so that nothing outlives the host, however that ends.
 */
export class Processes {
  readonly most: number;
  readonly #clock: Clock;
  readonly #idle: number;
  readonly #searchPath: string;
  readonly #scratch: string;
  readonly #leftovers: Leftovers;
  readonly #pools = new Map<string, Pool>();
  /** Names of pools where orders wait, the one whose turn is next first. */
  readonly #line: string[] = [];
  readonly #busy: Record<Lane, number> = { function: 0, task: 0, nested: 0 };
  readonly #living = new Set<Instance>();
  readonly #running = new Set<Instance>();
  readonly #idleTimers = new Map<Instance, NodeJS.Timeout>();
  /** Folders that were left empty, for the next invocation of their process. */
  readonly #kept = new Map<Instance, string>();
  #scratches = 0;
  #isClosed = false;

  /** Ends what a killed predecessor left running in this folder, and clears its scratch. */
  constructor({
    journal,
    clock,
    most,
    idle = IDLE_MILLISECONDS,
    searchPath = process.env.PATH ?? "",
  }: ProcessesOptions) {
    this.#clock = clock;
    this.most = most ?? Math.max(2, availableParallelism());
    this.#idle = idle;
    this.#searchPath = searchPath;
    this.#scratch = resolvePath(journal.folder, "scratch");
    this.#leftovers = new Leftovers(journal, this.#scratch);
    this.#leftovers.kill();
    rmSync(this.#scratch, { recursive: true, force: true });
    mkdirSync(this.#scratch, { recursive: true });
  }

  /**
   * From now on new invocations of this function run this program; those that run finish on the old one.
   *
   * @param most invocations at once. @default as many as the lane allows
   */
  define(program: Program, most = Number.POSITIVE_INFINITY): void {
    const pool = this.#pools.get(program.name);
    if (!pool) {
      this.#pools.set(program.name, {
        program,
        most,
        waiting: { function: [], task: [], nested: [] },
        idle: [],
        busy: 0,
      });
      return;
    }
    pool.program = program;
    pool.most = most;
    for (const instance of pool.idle.splice(0)) this.#retire(instance);
    this.#turn();
  }

  /** Forgets a function: what waits is stopped, what runs finishes. */
  remove(name: string): void {
    const pool = this.#pools.get(name);
    if (!pool) return;
    this.#pools.delete(name);
    for (const instance of pool.idle.splice(0)) this.#retire(instance);
    for (const { settle } of takeWaiting(pool)) {
      settle({ error: { kind: "stopped", message: `function "${name}" was removed` } });
    }
  }

  /**
   * Runs one invocation as soon as there is room; never rejects.
   *
   * @param options.signal asks the invocation to end; after the job's grace it is killed. The ending is `stopped`.
   */
  run(name: string, job: Job, options: { readonly lane: Lane; readonly signal?: AbortSignal }): Promise<Ending> {
    return new Promise((settle) => {
      const { lane, signal } = options;
      const pool = this.#pools.get(name);
      if (!pool) return settle({ error: { kind: "not-found", message: `there is no function "${name}"` } });
      if (this.#isClosed) return settle(closed(name));
      if (signal?.aborted) return settle(stopped(name));
      const order: Order = { job, lane, signal, settle, onAbort: () => this.#withdraw(pool, order) };
      pool.waiting[lane].push(order);
      if (!this.#line.includes(name)) this.#line.push(name);
      signal?.addEventListener("abort", order.onAbort);
      this.#turn();
    });
  }

  /** Whether an invocation would start at once. */
  hasRoom(name: string, lane: Lane): boolean {
    const pool = this.#pools.get(name);
    return pool !== undefined && !this.#isClosed && this.#mayStart(pool, lane) && pool.waiting[lane].length === 0;
  }

  /** Invocations that wait for virtual time, or for the room of those that do. */
  get resting(): number {
    const waiting = [...this.#pools.values()].flatMap((pool) => LANES.map((lane) => pool.waiting[lane].length));
    const resting = [...this.#running].filter(({ isResting }) => isResting);
    return waiting.reduce((sum, count) => sum + count, resting.length);
  }

  /** Asks everything to end, then ends it; resolves when no process is left. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const [name, pool] of this.#pools) for (const { settle } of takeWaiting(pool)) settle(closed(name));
    for (const { idle } of this.#pools.values()) for (const instance of idle.splice(0)) this.#retire(instance);
    for (const instance of this.#running) instance.abort("interrupted", "the local cloud is closing");
    const timer = setTimeout(() => {
      for (const instance of this.#living) instance.kill();
    }, CLOSING_GRACE);
    await Promise.all([...this.#living].map(({ gone }) => gone));
    clearTimeout(timer);
    await rm(this.#scratch, { recursive: true, force: true });
  }

  #mayStart(pool: Pool, lane: Lane): boolean {
    return pool.busy < pool.most && (lane === "nested" || this.#busy[lane] < this.most);
  }

  /** Starts what may start, one order of each function in turn. */
  #turn(): void {
    let passed = 0;
    while (this.#line.length > 0 && passed < this.#line.length) {
      const name = this.#line.shift()!;
      const pool = this.#pools.get(name);
      const lane = LANES.find((lane) => pool && pool.waiting[lane].length > 0 && this.#mayStart(pool, lane));
      const order = lane && pool?.waiting[lane].shift();
      const isLeft = pool !== undefined && LANES.some((lane) => pool.waiting[lane].length > 0);
      if (isLeft) this.#line.push(name);
      if (order) passed = 0;
      else if (isLeft) passed += 1;
      if (pool && order) void this.#start(name, pool, order);
    }
  }

  #withdraw(pool: Pool, order: Order): void {
    const waiting = pool.waiting[order.lane];
    const index = waiting.indexOf(order);
    if (index < 0) return;
    waiting.splice(index, 1);
    order.settle(stopped(pool.program.name));
    this.#turn();
  }

  async #start(name: string, pool: Pool, { job, lane, signal, settle, onAbort }: Order): Promise<void> {
    signal?.removeEventListener("abort", onAbort);
    pool.busy += 1;
    this.#busy[lane] += 1;
    try {
      settle(await this.#runOnce(name, pool, job, signal));
    } catch (error) {
      settle({ error: { ...toErrorRecord(error), kind: "unavailable" } });
    } finally {
      pool.busy -= 1;
      this.#busy[lane] -= 1;
      this.#turn();
    }
  }

  async #runOnce(name: string, pool: Pool, job: Job, signal: AbortSignal | undefined): Promise<Ending> {
    const instance = this.#take(pool) ?? this.#spawn(pool.program);
    const scratch = this.#takeScratch(instance);
    const ending = await this.#runOn(instance, job, scratch, signal);
    this.#leaveScratch(instance, scratch);
    this.#giveBack(pool, instance);
    return ending === NOT_TAKEN ? this.#runOnce(name, pool, job, signal) : ending;
  }

  async #runOn(instance: Instance, job: Job, scratch: string, signal: AbortSignal | undefined) {
    const onAbort = () => instance.abort("stopped", `function "${instance.program.name}" was stopped`);
    signal?.addEventListener("abort", onAbort);
    this.#running.add(instance);
    try {
      const ending = await instance.run(job, scratch);
      if (instance.wasAsked) await this.#finishAsked(instance);
      return ending;
    } finally {
      signal?.removeEventListener("abort", onAbort);
      this.#running.delete(instance);
    }
  }

  /** What an invocation started may still be running when it was asked to end in the middle: it ends with its process. */
  async #finishAsked(instance: Instance): Promise<void> {
    instance.kill();
    await instance.gone;
  }

  #take(pool: Pool): Instance | undefined {
    for (let instance = pool.idle.pop(); instance; instance = pool.idle.pop()) {
      clearTimeout(this.#idleTimers.get(instance));
      this.#idleTimers.delete(instance);
      if (!instance.isGone) return instance;
    }
    return undefined;
  }

  #spawn(program: Program): Instance {
    this.#makeRoom();
    const instance = new Instance(program, this.#clock, this.#scratch, this.#searchPath);
    this.#living.add(instance);
    void instance.gone.then(() => {
      this.#living.delete(instance);
      this.#forgetScratch(instance);
      this.#leftovers.delete(instance.pid);
    });
    try {
      this.#leftovers.add(instance.pid, program.name);
    } catch (error) {
      instance.kill();
      throw error;
    }
    return instance;
  }

  /** Warm processes are worth their memory only up to a point: the one idle longest goes first. */
  #makeRoom(): void {
    if (this.#idleTimers.size < this.most * 4) return;
    const [oldest] = this.#idleTimers.keys();
    if (oldest) this.#endIdle(oldest);
  }

  #giveBack(pool: Pool, instance: Instance): void {
    if (instance.isGone) return;
    const isCurrent = this.#pools.get(pool.program.name) === pool && pool.program === instance.program;
    if (!isCurrent || this.#isClosed) {
      this.#retire(instance);
      return;
    }
    pool.idle.push(instance);
    const timer = setTimeout(() => this.#endIdle(instance), this.#idle);
    timer.unref();
    this.#idleTimers.set(instance, timer);
  }

  #endIdle(instance: Instance): void {
    const idle = this.#pools.get(instance.program.name)?.idle ?? [];
    const index = idle.indexOf(instance);
    if (index >= 0) idle.splice(index, 1);
    this.#retire(instance);
  }

  #retire(instance: Instance): void {
    clearTimeout(this.#idleTimers.get(instance));
    this.#idleTimers.delete(instance);
    instance.end();
  }

  /** An empty folder: the one that the process had before, if nothing was left there, or a new one. */
  #takeScratch(instance: Instance): string {
    const kept = this.#kept.get(instance);
    this.#kept.delete(instance);
    if (kept !== undefined) return kept;
    this.#scratches += 1;
    const folder = join(this.#scratch, `${process.pid}-${this.#scratches}`);
    try {
      mkdirSync(folder);
      return folder;
    } catch (error) {
      this.#retire(instance);
      throw error;
    }
  }

  /** Where nothing was written, nothing has to be removed: that can take longer than the invocation itself. */
  #leaveScratch(instance: Instance, folder: string): void {
    if (!instance.isGone && isEmpty(folder)) this.#kept.set(instance, folder);
    else removeScratch(folder);
  }

  #forgetScratch(instance: Instance): void {
    const kept = this.#kept.get(instance);
    this.#kept.delete(instance);
    if (kept !== undefined) removeScratch(kept);
  }
}

function isEmpty(folder: string): boolean {
  try {
    return readdirSync(folder).length === 0;
  } catch {
    return false;
  }
}

/** What a handler has written may be much, and takes its time. */
const removeScratch = (folder: string): void =>
  void rm(folder, { recursive: true, force: true, maxRetries: 3 }).catch(() => {});

const takeWaiting = ({ waiting }: Pool): readonly Order[] => LANES.flatMap((lane) => waiting[lane].splice(0));

const closed = (name: string): Ending => ({
  error: { kind: "interrupted", message: `function "${name}" was not run: the local cloud is closing` },
});

const stopped = (name: string): Ending => ({
  error: { kind: "stopped", message: `function "${name}" was stopped before it started` },
});
