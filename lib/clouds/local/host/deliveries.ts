import type { FunctionPlan } from "../../../parts/plan.ts";
import type { Clock } from "../../../runtime/clock.ts";
import { type ErrorRecord, isRetryable, shortened, toErrorRecord } from "../../../runtime/errors.ts";
import type { SourceEvent } from "../../../runtime/events.ts";
import { backoffMilliseconds } from "../../../runtime/tasks/definition.ts";
import type { LogLine } from "../runtime/channel.ts";
import type { Agenda, Duty } from "./agenda.ts";
import type { Ending } from "./instance.ts";
import type { Journal } from "./journal.ts";

/** Before the next try after the journal refused a write, in milliseconds. */
const PAUSE = 1000;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    function TEXT NOT NULL,
    event TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    due INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX IF NOT EXISTS deliveries_by_due ON deliveries (function, due, id);
`;

export interface DeliveriesOptions {
  readonly journal: Journal;
  readonly clock: Clock;
  readonly agenda: Pick<Agenda, "wake">;
  readonly random: () => number;
  /** Events of one function in work at once. */
  readonly most: number;
  readonly planOf: (name: string) => FunctionPlan | undefined;
  readonly handle: (plan: FunctionPlan, event: SourceEvent, attempt: number) => Promise<Ending>;
  /** Sends to a failure queue, inside the current transaction. */
  readonly send: (queue: string, body: string) => void;
  /** Told when a function has failed every attempt of an event. */
  readonly onGiveUp: (plan: FunctionPlan, failed: FailedDelivery) => void;
  readonly onLog?: (entry: {
    readonly function: string;
    readonly run: string;
    readonly attempt: number;
    readonly lines: readonly LogLine[];
  }) => void;
}

/** One event on its way to a function. */
interface Row {
  readonly id: number;
  readonly event: string;
  readonly attempts: number;
  readonly due: number;
}

/** What a failure queue is sent, as JSON. */
export interface FailedDelivery {
  readonly event: SourceEvent;
  readonly error: ErrorRecord;
  readonly attempts: number;
}

/**
 * Events on their way to functions: in the journal until the function has succeeded or has failed every attempt.
 * An attempt that the end of the host cut short is not counted, and is made again at the next start.
 */
export class Deliveries implements Duty {
  readonly #options: DeliveriesOptions;
  readonly #journal: Journal;
  /** Functions that may have rows: put in by an event, taken out by a look that finds none. */
  readonly #pending = new Set<string>();
  /** Rows in work, by function. */
  readonly #started = new Map<string, Set<number>>();
  readonly #work = new Set<Promise<void>>();
  #isClosing = false;
  #pausedUntil = 0;

  constructor(options: DeliveriesOptions) {
    this.#options = options;
    this.#journal = options.journal;
    this.#journal.define(SCHEMA);
    const rows = this.#journal.sql("SELECT DISTINCT function FROM deliveries").all() as { function: string }[];
    for (const row of rows) this.#pending.add(row.function);
  }

  /** Journals an event, as part of the transaction this is called in. */
  add(name: string, event: SourceEvent, delay: number): void {
    this.#journal
      .sql("INSERT INTO deliveries (function, event, due) VALUES (?, ?, ?)")
      .run(name, JSON.stringify(event), this.#options.clock.now() + delay);
    this.#pending.add(name);
    this.#options.agenda.wake();
  }

  waiting(): Readonly<Record<string, number>> {
    const rows = this.#journal.sql("SELECT function, count(*) AS count FROM deliveries GROUP BY function").all();
    return Object.fromEntries(rows.map((row) => [row.function as string, row.count as number]));
  }

  next(): number | undefined {
    if (this.#isClosing) return undefined;
    const times = [...this.#pending].map((name) => this.#nextOf(name));
    const next = Math.min(...times);
    return next === Number.POSITIVE_INFINITY ? undefined : Math.max(next, this.#pausedUntil);
  }

  run(now: number): void {
    if (this.#isClosing || now < this.#pausedUntil) return;
    for (const name of this.#pending) {
      const plan = this.#options.planOf(name);
      const room = plan ? this.#room(plan) : 0;
      for (const row of this.#waiting(name).slice(0, room)) if (row.due <= now) this.#begin(plan!, row);
    }
  }

  /** Begins nothing any more; what fails from here on is made again at the next start. */
  close(): void {
    this.#isClosing = true;
  }

  /** Resolves when the outcome of all that was begun is journaled. */
  async settled(): Promise<void> {
    await Promise.all(this.#work);
  }

  #nextOf(name: string): number {
    const plan = this.#options.planOf(name);
    if (!plan || this.#room(plan) === 0) return Number.POSITIVE_INFINITY;
    const [first] = this.#waiting(name);
    if (!first && this.#startedOf(name).size === 0) this.#pending.delete(name);
    return first?.due ?? Number.POSITIVE_INFINITY;
  }

  #room({ name, concurrency = Number.POSITIVE_INFINITY }: FunctionPlan): number {
    return Math.max(0, Math.min(concurrency, this.#options.most) - this.#startedOf(name).size);
  }

  /** The rows that are due next and not in work. */
  #waiting(name: string): readonly Row[] {
    const started = this.#startedOf(name);
    const rows = this.#journal
      .sql("SELECT id, event, attempts, due FROM deliveries WHERE function = ? ORDER BY due, id LIMIT ? + 0")
      .all(name, started.size + this.#options.most) as unknown as readonly Row[];
    return rows.filter(({ id }) => !started.has(id));
  }

  #startedOf(name: string): Set<number> {
    const started = this.#started.get(name) ?? new Set();
    this.#started.set(name, started);
    return started;
  }

  #begin(plan: FunctionPlan, row: Row): void {
    const started = this.#startedOf(plan.name);
    started.add(row.id);
    const work = this.#deliver(plan, row)
      .catch((error: unknown) => this.#pause(plan.name, row, error))
      .finally(() => {
        started.delete(row.id);
        this.#work.delete(work);
        this.#options.agenda.wake();
      });
    this.#work.add(work);
  }

  /** The journal would not take the outcome, on a full disk for one: the event is handled again, a little later. */
  #pause(name: string, { event, attempts }: Row, error: unknown): void {
    this.#pausedUntil = this.#options.clock.now() + PAUSE;
    const message = `the outcome could not be written down, so the event is handled again: ${toErrorRecord(error).message}`;
    this.#log(name, JSON.parse(event), attempts + 1, message);
  }

  async #deliver(plan: FunctionPlan, row: Row): Promise<void> {
    const event = JSON.parse(row.event) as SourceEvent;
    const attempts = row.attempts + 1;
    const ending = await this.#options.handle(plan, event, attempts);
    const error = "error" in ending ? ending.error : ending.failures[0]?.error;
    if (!error) this.#delete(row);
    else if (this.#isClosing || !this.#options.planOf(plan.name)) return;
    else if (isRetryable(error) && attempts < plan.attempts) this.#retry(plan, row, attempts);
    else this.#giveUp(plan, row, { event, error: shortened(error), attempts });
  }

  #delete({ id }: Row): void {
    this.#journal.sql("DELETE FROM deliveries WHERE id = ?").run(id);
  }

  #retry({ backoff }: FunctionPlan, { id }: Row, attempts: number): void {
    const { clock, random } = this.#options;
    const due = clock.now() + backoffMilliseconds(backoff, attempts, random);
    this.#journal.sql("UPDATE deliveries SET attempts = ?, due = ? WHERE id = ?").run(attempts, due, id);
  }

  #giveUp(plan: FunctionPlan, row: Row, failed: FailedDelivery): void {
    this.#journal.transaction(() => {
      if (plan.failures !== undefined) this.#options.send(plan.failures, JSON.stringify(failed));
      this.#delete(row);
    });
    this.#options.onGiveUp(plan, failed);
  }

  #log(name: string, { id }: SourceEvent, attempt: number, message: string): void {
    const line: LogLine = { time: this.#options.clock.now(), level: "error", message };
    this.#options.onLog?.({ function: name, run: id, attempt, lines: [line] });
  }
}
