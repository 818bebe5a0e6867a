import { setImmediate as nextTurn } from "node:timers/promises";
import type { Journal } from "../../../lib/clouds/local/host/journal.ts";
import { Tables } from "../../../lib/clouds/local/host/tables.ts";
import type { Clock } from "../../../lib/runtime/clock.ts";
import { MillraceError } from "../../../lib/runtime/errors.ts";
import type { Log } from "../../../lib/runtime/handler.ts";
import type { TableReader, TableWriter } from "../../../lib/runtime/ports.ts";
import type { TaskDefinition } from "../../../lib/runtime/tasks/definition.ts";
import { type AttemptRef, attemptId } from "../../../lib/runtime/tasks/ids.ts";
import type { TaskLogs } from "../../../lib/runtime/tasks/logs.ts";
import type { AttemptState, Outcome } from "../../../lib/runtime/tasks/platform.ts";
import { isHeld, type TaskRow } from "../../../lib/runtime/tasks/row.ts";
import { TaskService } from "../../../lib/runtime/tasks/service.ts";
import type { Entry, HeldRef } from "../../../lib/runtime/tasks/table/entries.ts";
import type { RunRecord, Tombstone } from "../../../lib/runtime/tasks/table/record.ts";
import { TableTaskStore } from "../../../lib/runtime/tasks/table-store.ts";
import { isFinal } from "../../../lib/runtime/tasks/task.ts";
import { tablePlan } from "../../clouds/local/plans.ts";
import { seeded } from "./simulation.ts";
import { definition, memoryBucket } from "./world.ts";

/** What may go wrong with the processes on one table. */
export interface TableTroubles {
  readonly processes: number;
  /** Processes die between any two calls: some of their calls still arrive. */
  readonly crashes: boolean;
  /** Calls fail, before or after they took effect. */
  readonly faults: boolean;
  /** Attempts vanish, and ends are reported late, twice or never. */
  readonly losses: boolean;
}

const SILENT: Log = { debug() {}, info() {}, warn() {}, error() {} };
const NO_LOGS: TaskLogs = {
  append: async () => {},
  read: async () => [],
  watch: () => () => {},
  remove: async () => {},
};

const YEAR = 365 * 86_400;
const LARGE = 5000;

const TASKS: readonly TaskDefinition[] = [
  definition({ name: "narrow", concurrency: 1, attempts: 2, retention: YEAR, timeout: 600 }),
  definition({ name: "wide", concurrency: 3, attempts: 3, retention: YEAR, timeout: 600, expires: 900 }),
  definition({ name: "free", attempts: 1, retention: 1800, timeout: 60, onSuccess: [] }),
];

/** One process: dead ones go on computing, but nothing they do reaches the world. */
interface Process {
  readonly service: TaskService;
  readonly store: TableTaskStore;
  isDead: boolean;
}

/** A call on its way to the table or the platform: the simulation decides when it arrives, and whether the answer does. */
interface Call {
  readonly owner: Process;
  readonly name: string;
  readonly arrive: (fate: Fate) => void;
}

/**
 * How a call ends: its answer comes; it is lost on the way, or its answer is; it is done twice, since the client got no
 * first answer and asked again by itself; it is given up and done later all the same; nobody is there to hear.
 */
type Fate = "do" | "fail" | "do and fail" | "do twice" | "do later" | "do, unheard";
const FAULTS: readonly Fate[] = ["fail", "do and fail", "do twice", "do later"];

interface Stored<Value> {
  readonly partition: string;
  readonly sort: string;
  readonly value: Value;
}

const INDEXES = ["wait/", "slots/", "held/", "wake/", "list/"];

/** Several processes on one table, each call of which comes when, and ends how, the seed decides. */
export class TableSimulation {
  readonly #random: () => number;
  readonly #troubles: TableTroubles;
  readonly #journal: Journal;
  readonly #clock: Clock & { time: number };
  readonly #table: TableReader & TableWriter;
  readonly #calls: Call[] = [];
  readonly #platform = new Map<string, { readonly attempt: AttemptRef; state: AttemptState }>();
  readonly #past: AttemptRef[] = [];
  readonly #accepted = new Set<string>();
  readonly #begun = new Set<string>();
  readonly #told = new Map<string, string>();
  readonly #last = new Map<string, TaskRow>();
  #processes: Process[] = [];
  #ids = 0;
  #isCalm = false;
  #hasChanged = false;
  #violation: Error | undefined;

  constructor(seed: number, troubles: TableTroubles, journal: Journal) {
    this.#random = seeded(seed);
    this.#troubles = troubles;
    this.#journal = journal;
    this.#clock = { time: 1_000_000_000, now: () => this.#clock.time, at: () => () => {} };
    const tables = new Tables({ journal, clock: this.#clock });
    tables.define(tablePlan("tasks"));
    journal.define("PRAGMA synchronous = OFF; DELETE FROM table_rows");
    this.#table = { ...tables.reader("tasks"), ...tables.writer("tasks") };
    for (let count = 0; count < troubles.processes; count += 1) this.#processes.push(this.#boot());
  }

  /** Troubles for that many steps, then calm: checks all along. @throws at the first rule that is broken */
  async run(steps: number): Promise<{ readonly runs: number; readonly attempts: number }> {
    for (let step = 0; step < steps; step += 1) {
      this.#act();
      await nextTurn();
      this.#check();
    }
    await this.#calmDown();
    await this.#checkEnd();
    return { runs: this.#last.size, attempts: this.#begun.size };
  }

  #act(): void {
    const { losses, crashes } = this.#troubles;
    const actions: [weight: number, action: () => void][] = [
      [60, () => this.#letArrive()],
      [4, () => this.#submit(`run-${this.#newId()}`)],
      [2, () => this.#submit(this.#knownId())],
      [1, () => this.#call(({ service }) => service.stop(this.#task(), this.#knownId()))],
      [1, () => this.#call(({ service }) => service.retry(this.#task(), this.#knownId()))],
      [6, () => this.#endSome()],
      [1, () => this.#report(this.#pick([...this.#platform.values()])?.attempt, "progress")],
      [3, () => this.#pass(this.#random() * 2000)],
      [0.5, () => this.#pass(this.#random() * 400_000)],
      [losses ? 0.5 : 0, () => this.#report(this.#pick(this.#past), "end")],
      [losses ? 0.3 : 0, () => this.#platform.delete(this.#pick([...this.#platform.keys()]) ?? "")],
      [crashes ? 0.5 : 0, () => this.#crash()],
    ];
    let choice = this.#random() * actions.reduce((sum, [weight]) => sum + weight, 0);
    for (const [weight, action] of actions) {
      choice -= weight;
      if (choice >= 0) continue;
      action();
      return;
    }
  }

  #submit(id: string): void {
    const task = this.#task();
    const { accepted, length } = { accepted: this.#accepted, length: this.#random() < 0.2 ? LARGE : 200 };
    const options = {
      id,
      priority: Math.floor(this.#random() * 3) - 1,
      ...(this.#random() < 0.2 && { delay: `${Math.ceil(this.#random() * 60)} seconds` as const }),
    };
    this.#call(async ({ service }) => {
      await service.submit(task, { id, text: "x".repeat(this.#random() * length) }, options);
      accepted.add(`${task} ${id}`);
    });
  }

  /** A client's call to one of the processes; refusals are answers too. */
  #call(call: (process: Process) => Promise<unknown>): void {
    call(this.#pick(this.#processes)!).catch((error: unknown) => {
      if (!(error instanceof MillraceError)) this.#violation ??= error as Error;
    });
  }

  #endSome(): void {
    const running = this.#pick([...this.#platform.values()].filter(({ state }) => state === "running"));
    if (!running) return;
    running.state = this.#outcome(running.attempt);
    const isTrouble = this.#troubles.losses && !this.#isCalm;
    if (isTrouble && this.#random() < 0.1) return;
    this.#tell(running.attempt, running.state);
    if (isTrouble && this.#random() < 0.1) this.#tell(running.attempt, running.state);
  }

  #report(attempt: AttemptRef | undefined, what: "end" | "progress"): void {
    if (!attempt) return;
    if (what === "end") this.#tell(attempt, this.#outcome(attempt));
    else void this.#pick(this.#processes)!.service.progressed(attempt, this.#random(), `a${attempt.attempt}`);
  }

  #tell(attempt: AttemptRef, outcome: Outcome): void {
    void this.#pick(this.#processes)!.service.finished(attempt, outcome);
    if (this.#random() < 0.7) this.#platform.delete(keyOf(attempt));
  }

  #outcome({ attempt }: AttemptRef): Outcome {
    const choice = this.#isCalm ? 0 : this.#random();
    if (choice < 0.5) return { result: { attempt, text: "y".repeat(this.#random() * (choice < 0.1 ? LARGE : 300)) } };
    const kind = choice < 0.8 ? "failed" : choice < 0.9 ? "bad-input" : "interrupted";
    return { error: { kind, message: `by a${attempt}` } };
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
    if (!call) {
      this.#turn();
      return;
    }
    const isFault = !this.#isCalm && this.#troubles.faults && call.name !== "start" && this.#random() < 0.04;
    if (call.owner.isDead) call.arrive("do, unheard");
    else call.arrive(isFault ? this.#pick(FAULTS)! : "do");
  }

  /** A process dies: of its calls under way, some are lost, some still arrive, and it hears of none. */
  #crash(): void {
    const dying = this.#pick(this.#processes)!;
    dying.isDead = true;
    for (const call of this.#calls.splice(0)) if (call.owner !== dying || this.#random() < 0.5) this.#calls.push(call);
    this.#processes = this.#processes.map((process) => (process === dying ? this.#boot() : process));
  }

  #boot(): Process {
    const gate = <Result>(name: string, work: () => Result | Promise<Result>) => this.#gate(process, name, work);
    const table = this.#table;
    const gated: TableReader & TableWriter = {
      get: (...args) => gate("get", () => table.get(...args)),
      query: (...args) => gate("query", () => table.query(...args)),
      put: (...args) => gate("put", () => this.#changing(table.put(...args))),
      remove: (...args) => gate("remove", () => this.#changing(table.remove(...args))),
    };
    const store = new TableTaskStore({
      table: gated,
      tasks: TASKS.map(({ name }) => name),
      clock: this.#clock,
      random: this.#random,
      shards: 2,
    });
    const service = new TaskService({
      definitions: new Map(TASKS.map((task) => [task.name, task])),
      store: this.#watched(store),
      platform: {
        start: (start) =>
          gate("start", () => {
            if (JSON.stringify(start.payload).length < 20) this.#violation ??= new Error("a payload is lost");
            this.#past.push({ task: start.task, id: start.id, attempt: start.attempt });
            this.#platform.set(keyOf(start), { attempt: start, state: "running" });
          }),
        stop: (attempt) =>
          gate("stop", () => {
            const running = this.#platform.get(keyOf(attempt));
            if (running?.state !== "running" || this.#random() < 0.2) return;
            running.state = { error: { kind: "stopped", message: `by a${attempt.attempt}` } };
            this.#tell(attempt, running.state);
          }),
        inspect: (attempt) => gate("inspect", () => this.#platform.get(keyOf(attempt))?.state ?? "gone"),
      },
      deliver: (_destination, envelope, key) => gate("deliver", () => void this.#told.set(key, envelope.task.status)),
      claims: memoryBucket(),
      dispatch: () => Promise.reject(new Error("not simulated")),
      logs: NO_LOGS,
      clock: this.#clock,
      random: this.#random,
      log: SILENT,
    });
    const process: Process = { service, store, isDead: false };
    return process;
  }

  /** No attempt is given to two who claim. */
  #watched(store: TableTaskStore): TableTaskStore {
    return new Proxy(store, {
      get: (_target, name: keyof TableTaskStore) => {
        const method = store[name] as (...args: unknown[]) => Promise<unknown>;
        return async (...args: unknown[]) => {
          const answer = await method.apply(store, args);
          if (name !== "claim") return answer;
          for (const row of answer as TaskRow[]) {
            if (this.#begun.has(keyOf(row))) this.#violation ??= new Error(`${keyOf(row)} was claimed twice`);
            this.#begun.add(keyOf(row));
          }
          return answer;
        };
      },
    });
  }

  #gate<Result>(owner: Process, name: string, work: () => Result | Promise<Result>): Promise<Result> {
    if (owner.isDead) return new Promise(() => {});
    return new Promise((resolve, reject) => {
      this.#calls.push({
        owner,
        name,
        arrive: (fate) => {
          const fault = new MillraceError("unavailable", `${name}: no answer`);
          if (fate === "fail" || fate === "do later") reject(fault);
          if (fate === "fail") return;
          if (fate === "do later") {
            const arrive = () => void (async () => work())().catch(() => {});
            this.#calls.push({ owner, name, arrive });
            return;
          }
          const done = (async () => work())();
          if (fate === "do") done.then(resolve, reject);
          else if (fate === "do twice") done.then(work, work).then(resolve, reject);
          else done.catch(() => {}).then(() => (fate === "do and fail" ? reject(fault) : undefined));
        },
      });
    });
  }

  async #changing<Result>(write: Promise<Result>): Promise<Result> {
    this.#hasChanged = true;
    return write;
  }

  #rows<Value>(): Stored<Value>[] {
    return this.#journal
      .sql("SELECT partition, sort, value FROM table_rows WHERE expires IS NULL OR expires > ?")
      .all(this.#clock.time)
      .map(({ partition, sort, value }) => ({
        partition: String(partition),
        sort: String(sort),
        value: JSON.parse(String(value)) as Value,
      }));
  }

  #records(rows: readonly Stored<unknown>[]): RunRecord[] {
    return rows
      .filter(({ partition, sort }) => partition.startsWith("run/") && sort === "run")
      .map(({ value }) => value as RunRecord | Tombstone)
      .filter((value): value is RunRecord => !("gone" in value));
  }

  /** What must hold at every moment. */
  #check(): void {
    if (this.#violation) throw this.#violation;
    if (!this.#hasChanged) return;
    this.#hasChanged = false;
    const rows = this.#rows<unknown>();
    const byKey = new Map(rows.map((row) => [`${row.partition} ${row.sort}`, row.value]));
    const records = this.#records(rows);
    const held = new Map<string, number>();
    for (const { row, keys } of records) {
      const name = `${row.task} ${row.id}`;
      const rule = (holds: boolean, words: string) => {
        if (!holds) throw new Error(`${name}: ${words}: ${JSON.stringify({ row, keys })}`);
      };
      const before = this.#last.get(name);
      rule(!before || before.version <= row.version, "goes back");
      rule(isHeld(row) === (row.lease !== undefined), "holds a lease exactly while it runs");
      const numbers = row.attempts.map(({ number }) => number);
      rule(
        numbers.every((number, index) => index === 0 || number > numbers[index - 1]!),
        "has an attempt twice",
      );
      for (const [index, ref] of Object.entries(keys) as [string, HeldRef][]) {
        if (index === "ended") continue;
        const entry = byKey.get(`${ref.partition} ${ref.sort}`) as Entry | undefined;
        rule(entry?.nonce === ref.nonce && entry.id === row.id, `is not in the index "${index}"`);
      }
      rule(isHeld(row) === (keys.held !== undefined), "has a slot exactly while it runs");
      this.#last.set(name, row);
      if (isHeld(row)) held.set(row.task, (held.get(row.task) ?? 0) + 1);
    }
    for (const { name, concurrency = Infinity } of TASKS) {
      if ((held.get(name) ?? 0) > concurrency) throw new Error(`${name}: ${held.get(name)} hold a slot`);
    }
    const there = new Set(records.map(({ row }) => `${row.task} ${row.id}`));
    for (const name of this.#accepted) {
      const row = this.#last.get(name);
      const isForgotten = row !== undefined && isFinal(row.status) && row.keep! <= this.#clock.time;
      if (!there.has(name) && !isForgotten) throw new Error(`${name} was accepted and is gone`);
    }
  }

  /** No more troubles: whatever runs succeeds, time passes, until nothing is left to do. */
  async #calmDown(): Promise<void> {
    this.#isCalm = true;
    let quiet = 0;
    for (let round = 0; round < 5000; round += 1) {
      while (this.#calls.length > 0) {
        this.#letArrive();
        await nextTurn();
      }
      this.#check();
      this.#endSome();
      await nextTurn();
      if (this.#calls.length > 0) continue;
      const isRunning = [...this.#platform.values()].some(({ state }) => state === "running");
      const open = this.#records(this.#rows()).filter(({ row }) => !isFinal(row.status) || row.deliveries.length > 0);
      quiet = open.length === 0 && !isRunning ? quiet + 1 : 0;
      if (quiet > 20) return;
      if (!isRunning) {
        this.#pass(quiet === 0 ? 30_000 : 100_000);
        // A submit or an end, somewhere, has everybody look at who waits.
        for (const { store } of this.#processes) {
          for (const { name, concurrency } of TASKS) {
            const cap = concurrency === undefined ? {} : { concurrency };
            if (quiet > 0) void store.claim(name, { ...cap, limit: 10, now: this.#clock.time, lease: 1 });
          }
        }
      }
      await nextTurn();
    }
    throw new Error(`never came to an end: ${JSON.stringify(this.#records(this.#rows()).map(({ row }) => row))}`);
  }

  /** Entries that lead nowhere have been found and removed; every run is found by every way it should be. */
  async #checkEnd(): Promise<void> {
    const random = this.#random;
    const store = new TableTaskStore({ table: this.#table, tasks: [], clock: this.#clock, random, shards: 2 });
    // Of several entries that lead to the same lost run, one is removed each time.
    for (let pass = 0; pass < 6; pass += 1) {
      for (const { name } of TASKS) await store.list(name, { status: "queued", limit: 1000 });
    }
    const rows = this.#rows<Entry>();
    const records = this.#records(rows);
    const owned = new Set(records.flatMap(({ keys }) => Object.values(keys).map(({ nonce }: HeldRef) => nonce)));
    const strays = rows.filter(
      ({ partition, value }) =>
        INDEXES.some((index) => partition.startsWith(index)) &&
        !/^list\/\w+\/(?!open)/.test(partition) &&
        !owned.has(value.nonce),
    );
    if (strays.length > 0) throw new Error(`left in indexes: ${JSON.stringify(strays)}`);
    for (const { name, onSuccess } of TASKS) {
      const expected = records.filter(({ row }) => row.task === name).map(({ row }) => row);
      const listed = (await store.list(name, { limit: 1000 })).rows;
      const ids = (all: readonly TaskRow[]) =>
        all
          .map(({ id }) => id)
          .sort()
          .join();
      if (ids(listed) !== ids(expected)) throw new Error(`${name}: listed ${ids(listed)}, are ${ids(expected)}`);
      for (const row of expected) {
        const payload = await store.body(name, row.id, "payload");
        if (Buffer.byteLength(payload ?? "") !== row.payload.size || !payload?.startsWith(row.payload.preview)) {
          throw new Error(`${name} ${row.id}: its payload is not its own`);
        }
        if (row.status === "succeeded") {
          const result = JSON.parse((await store.body(name, row.id, "result")) ?? "{}") as { attempt?: number };
          if (result.attempt !== row.attempt) throw new Error(`${name} ${row.id}: its result is not its own`);
        }
        const told = onSuccess.length > 0 && row.status === "succeeded";
        const prefix = `${name}/${attemptId(row)}/${row.outcomes}/`;
        if (told && ![...this.#told.keys()].some((key) => key.startsWith(prefix)))
          throw new Error(`nobody was told of ${prefix}`);
        const types = (await store.events(name, row.id)).map(({ type }) => type);
        const starts = types.filter((type) => type === "started").length;
        if (types[0] !== "submitted" || starts !== row.attempt)
          throw new Error(`${name} ${row.id}: its history is ${types}, it has had ${row.attempt} attempts`);
      }
    }
  }

  #task(): string {
    return this.#pick(TASKS)!.name;
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

const keyOf = (attempt: AttemptRef): string => `${attempt.task}/${attemptId(attempt)}`;
