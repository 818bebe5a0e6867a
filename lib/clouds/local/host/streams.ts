import type { StreamPlan } from "../../../parts/plan.ts";
import type { Clock } from "../../../runtime/clock.ts";
import { MillraceError } from "../../../runtime/errors.ts";
import type { StreamRecord } from "../../../runtime/events.ts";
import { partitionOf } from "../../../runtime/partitioner.ts";
import type { NewRecord } from "../../../runtime/ports.ts";
import { toBytes } from "../../../runtime/stream-records.ts";
import type { PartitionInfo, ReadOptions, RecordPlace, StreamInfo, StreamPage } from "../../../runtime/streams.ts";
import type { Duty } from "./agenda.ts";
import type { Journal } from "./journal.ts";

/** What is over its retention is of no harm, so collecting it has time; milliseconds between two collections. */
const COLLECTION_PAUSE = 60_000;
/** Bytes of one page that is read from outside, and one record more. */
const PAGE_BYTES = 8 * 2 ** 20;
const PAGE_RECORDS = 1000;
const MOST_PAGE_RECORDS = 10_000;

/** A log is one partition of one stream. The columns that are looked for come before those that may be large. */
const SCHEMA = `
  CREATE TABLE IF NOT EXISTS stream_logs (
    id INTEGER PRIMARY KEY,
    stream TEXT NOT NULL,
    partition INTEGER NOT NULL,
    next INTEGER NOT NULL DEFAULT 0,
    UNIQUE (stream, partition)
  ) STRICT;
  CREATE TABLE IF NOT EXISTS stream_records (
    log INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    appended INTEGER NOT NULL,
    timestamp INTEGER NOT NULL,
    headers TEXT,
    key BLOB,
    value BLOB,
    PRIMARY KEY (log, offset)
  ) STRICT, WITHOUT ROWID;
`;

interface RecordRow {
  readonly offset: number;
  readonly timestamp: number;
  readonly headers: string | null;
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
}

/** A record that is checked, and has its partition. */
interface Placed {
  readonly partition: number;
  readonly timestamp: number | undefined;
  readonly headers: string | null;
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
}

export interface StreamsOptions {
  readonly journal: Journal;
  readonly clock: Clock;
  /** Called inside the transaction that appends records to the stream. */
  readonly onAppended: (stream: string) => void;
}

/** Which records of a partition are wanted. */
export interface Span {
  readonly from: number;
  /** The offset it ends before. @default where the partition ends */
  readonly before?: number;
  /** Most records. @default all */
  readonly most?: number;
  /** Most bytes of keys, values and headers; the first record is taken however large it is. @default any */
  readonly bytes?: number;
}

interface Stream {
  readonly plan: StreamPlan;
  /** The logs' ids, by partition. */
  readonly logs: readonly number[];
  /** Where the next record without a key goes. */
  turn: number;
}

/**
 * The local cloud's streams: partitions of records with offsets from 0 without gaps, kept for as long as the plan says
 * since they were appended, whatever time they say of themselves.
 */
export class Streams implements Duty {
  readonly #journal: Journal;
  readonly #clock: Clock;
  readonly #onAppended: (stream: string) => void;
  readonly #streams = new Map<string, Stream>();
  /** When the first record is over its retention; undefined: has to be looked up. */
  #expiry: number | undefined;
  #collected = Number.NEGATIVE_INFINITY;

  constructor({ journal, clock, onAppended }: StreamsOptions) {
    this.#journal = journal;
    this.#clock = clock;
    this.#onAppended = onAppended;
    journal.define(SCHEMA);
  }

  /** Makes a stream, or changes its plan; its records stay, and so do its partitions where the plan has fewer. */
  define(plan: StreamPlan): void {
    const logs = this.#journal.transaction(() => {
      const add = this.#journal.sql("INSERT OR IGNORE INTO stream_logs (stream, partition) VALUES (?, ?)");
      for (let partition = 0; partition < plan.partitions; partition += 1) add.run(plan.name, partition);
      return this.#journal.sql("SELECT id FROM stream_logs WHERE stream = ? ORDER BY partition").all(plan.name);
    });
    const { turn = 0 } = this.#streams.get(plan.name) ?? {};
    // Anew at the end, so that they are in the order of the plan that was defined last.
    this.#streams.delete(plan.name);
    this.#streams.set(plan.name, { plan, logs: logs.map(({ id }) => id as number), turn });
    this.#expiry = undefined;
  }

  /** Forgets a stream; its records stay in the journal, for when it is defined again. */
  remove(stream: string): void {
    this.#streams.delete(stream);
    this.#expiry = undefined;
  }

  /** In the order they were defined. */
  names(): readonly string[] {
    return [...this.#streams.keys()];
  }

  plan(stream: string): StreamPlan {
    return this.#stream(stream).plan;
  }

  /** The logs of a stream, by partition. */
  logs(stream: string): readonly number[] {
    return this.#stream(stream).logs;
  }

  /** @throws `bad-input` if the stream has no such partition. */
  log(stream: string, partition: number): number {
    return this.logs(stream)[this.#checkPartition(stream, partition)]!;
  }

  /**
   * Appends records, as a part of the transaction it is called in: all of them or none.
   *
   * @throws `bad-input` for what is no record, and for a partition that the stream does not have.
   */
  append(stream: string, records: readonly NewRecord[]): readonly RecordPlace[] {
    const known = this.#stream(stream);
    const now = Math.floor(this.#clock.now());
    const placed = records.map((record, index) => this.#place(known, record, `records[${index}]`));
    return this.#journal.transaction(() => {
      const ends = new Map<number, number>();
      const insert = this.#journal.sql(`INSERT INTO stream_records (${COLUMNS}, log, appended) VALUES (${VALUES})`);
      const places = placed.map(({ partition, timestamp = now, headers, key, value }) => {
        const log = known.logs[partition]!;
        const offset = ends.get(log) ?? this.end(log);
        insert.run(offset, timestamp, headers, key, value, log, now);
        ends.set(log, offset + 1);
        return { partition, offset };
      });
      for (const [log, next] of ends) this.#journal.sql("UPDATE stream_logs SET next = ? WHERE id = ?").run(next, log);
      if (ends.size > 0) this.#tell(stream);
      return places;
    });
  }

  /** Records of one partition; where those that are asked for are gone already, from the first there is. */
  take(stream: string, partition: number, { from, before, most = Infinity, bytes = Infinity }: Span): StreamRecord[] {
    const records: StreamRecord[] = [];
    if (most < 1) return records;
    const rows = this.#journal
      .sql(`SELECT ${COLUMNS} FROM stream_records WHERE log = ? AND offset >= ? AND offset < ? ORDER BY offset`)
      .iterate(this.log(stream, partition), from, before ?? Number.MAX_SAFE_INTEGER);
    let size = 0;
    for (const row of rows as unknown as Iterable<RecordRow>) {
      size += (row.key?.length ?? 0) + (row.value?.length ?? 0) + (row.headers?.length ?? 0);
      if (size > bytes && records.length > 0) break;
      records.push(toRecord(partition, row));
      if (records.length >= most) break;
    }
    return records;
  }

  /** The offset of a log's next record. */
  end(log: number): number {
    return this.#journal.sql("SELECT next FROM stream_logs WHERE id = ?").get(log)!.next as number;
  }

  /** The first record of a log from that offset on: where it lies, and when it was appended. */
  first(log: number, from = 0): { readonly offset: number; readonly appended: number } | undefined {
    return this.#journal
      .sql("SELECT offset, appended FROM stream_records WHERE log = ? AND offset >= ? ORDER BY offset LIMIT 1")
      .get(log, from) as { offset: number; appended: number } | undefined;
  }

  list(): readonly StreamInfo[] {
    return this.names().map((stream) => ({
      stream,
      partitions: this.logs(stream).map((log, partition): PartitionInfo => {
        const next = this.end(log);
        return { partition, first: this.first(log)?.offset ?? next, next };
      }),
    }));
  }

  /** @throws `bad-input` for a partition that the stream does not have, and for numbers that are none. */
  read(stream: string, { partition, from = 0, limit = PAGE_RECORDS }: ReadOptions): StreamPage {
    checkNumber("from", from, 0, Number.MAX_SAFE_INTEGER);
    checkNumber("limit", limit, 1, MOST_PAGE_RECORDS);
    const end = this.end(this.log(stream, partition));
    const records = this.take(stream, partition, { from, most: limit, bytes: PAGE_BYTES });
    return { records, next: (records.at(-1)?.offset ?? Math.max(from, end) - 1) + 1 };
  }

  /** When records are to be collected next. */
  next(): number | undefined {
    this.#expiry ??= this.#firstExpiry();
    return this.#expiry === Infinity ? undefined : Math.max(this.#expiry, this.#collected + COLLECTION_PAUSE);
  }

  /** Removes what is over its retention. */
  run(now: number): void {
    for (const { plan, logs } of this.#streams.values()) {
      const bound = now - plan.retention * 1000;
      for (const log of logs) if ((this.first(log)?.appended ?? Infinity) <= bound) this.#collect(log, bound);
    }
    this.#collected = now;
    this.#expiry = undefined;
  }

  #tell(stream: string): void {
    // Where there was none, there is now a first record that will expire.
    if (this.#expiry === Infinity) this.#expiry = undefined;
    this.#onAppended(stream);
  }

  #collect(log: number, bound: number): void {
    const kept = this.#journal
      .sql("SELECT offset FROM stream_records WHERE log = ? AND appended > ? ORDER BY offset LIMIT 1")
      .get(log, bound) as { offset: number } | undefined;
    this.#journal
      .sql("DELETE FROM stream_records WHERE log = ? AND offset < ?")
      .run(log, kept?.offset ?? this.end(log));
  }

  #firstExpiry(): number {
    const times = [...this.#streams.values()].flatMap(({ plan, logs }) =>
      logs.map((log) => (this.first(log)?.appended ?? Infinity) + plan.retention * 1000),
    );
    return Math.min(Infinity, ...times);
  }

  #stream(stream: string): Stream {
    const known = this.#streams.get(stream);
    if (known) return known;
    throw new MillraceError("not-found", `no stream ${stream}; there are: ${this.names().join(", ") || "none"}`);
  }

  #checkPartition(stream: string, partition: number): number {
    const { length } = this.logs(stream);
    if (Number.isInteger(partition) && partition >= 0 && partition < length) return partition;
    throw new MillraceError("bad-input", `partition of stream ${stream}: 0 to ${length - 1}, got ${partition}`);
  }

  #place(stream: Stream, record: NewRecord, path: string): Placed {
    const key = bytesOf(record.key, `${path}.key`);
    const value = bytesOf(record.value, `${path}.value`);
    const { timestamp, headers = {} } = record;
    if (timestamp !== undefined) checkNumber(`${path}.timestamp`, timestamp, 0, Number.MAX_SAFE_INTEGER);
    return {
      partition: this.#choose(stream, record.partition, key),
      timestamp,
      headers: headersToText(headers, path),
      key,
      value,
    };
  }

  #choose(stream: Stream, partition: number | undefined, key: Uint8Array | null): number {
    const { plan, logs } = stream;
    if (partition !== undefined) return this.#checkPartition(plan.name, partition);
    if (key) return partitionOf(key, logs.length);
    stream.turn = (stream.turn + 1) % logs.length;
    return stream.turn;
  }
}

const COLUMNS = "offset, timestamp, headers, key, value";
const VALUES = "?, ?, ?, ?, ?, ?, ?";

const toRecord = (partition: number, { offset, timestamp, headers, key, value }: RecordRow): StreamRecord => ({
  partition,
  offset,
  timestamp,
  ...(key && { key }),
  ...(value && { value }),
  headers: headersFromText(headers),
});

/** Handlers are checked when they are compiled, or not at all. */
function bytesOf(content: unknown, path: string): Uint8Array | null {
  if (content === undefined) return null;
  if (typeof content === "string" || content instanceof Uint8Array) return toBytes(content);
  const given = content === null ? "null" : typeof content;
  throw new MillraceError("bad-input", `${path}: bytes (Uint8Array), a text, or left out; got ${given}`);
}

/** Base64 by name, for they are few and short. */
function headersToText(headers: Readonly<Record<string, unknown>>, path: string): string | null {
  const entries = Object.entries(headers).map(([name, value]) => {
    const bytes = bytesOf(value, `${path}.headers.${name}`);
    return [name, Buffer.from(bytes ?? []).toString("base64")] as const;
  });
  return entries.length === 0 ? null : JSON.stringify(Object.fromEntries(entries));
}

const headersFromText = (headers: string | null): Readonly<Record<string, Uint8Array>> =>
  headers === null
    ? {}
    : Object.fromEntries(
        Object.entries(JSON.parse(headers) as Readonly<Record<string, string>>).map(([name, value]) => [
          name,
          new Uint8Array(Buffer.from(value, "base64")),
        ]),
      );

function checkNumber(path: string, given: number, least: number, most: number): void {
  if (Number.isInteger(given) && given >= least && given <= most) return;
  throw new MillraceError("bad-input", `${path}: a whole number from ${least} to ${most}, got ${given}`);
}
