import { MillraceError } from "../../errors.ts";
import type { TaskRow } from "../row.ts";
import type { BodyName, RowExtras } from "../store.ts";
import type { TaskEvent } from "../task.ts";
import type { Keys } from "./entries.ts";

/** A run as it lies in the table: one row, so that state, history and place in every index change at once. */
export interface RunRecord {
  readonly row: TaskRow;
  /** The entries that lead to the run. All of them are there before the record says so. */
  readonly keys: Keys;
  /** Another one at every write, by which a writer that got no answer knows its own. */
  readonly nonce: string;
  /** The latest events; older ones lie beside the run in `chunks`. */
  readonly events: readonly TaskEvent[];
  readonly chunks: readonly Chunk[];
  readonly bodies: Readonly<Partial<Record<BodyName, BodyPlace>>>;
}

/** What is left of a run that was removed, or could not be inserted: nobody may insert it by an older look. */
export interface Tombstone {
  readonly gone: true;
  readonly nonce: string;
  /** Sort keys of rows beside the run that may still be there. */
  readonly left: readonly string[];
}

/** First event and number of events. Events are only ever added, so the same chunk always has the same content. */
export type Chunk = readonly [first: number, count: number];

/** Where a body lies: in the row's own preview, in the record, or in rows beside it. */
export type BodyPlace = "preview" | { readonly text: string } | { readonly key: string; readonly parts: number };

/** A row to be put beside the run, before the record that refers to it. */
export interface Beside {
  readonly sort: string;
  readonly value: unknown;
}

/** A body up to this size lies in the record: every write of the record then pays for it, but no row of its own. */
const INLINE_BYTES = 4096;

/** 300 KB of UTF-8 at most. https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html */
const PART_CHARACTERS = 100_000;

/** Events in a record, in characters of JSON, before they go to a chunk. */
const INLINE_EVENTS = 8192;

/** The largest record: below DynamoDB's 400 KB with room for names, and NATS' 1 MB. */
const LARGEST = 350_000;

/** Attempts whose errors stay whole in a record that would be too large. */
const WHOLE_ATTEMPTS = 3;

export const chunkSort = ([first, count]: Chunk): string => `event/${String(first).padStart(9, "0")}-${count}`;

export const isChunk = (sort: string): boolean => sort.startsWith("event/");

const partSort = (key: string, part: number): string => `body/${key}/${part}`;

/** The events with one more, and the chunk that goes aside for it. */
export function addEvent(
  { events, chunks }: Pick<RunRecord, "events" | "chunks">,
  event: TaskEvent | undefined,
): Pick<RunRecord, "events" | "chunks"> & { readonly beside: readonly Beside[] } {
  if (!event) return { events, chunks, beside: [] };
  const all = [...events, event];
  if (events.length === 0 || JSON.stringify(all).length <= INLINE_EVENTS) return { events: all, chunks, beside: [] };
  const chunk: Chunk = [chunks.reduce((sum, [, count]) => sum + count, 0), events.length];
  return { events: [event], chunks: [...chunks, chunk], beside: [{ sort: chunkSort(chunk), value: events }] };
}

/** The places of a run's bodies after a change, and the rows that go beside it. */
export function placeBodies(
  places: RunRecord["bodies"],
  row: TaskRow,
  bodies: RowExtras["bodies"] = {},
  makeKey: () => string,
): { readonly bodies: RunRecord["bodies"]; readonly beside: readonly Beside[] } {
  const placed: Partial<Record<BodyName, BodyPlace>> = { ...places };
  const beside: Beside[] = [];
  for (const [name, text] of Object.entries(bodies) as [BodyName, string | null][]) {
    delete placed[name];
    if (text === null) continue;
    if ((name === "payload" || name === "result") && row[name]?.preview === text) placed[name] = "preview";
    else if (Buffer.byteLength(text) <= INLINE_BYTES) placed[name] = { text };
    else {
      const parts = split(text);
      const key = makeKey();
      placed[name] = { key, parts: parts.length };
      beside.push(...parts.map((value, part) => ({ sort: partSort(key, part), value })));
    }
  }
  return { bodies: placed, beside };
}

/** Sort keys of the rows a body fills. */
export const partsOf = (place: BodyPlace | undefined): readonly string[] =>
  typeof place === "object" && "key" in place
    ? Array.from({ length: place.parts }, (_, part) => partSort(place.key, part))
    : [];

/** Sort keys of all that lies beside the run. */
export const besideOf = ({ chunks, bodies }: Pick<RunRecord, "chunks" | "bodies">): readonly string[] => [
  ...chunks.map(chunkSort),
  ...Object.values(bodies).flatMap(partsOf),
];

/** A body's text, if it lies in the record. */
export function textIn({ row, bodies }: RunRecord, name: BodyName): string | undefined {
  const place = bodies[name];
  if (place === "preview") return name === "payload" || name === "result" ? row[name]?.preview : undefined;
  return place && "text" in place ? place.text : undefined;
}

/**
 * The record, within what every table takes: errors of earlier attempts are shortened if they must be.
 *
 * @throws `refused` if that is not enough.
 */
export function fitted(record: RunRecord): RunRecord {
  if (sizeOf(record) <= LARGEST) return record;
  const { row } = record;
  const attempts = row.attempts.map(({ error, ...attempt }, index) =>
    error && index < row.attempts.length - WHOLE_ATTEMPTS
      ? { ...attempt, error: { kind: error.kind, message: error.message.slice(0, 200) } }
      : { ...attempt, ...(error && { error }) },
  );
  const smaller = { ...record, row: { ...row, attempts } };
  const size = sizeOf(smaller);
  if (size <= LARGEST) return smaller;
  throw new MillraceError(
    "refused",
    `${row.task} "${row.id}": the run has ${size} bytes without its payload, a table's row takes ${LARGEST}; shorten its tags`,
  );
}

const sizeOf = (record: RunRecord): number => Buffer.byteLength(JSON.stringify(record));

function split(text: string): string[] {
  const parts: string[] = [];
  for (let start = 0; start < text.length; ) {
    let end = start + PART_CHARACTERS;
    // A pair of surrogates is one character; its halves have no UTF-8.
    if (/[\ud800-\udbff]/.test(text.charAt(end - 1))) end -= 1;
    parts.push(text.slice(start, end));
    start = end;
  }
  return parts;
}
