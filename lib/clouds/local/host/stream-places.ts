import { MillraceError } from "../../../runtime/errors.ts";
import type { NewRecord } from "../../../runtime/ports.ts";
import type { GroupLag, PartitionLag } from "../../../runtime/streams.ts";
import type { Journal } from "./journal.ts";
import type { Streams } from "./streams.ts";

/** A place is a group's, and moves when a batch is done; a ledger is a function's own, and moves when it says so. */
const SCHEMA = `
  CREATE TABLE IF NOT EXISTS stream_places (
    name TEXT NOT NULL,
    log INTEGER NOT NULL,
    next INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    until INTEGER,
    due INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (name, log)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS stream_ledgers (
    name TEXT NOT NULL,
    log INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    next INTEGER,
    PRIMARY KEY (name, log)
  ) STRICT, WITHOUT ROWID;
`;

/** What waits for a group in one partition. */
export interface Waiting {
  readonly partition: number;
  /** The offset of the first record. */
  readonly from: number;
  /** Records. */
  readonly count: number;
  /** When the first one was appended, milliseconds since 1970. */
  readonly since: number;
  /** The batch that begins with it and has failed, if one has. */
  readonly failed?: FailedBatch;
}

export interface FailedBatch {
  /** How often it has been tried. */
  readonly attempts: number;
  /** The offset after its last record. */
  readonly until: number;
  /** When it is tried again, milliseconds since 1970. */
  readonly due: number;
}

interface PlaceRow {
  readonly partition: number;
  readonly log: number;
  readonly next: number;
  readonly head: number;
  readonly attempts: number;
  readonly until: number | null;
  readonly due: number;
}

/** A claim as the channel has it. */
export interface LocalClaim {
  readonly partition: number;
  /** Grows with every claim. */
  readonly epoch: number;
  readonly next?: number;
}

/** What a claim commits. */
export interface LocalCommit {
  readonly partition: number;
  readonly epoch: number;
  readonly next: number;
  readonly sends: readonly { readonly stream: string; readonly records: readonly NewRecord[] }[];
}

/** How far groups and functions have come in the local cloud's streams. */
export class StreamPlaces {
  readonly #journal: Journal;
  readonly #streams: Streams;

  constructor(journal: Journal, streams: Streams) {
    this.#journal = journal;
    this.#streams = streams;
    journal.define(SCHEMA);
  }

  /** Gives a group its place where it has none: in a partition that came later than the group, at its first record. */
  begin(group: string, stream: string, from: "earliest" | "latest"): void {
    this.#journal.transaction(() => {
      const isNew = this.#rows(group, stream).length === 0;
      for (const log of this.#streams.logs(stream)) {
        const next = isNew && from === "latest" ? this.#streams.end(log) : 0;
        this.#journal
          .sql("INSERT OR IGNORE INTO stream_places (name, log, next) VALUES (?, ?, ?)")
          .run(group, log, next);
      }
    });
  }

  /** The partitions that have records for the group. */
  waiting(group: string, stream: string): readonly Waiting[] {
    return this.#rows(group, stream).flatMap(({ partition, log, next, head, attempts, until, due }) => {
      const first = next < head ? this.#streams.first(log, next) : undefined;
      if (!first) return [];
      const hasFailed = attempts > 0 && until !== null && first.offset < until;
      return {
        partition,
        from: first.offset,
        count: head - first.offset,
        since: first.appended,
        ...(hasFailed && { failed: { attempts, until, due } }),
      };
    });
  }

  /** Everything before `next` is done, as a part of the transaction it is called in. */
  move(group: string, stream: string, partition: number, next: number): void {
    this.#journal
      .sql("UPDATE stream_places SET next = ?, attempts = 0, until = NULL, due = 0 WHERE name = ? AND log = ?")
      .run(next, group, this.#streams.log(stream, partition));
  }

  /** The batch at the group's place is to be given again. */
  retry(group: string, stream: string, partition: number, { attempts, until, due }: FailedBatch): void {
    this.#journal
      .sql("UPDATE stream_places SET attempts = ?, until = ?, due = ? WHERE name = ? AND log = ?")
      .run(attempts, until, Math.ceil(due), group, this.#streams.log(stream, partition));
  }

  /** Records that wait for a group. */
  lagOf(group: string, stream: string): number {
    return this.waiting(group, stream).reduce((sum, { count }) => sum + count, 0);
  }

  /** Every group and ledger that has a place in the stream. */
  lag(stream: string): readonly GroupLag[] {
    const logs = this.#streams.logs(stream);
    const ends = logs.map((log) => this.#streams.end(log));
    const groups = new Map<string, PartitionLag[]>();
    for (const [partition, log] of logs.entries()) {
      const rows = this.#journal
        .sql(
          `SELECT name, next FROM stream_places WHERE log = ?
           UNION ALL SELECT name, next FROM stream_ledgers WHERE log = ? AND next IS NOT NULL ORDER BY name`,
        )
        .all(log, log) as { name: string; next: number }[];
      for (const { name, next } of rows) {
        const end = ends[partition]!;
        const from = this.#streams.first(log, next)?.offset ?? end;
        const known = groups.get(name) ?? [];
        groups.set(name, [...known, { partition, next, lag: Math.max(0, end - from) }]);
      }
    }
    return [...groups]
      .map(([group, partitions]) => ({ group, partitions, lag: partitions.reduce((sum, { lag }) => sum + lag, 0) }))
      .sort((one, other) => (one.group < other.group ? -1 : 1));
  }

  /** @throws `bad-input` if the stream has no such partition. */
  claim(ledger: string, stream: string, partition: number): LocalClaim {
    const { epoch, next } = this.#journal
      .sql(
        `INSERT INTO stream_ledgers (name, log, epoch) VALUES (?, ?, 1)
         ON CONFLICT DO UPDATE SET epoch = epoch + 1 RETURNING epoch, next`,
      )
      .get(ledger, this.#streams.log(stream, partition)) as { epoch: number; next: number | null };
    return { partition, epoch, ...(next !== null && { next }) };
  }

  /**
   * Place and records, in one transaction.
   *
   * @throws `conflict` if the partition has been claimed since; `refused` if a stream is of another Kafka.
   */
  commit(ledger: string, stream: string, { partition, epoch, next, sends }: LocalCommit): void {
    if (!(Number.isInteger(next) && next >= 0)) {
      throw new MillraceError("bad-input", `next: an offset, a whole number from 0, got ${next}`);
    }
    for (const { stream: to } of sends) this.#checkKafka(stream, to);
    this.#journal.transaction(() => {
      const { changes } = this.#journal
        .sql("UPDATE stream_ledgers SET next = ? WHERE name = ? AND log = ? AND epoch = ?")
        .run(next, ledger, this.#streams.log(stream, partition), epoch);
      if (changes === 0) {
        throw new MillraceError(
          "conflict",
          `partition ${partition} of stream ${stream} was claimed by somebody else since`,
        );
      }
      for (const { stream: to, records } of sends) this.#streams.append(to, records);
    });
  }

  /** All of them lie in the journal, but elsewhere one commit reaches one Kafka. */
  #checkKafka(from: string, to: string): void {
    const [one, other] = [from, to].map((stream) => this.#streams.plan(stream).kafka);
    if (one?.instance === other?.instance && String(one?.brokers) === String(other?.brokers)) return;
    throw new MillraceError("refused", `a commit on stream ${from} cannot send to ${to}, which is of another Kafka`);
  }

  #rows(group: string, stream: string): readonly PlaceRow[] {
    return this.#journal
      .sql(
        `SELECT partition, log, places.next AS next, logs.next AS head, attempts, until, due
         FROM stream_logs AS logs JOIN stream_places AS places ON log = id
         WHERE stream = ? AND name = ? ORDER BY partition`,
      )
      .all(stream, group) as unknown as readonly PlaceRow[];
  }
}
