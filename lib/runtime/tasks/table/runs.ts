import type { Clock } from "../../clock.ts";
import { toErrorRecord } from "../../errors.ts";
import type { TableReader, TableWriter } from "../../ports.ts";
import type { TaskRow } from "../row.ts";
import type { BodyName, RowExtras } from "../store.ts";
import { isFinal, type TaskEvent } from "../task.ts";
import {
  type EntryWorld,
  type HeldEntry,
  type HeldRef,
  type KeyName,
  type Keys,
  type Moves,
  moveEntries,
} from "./entries.ts";
import { type Partitions, RUN, runPartition } from "./keys.ts";
import {
  addEvent,
  type Beside,
  besideOf,
  chunkSort,
  fitted,
  isChunk,
  partsOf,
  placeBodies,
  type RunRecord,
  type Tombstone,
  textIn,
} from "./record.ts";

/** What runs in a table stand on. */
export interface RunsWorld {
  /** Reads must answer what was written last. */
  readonly table: TableReader & TableWriter;
  readonly partitions: Partitions;
  readonly clock: Clock;
  /** From 0 up to, not including, 1. */
  readonly random: () => number;
}

/** A run as it was found. */
export interface Loaded {
  readonly record: RunRecord;
  /** The table's version of the record: what a change is conditional on. */
  readonly version: string;
  readonly expires?: number;
}

/** What lies at a run's place. */
export type Found = { readonly run: Loaded } | { readonly tombstone: Tombstone; readonly version: string } | undefined;

/** A change of a run, ready to be written. */
interface Change extends Moves {
  readonly record: RunRecord;
  readonly expires: number | undefined;
  readonly beside: readonly Beside[];
}

type Written = { readonly stored: Loaded } | { readonly instead: Found };

/** How long an insert that came too late is kept from happening. */
const TOMBSTONE_LIFE = 86_400_000;

/** Entries to be removed that are remembered; whoever meets the others removes them. */
const MOST_LEFTOVERS = 1000;

/** Runs as rows of a table, each changed by one conditional put. */
export class Runs {
  readonly #world: RunsWorld;
  readonly #entries: EntryWorld;
  /** What is known of rows handed out, so that a change of one reads nothing. */
  readonly #known = new WeakMap<TaskRow, Loaded>();
  /** Entries that could not be removed; tried again with the next ones. */
  readonly #leftovers: (readonly [KeyName, HeldRef])[] = [];

  constructor(world: RunsWorld) {
    const { partitions, clock } = world;
    this.#world = world;
    this.#entries = { partitions, nonce: () => this.nonce(), now: () => clock.now() };
  }

  /** A text nobody else has. */
  nonce(): string {
    const digit = () => Math.floor(this.#world.random() * 36 ** 5).toString(36);
    return `${digit()}-${digit()}-${digit()}`;
  }

  async find(task: string, id: string): Promise<Found> {
    const row = await this.#world.table.get<RunRecord | Tombstone>(runPartition(task, id), RUN);
    if (!row) return undefined;
    const { value, version, expires } = row;
    if ("gone" in value) return { tombstone: value, version };
    return { run: this.#remember({ record: value, version, ...expiring(expires) }) };
  }

  async load(task: string, id: string): Promise<Loaded | undefined> {
    const found = await this.find(task, id);
    return found && "run" in found ? found.run : undefined;
  }

  async insert(row: TaskRow, extras: RowExtras): Promise<TaskRow | undefined> {
    for (let before = "absent"; ; ) {
      const change = this.#change(undefined, row, extras);
      await this.#prepare(change);
      const written = await this.#write(change, before);
      if ("stored" in written) return undefined;
      const { instead } = written;
      const run = instead && "run" in instead ? instead.run.record : undefined;
      await this.#undo(change, run);
      if (run) return run.row;
      before = instead && "tombstone" in instead ? instead.version : "absent";
    }
  }

  /**
   * Replaces a row by its next one.
   *
   * @param slot the slot taken for a run that begins to hold one
   * @returns the row as it is stored; nothing if the stored one is no longer `from`
   */
  async replace(from: TaskRow, to: TaskRow, extras: RowExtras, slot?: HeldRef): Promise<TaskRow | undefined> {
    let current = this.#known.get(from) ?? (await this.load(from.task, from.id));
    while (current && current.record.row.version === from.version) {
      const row = { ...withProgress(from, to, current.record.row), version: from.version + 1 };
      const planned = this.#change(current.record, row, extras, slot);
      await this.#prepare(planned);
      const change = await this.#hastened(current.record, planned);
      const written = await this.#write(change, current.version);
      if ("stored" in written) {
        await this.#clear(current.record, change);
        return written.stored.record.row;
      }
      current = written.instead && "run" in written.instead ? written.instead.run : undefined;
      await this.#undo(change, current?.record);
    }
    return undefined;
  }

  /**
   * Changes a record, but not its version or what leads to it.
   *
   * @param amend the changed record and what is put beside it; nothing to leave it
   * @returns whether it was changed
   */
  async amend(
    task: string,
    id: string,
    amend: (record: RunRecord) => { readonly record: RunRecord; readonly beside?: readonly Beside[] } | undefined,
  ): Promise<boolean> {
    let current = await this.load(task, id);
    while (current) {
      const amended = amend(current.record);
      if (!amended) return false;
      const { expires } = current;
      await this.#putBeside(amended.record, amended.beside ?? [], expires);
      const record = fitted({ ...amended.record, nonce: this.nonce() });
      const written = await this.#write({ record, expires }, current.version);
      if ("stored" in written) return true;
      current = written.instead && "run" in written.instead ? written.instead.run : undefined;
    }
    return false;
  }

  async remove(row: TaskRow): Promise<boolean> {
    let current = this.#known.get(row) ?? (await this.load(row.task, row.id));
    while (current && current.record.row.version === row.version) {
      const { record, version } = current;
      if (await this.bury(row.task, row.id, version, besideOf(record))) {
        await this.#forget(record);
        return true;
      }
      current = await this.load(row.task, row.id);
    }
    return false;
  }

  /**
   * Puts a tombstone where a run is or might come: whoever is about to insert it there, fails.
   *
   * @param left sort keys of rows that may still lie beside the run
   * @returns false if somebody else was faster
   */
  async bury(task: string, id: string, ifVersion: string, left: readonly string[] = []): Promise<boolean> {
    const { table, clock } = this.#world;
    const tombstone: Tombstone = { gone: true, nonce: this.nonce(), left };
    try {
      await table.put(runPartition(task, id), RUN, tombstone, { ifVersion, expires: clock.now() + TOMBSTONE_LIFE });
      return true;
    } catch (error) {
      const found = await this.find(task, id);
      if (found && "tombstone" in found && found.tombstone.nonce === tombstone.nonce) return true;
      if (isConflict(error)) return false;
      throw error;
    }
  }

  /**
   * Moves a run on to that version, so that a writer that prepared it fails.
   *
   * @returns false if somebody else was faster
   */
  async overtake({ record, version, expires }: Loaded, past: number): Promise<boolean> {
    const next = { ...record, row: { ...record.row, version: past }, nonce: this.nonce() };
    return "stored" in (await this.#write({ record: next, expires }, version));
  }

  async body(task: string, id: string, name: BodyName): Promise<string | undefined> {
    const record = (await this.load(task, id))?.record;
    const place = record?.bodies[name];
    if (!record || !place) return undefined;
    const text = textIn(record, name);
    if (text !== undefined) return text;
    const { table } = this.#world;
    const parts = await Promise.all(partsOf(place).map((sort) => table.get<string>(runPartition(task, id), sort)));
    return parts.every((part) => part !== undefined) ? parts.map(({ value }) => value).join("") : undefined;
  }

  async events(task: string, id: string): Promise<readonly TaskEvent[]> {
    const record = (await this.load(task, id))?.record;
    if (!record) return [];
    const { table } = this.#world;
    const chunks = await Promise.all(
      record.chunks.map((chunk) => table.get<readonly TaskEvent[]>(runPartition(task, id), chunkSort(chunk))),
    );
    return [...chunks.flatMap((chunk) => chunk?.value ?? []), ...record.events];
  }

  /** Removes what lay beside a run that is gone. */
  async sweep(task: string, id: string, left: readonly string[]): Promise<void> {
    await Promise.all(left.map((sort) => this.#world.table.remove(runPartition(task, id), sort)));
  }

  /** Removes entries nobody refers to. What cannot be removed now is tried again with the next ones. */
  async discard(refs: readonly (readonly [KeyName, HeldRef])[]): Promise<void> {
    const all = [...this.#leftovers.splice(0), ...refs];
    await Promise.all(
      all.map(async (one) => {
        try {
          await this.#discardOne(...one);
        } catch {
          if (this.#leftovers.length < MOST_LEFTOVERS) this.#leftovers.push(one);
        }
      }),
    );
  }

  /** A slot may be another run's by now: it is removed only if it is still the one meant. */
  async #discardOne(name: KeyName, { partition, sort, nonce, version }: HeldRef): Promise<void> {
    const { table } = this.#world;
    if (name !== "held" || version === undefined) return table.remove(partition, sort);
    try {
      await table.remove(partition, sort, { ifVersion: version });
    } catch (error) {
      if (!isConflict(error)) throw error;
      const found = await table.get<HeldEntry>(partition, sort);
      if (found?.value.nonce === nonce) await table.remove(partition, sort, { ifVersion: found.version });
    }
  }

  #change(from: RunRecord | undefined, row: TaskRow, { event, bodies }: RowExtras, slot?: HeldRef): Change {
    const { beside: aside, ...events } = addEvent(from ?? { events: [], chunks: [] }, event);
    const placed = placeBodies(from?.bodies ?? {}, row, bodies, () => this.nonce());
    const plain = { row, keys: {}, nonce: this.nonce(), ...events, bodies: placed.bodies };
    // What lies elsewhere does not expire with the row: somebody has to remove it.
    const lasts = row.claims.length > 0 || besideOf(plain).length > 0;
    const isOver = isFinal(row.status) && row.deliveries.length === 0;
    const moves = moveEntries(this.#entries, from, row, lasts, slot);
    return {
      ...moves,
      record: fitted({ ...plain, keys: moves.keys }),
      expires: isOver && !lasts ? row.keep : undefined,
      beside: [...aside, ...placed.beside],
    };
  }

  /** Puts all that is to be there before the run changes. */
  async #prepare({ record, puts, beside }: Change): Promise<void> {
    const { table } = this.#world;
    await Promise.all([
      ...puts.map(({ ref, value, expires }) => table.put(ref.partition, ref.sort, value, expiring(expires))),
      this.#putBeside(record, beside),
    ]);
  }

  async #putBeside({ row: { task, id } }: RunRecord, beside: readonly Beside[], expires?: number): Promise<void> {
    const { table } = this.#world;
    const partition = runPartition(task, id);
    await Promise.all(beside.map(({ sort, value }) => table.put(partition, sort, value, expiring(expires))));
  }

  /** A slot's entry says when to look at the run; a lease that ends sooner than it did, as a stop's, is told to it. */
  async #hastened({ row, keys }: RunRecord, change: Change): Promise<Change> {
    const { held } = keys;
    const { lease } = change.record.row;
    if (!held || change.keys.held !== held || lease === undefined || lease >= (row.lease ?? lease)) return change;
    const { table } = this.#world;
    const entry = await table.get<HeldEntry>(held.partition, held.sort);
    if (entry?.value.nonce !== held.nonce || entry.value.at <= lease) return change;
    const value = { ...entry.value, at: lease };
    try {
      const version = await table.put(held.partition, held.sort, value, { ifVersion: entry.version });
      if (held.version === undefined) return change;
      const moved = { ...change.keys, held: { ...held, version } };
      return { ...change, keys: moved, record: { ...change.record, keys: moved } };
    } catch (error) {
      // Somebody who looked after the run has just told it a time; at worst it is looked at then.
      if (isConflict(error)) return change;
      throw error;
    }
  }

  /**
   * The one write that counts.
   *
   * @throws whatever the table says, if nobody knows whether the write took place
   */
  async #write({ record, expires }: Pick<Change, "record" | "expires">, ifVersion: string): Promise<Written> {
    const { task, id } = record.row;
    try {
      const options = { ifVersion, ...expiring(expires) };
      const version = await this.#world.table.put(runPartition(task, id), RUN, record, options);
      return { stored: this.#remember({ record, version, ...expiring(expires) }) };
    } catch (error) {
      // A client that got no answer tries again, and is then refused by its own first try.
      const instead = await this.find(task, id);
      if (instead && "run" in instead && instead.run.record.nonce === record.nonce) return { stored: instead.run };
      if (isConflict(error)) return { instead };
      throw error;
    }
  }

  /** Removes what was prepared for a change that did not take place, or did and is over. */
  async #undo({ puts, beside, record }: Change, current: RunRecord | undefined): Promise<void> {
    const kept = new Set(current ? refsOf(current.keys).map(([, { nonce }]) => nonce) : []);
    const used = new Set(current ? besideOf(current) : []);
    const { task, id } = record.row;
    await this.discard(puts.flatMap(({ name, ref }) => (kept.has(ref.nonce) ? [] : [[name, ref] as const])));
    // A chunk of events has the same content whoever puts it, so it may be another writer's too.
    const own = beside.map(({ sort }) => sort).filter((sort) => !used.has(sort) && !isChunk(sort));
    await this.sweep(task, id, own).catch(() => {});
  }

  /** Removes what the run has left behind in a change. Failing is no harm: whoever meets it removes it. */
  async #clear(from: RunRecord, { record, drops }: Change): Promise<void> {
    const used = new Set(besideOf(record));
    const { task, id } = record.row;
    const left = besideOf(from).filter((sort) => !used.has(sort));
    await Promise.all([this.discard(drops), this.sweep(task, id, left).catch(() => {})]);
  }

  /** After a tombstone: the entry that makes somebody look goes last, so that a crash in between leaves nothing. */
  async #forget(record: RunRecord): Promise<void> {
    const { wake, ...keys } = record.keys;
    const { task, id } = record.row;
    try {
      await this.sweep(task, id, besideOf(record));
    } catch {
      return;
    }
    await this.discard(refsOf(keys));
    if (wake) await this.discard([["wake", wake]]);
  }

  #remember(loaded: Loaded): Loaded {
    this.#known.set(loaded.record.row, loaded);
    return loaded;
  }
}

const refsOf = (keys: Keys): (readonly [KeyName, HeldRef])[] =>
  (Object.entries(keys) as [KeyName, HeldRef | undefined][]).flatMap(([name, ref]) => (ref ? [[name, ref]] : []));

const expiring = (expires: number | undefined) => (expires === undefined ? {} : { expires });

/** Progress is noted without a new version: a change made from a row before it does not undo it. */
function withProgress(from: TaskRow, to: TaskRow, current: TaskRow): TaskRow {
  const { progress, progressMessage } = current;
  return {
    ...to,
    ...(to.progress === from.progress && { progress }),
    ...(to.progressMessage === from.progressMessage && { progressMessage }),
  };
}

export const isConflict = (error: unknown): boolean => toErrorRecord(error).kind === "conflict";
