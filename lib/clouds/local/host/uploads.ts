import { randomUUID } from "node:crypto";
import { mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { open, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { Clock } from "../../../runtime/clock.ts";
import { checkKey, pageLimit } from "../../../runtime/conditions.ts";
import { combineCrc64, crc64 } from "../../../runtime/crc64.ts";
import { MillraceError } from "../../../runtime/errors.ts";
import type { Crc64, Piece, PutOptions, Upload } from "../../../runtime/ports.ts";
import type { Journal } from "./journal.ts";

/** What is not completed is removed after that many milliseconds, as in the buckets made on other clouds. */
const KEPT = 86_400_000;
const READ_CHUNK = 2 ** 20;
/** As S3 has it: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html */
const MOST_PIECES = 10_000;
const LEAST_PIECE = 5 * 2 ** 20;
const KIND = "nvme";

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS uploads (
    id TEXT PRIMARY KEY,
    bucket TEXT NOT NULL,
    key TEXT NOT NULL,
    content_type TEXT,
    metadata TEXT NOT NULL,
    begun INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS uploads_by_age ON uploads (begun);
  CREATE TABLE IF NOT EXISTS pieces (
    upload TEXT NOT NULL REFERENCES uploads (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    size INTEGER NOT NULL,
    crc64 TEXT NOT NULL,
    file TEXT NOT NULL,
    PRIMARY KEY (upload, number)
  ) STRICT, WITHOUT ROWID;
`;

interface PieceRow {
  readonly number: number;
  readonly size: number;
  readonly crc64: string;
  readonly file: string;
}

/** What an upload comes to. */
export interface UploadContent {
  /** One after the other. */
  readonly files: readonly string[];
  readonly crc64: Crc64;
  readonly described: Pick<PutOptions, "contentType" | "metadata">;
  /** Forgets the upload, in the transaction that makes its object. */
  end(): void;
}

/** Uploads that are under way: their pieces are files, and rows of the journal say which there are. */
export class Uploads {
  readonly #journal: Journal;
  readonly #clock: Clock;
  readonly #folder: string;

  constructor(journal: Journal, clock: Clock) {
    this.#journal = journal;
    this.#clock = clock;
    this.#folder = resolve(journal.folder, "uploads");
    journal.define(SCHEMA);
    mkdirSync(this.#folder, { recursive: true });
    // Of uploads that were over when the host was killed.
    for (const id of readdirSync(this.#folder)) {
      if (!this.#journal.sql("SELECT 1 FROM uploads WHERE id = ?").get(id)) this.#clear(id);
    }
  }

  begin(bucket: string, key: string, { contentType = null, metadata = {} }: BeginOptions = {}): Upload {
    checkKey(key);
    const id = randomUUID();
    mkdirSync(join(this.#folder, id));
    this.#journal
      .sql("INSERT INTO uploads (id, bucket, key, content_type, metadata, begun) VALUES (?, ?, ?, ?, ?, ?)")
      .run(id, bucket, key, contentType, JSON.stringify(metadata), this.#clock.now());
    return { key, id, crc64: KIND };
  }

  /**
   * Makes a piece of a file, which is moved away.
   *
   * @throws `not-found` if the upload is over, `failed` if the file's CRC is another one.
   */
  async put(bucket: string, upload: Upload, number: number, staged: string, expected?: string): Promise<Piece> {
    checkNumber(upload, number);
    const { size, crc } = await sync(staged);
    if (expected !== undefined && expected !== crc) {
      throw new MillraceError("failed", `piece ${number} of "${upload.key}" has the CRC ${crc}, not ${expected}`);
    }
    const file = `${number}-${randomUUID()}`;
    this.#find(bucket, upload);
    renameSync(staged, this.#path(upload, file));
    const previous = this.#journal.transaction(() => {
      this.#find(bucket, upload);
      const row = this.#journal.sql("SELECT file FROM pieces WHERE upload = ? AND number = ?").get(upload.id, number) as
        | Pick<PieceRow, "file">
        | undefined;
      this.#journal
        .sql("INSERT OR REPLACE INTO pieces (upload, number, size, crc64, file) VALUES (?, ?, ?, ?, ?)")
        .run(upload.id, number, size, crc, file);
      return row;
    });
    if (previous) await rm(this.#path(upload, previous.file), { force: true });
    return toPiece({ number, size, crc64: crc, file });
  }

  list(bucket: string, upload: Upload, { after = 0, limit }: { after?: number; limit?: number } = {}) {
    this.#find(bucket, upload);
    const most = pageLimit(limit);
    const rows = this.#journal
      .sql("SELECT number, size, crc64, file FROM pieces WHERE upload = ? AND number > ? ORDER BY number LIMIT ? + 0")
      .all(upload.id, after, most + 1) as unknown as PieceRow[];
    const pieces = rows.slice(0, most).map(toPiece);
    return { pieces, ...(rows.length > most && { next: pieces.at(-1)!.number }) };
  }

  /** @throws `not-found` if the upload is over, `bad-input` if the pieces are not those it has. */
  content(bucket: string, upload: Upload, pieces: readonly Piece[]): UploadContent {
    const { content_type, metadata } = this.#find(bucket, upload);
    const rows = this.#journal
      .sql("SELECT number, size, crc64, file FROM pieces WHERE upload = ? ORDER BY number")
      .all(upload.id) as unknown as PieceRow[];
    checkPieces(upload, rows, pieces);
    return {
      files: rows.map(({ file }) => this.#path(upload, file)),
      crc64: {
        kind: KIND,
        value: rows.reduce((crc, row) => combineCrc64(KIND, crc, row.crc64, row.size), crc64(KIND, new Uint8Array())),
      },
      described: { ...(content_type !== null && { contentType: content_type }), metadata: JSON.parse(metadata) },
      end: () => {
        this.#find(bucket, upload);
        this.#journal.sql("DELETE FROM uploads WHERE id = ?").run(upload.id);
      },
    };
  }

  /** Removes the files of an upload that is over. */
  #clear(id: string): void {
    rmSync(join(this.#folder, id), { recursive: true, force: true });
  }

  /** Forgets an upload, and removes what it has left. */
  abort({ id }: Upload): void {
    this.#journal.sql("DELETE FROM uploads WHERE id = ?").run(id);
    this.#clear(id);
  }

  /** When the oldest upload has been under way for too long. */
  next(): number | undefined {
    const oldest = this.#journal.sql("SELECT min(begun) AS time FROM uploads").get()?.time as number | null;
    return oldest === null ? undefined : oldest + KEPT;
  }

  /** Aborts what has been under way for too long. */
  expire(now: number): void {
    const rows = this.#journal.sql("SELECT id, key FROM uploads WHERE begun <= ?").all(now - KEPT);
    for (const row of rows as unknown as Upload[]) this.abort(row);
  }

  #find(bucket: string, { id, key }: Upload): { readonly content_type: string | null; readonly metadata: string } {
    const row = this.#journal
      .sql("SELECT content_type, metadata FROM uploads WHERE id = ? AND bucket = ? AND key = ?")
      .get(id, bucket, key) as { content_type: string | null; metadata: string } | undefined;
    if (row) return row;
    throw new MillraceError("not-found", `no upload ${id} of "${key}" in bucket ${bucket}: it is over`);
  }

  #path({ id }: Upload, file: string): string {
    return join(this.#folder, id, file);
  }
}

interface BeginOptions {
  readonly contentType?: string | null;
  readonly metadata?: Readonly<Record<string, string>>;
}

const toPiece = ({ number, size, crc64 }: PieceRow): Piece => ({ number, size, etag: crc64, crc64 });

function checkNumber({ key }: Upload, number: number): void {
  if (Number.isInteger(number) && number >= 1 && number <= MOST_PIECES) return;
  throw new MillraceError("bad-input", `pieces of "${key}" have numbers from 1 to 10,000, got ${number}`);
}

function checkPieces({ key }: Upload, rows: readonly PieceRow[], pieces: readonly Piece[]): void {
  const isSame =
    rows.length === pieces.length &&
    rows.every(({ number, crc64 }, index) => {
      const piece = pieces[index]!;
      return piece.number === number && piece.etag === crc64;
    });
  if (!isSame || rows.length === 0) {
    throw new MillraceError("bad-input", `the pieces of "${key}" are not those that its upload has`);
  }
  const short = rows.slice(0, -1).find(({ size }) => size < LEAST_PIECE);
  if (!short) return;
  throw new MillraceError("bad-input", `piece ${short.number} of "${key}" has ${short.size} bytes, less than 5 MiB`);
}

/** On disk for good, and what it holds. */
async function sync(path: string): Promise<{ readonly size: number; readonly crc: string }> {
  const handle = await open(path, "r+");
  try {
    let crc = crc64(KIND, new Uint8Array());
    let size = 0;
    for await (const chunk of handle.createReadStream({ autoClose: false, highWaterMark: READ_CHUNK })) {
      crc = crc64(KIND, chunk as Uint8Array, crc);
      size += (chunk as Uint8Array).byteLength;
    }
    await handle.sync();
    return { size, crc };
  } finally {
    await handle.close();
  }
}
