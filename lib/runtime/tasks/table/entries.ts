import { isHeld, isWaiting, type TaskRow } from "../row.ts";
import { isFinal } from "../task.ts";
import { labelOf, listGroupOf, listOrder, type Partitions, waitOrder, wakeOrder } from "./keys.ts";

/*
 * An entry leads to a run. The run says itself, in `keys`, which entries are its own; what any other one says does
 * not count. Hence the rule all of this rests on:
 *
 *     An entry is put before the run refers to it, and removed only after the run no longer does.
 *
 * So a process may die between any two writes: what remains is an entry too many, never one too few. Whoever meets
 * such an entry removes it. Its version tells whether it may: an entry is made for one version of the run. If the run
 * is that far and has other keys, nobody will ever want the entry, since every entry has a key of its own. If the run
 * is not that far, a writer may be about to refer to it; only when that takes too long, the run is moved past this
 * version first, so that the writer fails. See `Repairs`.
 */

/** One row of an index. */
export interface Entry {
  readonly id: string;
  /** The run's version this was made for. */
  readonly version: number;
  /** When it was put, milliseconds since 1970. */
  readonly put: number;
  /** No two entries have the same. */
  readonly nonce: string;
}

/** A waiting run. */
export interface WaitEntry extends Entry {
  /** Not started from then on. */
  readonly expires?: number;
}

/** A run that holds a slot. */
export interface HeldEntry extends Entry {
  /** Nobody needs to look at the run before then: its lease, or an earlier one of the same attempt. */
  readonly at: number;
}

/** A run in lists, with what they are filtered by and what never changes. */
export interface ListEntry extends Entry {
  readonly sequence: number;
  readonly submitted: number;
  readonly tenant?: string;
  readonly tags: TaskRow["tags"];
}

/** Where an entry lies. */
export interface EntryRef {
  readonly partition: string;
  readonly sort: string;
  readonly nonce: string;
}

/** The entry of a run that holds a slot: slots are used again, so the table's version says whose it is. */
export interface HeldRef extends EntryRef {
  readonly version?: string;
}

/** The entries a run has. */
export interface Keys {
  readonly wait?: EntryRef;
  readonly held?: HeldRef;
  readonly wake?: EntryRef & { readonly at: number };
  readonly open?: EntryRef;
  readonly ended?: EntryRef;
}
export type KeyName = keyof Keys;

/** An entry to be put. */
export interface NewEntry {
  readonly name: KeyName;
  readonly ref: EntryRef;
  readonly value: Entry;
  /** Milliseconds since 1970. */
  readonly expires?: number;
}

/** How a run's entries change with it. */
export interface Moves {
  readonly keys: Keys;
  /** To be put before the run changes. */
  readonly puts: readonly NewEntry[];
  /** To be removed after it has. */
  readonly drops: readonly (readonly [KeyName, HeldRef])[];
}

/** What entries are made with. */
export interface EntryWorld {
  readonly partitions: Partitions;
  readonly nonce: () => string;
  readonly now: () => number;
}

/** The entries of an ended run outlive it by that if it is removed by hand, so that lists find it until then. */
const LONGER = 7 * 86_400_000;

/**
 * The entries of a run that becomes `row`.
 *
 * @param from the run before; nothing if it is new
 * @param lasts whether the run stays until it is removed, instead of expiring by itself
 * @param slot the slot that was taken for it; without one, a run that begins to hold one is counted nowhere
 */
export function moveEntries(
  world: EntryWorld,
  from: Placed | undefined,
  row: TaskRow,
  lasts: boolean,
  slot?: HeldRef,
): Moves {
  const puts: NewEntry[] = [];
  const make = maker(world, row, puts);
  const wait = isWaiting(row) ? waitKey(from, row, make) : undefined;
  const held = isHeld(row) ? (slot ?? from?.keys.held ?? make("held", labelOf(row.id), { at: row.lease })) : undefined;
  const wake = wakeKey(from, row, lasts, make);
  const keys: Keys = {
    ...(wait && { wait }),
    ...(held && { held }),
    ...(wake && { wake }),
    ...listKey(from, row, lasts, make),
  };
  return { keys, puts, drops: from ? dropped(from.keys, keys) : [] };
}

/** A run and its entries. */
interface Placed {
  readonly row: TaskRow;
  readonly keys: Keys;
}

type Make = (name: KeyName, order: string, more?: object, expires?: number) => EntryRef;

/** Makes entries of the run, each with a key of its own. */
function maker({ partitions, nonce: makeNonce, now }: EntryWorld, row: TaskRow, puts: NewEntry[]): Make {
  const { task, id, version } = row;
  const among: Readonly<Record<KeyName, () => readonly string[]>> = {
    wait: () => partitions.waiting(task),
    held: () => partitions.held(task),
    wake: () => partitions.waking(task),
    open: () => partitions.listed(task, "open"),
    ended: () => partitions.listed(task, listGroupOf(row.status)),
  };
  return (name, order, more = {}, expires) => {
    const nonce = makeNonce();
    const ref = { partition: partitions.of(among[name](), id), sort: `${order}.${nonce}`, nonce };
    const value: Entry = { id, version, put: now(), nonce, ...more };
    puts.push({ name, ref, value, ...(expires !== undefined && { expires }) });
    return ref;
  };
}

function waitKey(from: Placed | undefined, row: TaskRow, make: Make): EntryRef {
  const expires = startBefore(row);
  const isSame = from && waitOrder(from.row) === waitOrder(row) && startBefore(from.row) === expires;
  const kept = isSame ? from.keys.wait : undefined;
  return kept ?? make("wait", waitOrder(row), expires === undefined ? {} : { expires });
}

function wakeKey(from: Placed | undefined, row: TaskRow, lasts: boolean, make: Make): Keys["wake"] {
  const at = wakeTime(row, lasts);
  if (at === undefined) return undefined;
  const kept = from?.keys.wake;
  return kept?.at === at ? kept : { ...make("wake", wakeOrder(at, row.id)), at };
}

function listKey(from: Placed | undefined, row: TaskRow, lasts: boolean, make: Make): Pick<Keys, "open" | "ended"> {
  const { id, sequence, submitted, tenant, tags, status } = row;
  const listed = { sequence, submitted, ...(tenant !== undefined && { tenant }), tags };
  const order = listOrder(sequence, id);
  const kept = from?.row.sequence === sequence ? from : undefined;
  if (!isFinal(status)) return { open: kept?.keys.open ?? make("open", order, listed) };
  const ended = kept?.row.status === status ? kept.keys.ended : undefined;
  return { ended: ended ?? make("ended", order, listed, lasts ? row.keep! + LONGER : row.keep!) };
}

/**
 * Entries the run no longer has. That of an end it was retried from stays until it expires: a list that has read the
 * open runs before the retry then still finds the run in its place.
 */
const dropped = (before: Keys, after: Keys): (readonly [KeyName, HeldRef])[] =>
  (["wait", "open", "wake", "held"] as const).flatMap((name) => {
    const ref = before[name];
    return ref && ref.nonce !== after[name]?.nonce ? [[name, ref] as const] : [];
  });

/** When a waiting run is given up; a run that has started once never is. */
const startBefore = ({ started, expires }: TaskRow): number | undefined =>
  started === undefined ? expires : undefined;

/** When the run must be looked at, unless it holds a slot, which has its own entry, or expires by itself. */
function wakeTime(row: TaskRow, lasts: boolean): number | undefined {
  if (isWaiting(row)) return startBefore(row);
  if (!isFinal(row.status)) return undefined;
  if (row.deliveries.length > 0) return Math.min(...row.deliveries.map(({ at }) => at));
  return lasts ? row.keep : undefined;
}
