import type { ErrorRecord } from "../errors.ts";
import type { TaskController, TaskSubmitter } from "../ports.ts";
import type { TaskAudit } from "../tasks/task.ts";

/** A task as a step of a workflow has it: with the whole results of its runs. */
export interface WorkflowTask extends TaskSubmitter, Pick<TaskController, "get" | "retry"> {
  audit(id: string): Promise<TaskAudit | undefined>;
}

/** Takes down who waits for an answer. */
export interface CallbackKeeper {
  /**
   * If the answer is there already, the service is told at once.
   *
   * @param round how often the run was begun: an answer that failed it before counts no more
   * @returns whether the answer is there
   */
  expect(callback: string, token: string, round: number): Promise<boolean>;
}

/** Looks after runs that nobody else looks after. */
export interface LateRuns {
  /** Ends what takes too long. How many there were. */
  stopLate(): Promise<number>;
  /** Goes on with batches of items whose executions nobody told of. How many are under way. */
  lookAfterBatches(): Promise<number>;
}

/** The items of a map whose items have executions of their own: so many in each. Numbers may come as texts. */
export interface BatchStart {
  /** How often the run was begun: what the same items came to before counts. */
  readonly round: number;
  /** Its own name: another one whenever the map is begun. */
  readonly batch: string;
  /** The flow that does some items. */
  readonly flow: string;
  /** The execution that waits for the batch, and its flow. */
  readonly of: string;
  readonly execution: string;
  readonly list: unknown;
  /** What the items read from around. */
  readonly known: Readonly<Record<string, unknown>>;
  /** Of what is done for an item: the flow may have changed when an execution begins. */
  readonly shape: string;
  /** More items are refused. */
  readonly atMost: number;
  /** Items that may fail. */
  readonly tolerated: number;
  /** Whether the outputs are wanted, or their number. */
  readonly collects: boolean;
  /** Items of one execution, at most. */
  readonly size: number;
  /** Executions at once. */
  readonly chunks: number;
}

/** How one item of a map went. */
export type ItemAnswer =
  | { readonly status: "succeeded"; readonly output?: unknown }
  | { readonly status: "failed"; readonly error: ErrorRecord };

/** What one execution of a batch came to: its items, or what it failed with as a whole. */
export type ChunkEnd = { readonly items: readonly ItemAnswer[] } | { readonly error: ErrorRecord };

/** Batches of items. Whatever is told twice counts once. */
export interface ItemBatches {
  /**
   * Starts the batch; who waits gets its answer by the token.
   *
   * @param at the run and the map's path in it
   */
  begin(start: BatchStart, token: string, at: { readonly run: string; readonly path: string }): Promise<void>;
  ended(batch: string, chunk: number, end: ChunkEnd): Promise<void>;
  /** Nobody waits any more: what runs is stopped, and nothing more is started. */
  stop(batch: string): Promise<void>;
}
