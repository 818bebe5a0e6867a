import type { Clock } from "../clock.ts";
import { type TaskRow, toTask } from "./row.ts";
import type { Step } from "./steps.ts";
import type { TaskStore } from "./store.ts";
import type { Task } from "./task.ts";

/** How often a run is looked at that another process may have changed. */
const LOOK_AGAIN = 5000;

/** Takes steps: each from the row as it is stored, never from an older one; and tells who listens. */
export class Changes {
  readonly #store: TaskStore;
  readonly #clock: Clock;
  readonly #onStored: (row: TaskRow) => void;
  readonly #listeners = new Set<(task: Task) => void>();
  readonly #watchers = new Map<string, Set<() => void>>();

  /** @param onStored told of every row first, whoever listens */
  constructor(store: TaskStore, clock: Clock, onStored: (row: TaskRow) => void) {
    this.#store = store;
    this.#clock = clock;
    this.#onStored = onStored;
  }

  /**
   * Stores the step that `decide` takes from the row, asking again if somebody was faster.
   *
   * @returns the row as it is now and whether this changed it; nothing if there is no such run
   */
  async change(
    task: string,
    id: string,
    decide: (row: TaskRow) => Step | undefined | Promise<Step | undefined>,
  ): Promise<{ readonly row: TaskRow; readonly changed: boolean } | undefined> {
    while (true) {
      const row = await this.#store.get(task, id);
      if (!row) return undefined;
      const step = await decide(row);
      if (!step) return { row, changed: false };
      const stored = await this.#store.update(row, step.row, step);
      if (stored) {
        this.announce(stored);
        return { row: stored, changed: true };
      }
    }
  }

  /** Tells who listens of a row that has just been stored. */
  announce(row: TaskRow): void {
    this.#onStored(row);
    for (const watcher of this.#watchers.get(keyOf(row.task, row.id)) ?? []) watcher();
    if (this.#listeners.size === 0) return;
    const task = toTask(row);
    for (const listener of this.#listeners) listener(task);
  }

  /** Whether anybody would hear of a change of this run. */
  isHeard(task: string, id: string): boolean {
    return this.#listeners.size > 0 || this.#watchers.has(keyOf(task, id));
  }

  /** Calls back with every run this process changes, until the answer is called. */
  onChange(listener: (task: Task) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /**
   * Waits for news of one run. The first `next` answers at once if there has been a change since the last one; without
   * any, it answers after some time all the same, since another process may have changed the run.
   */
  watch(task: string, id: string, signal?: AbortSignal): Watch {
    const key = keyOf(task, id);
    const watchers = this.#watchers.get(key) ?? new Set();
    this.#watchers.set(key, watchers);
    let isNews = false;
    let wake = () => {};
    const notify = () => {
      isNews = true;
      wake();
    };
    watchers.add(notify);
    signal?.addEventListener("abort", notify, { once: true });
    return {
      notify,
      next: async () => {
        if (!isNews && !signal?.aborted) {
          await new Promise<void>((resolve) => {
            const cancel = this.#clock.at(this.#clock.now() + LOOK_AGAIN, resolve);
            wake = () => {
              cancel();
              resolve();
            };
          });
          wake = () => {};
        }
        isNews = false;
      },
      close: () => {
        wake();
        signal?.removeEventListener("abort", notify);
        watchers.delete(notify);
        if (watchers.size === 0 && this.#watchers.get(key) === watchers) this.#watchers.delete(key);
      },
    };
  }
}

/** Somebody waiting for news of one run. */
export interface Watch {
  /** There is news from elsewhere. */
  notify(): void;
  /** Also answers when the signal aborts. */
  next(): Promise<void>;
  close(): void;
}

const keyOf = (task: string, id: string): string => `${task}\0${id}`;
