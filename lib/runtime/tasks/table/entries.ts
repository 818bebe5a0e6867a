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
  from: { readonly row: TaskRow; readonly keys: Keys } | undefined,
  row: TaskRow,
  lasts: boolean,
  slot?: HeldRef,
): Moves {
  const { partitions } = world;
  const { task, id } = row;
  const puts: NewEntry[] = [];
  const make = (name: KeyName, all: readonly string[], order: string, more: object, expires?: number): EntryRef => {
    const nonce = world.nonce();
    const ref = { partition: partitions.of(all, id), sort: `${order}.${nonce}`, nonce };
    const value: Entry = { id, version: row.version, put: world.now(), nonce, ...more };
    puts.push({ name, ref, value, ...(expires !== undefined && { expires }) });
    return ref;
  };

  const keys: { -readonly [Name in keyof Keys]: Keys[Name] } = {};
  if (isWaiting(row)) {
    const expires = startBefore(row);
    const isSame = from && waitOrder(from.row) === waitOrder(row) && startBefore(from.row) === expires;
    keys.wait =
      (isSame ? from.keys.wait : undefined) ??
      make("wait", partitions.waiting(task), waitOrder(row), expires === undefined ? {} : { expires });
  }
  if (isHeld(row)) {
    keys.held = slot ?? from?.keys.held ?? make("held", partitions.held(task), labelOf(id), { at: row.lease });
  }
  const at = wakeTime(row, lasts);
  if (at !== undefined) {
    const known = from?.keys.wake;
    keys.wake = known?.at === at ? known : { ...make("wake", partitions.waking(task), wakeOrder(at, id), {}), at };
  }
  const place = listOrder(row.sequence, id);
  const isSamePlace = from?.row.sequence === row.sequence;
  const listed = {
    sequence: row.sequence,
    submitted: row.submitted,
    ...(row.tenant !== undefined && { tenant: row.tenant }),
    tags: row.tags,
  };
  if (isFinal(row.status)) {
    const isSame = isSamePlace && from?.row.status === row.status;
    const expires = lasts ? row.keep! + LONGER : row.keep!;
    keys.ended =
      (isSame ? from?.keys.ended : undefined) ??
      make("ended", partitions.listed(task, listGroupOf(row.status)), place, listed, expires);
  } else {
    keys.open =
      (isSamePlace ? from?.keys.open : undefined) ?? make("open", partitions.listed(task, "open"), place, listed);
  }
  return { keys, puts, drops: from ? dropped(from.keys, keys) : [] };
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
