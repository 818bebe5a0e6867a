import type { Row, TableReader, TableWriter } from "../../ports.ts";
import { isHeld, type TaskRow, wakeOf } from "../row.ts";
import type { RowPage } from "../store.ts";
import type { Entry, HeldEntry, KeyName } from "./entries.ts";
import { END, type Partitions, readWake, wakeOrder } from "./keys.ts";
import { merged, rowsOf, take } from "./pages.ts";
import type { Repairs } from "./repairs.ts";
import { isConflict } from "./runs.ts";
import { heldEntries } from "./slots.ts";
import { earlier, nextStart } from "./waiting.ts";

/** What duties stand on. */
interface DutiesWorld {
  readonly table: TableReader & TableWriter;
  readonly partitions: Partitions;
  readonly repairs: Repairs;
  /** The tasks that are looked after here. */
  readonly tasks: readonly string[];
}

/** An entry that says it is time to look at a run. */
interface Reminder {
  readonly task: string;
  readonly name: KeyName;
  readonly at: number;
  readonly entry: Row<Entry>;
}

/** Runs followed at the same time. */
const AT_ONCE = 16;

/** Runs that somebody must look at: by what time, and which. */
export class Duties {
  readonly #world: DutiesWorld;

  constructor(world: DutiesWorld) {
    this.#world = world;
  }

  async due(now: number, limit: number): Promise<readonly TaskRow[]> {
    const reminders = await Promise.all(
      this.#world.tasks.flatMap((task) => [this.#waking(task, now, limit), this.#overdue(task, now)]),
    );
    const inOrder = reminders.flat().sort((one, other) => one.at - other.at);
    const rows: TaskRow[] = [];
    for (let start = 0; start < inOrder.length && rows.length < limit; start += AT_ONCE) {
      const batch = inOrder.slice(start, start + AT_ONCE);
      const found = await Promise.all(batch.map((reminder) => this.#follow(reminder, now)));
      rows.push(...found.filter((row) => row !== undefined));
    }
    return rows.slice(0, limit);
  }

  /** @param startedUntil until when waiting runs have been looked at, by task */
  async next(startedUntil: ReadonlyMap<string, number>): Promise<number | undefined> {
    const { table, partitions, tasks } = this.#world;
    const times = await Promise.all(
      tasks.flatMap((task) => [
        nextStart(table, partitions, task, startedUntil.get(task) ?? 0),
        this.#firstWaking(task),
        this.#held(task).then((rows) => rows.reduce(earliest, undefined)),
      ]),
    );
    return times.reduce((first, time) => earlier(first, time), undefined);
  }

  /** One partition after the other; a page may have fewer rows than it could. */
  async unsettled({ after, limit }: { readonly after?: string; readonly limit: number }): Promise<RowPage> {
    const { table, partitions, tasks, repairs } = this.#world;
    const sources = tasks.flatMap((task) => [
      ...[partitions.slots(task), ...partitions.held(task)].map(
        (partition) => ({ task, name: "held", partition }) as const,
      ),
      ...partitions.waking(task).map((partition) => ({ task, name: "wake", partition }) as const),
    ]);
    let [index, position] = after === undefined ? [0, ""] : (JSON.parse(after) as [number, string]);
    const rows: TaskRow[] = [];
    while (index < sources.length && rows.length < limit) {
      const { task, name, partition } = sources[index]!;
      const page = await table.query<Entry>(partition, {
        limit: Math.min(limit - rows.length, 1000),
        ...(position !== "" && { after: position }),
      });
      const runs = await Promise.all(page.rows.map((entry) => repairs.follow(task, name, entry)));
      for (const run of runs) {
        if (typeof run !== "object") continue;
        const { row } = run.record;
        if (isHeld(row) || row.deliveries.length > 0) rows.push(row);
      }
      [index, position] = page.next === undefined ? [index + 1, ""] : [index, page.next];
    }
    return index < sources.length ? { rows, next: JSON.stringify([index, position]) } : { rows };
  }

  async #waking(task: string, now: number, limit: number): Promise<Reminder[]> {
    const { table, partitions } = this.#world;
    const sources = partitions.waking(task).map((partition) => rowsOf<Entry>(table, partition, { limit }));
    const entries = await take(until(merged(sources), `${wakeOrder(now, "").slice(0, 16)}.${END}`), limit);
    return entries.map((entry) => ({ task, name: "wake", at: readWake(entry.sort), entry }));
  }

  async #overdue(task: string, now: number): Promise<Reminder[]> {
    const rows = (await this.#held(task)).filter(({ value }) => value.at <= now);
    return rows.map((entry) => ({ task, name: "held", at: entry.value.at, entry }));
  }

  #held(task: string): Promise<Row<HeldEntry>[]> {
    const { table, partitions } = this.#world;
    return heldEntries(table, [partitions.slots(task), ...partitions.held(task)]);
  }

  async #firstWaking(task: string): Promise<number | undefined> {
    const { table, partitions } = this.#world;
    const pages = await Promise.all(partitions.waking(task).map((partition) => table.query(partition, { limit: 1 })));
    return pages.reduce(
      (first: number | undefined, { rows: [row] }) => earlier(first, row && readWake(row.sort)),
      undefined,
    );
  }

  async #follow({ task, name, entry }: Reminder, now: number): Promise<TaskRow | undefined> {
    const run = await this.#world.repairs.follow(task, name, entry);
    if (typeof run !== "object") return undefined;
    const { row } = run.record;
    const at = wakeOf(row);
    if (at !== undefined && at <= now) return row;
    if (name === "held" && at !== undefined) await this.#remind(entry as Row<HeldEntry>, at);
    return undefined;
  }

  /** A lease was renewed: the run is next looked at when that is over. */
  async #remind({ partition, sort, version, value }: Row<HeldEntry>, at: number): Promise<void> {
    try {
      await this.#world.table.put(partition, sort, { ...value, at }, { ifVersion: version });
    } catch (error) {
      if (!isConflict(error)) throw error;
    }
  }
}

const earliest = (first: number | undefined, { value }: Row<HeldEntry>): number | undefined => earlier(first, value.at);

async function* until(
  rows: AsyncGenerator<Row<Entry>, void, undefined>,
  last: string,
): AsyncGenerator<Row<Entry>, void, undefined> {
  for await (const row of rows) {
    if (row.sort > last) return;
    yield row;
  }
}
