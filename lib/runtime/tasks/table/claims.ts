import type { Row, TableReader } from "../../ports.ts";
import { isWaiting, type TaskRow } from "../row.ts";
import { started } from "../steps.ts";
import type { ClaimOptions } from "../store.ts";
import type { HeldRef, WaitEntry } from "./entries.ts";
import type { Partitions } from "./keys.ts";
import { LARGEST_PAGE, take } from "./pages.ts";
import type { Repairs } from "./repairs.ts";
import type { Runs } from "./runs.ts";
import type { FreeSlot, Slots } from "./slots.ts";
import { dueWaiting } from "./waiting.ts";

/** What claims stand on. */
interface ClaimsWorld {
  readonly table: TableReader;
  readonly partitions: Partitions;
  readonly runs: Runs;
  readonly repairs: Repairs;
  readonly slots: Slots;
}

/** Runs started at the same time: a table answers many calls as fast as one. */
const AT_ONCE = 16;

/** Entries read beyond those wanted, for some may lead nowhere. */
const SPARE = 8;

/** One look at who waits, and what came of it. */
interface Pass {
  readonly rows: readonly TaskRow[];
  /** Whether a slot was taken and given back: somebody else may have found it taken. */
  readonly wasWasted: boolean;
}

/** Moves waiting runs to running: each by taking a slot, then changing its row. */
export class Claims {
  readonly #world: ClaimsWorld;

  constructor(world: ClaimsWorld) {
    this.#world = world;
  }

  async claim(task: string, options: ClaimOptions): Promise<readonly TaskRow[]> {
    const rows: TaskRow[] = [];
    while (rows.length < options.limit) {
      try {
        const pass = await this.#pass(task, { ...options, limit: options.limit - rows.length });
        rows.push(...pass.rows);
        if (!pass.wasWasted) break;
      } catch (error) {
        // What is started is started, and only the caller can run it.
        if (rows.length === 0) throw error;
        break;
      }
    }
    return rows;
  }

  async #pass(task: string, { concurrency, limit, now, lease }: ClaimOptions): Promise<Pass> {
    const { table, partitions, slots, runs } = this.#world;
    // A slot that could not be given back before.
    await runs.discard([]);
    const free = concurrency === undefined ? undefined : await slots.free(task, concurrency, now);
    const wanted = Math.min(limit, free?.length ?? limit);
    if (wanted === 0) return { rows: [], wasWasted: false };

    const page = Math.min(wanted + SPARE, LARGEST_PAGE);
    const waiting = dueWaiting(table, partitions, task, { now, limit: page });
    const rows: TaskRow[] = [];
    let wasWasted = false;
    while (rows.length < wanted && free?.length !== 0) {
      const entries = await take(waiting, Math.min(wanted - rows.length, AT_ONCE));
      if (entries.length === 0) break;
      const candidates = await Promise.all(entries.map((entry) => this.#candidate(task, entry, now)));
      const starts = await Promise.allSettled(
        candidates.flatMap((row) => (row ? [this.#start(row, now, lease, free)] : [])),
      );
      for (const start of starts) {
        if (start.status === "fulfilled" && typeof start.value === "object") rows.push(start.value);
        if (start.status === "fulfilled" && start.value === "wasted") wasWasted = true;
      }
      const failed = starts.find((start) => start.status === "rejected");
      if (!failed) continue;
      if (rows.length === 0) throw failed.reason;
      return { rows, wasWasted: false };
    }
    return { rows, wasWasted };
  }

  async #candidate(task: string, entry: Row<WaitEntry>, now: number): Promise<TaskRow | undefined> {
    const run = await this.#world.repairs.follow(task, "wait", entry);
    if (typeof run !== "object") return undefined;
    const { row } = run.record;
    const isExpired = row.started === undefined && (row.expires ?? Infinity) <= now;
    return isWaiting(row) && row.due <= now && !isExpired ? row : undefined;
  }

  /** The started run; or that there was no slot for it, or that one was taken in vain. */
  async #start(
    row: TaskRow,
    now: number,
    lease: number,
    free: FreeSlot[] | undefined,
  ): Promise<TaskRow | "none" | "wasted"> {
    const { runs } = this.#world;
    const step = started(row, now, lease);
    if (!free) return (await runs.replace(row, step.row, step)) ?? "none";
    const slot = await this.#takeOne(row, now + lease, free);
    if (!slot) return "none";
    // If nobody knows whether this took place, the slot stays until its lease is over and the run is looked at.
    const stored = await runs.replace(row, step.row, step, slot);
    if (stored) return stored;
    await runs.discard([["held", slot]]);
    return "wasted";
  }

  async #takeOne(row: TaskRow, at: number, free: FreeSlot[]): Promise<HeldRef | undefined> {
    for (let slot = free.shift(); slot !== undefined; slot = free.shift()) {
      const taken = await this.#world.slots.take(slot, row, at);
      if (taken) return taken;
    }
    return undefined;
  }
}
