import { setImmediate as nextTurn } from "node:timers/promises";
import type { Journal } from "../../../lib/clouds/local/host/journal.ts";
import { SqliteTaskLogs } from "../../../lib/clouds/local/host/task-logs.ts";
import { SqliteTaskStore } from "../../../lib/clouds/local/host/task-store.ts";
import type { Clock } from "../../../lib/runtime/clock.ts";
import { MillraceError } from "../../../lib/runtime/errors.ts";
import type { Log } from "../../../lib/runtime/handler.ts";
import type { TaskDefinition } from "../../../lib/runtime/tasks/definition.ts";
import type { Envelope } from "../../../lib/runtime/tasks/envelope.ts";
import { type AttemptRef, attemptId } from "../../../lib/runtime/tasks/ids.ts";
import type { AttemptState, Outcome } from "../../../lib/runtime/tasks/platform.ts";
import { isHeld, isWaiting, type TaskRow } from "../../../lib/runtime/tasks/row.ts";
import { TaskService } from "../../../lib/runtime/tasks/service.ts";
import type { ClaimOptions, TaskStore } from "../../../lib/runtime/tasks/store.ts";
import { isFinal, TASK_STATUSES } from "../../../lib/runtime/tasks/task.ts";
import { definition, memoryBucket } from "./world.ts";

/** What may go wrong in one simulated world. */
export interface Troubles {
  /** `one`: a host whose attempts die with it, and which asks about all at its start. `two`: two processes on a platform that outlives them. */
  readonly processes: "one" | "two";
  readonly crashes: boolean;
  /** Attempts that vanish, ends that nobody reports, reports that come late or twice. */
  readonly losses: boolean;
  /** Store calls and sends that fail, the latter before or after they arrived. */
  readonly faults: boolean;
}

const SILENT: Log = { debug() {}, info() {}, warn() {}, error() {} };

const OPEN =
  "SELECT id, status, due, started, expires, priority, sequence FROM task_runs WHERE task = ? AND keep IS NULL";

interface OpenRow extends Pick<TaskRow, "id" | "status" | "due" | "priority" | "sequence"> {
  readonly started: number | null;
  readonly expires: number | null;
}

const YEAR = 365 * 86_400;

const TASKS: readonly TaskDefinition[] = [
  definition({ name: "narrow", concurrency: 1, attempts: 2, retention: YEAR, timeout: 600 }),
  definition({ name: "wide", concurrency: 3, attempts: 3, retention: YEAR, timeout: 600, expires: 900 }),
  definition({
    name: "free",
    attempts: 1,
    retention: YEAR,
    timeout: 60,
    onFailure: [
      { kind: "queue", name: "failures" },
      { kind: "function", name: "alert" },
    ],
  }),
];

/** Which rows changed since the rules were last checked. */
const NOTE_CHANGES = `
  CREATE TEMP TABLE IF NOT EXISTS changed (task, id, UNIQUE (task, id) ON CONFLICT REPLACE);
  DELETE FROM changed;
  CREATE TEMP TRIGGER IF NOT EXISTS row_inserted AFTER INSERT ON task_runs BEGIN
    INSERT INTO changed VALUES (NEW.task, NEW.id);
  END;
  CREATE TEMP TRIGGER IF NOT EXISTS row_updated AFTER UPDATE ON task_runs BEGIN
    INSERT INTO changed VALUES (NEW.task, NEW.id);
  END;
`;

const UNFINISHED = "SELECT count(*) AS count FROM task_runs WHERE keep IS NULL OR deliveries IS NOT NULL";

const HELD = "SELECT count(*) AS held FROM task_runs WHERE task = ? AND status IN ('running', 'stopping')";

/** Numbers from a seed: the same ones each time. https://gist.github.com/tommyettinger/46a874533244883189143505d203312c */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let value = Math.imul(state ^ (state >>> 15), 1 | state);
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value;
    return ((value ^ (value >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** One process: dead ones go on computing, but nothing they do reaches the world. */
interface Process {
  readonly service: TaskService;
  isDead: boolean;
}

/** A call on its way to store, platform or destination: the simulation decides when it arrives. */
interface Call {
  readonly owner: Process;
  readonly name: string;
  readonly arrive: (fate: "do" | "fail" | "do, unheard") => void;
  readonly mayFail: boolean;
}

interface Running {
  readonly attempt: AttemptRef;
  state: AttemptState;
}

/** A whole world in which everything happens in a random order that only the seed decides. */
export class Simulation {
  readonly #random: () => number;
  readonly #troubles: Troubles;
  readonly #journal: Journal;
  readonly #store: SqliteTaskStore;
  readonly #clock: Clock & { time: number };
  readonly #calls: Call[] = [];
  #processes: Process[] = [];
  readonly #platform = new Map<string, Running>();
  /** Attempts in the order they were started, for late reports. */
  readonly #past: AttemptRef[] = [];
  readonly #sent = new Map<string, { count: number; envelope: Envelope }>();
  readonly #accepted = new Set<string>();
  readonly #versions = new Map<string, number>();
  #ids = 0;
  #isCalm = false;
  #violation: Error | undefined;

  constructor(seed: number, troubles: Troubles, journal: Journal) {
    this.#random = seeded(seed);
    this.#troubles = troubles;
    this.#journal = journal;
    this.#store = new SqliteTaskStore(journal);
    this.#clock = { time: 1_000_000, now: () => this.#clock.time, at: () => () => {} };
    for (const table of ["task_runs", "task_bodies", "task_events"]) journal.define(`DELETE FROM ${table}`);
    journal.define("PRAGMA synchronous = OFF");
    journal.define(NOTE_CHANGES);
    const count = troubles.processes === "one" ? 1 : 2;
    for (let number = 0; number < count; number += 1) this.#processes.push(this.#boot());
  }

  /** Troubles for that many steps, then calm: checks all along. @throws at the first rule that is broken */
  async run(steps: number): Promise<{ readonly runs: number; readonly outcomes: number }> {
    for (let step = 0; step < steps; step += 1) {
      this.#act();
      await nextTurn();
      await this.#check();
    }
    await this.#calmDown();
    return this.#checkEnd();
  }

  #act(): void {
    const actions: [weight: number, action: () => void][] = [
      [14, () => this.#letArrive()],
      [3, () => this.#submit(`run-${this.#newId()}`)],
      [1, () => this.#submit(this.#knownId())],
      [0.5, () => this.#call(({ service }) => service.submit(...this.#at(), 0, { id: this.#knownId(), again: true }))],
      [1, () => this.#call(({ service }) => service.stop(this.#task(), this.#knownId()))],
      [1, () => this.#call(({ service }) => service.retry(this.#task(), this.#knownId()))],
      [4, () => this.#endSome()],
      [1, () => this.#report(this.#pick([...this.#platform.values()])?.attempt, "progress")],
      [2, () => this.#pass(this.#random() * 2000)],
      [0.3, () => this.#pass(this.#random() * 400_000)],
    ];
    if (this.#troubles.losses) {
      actions.push(
        [0.5, () => this.#report(this.#pick(this.#past), "end")],
        [0.5, () => this.#report(this.#pick(this.#past), "progress")],
        [0.3, () => this.#platform.delete(this.#pick([...this.#platform.keys()]) ?? "")],
      );
    }
    if (this.#troubles.crashes) actions.push([0.3, () => this.#crash()]);
    let choice = this.#random() * actions.reduce((sum, [weight]) => sum + weight, 0);
    for (const [weight, action] of actions) {
      choice -= weight;
      if (choice >= 0) continue;
      action();
      return;
    }
  }

  #at(): [task: string] {
    return [this.#task()];
  }

  #task(): string {
    return this.#pick(TASKS)!.name;
  }

  #submit(id: string): void {
    const task = this.#task();
    const random = this.#random;
    const options = {
      id,
      priority: Math.floor(random() * 3),
      ...(random() < 0.2 && { delay: `${Math.floor(random() * 60)} seconds` as const }),
      ...(random() < 0.2 && { expires: `${Math.ceil(random() * 60)} seconds` as const }),
    };
    this.#call(async ({ service }) => {
      await service.submit(task, { text: "x".repeat(Math.floor(random() * 300)) }, options);
      this.#accepted.add(`${task} ${id}`);
    });
  }

  /** A client's call to one of the processes; refusals are answers too. */
  #call(call: (process: Process) => Promise<unknown>): void {
    call(this.#pick(this.#processes)!).catch((error: unknown) => {
      if (!(error instanceof MillraceError)) this.#violation ??= error as Error;
    });
  }

  /** One attempt of the platform comes to its end; mostly, that is reported. */
  #endSome(): void {
    const running = this.#pick([...this.#platform.values()].filter(({ state }) => state === "running"));
    if (!running) return;
    const outcome = this.#isCalm ? this.#success(running.attempt) : this.#outcome(running.attempt);
    running.state = outcome;
    if (!this.#isCalm && this.#troubles.losses && this.#random() < 0.1) return;
    this.#tell(running.attempt, outcome);
    if (this.#troubles.losses && this.#random() < 0.1) this.#tell(running.attempt, outcome);
  }

  #report(attempt: AttemptRef | undefined, what: "end" | "progress"): void {
    if (!attempt) return;
    if (what === "end") this.#tell(attempt, this.#outcome(attempt));
    else void this.#pick(this.#processes)!.service.progressed(attempt, this.#random(), `a${attempt.attempt}`);
  }

  #tell(attempt: AttemptRef, outcome: Outcome): void {
    void this.#pick(this.#processes)!.service.finished(attempt, outcome);
    // Whoever runs attempts forgets those that are over, in its own time.
    if (this.#random() < 0.7) this.#platform.delete(keyOf(attempt));
  }

  #success = ({ attempt }: AttemptRef): Outcome => ({ result: { attempt, text: "y".repeat(this.#random() * 300) } });

  #outcome(attempt: AttemptRef): Outcome {
    const choice = this.#random();
    if (choice < 0.5) return this.#success(attempt);
    const kind = choice < 0.8 ? "failed" : choice < 0.9 ? "bad-input" : "interrupted";
    return { error: { kind, message: `by a${attempt.attempt}` } };
  }

  #pass(milliseconds: number): void {
    this.#clock.time += Math.ceil(milliseconds);
    this.#turn();
  }

  #turn(): void {
    for (const { service } of this.#processes) {
      if ((service.next() ?? Infinity) <= this.#clock.time) service.run(this.#clock.time);
    }
  }

  #letArrive(): void {
    const call = this.#calls.splice(Math.floor(this.#random() * this.#calls.length), 1)[0];
    if (!call) this.#turn();
    const isFault = !this.#isCalm && this.#troubles.faults && call?.mayFail && this.#random() < 0.05;
    call?.arrive(isFault ? "fail" : call.owner.isDead ? "do, unheard" : "do");
  }

  /** A process dies: of its calls under way, some are lost, some still arrive, and it hears of none. */
  #crash(): void {
    const dying = this.#pick(this.#processes)!;
    dying.isDead = true;
    // A host's own attempts die with it, and nobody starts new ones in its name.
    const isHost = this.#troubles.processes === "one";
    for (const call of this.#calls.splice(0)) {
      const isLost = call.owner === dying && (this.#random() < 0.5 || (isHost && call.name === "start"));
      if (!isLost) this.#calls.push(call);
    }
    if (this.#troubles.processes === "one") this.#platform.clear();
    const born = this.#boot();
    this.#processes = this.#processes.map((process) => (process === dying ? born : process));
    if (this.#troubles.processes === "one") void born.service.recover().catch(() => {});
  }

  #boot(): Process {
    const gate = <Result>(name: string, work: () => Result | Promise<Result>) => this.#gate(process, name, work);
    const claims = memoryBucket();
    const service = new TaskService({
      definitions: new Map(TASKS.map((task) => [task.name, task])),
      store: this.#gated((name, work) => gate(name, work)),
      platform: {
        start: (start) =>
          gate("start", () => {
            this.#past.push({ task: start.task, id: start.id, attempt: start.attempt });
            this.#platform.set(keyOf(start), { attempt: start, state: "running" });
          }),
        stop: (attempt) =>
          gate("stop", () => {
            const running = this.#platform.get(keyOf(attempt));
            // Some attempts take their time to notice.
            if (running?.state === "running" && this.#random() < 0.8) {
              running.state = { error: { kind: "stopped", message: `by a${attempt.attempt}` } };
              this.#tell(attempt, running.state);
            }
          }),
        inspect: (attempt) => gate("inspect", () => this.#platform.get(keyOf(attempt))?.state ?? "gone"),
      },
      deliver: (_destination, envelope, key) =>
        gate("deliver", () => {
          const known = this.#sent.get(key);
          if (known && JSON.stringify(known.envelope) !== JSON.stringify(envelope)) {
            this.#violation ??= new Error(`two different envelopes for ${key}`);
          }
          this.#sent.set(key, { count: (known?.count ?? 0) + 1, envelope });
        }),
      claims,
      dispatch: () => Promise.reject(new Error("not simulated")),
      logs: new SqliteTaskLogs(this.#journal),
      clock: this.#clock,
      random: this.#random,
      log: SILENT,
    });
    const process: Process = { service, isDead: false };
    return process;
  }

  /** The store, where every call waits for its turn; a claim is also checked against the order promised. */
  #gated(gate: (name: string, work: () => Promise<unknown>) => Promise<unknown>): TaskStore {
    const store = this.#store;
    return new Proxy(store, {
      get: (_target, name: keyof TaskStore) => {
        return (...args: unknown[]) =>
          gate(name, async () => {
            const expected = name === "claim" ? this.#expectedClaim(...(args as [string, ClaimOptions])) : [];
            const method = store[name] as (...args: unknown[]) => Promise<unknown>;
            const result = await method.apply(store, args);
            if (name === "claim") this.#checkClaim(expected, result as TaskRow[]);
            return result;
          });
      },
    });
  }

  #gate<Result>(owner: Process, name: string, work: () => Result | Promise<Result>): Promise<Result> {
    if (owner.isDead) return new Promise(() => {});
    return new Promise((resolve, reject) => {
      this.#calls.push({
        owner,
        name,
        mayFail: name !== "start" && name !== "claim",
        arrive: (fate) => {
          const fault = new MillraceError("unavailable", `${name}: no answer`);
          if (fate === "fail" && (name !== "deliver" || this.#random() < 0.5)) return reject(fault);
          const done = Promise.resolve(work());
          if (fate === "do, unheard") return void done.catch(() => {});
          if (fate === "fail") return void done.then(() => reject(fault), reject);
          done.then(resolve, reject);
        },
      });
    });
  }

  async #rows(): Promise<TaskRow[]> {
    const rows: TaskRow[] = [];
    for (const { name } of TASKS) rows.push(...(await this.#store.list(name, { limit: 1000 })).rows);
    return rows;
  }

  /** Who is next, by the rules as they are promised rather than by the store's own query. */
  #expectedClaim(task: string, { concurrency = Infinity, limit, now }: ClaimOptions): string[] {
    const rows = this.#journal.sql(OPEN).all(task) as unknown as OpenRow[];
    const free = Math.min(limit, concurrency - rows.filter(isHeld).length);
    return rows
      .filter((row) => isWaiting(row) && row.due <= now && (row.started !== null || (row.expires ?? Infinity) > now))
      .sort((a, b) => b.priority - a.priority || a.due - b.due || a.sequence - b.sequence || (a.id < b.id ? -1 : 1))
      .slice(0, Math.max(0, free))
      .map(({ id }) => id);
  }

  #checkClaim(expected: string[], claimed: readonly TaskRow[]): void {
    const got = claimed.map(({ id }) => id);
    if (got.join() !== expected.join()) this.#violation ??= new Error(`claimed ${got}, in order were ${expected}`);
  }

  /** What must hold at every moment. */
  async #check(): Promise<void> {
    if (this.#violation) throw this.#violation;
    const changed = this.#journal.sql("DELETE FROM changed RETURNING task, id").all();
    if (changed.length === 0) return;
    const rows = await Promise.all(changed.map(({ task, id }) => this.#store.get(String(task), String(id))));
    for (const row of rows) {
      if (!row) throw new Error("a run is gone");
      const name = `${row.task} ${row.id}`;
      const rule = (holds: boolean, words: string) => {
        if (!holds) throw new Error(`${name}: ${words}: ${JSON.stringify(row)}`);
      };
      rule(TASK_STATUSES.includes(row.status), "is in a known state");
      rule(isHeld(row) === (row.lease !== undefined), "holds a lease exactly while it runs");
      rule(isFinal(row.status) === (row.keep !== undefined), "is remembered for a time exactly when it is over");
      rule(row.tries >= 0 && row.tries <= taskOf(row).attempts, "uses no more attempts than it has");
      rule(!isHeld(row) || row.attempts.at(-1)?.number === row.attempt, "knows the attempt that runs");
      rule(
        isHeld(row) || row.attempts.at(-1)?.number === undefined || row.attempts.at(-1)?.ended !== undefined,
        "has ended",
      );
      rule(row.progressMessage === undefined || row.progressMessage === `a${row.attempt}`, "shows its own progress");
      rule((this.#versions.get(name) ?? 0) <= row.version, "never goes back");
      this.#versions.set(name, row.version);
      if (row.status === "succeeded") {
        const { attempt } = JSON.parse((await this.#store.body(row.task, row.id, "result"))!) as AttemptRef;
        rule(attempt === row.attempt, "has the result of its last attempt");
      }
      const author = /^by a(\d+)$/.exec(row.error?.message ?? "")?.[1];
      if (row.status === "failed") rule(author === undefined || Number(author) === row.attempt, "has its own error");
    }
    for (const { name, concurrency = Infinity } of TASKS) {
      const { held } = this.#journal.sql(HELD).get(name) as { held: number };
      if (held > concurrency) throw new Error(`${name}: ${held} runs hold a slot, the cap is ${concurrency}`);
      const { crashes, losses, faults } = this.#troubles;
      if (crashes || losses || faults) continue;
      const really = [...this.#platform.values()].filter(
        ({ attempt, state }) => attempt.task === name && state === "running",
      ).length;
      if (really > concurrency) throw new Error(`${name}: ${really} attempts really run, the cap is ${concurrency}`);
    }
  }

  /** No more troubles: whatever runs succeeds, time passes, until nothing is left to do. */
  async #calmDown(): Promise<void> {
    this.#isCalm = true;
    for (let round = 0; round < 20_000; round += 1) {
      while (this.#calls.length > 0) {
        this.#letArrive();
        await nextTurn();
      }
      this.#endSome();
      await nextTurn();
      if (this.#calls.length > 0) continue;
      const isRunning = [...this.#platform.values()].some(({ state }) => state === "running");
      if (!isRunning && this.#journal.sql(UNFINISHED).get()?.count === 0) return;
      if (!isRunning) this.#pass(30_000);
      await nextTurn();
      await this.#check();
    }
    const stuck = (await this.#rows()).filter((row) => !isFinal(row.status) || row.deliveries.length > 0);
    throw new Error(`never came to an end: ${JSON.stringify(stuck)}`);
  }

  async #checkEnd() {
    const rows = await this.#rows();
    const names = new Set(rows.map((row) => `${row.task} ${row.id}`));
    for (const name of this.#accepted) if (!names.has(name)) throw new Error(`${name} was accepted and is gone`);
    const expected = new Map<string, string>();
    for (const row of rows) {
      const { onSuccess, onFailure } = taskOf(row);
      let outcome = 0;
      for (const { type } of await this.#store.events(row.task, row.id)) {
        if (type !== "succeeded" && type !== "failed" && type !== "stopped" && type !== "expired") continue;
        outcome += 1;
        for (const { name } of type === "succeeded" ? onSuccess : onFailure) {
          expected.set(`${row.task}/${row.id}/${outcome}/${name}`, type);
        }
      }
    }
    for (const [key, { count, envelope }] of this.#sent) {
      const [task, attempt = "", outcome, , destination] = key.split("/");
      const name = `${task}/${attempt.replace(/--a\d+$/, "")}/${outcome}/${destination}`;
      if (expected.get(name) !== envelope.task.status) {
        throw new Error(`${name}: told ${envelope.task.status}, was ${expected.get(name)}`);
      }
      if (count > 1 && !this.#troubles.crashes && !this.#troubles.faults)
        throw new Error(`${name}: told ${count} times`);
      expected.delete(name);
    }
    if (expected.size > 0) throw new Error(`nobody was told of ${[...expected.keys()]}`);
    const left = this.#journal.sql("SELECT count(*) AS n FROM task_bodies WHERE name LIKE 'envelope-%'").get();
    if (left?.n !== 0) throw new Error(`${left?.n} envelopes are left over`);
    return { runs: rows.length, outcomes: this.#sent.size };
  }

  #newId(): number {
    this.#ids += 1;
    return this.#ids;
  }

  #knownId(): string {
    return `run-${1 + Math.floor(this.#random() * Math.max(1, this.#ids))}`;
  }

  #pick<Item>(items: readonly Item[]): Item | undefined {
    return items[Math.floor(this.#random() * items.length)];
  }
}

const taskOf = ({ task }: TaskRow): TaskDefinition => TASKS.find(({ name }) => name === task)!;

const keyOf = (attempt: AttemptRef): string => `${attempt.task}/${attemptId(attempt)}`;
