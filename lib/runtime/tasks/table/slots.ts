import type { Row, TableReader, TableWriter } from "../../ports.ts";
import type { TaskRow } from "../row.ts";
import type { HeldEntry, HeldRef } from "./entries.ts";
import { type Partitions, slotSort } from "./keys.ts";
import { rowsOf, take } from "./pages.ts";
import type { Repairs } from "./repairs.ts";
import { isConflict } from "./runs.ts";

/** What slots stand on. */
interface SlotsWorld {
  readonly table: TableReader & TableWriter;
  readonly partitions: Partitions;
  readonly repairs: Repairs;
  readonly nonce: () => string;
  readonly now: () => number;
}

/** A slot to be taken, by its number. */
export type FreeSlot = number;

/**
 * The cap of a task, as rows: a cap of three is three rows that can be there, and a run holds a slot by the row it
 * put where there was none. No lock is needed, nothing depends on anybody's clock, and whoever is paused for an hour
 * between two writes finds its put refused rather than one run too many.
 */
export class Slots {
  readonly #world: SlotsWorld;
  /** Tasks of which no run holds a slot from before they had a cap. */
  readonly #capped = new Set<string>();

  constructor(world: SlotsWorld) {
    this.#world = world;
  }

  /**
   * Slots that may be taken. What another one takes meanwhile will be refused then; a look that is old never lets
   * anybody take too many.
   */
  async free(task: string, concurrency: number, now: number): Promise<FreeSlot[]> {
    const { partitions } = this.#world;
    const [slots, uncapped] = await Promise.all([
      this.#held(task, [partitions.slots(task)], now),
      this.#capped.has(task) ? [] : this.#held(task, partitions.held(task), now),
    ]);
    if (uncapped.length === 0) this.#capped.add(task);
    return freeNumbers(new Set(slots.map(({ sort }) => Number(sort))), uncapped.length, concurrency);
  }

  /** Takes a slot for the run's next version; nothing if another run has it. */
  async take(slot: FreeSlot, row: TaskRow, at: number): Promise<HeldRef | undefined> {
    const { table, partitions, nonce, now } = this.#world;
    const ref = { partition: partitions.slots(row.task), sort: slotSort(slot), nonce: nonce() };
    const entry: HeldEntry = { id: row.id, version: row.version + 1, put: now(), nonce: ref.nonce, at };
    try {
      return { ...ref, version: await table.put(ref.partition, ref.sort, entry, { ifVersion: "absent" }) };
    } catch (error) {
      const found = await table.get<HeldEntry>(ref.partition, ref.sort);
      if (found?.value.nonce === ref.nonce) return { ...ref, version: found.version };
      if (isConflict(error)) return undefined;
      throw error;
    }
  }

  /** Entries of runs that hold a slot. Those of which the run should have been looked at are followed to it. */
  async #held(task: string, among: readonly string[], now: number): Promise<readonly Row<HeldEntry>[]> {
    const rows = await Promise.all(
      (await heldEntries(this.#world.table, among)).map(async (row) => {
        if (row.value.at > now) return row;
        return (await this.#world.repairs.follow(task, "held", row)) === "removed" ? undefined : row;
      }),
    );
    return rows.filter((row) => row !== undefined);
  }
}

/** All entries of runs that hold a slot. */
export async function heldEntries(table: TableReader, among: readonly string[]): Promise<Row<HeldEntry>[]> {
  const all = await Promise.all(
    among.map((partition) => take(rowsOf<HeldEntry>(table, partition), Number.POSITIVE_INFINITY)),
  );
  return all.flat();
}

/**
 * The free numbers below the highest line that keeps the cap: with all below it taken, and all above it that are,
 * there are no more than `concurrency`. Above the line are runs from when the cap was higher, and those from when
 * there was none. They only ever become fewer, so the line only rises, and whoever acts on an old look stays below it.
 */
export function freeNumbers(taken: ReadonlySet<number>, uncapped: number, concurrency: number): FreeSlot[] {
  let above = uncapped + [...taken].filter((number) => number >= concurrency).length;
  let line = concurrency;
  while (line > 0 && line + above > concurrency) {
    line -= 1;
    if (taken.has(line)) above += 1;
  }
  return Array.from({ length: line }, (_, number) => number).filter((number) => !taken.has(number));
}
