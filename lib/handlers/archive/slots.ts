import { MillraceError } from "../../runtime/errors.ts";
import type { Row, TableReader, TableWriter } from "../../runtime/ports.ts";

/*
 * Every line exactly once, by one row
 *
 * An application has N slots, and the records of a partition always go to the same one: partition modulo N. A slot is
 * one row of the table, with all that counts: who holds it, the file that is written, *how much of that file counts*,
 * and per partition the offset that everything before is archived. A row is put by its version, so:
 *
 * - Lines and marks are one write. A writer appends to the file, flushes, and puts length and marks together: before
 *   that put nothing of what it wrote counts, after it all of it does. What is given again, however it is cut, is
 *   skipped up to the mark.
 * - A file is written by one at a time. To write, the slot is taken by a put. Who finds it given back goes on with its
 *   file; who finds it held and its lease over takes it with a new file, under the next token. So a writer that was
 *   asleep writes to a file that nobody appends to any more, behind the length that counts, and its own put is refused:
 *   the row has another version. The lease only says how long to wait; if clocks differ, nothing goes wrong.
 * - A put of which nobody knows whether it was done is done again as it was, and is refused if it had been done: then
 *   the marks say so. A writer whose write failed never gives its file back, but closes it.
 * - Who reads, uploads or goes on with a file takes as many bytes of it as the row says. What is behind them is torn or
 *   was never acknowledged, and is cut off by who goes on.
 *
 * A file leaves the row when it was uploaded and looked at there, and only then the volume: killed in between, it lies
 * there without a row, and is removed when it is old.
 */

/** A file of an archive, as far as it counts. */
export interface ArchiveFile {
  readonly name: string;
  /** Bytes that count. */
  readonly length: number;
  /** CRC-32 of those bytes. */
  readonly crc: number;
  readonly records: number;
  /** When its first line was archived, milliseconds since 1970. */
  readonly begun: number;
  /** The least and the greatest timestamp of its records. */
  readonly earliest: number;
  readonly latest: number;
}

/** By stream and partition: everything before that offset is archived. */
export type Marks = Readonly<Record<string, Readonly<Record<string, number>>>>;

/** One of the files that an application is written to at once. */
export interface Slot {
  readonly application: string;
  readonly slot: number;
  /** How many the application has. */
  readonly slots: number;
  /** Of the file that is written, or of the last one. */
  readonly token: number;
  /** Who writes, and until when nobody takes it from them, milliseconds since 1970. Absent: it was given back. */
  readonly holder?: { readonly by: string; readonly until: number };
  /** The file that is written. */
  readonly file?: ArchiveFile;
  /** Closed, still to be uploaded; oldest first. */
  readonly sealed: readonly ArchiveFile[];
  readonly marks: Marks;
}

/** An application that has slots. */
export interface Application {
  readonly application: string;
  readonly slots: number;
}

export type SlotRow = Row<Slot>;
/** A slot as it is in the table, or as it will be first. */
export interface FoundSlot {
  readonly value: Slot;
  readonly version: string | "absent";
}

const APPLICATIONS = "applications";
const SLOT = "slot/";

/** Slots and applications in a table. */
export class Slots {
  readonly #table: TableReader & TableWriter;

  constructor(table: TableReader & TableWriter) {
    this.#table = table;
  }

  /** The slots that an application has used so far. */
  async of(folder: string): Promise<readonly SlotRow[]> {
    const rows: SlotRow[] = [];
    for (let after: string | undefined; ; ) {
      const page = await this.#table.query<Slot>(partitionOf(folder), {
        prefix: SLOT,
        ...(after !== undefined && { after }),
      });
      rows.push(...page.rows);
      if (page.next === undefined) return rows;
      after = page.next;
    }
  }

  async get(folder: string, slot: number): Promise<SlotRow | undefined> {
    return this.#table.get<Slot>(partitionOf(folder), sortOf(slot));
  }

  /**
   * The new version.
   *
   * @throws `conflict` if it is not what was found any more
   */
  put(folder: string, { version }: Pick<FoundSlot, "version">, slot: Slot): Promise<string> {
    return this.#table.put(partitionOf(folder), sortOf(slot.slot), slot, { ifVersion: version });
  }

  /** How many slots an application has: what was said when it was first seen, for marks do not move. */
  async register(folder: string, application: Application): Promise<number> {
    const known = await this.#table.get<Application>(APPLICATIONS, folder);
    if (known) return known.value.slots;
    try {
      await this.#table.put(APPLICATIONS, folder, application, { ifVersion: "absent" });
      return application.slots;
    } catch (error) {
      if (!(error instanceof MillraceError) || error.kind !== "conflict") throw error;
      return (await this.#table.get<Application>(APPLICATIONS, folder))?.value.slots ?? application.slots;
    }
  }

  /** All applications, by their folders. */
  async *applications(): AsyncGenerator<readonly string[], void, undefined> {
    for (let after: string | undefined; ; ) {
      const page = await this.#table.query<Application>(APPLICATIONS, { ...(after !== undefined && { after }) });
      yield page.rows.map(({ sort }) => sort);
      if (page.next === undefined) return;
      after = page.next;
    }
  }
}

const partitionOf = (folder: string): string => `app/${folder}`;
const sortOf = (slot: number): string => SLOT + String(slot).padStart(4, "0");

/** Whether nobody may take it yet. */
export const isHeld = ({ holder }: Slot, now: number): boolean => holder !== undefined && holder.until > now;

/** The slot without its file, which is closed as far as it counts. */
export function sealed({ file, holder: _, ...slot }: Slot): Slot {
  return { ...slot, sealed: file && file.length > 0 ? [...slot.sealed, file] : slot.sealed };
}

/** Whether a file is to be closed. Nothing of two hours is in one file: its key names the hour. */
export const isDue = (
  { begun, length }: ArchiveFile,
  { size, age }: { readonly size: number; readonly age: number },
  now: number,
): boolean => length > 0 && (length >= size || now - begun >= age || hourOf(now) !== hourOf(begun));

const HOUR = 3_600_000;
const hourOf = (time: number): number => Math.floor(time / HOUR);

/** The offset in a partition that everything before is archived. */
export const markOf = ({ marks }: Slot, stream: string, partition: number): number => marks[stream]?.[partition] ?? 0;

export const withMarks = (marks: Marks, stream: string, moved: Readonly<Record<number, number>>): Marks => ({
  ...marks,
  [stream]: { ...marks[stream], ...moved },
});
