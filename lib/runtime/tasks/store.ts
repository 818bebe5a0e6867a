import type { AttemptRef } from "./ids.ts";
import type { TaskRow } from "./row.ts";
import type { TaskEvent, TaskFilter } from "./task.ts";

/** A text that lies beside its row, so that a change of state does not rewrite it. */
export type BodyName = "payload" | "result" | `envelope-${number}`;

/** What is written together with a row. */
export interface RowExtras {
  readonly event?: TaskEvent;
  /** `null` removes. */
  readonly bodies?: Readonly<Partial<Record<BodyName, string | null>>>;
}

export interface ClaimOptions {
  /** Runs that may hold a slot at once; absent: any number. */
  readonly concurrency?: number;
  /** The most runs to move in this call. */
  readonly limit: number;
  readonly now: number;
  /** Milliseconds a claimed run is trusted to run. */
  readonly lease: number;
}

export interface RowPage {
  readonly rows: readonly TaskRow[];
  readonly next?: string;
}

/**
 * Remembers runs. Every method is atomic by itself and may be called from several processes at once; nothing else
 * is asked for, so that SQLite or a key-value table with conditional puts can implement it. Where a row and its
 * extras cannot be written at once, bodies go first (a body nobody refers to is only garbage) and the event last.
 */
export interface TaskStore {
  /** Stores a new run with version 1; answers the row that is there already, or nothing. */
  insert(row: TaskRow, extras: RowExtras): Promise<TaskRow | undefined>;
  get(task: string, id: string): Promise<TaskRow | undefined>;
  /** Replaces `from` by `to` if the stored version is still `from`'s; answers the stored row, or nothing. */
  update(from: TaskRow, to: TaskRow, extras?: RowExtras): Promise<TaskRow | undefined>;
  /**
   * Moves waiting runs that are due and not expired to running, by the step `started`: highest priority first, then
   * earliest due, then first submitted. Never more than the cap hold a slot (rows `running` or `stopping`, whether
   * their lease lapsed or not), however many claim at once: where rows cannot be counted and changed at once, by slots
   * that can be taken once.
   */
  claim(task: string, options: ClaimOptions): Promise<readonly TaskRow[]>;
  /** Notes how far an attempt is, if it is the current one and holds a slot; the row keeps its version. */
  progress(attempt: AttemptRef, fraction: number, message: string | undefined): Promise<boolean>;
  /** In the order of submits. A cursor stays good while rows change. @throws `refused` for a cursor not from here */
  list(task: string, filter: TaskFilter): Promise<RowPage>;
  /**
   * Rows of every task that somebody must look at by now (`wakeOf`), the longest overdue first. A run whose retention
   * is over may instead be forgotten by the store itself, if nothing of it lies elsewhere.
   */
  due(now: number, limit: number): Promise<readonly TaskRow[]>;
  /** When `due` or a delayed start has something next. */
  nextDue(): Promise<number | undefined>;
  /** Rows of every task that hold a slot or have deliveries pending, in pages: what a restart must look at. */
  unsettled(options: { readonly after?: string; readonly limit: number }): Promise<RowPage>;
  body(task: string, id: string, name: BodyName): Promise<string | undefined>;
  appendEvent(task: string, id: string, event: TaskEvent): Promise<void>;
  /** In the order they happened. */
  events(task: string, id: string): Promise<readonly TaskEvent[]>;
  /** Forgets the run with all that lies beside it, if the version is still this one. */
  remove(row: TaskRow): Promise<boolean>;
}
