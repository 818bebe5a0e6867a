import type { Row, TableReader } from "../../ports.ts";
import { fromCursor, type Position, toCursor } from "../cursor.ts";
import type { TaskRow } from "../row.ts";
import type { RowPage } from "../store.ts";
import { isFinal, type TaskFilter } from "../task.ts";
import type { ListEntry } from "./entries.ts";
import { down, END, LIST_GROUPS, type ListGroup, listGroupOf, listOrder, type Partitions } from "./keys.ts";
import { LARGEST_PAGE, merged, rowsOf } from "./pages.ts";
import type { Repairs } from "./repairs.ts";
import type { Runs } from "./runs.ts";

/** What lists stand on. */
interface ListsWorld {
  readonly table: TableReader;
  readonly partitions: Partitions;
  readonly runs: Runs;
  readonly repairs: Repairs;
}

type ListRow = Row<ListEntry>;

/** By how much clocks of two submitters may differ, in milliseconds. */
const SKEW = 3_600_000;

/** Runs read at the same time. */
const AT_ONCE = 32;

/**
 * Lists of runs. The index has the newest first, open runs and ended ones by how they ended apart, so that a list by
 * status reads little else. Oldest first costs a walk over the whole window, since a table is read one way only.
 */
export class Lists {
  readonly #world: ListsWorld;

  constructor(world: ListsWorld) {
    this.#world = world;
  }

  async list(task: string, filter: TaskFilter): Promise<RowPage> {
    const { status, limit = 100, order = "newest", cursor } = filter;
    const position = cursor === undefined ? undefined : fromCursor(cursor);
    const entries =
      order === "newest" ? this.#entries(task, filter, position) : this.#oldestFirst(task, filter, position);
    const statuses = status === undefined ? undefined : [status].flat();
    const rows: TaskRow[] = [];
    const seen = new Set<string>();
    for await (const batch of batches(entries, Math.min(limit + 1, AT_ONCE))) {
      const found = await Promise.all(batch.map((entry) => this.#run(task, entry)));
      for (const row of found) {
        if (!row || seen.has(row.id) || (statuses && !statuses.includes(row.status))) continue;
        seen.add(row.id);
        rows.push(row);
        if (rows.length > limit) return { rows: rows.slice(0, limit), next: toCursor(rows[limit - 1]!) };
      }
    }
    return { rows };
  }

  /** The run, if it is still in this place; in which state does not matter. */
  async #run(task: string, entry: ListRow): Promise<TaskRow | undefined> {
    const row = (await this.#world.runs.load(task, entry.value.id))?.record.row;
    const isThere = row?.sequence === entry.value.sequence;
    // A list is often all that somebody may do: then others remove what leads nowhere.
    if (!isThere || (isFinal(row.status) && isOpen(entry))) {
      await this.#world.repairs.follow(task, "open", entry).catch(() => {});
    }
    return isThere ? row : undefined;
  }

  /** Entries of runs that match, but for their status, the newest first. */
  async *#entries(task: string, filter: TaskFilter, position?: Position): AsyncGenerator<ListRow, void, undefined> {
    const after = filter.after === undefined ? undefined : Date.parse(filter.after);
    const matches = matcher(filter);
    for await (const row of this.#walk(task, filter, startOf(filter, position))) {
      // Nearly in the order of time: an hour before the window, no more will come.
      if (after !== undefined && row.value.submitted < after - SKEW) return;
      if (matches(row.value)) yield row;
    }
  }

  async *#oldestFirst(task: string, filter: TaskFilter, position?: Position): AsyncGenerator<ListRow, void, undefined> {
    const end = position && listOrder(position.sequence, position.id);
    const found: ListRow[] = [];
    for await (const row of this.#entries(task, filter)) {
      if (end !== undefined && row.sort >= end) break;
      found.push(row);
    }
    yield* found.reverse();
  }

  /**
   * All entries of the groups asked for. A run that ends while it is looked for moves from the open ones to the ended
   * ones: so a stretch of open ones is read first, then the ended ones of the same stretch.
   */
  async *#walk(task: string, { status }: TaskFilter, start: string): AsyncGenerator<ListRow, void, undefined> {
    const { table, partitions } = this.#world;
    const groups: readonly ListGroup[] = status === undefined ? LIST_GROUPS : [status].flat().map(listGroupOf);
    const open = groups.includes("open") ? partitions.listed(task, "open") : [];
    const ended = LIST_GROUPS.filter((group) => group !== "open" && groups.includes(group)).flatMap((group) =>
      partitions.listed(task, group),
    );
    for (let after: string | undefined = start; after !== undefined; ) {
      const position: string = after;
      const pages = await Promise.all(
        open.map((partition) => table.query<ListEntry>(partition, { limit: LARGEST_PAGE, after: position })),
      );
      const ends = pages.flatMap(({ next }) => (next === undefined ? [] : [next]));
      const end = ends.length === 0 ? undefined : ends.reduce((first, one) => (one < first ? one : first));
      const sources = [
        ...pages.map(({ rows }) => each(rows)),
        ...ended.map((partition) => rowsOf<ListEntry>(table, partition, { after: position })),
      ];
      for await (const row of merged(sources)) {
        if (end !== undefined && row.sort > end) break;
        yield row;
      }
      after = end;
    }
  }
}

/** Behind the cursor, and not long before the window. */
function startOf({ before }: TaskFilter, position: Position | undefined): string {
  const starts = ["0"];
  if (position) starts.push(`${listOrder(position.sequence, position.id)}.${END}`);
  // Sequences are times in microseconds, or smaller numbers.
  if (before !== undefined) starts.push(down((Date.parse(before) + SKEW) * 1000));
  return starts.reduce((last, one) => (one > last ? one : last));
}

function matcher({ after, before, tenant, tags = {}, prefix = "" }: TaskFilter): (entry: ListEntry) => boolean {
  const [first, end] = [after, before].map((time) => (time === undefined ? undefined : Date.parse(time)));
  return ({ id, submitted, ...entry }) =>
    submitted >= (first ?? -Infinity) &&
    submitted < (end ?? Infinity) &&
    (tenant === undefined || entry.tenant === tenant) &&
    id.startsWith(prefix) &&
    Object.entries(tags).every(([tag, value]) => Object.hasOwn(entry.tags, tag) && entry.tags[tag] === value);
}

const isOpen = ({ partition }: ListRow): boolean => partition.includes("/open/");

async function* each(rows: readonly ListRow[]): AsyncGenerator<ListRow, void, undefined> {
  yield* rows;
}

async function* batches<Item>(
  source: AsyncGenerator<Item, void, undefined>,
  size: number,
): AsyncGenerator<Item[], void, undefined> {
  let batch: Item[] = [];
  for await (const item of source) {
    batch.push(item);
    if (batch.length < size) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}
