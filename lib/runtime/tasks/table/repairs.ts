import type { Clock } from "../../clock.ts";
import type { Row, TableReader, TableWriter } from "../../ports.ts";
import type { Entry, KeyName } from "./entries.ts";
import { isConflict, type Loaded, type Runs } from "./runs.ts";

/** How long a writer may take between an entry and its run before it is made to fail. It only has to start over. */
const PATIENCE = 60_000;

/** Follows entries to their runs, and removes those that lead nowhere. */
export class Repairs {
  readonly #runs: Runs;
  readonly #table: TableReader & TableWriter;
  readonly #clock: Clock;

  constructor(runs: Runs, table: TableReader & TableWriter, clock: Clock) {
    this.#runs = runs;
    this.#table = table;
    this.#clock = clock;
  }

  /** The run, if the entry is its own; else the entry is removed, unless a writer may be about to want it. */
  async follow(task: string, name: KeyName, entry: Row<Entry>): Promise<Loaded | "removed" | "pending"> {
    const { id, version, nonce } = entry.value;
    const found = await this.#runs.find(task, id);
    if (found && "run" in found) {
      const { record } = found.run;
      if (record.keys[name]?.nonce === nonce) return found.run;
      const isPast =
        version <= record.row.version || (this.#isOld(entry) && (await this.#runs.overtake(found.run, version)));
      if (!isPast) return "pending";
    } else {
      // One that is being inserted, or never was, or has been removed.
      const left = found?.tombstone.left ?? [];
      const isBuried = this.#isOld(entry) && (await this.#runs.bury(task, id, found?.version ?? "absent", left));
      if (!isBuried) return "pending";
      await this.#runs.sweep(task, id, left);
    }
    await this.#remove(entry);
    return "removed";
  }

  #isOld({ value: { put } }: Row<Entry>): boolean {
    return this.#clock.now() - put > PATIENCE;
  }

  /** As it was read: a slot may have been given to another run meanwhile. */
  async #remove({ partition, sort, version }: Row<Entry>): Promise<void> {
    try {
      await this.#table.remove(partition, sort, { ifVersion: version });
    } catch (error) {
      if (!isConflict(error)) throw error;
    }
  }
}
