import type { Clock } from "../clock.ts";
import type { TableReader, TableWriter } from "../ports.ts";
import type { AttemptRef } from "./ids.ts";
import { isHeld, type TaskRow } from "./row.ts";
import type { BodyName, ClaimOptions, RowExtras, RowPage, TaskStore } from "./store.ts";
import { Claims } from "./table/claims.ts";
import { Duties } from "./table/duties.ts";
import { Partitions } from "./table/keys.ts";
import { Lists } from "./table/lists.ts";
import { addEvent } from "./table/record.ts";
import { Repairs } from "./table/repairs.ts";
import { Runs } from "./table/runs.ts";
import { Slots } from "./table/slots.ts";
import type { TaskEvent, TaskFilter } from "./task.ts";

export interface TableTaskStoreOptions {
  /** Its own or shared with others of the same kind. Reads must answer what was written last. */
  readonly table: TableReader & TableWriter;
  /** The tasks whose runs `due`, `nextDue` and `unsettled` tell of: those whose definitions the process has. */
  readonly tasks: readonly string[];
  readonly clock: Clock;
  /** From 0 up to, not including, 1. */
  readonly random: () => number;
  /**
   * Partitions that each index of a task is spread over. The same for every process, for the life of the table.
   *
   * @default 4
   */
  readonly shards?: number;
}

/** What four partitions carry is said in `table/keys.ts`. */
const SHARDS = 4;

/**
 * Runs in a table that knows conditional puts of single rows and nothing more: Tablestore, DynamoDB, NATS. Any number
 * of processes may use it at once, and any of them may die between two calls.
 *
 * A run is one row, its history and small bodies included, so that a change is one put. What is found by other ways
 * than its id has entries in indexes (`table/entries.ts` says how they stay right). A run that is over and owes
 * nothing expires by itself when its retention is over; only one that has bodies beside it or claims in a bucket is
 * told of by `due` then. Slots of a task with a cap are rows that can be taken once (`table/slots.ts`).
 *
 * What a run costs that ends at its first try and has nobody to tell: a submit puts three rows; a start reads one, puts
 * two and removes one; an end reads one, puts two and removes two. Each claim, of any number of runs, queries the slots
 * and, if one is free, every shard of the waiting runs. Forgetting costs nothing.
 */
export class TableTaskStore implements TaskStore {
  readonly #runs: Runs;
  readonly #claims: Claims;
  readonly #lists: Lists;
  readonly #duties: Duties;
  /** Until when waiting runs were looked at here, by task: those that are due later are still to be started. */
  readonly #claimed = new Map<string, number>();

  constructor({ table, tasks, clock, random, shards = SHARDS }: TableTaskStoreOptions) {
    const partitions = new Partitions(shards);
    const runs = new Runs({ table, partitions, clock, random });
    const repairs = new Repairs(runs, table, clock);
    const slots = new Slots({ table, partitions, repairs, nonce: () => runs.nonce(), now: () => clock.now() });
    this.#runs = runs;
    this.#claims = new Claims({ table, partitions, runs, repairs, slots });
    this.#lists = new Lists({ table, partitions, runs, repairs });
    this.#duties = new Duties({ table, partitions, repairs, tasks });
  }

  insert(row: TaskRow, extras: RowExtras): Promise<TaskRow | undefined> {
    return this.#runs.insert(row, extras);
  }

  async get(task: string, id: string): Promise<TaskRow | undefined> {
    return (await this.#runs.load(task, id))?.record.row;
  }

  update(from: TaskRow, to: TaskRow, extras: RowExtras = {}): Promise<TaskRow | undefined> {
    return this.#runs.replace(from, to, extras);
  }

  async claim(task: string, options: ClaimOptions): Promise<readonly TaskRow[]> {
    const rows = await this.#claims.claim(task, options);
    this.#claimed.set(task, Math.max(this.#claimed.get(task) ?? 0, options.now));
    return rows;
  }

  progress({ task, id, attempt }: AttemptRef, fraction: number, message: string | undefined): Promise<boolean> {
    return this.#runs.amend(task, id, (record) =>
      isHeld(record.row) && record.row.attempt === attempt
        ? { record: { ...record, row: { ...record.row, progress: fraction, progressMessage: message } } }
        : undefined,
    );
  }

  list(task: string, filter: TaskFilter): Promise<RowPage> {
    return this.#lists.list(task, filter);
  }

  due(now: number, limit: number): Promise<readonly TaskRow[]> {
    return this.#duties.due(now, limit);
  }

  nextDue(): Promise<number | undefined> {
    return this.#duties.next(this.#claimed);
  }

  unsettled(options: { readonly after?: string; readonly limit: number }): Promise<RowPage> {
    return this.#duties.unsettled(options);
  }

  body(task: string, id: string, name: BodyName): Promise<string | undefined> {
    return this.#runs.body(task, id, name);
  }

  async appendEvent(task: string, id: string, event: TaskEvent): Promise<void> {
    await this.#runs.amend(task, id, (record) => {
      const { beside, ...events } = addEvent(record, event);
      return { record: { ...record, ...events }, beside };
    });
  }

  events(task: string, id: string): Promise<readonly TaskEvent[]> {
    return this.#runs.events(task, id);
  }

  remove(row: TaskRow): Promise<boolean> {
    return this.#runs.remove(row);
  }
}
