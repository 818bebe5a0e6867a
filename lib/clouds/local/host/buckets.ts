import { createHash, randomUUID } from "node:crypto";
import { constants, createReadStream, existsSync, linkSync, lstatSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { chmod, copyFile, type FileHandle, link, open, rm, writeFile } from "node:fs/promises";
import { basename, dirname, extname, join, resolve } from "node:path";
import { Readable } from "node:stream";
import type { BucketPlan } from "../../../parts/plan.ts";
import type { Clock } from "../../../runtime/clock.ts";
import {
  checkGet,
  checkKey,
  checkPut,
  clipRange,
  laterText,
  noObject,
  pageLimit,
} from "../../../runtime/conditions.ts";
import { MillraceError } from "../../../runtime/errors.ts";
import type { BucketCreated } from "../../../runtime/events.ts";
import { NO_COPIES } from "../../../runtime/no-copies.ts";
import type {
  BucketReader,
  BucketRemover,
  BucketUploader,
  BucketWriter,
  Crc64,
  GetOptions,
  HeadOptions,
  ObjectInfo,
  Piece,
  PutOptions,
  Upload,
} from "../../../runtime/ports.ts";
import type { Duty } from "./agenda.ts";
import { fullDisk, type Journal } from "./journal.ts";
import { Uploads } from "./uploads.ts";

/** How long a blob nobody points to stays, in milliseconds: somebody may just have been given its path. */
const GRACE = 3_600_000;
/** What has expired is not answered any more, so collecting it has time; milliseconds between two collections. */
const COLLECTION_PAUSE = 60_000;
/** Rows of one collection: it holds up everything else. */
const COLLECTION_LIMIT = 1000;
/** The etag's share of the content's SHA-256, in hexadecimal digits: half of it tells any two contents apart. */
const ETAG_LENGTH = 32;
const READ_CHUNK = 2 ** 20;
/** One system call reads less than 2 GiB. */
const LONGEST_READ = 2 ** 30;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS objects (
    bucket TEXT NOT NULL,
    key TEXT NOT NULL,
    hash TEXT NOT NULL,
    size INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    content_type TEXT,
    metadata TEXT NOT NULL,
    PRIMARY KEY (bucket, key)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS objects_by_hash ON objects (hash);
  CREATE INDEX IF NOT EXISTS objects_by_age ON objects (bucket, modified);
  CREATE TABLE IF NOT EXISTS garbage (hash TEXT PRIMARY KEY, since INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS checksums (hash TEXT PRIMARY KEY, kind TEXT NOT NULL, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS garbage_by_age ON garbage (since);
  CREATE TABLE IF NOT EXISTS bucket_events (id INTEGER PRIMARY KEY CHECK (id = 1), count INTEGER NOT NULL) STRICT;
  INSERT OR IGNORE INTO bucket_events VALUES (1, 0);
`;

interface ObjectRow {
  readonly key: string;
  readonly hash: string;
  readonly size: number;
  readonly modified: number;
  readonly content_type: string | null;
  readonly metadata: string;
}

interface Content {
  readonly hash: string;
  readonly size: number;
  /** Of what came in pieces. */
  readonly crc64?: Crc64;
}

/** An object came, changed or went. */
export interface ObjectChange {
  readonly bucket: string;
  readonly key: string;
}

export interface BucketsOptions {
  readonly journal: Journal;
  readonly clock: Clock;
  /** Called inside the transaction that makes the object: what it writes to the journal stands or falls with it. */
  readonly onCreated: (event: BucketCreated) => void;
  /** How long the file of a removed or overwritten object stays, in milliseconds. @default an hour */
  readonly grace?: number;
}

/**
 * The local cloud's buckets: contents are files named by their hash, keys are rows of an index. A key is never a
 * path, so every key works, and two objects of one content share a file.
 *
 * A content is complete before the index tells of it: it is written to a staging file, flushed, moved to its place,
 * and then one transaction makes it an object. Whenever the host is killed, the object is there whole or not at all.
 */
export class Buckets implements Duty {
  readonly #journal: Journal;
  readonly #clock: Clock;
  readonly #onCreated: (event: BucketCreated) => void;
  readonly #grace: number;
  readonly #blobs: string;
  readonly #staging: string;
  readonly #uploads: Uploads;
  readonly #plans = new Map<string, BucketPlan>();
  readonly #listeners = new Set<(change: ObjectChange) => void>();
  #collectAfter = 0;

  constructor({ journal, clock, onCreated, grace = GRACE }: BucketsOptions) {
    this.#journal = journal;
    this.#clock = clock;
    this.#onCreated = onCreated;
    this.#grace = grace;
    this.#blobs = resolve(journal.folder, "blobs");
    this.#staging = resolve(journal.folder, "staging");
    journal.define(SCHEMA);
    // What a killed host was writing; nobody else works in this folder.
    rmSync(this.#staging, { recursive: true, force: true });
    mkdirSync(this.#staging, { recursive: true });
    this.#uploads = new Uploads(journal, clock);
  }

  /** Makes a bucket, or changes its plan; its objects stay. */
  define(plan: BucketPlan): void {
    this.#plans.set(plan.name, plan);
  }

  /** In the order they were defined; one whose name begins with a dot is the host's own, and no one is told of it. */
  names(): readonly string[] {
    return [...this.#plans.keys()].filter((name) => !isHidden(name));
  }

  /** Calls back after every change until the answer is called. */
  onChange(listener: (change: ObjectChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** @throws `not-found` if there is no such bucket. */
  reader(bucket: string): BucketReader {
    this.#plan(bucket);
    return {
      bucket,
      head: async (key, options) => this.head(bucket, key, options),
      get: async (key, options) => {
        const { handle, first, length } = await this.#open(bucket, key, options);
        try {
          const bytes = Buffer.alloc(length);
          await readFully(handle, bytes, first);
          return bytes;
        } finally {
          await handle.close();
        }
      },
      stream: async (key, options) => {
        const { handle, first, length } = await this.#open(bucket, key, options);
        if (length > 0) return handle.createReadStream({ start: first, end: first + length - 1 });
        await handle.close();
        return Readable.from([]);
      },
      file: async (key, options) => (await this.path(bucket, key, options)).path,
      list: async (options) => this.#list(bucket, options),
    };
  }

  /** @throws `not-found` if there is no such bucket. */
  writer(bucket: string): BucketWriter & BucketUploader {
    this.#plan(bucket);
    return {
      bucket,
      put: (key, body, options) => this.#put(bucket, key, body, options),
      putFile: (key, path, options) => this.#putFile(bucket, key, path, options),
      beginUpload: async (key, options) => this.#uploads.begin(bucket, key, options),
      putPiece: async (upload, number, body, crc64) => {
        const staged = this.stage();
        await writeFile(staged, body);
        return this.commitPiece(bucket, upload, number, staged, crc64);
      },
      ...NO_COPIES,
      listPieces: async (upload, options) => this.#uploads.list(bucket, upload, options),
      completeUpload: (upload, pieces, options) => this.#completeUpload(bucket, upload, pieces, options),
      abortUpload: async (upload) => this.#uploads.abort(upload),
    };
  }

  /** @throws `not-found` if there is no such bucket. */
  remover(bucket: string): BucketRemover {
    this.#plan(bucket);
    return { bucket, remove: async (key) => this.#remove(bucket, key) };
  }

  /** What the index says of an object. */
  head(bucket: string, key: string, { crc64 = false }: HeadOptions = {}): ObjectInfo | undefined {
    const row = this.#row(bucket, key);
    const checksum = row && crc64 ? this.#checksum(row.hash) : undefined;
    return row && { ...toInfo(row), ...(checksum && { crc64: checksum }) };
  }

  #checksum(hash: string): Crc64 | undefined {
    const row = this.#journal.sql("SELECT kind, value FROM checksums WHERE hash = ?").get(hash);
    return row && { kind: row.kind as Crc64["kind"], value: row.value as string };
  }

  /**
   * The file that holds an object's content; read-only, not to be written to. It stays for the grace period after
   * the object was overwritten or removed. With `into`, a folder on the same disk, it is a link in there under the
   * key's ending, which stays as long as the folder.
   *
   * @throws `not-found`, or `conflict` if the object's etag is another one.
   */
  async path(
    bucket: string,
    key: string,
    { ifMatch, into }: Pick<GetOptions, "ifMatch"> & { readonly into?: string } = {},
  ): Promise<{ readonly info: ObjectInfo; readonly path: string }> {
    const row = this.#row(bucket, key);
    if (!row) throw noObject(bucket, key);
    const info = toInfo(row);
    checkGet(info, ifMatch === undefined ? {} : { ifMatch });
    const blob = this.#blobPath(row.hash);
    if (into === undefined) return { info, path: blob };
    const path = join(into, `${randomUUID()}${plainEnding(key)}`);
    linkSync(blob, path);
    return { info, path };
  }

  /** A path for a new file that will be committed. */
  stage(): string {
    return join(this.#staging, randomUUID());
  }

  /**
   * Makes an object of a file that lies where `stage` said; the file is gone afterwards, also when this fails.
   *
   * @throws `conflict` if a condition does not hold, `unavailable` if the disk is full.
   */
  async commit(bucket: string, key: string, staged: string, options: PutOptions = {}): Promise<ObjectInfo> {
    this.#plan(bucket);
    this.#checkStaged(staged);
    return this.#finish(bucket, key, staged, options, async () => {
      const handle = await open(staged, "r+");
      try {
        const content = await hashContent(handle.createReadStream({ autoClose: false, highWaterMark: READ_CHUNK }));
        await handle.sync();
        await handle.chmod(0o444);
        return content;
      } finally {
        await handle.close();
      }
    });
  }

  /** Makes a piece of an upload of a file that lies where `stage` said; the file is gone afterwards. */
  async commitPiece(bucket: string, upload: Upload, number: number, staged: string, crc64?: string): Promise<Piece> {
    this.#plan(bucket);
    this.#checkStaged(staged);
    try {
      return await this.#uploads.put(bucket, upload, number, staged, crc64);
    } catch (error) {
      throw isFullDisk(error) ? fullDisk(this.#journal.folder, error) : error;
    } finally {
      await rm(staged, { force: true });
    }
  }

  async #completeUpload(bucket: string, upload: Upload, pieces: readonly Piece[], conditions: PutOptions = {}) {
    const { files, crc64, described, end } = this.#uploads.content(bucket, upload, pieces);
    const staged = this.stage();
    const write = async (): Promise<Content> => {
      const handle = await open(staged, "wx", 0o444);
      try {
        const content = await hashContent(contentOf(files), (chunk) => writeFully(handle, chunk));
        await handle.sync();
        return { ...content, crc64 };
      } catch (error) {
        throw isMissing(error) ? this.#putAnew(bucket, upload, pieces) : error;
      } finally {
        await handle.close();
      }
    };
    const info = await this.#finish(bucket, upload.key, staged, { ...described, ...conditions }, write, end);
    this.#uploads.abort(upload);
    return info;
  }

  /** What a completion says whose pieces went away under it: put anew, or with an upload that somebody else completed. */
  #putAnew(bucket: string, upload: Upload, pieces: readonly Piece[]): MillraceError {
    this.#uploads.content(bucket, upload, pieces);
    return new MillraceError("unavailable", `a piece of "${upload.key}" was put anew while the upload was completed`);
  }

  #checkStaged(path: string): void {
    if (dirname(resolve(path)) === this.#staging && lstatSync(path).isFile()) return;
    throw new MillraceError("bad-input", `a staged file is what stage() named, got "${path}"`);
  }

  next(): number | undefined {
    const oldest = this.#journal.sql("SELECT min(since) AS time FROM garbage").get()?.time as number | null;
    const times = [...this.#plans.values()].map(({ name, expires }) => {
      if (expires === undefined) return Infinity;
      const first = this.#journal.sql("SELECT min(modified) AS time FROM objects WHERE bucket = ?").get(name)?.time;
      return typeof first === "number" ? first + expires * 1000 : Infinity;
    });
    const upload = this.#uploads.next() ?? Infinity;
    const next = Math.min(...times, upload, oldest === null ? Infinity : oldest + this.#grace);
    return next === Infinity ? undefined : Math.max(next, this.#collectAfter);
  }

  /** Removes objects that expired, uploads nobody completes, and contents that no object has had for the grace period. */
  run(now: number): void {
    this.#uploads.expire(now);
    const collected = [...this.#plans.values()].map((plan) => this.#expire(plan, now));
    collected.push(this.#collect(now));
    this.#collectAfter = collected.includes(COLLECTION_LIMIT) ? now : now + COLLECTION_PAUSE;
  }

  #expire(plan: BucketPlan, now: number): number {
    const keys = this.#journal.transaction(() => {
      const rows = this.#journal
        .sql("SELECT key, hash FROM objects WHERE bucket = ? AND modified <= ? ORDER BY modified LIMIT ?")
        .all(plan.name, cutoff(plan, now), COLLECTION_LIMIT) as unknown as ObjectRow[];
      for (const { key, hash } of rows) this.#unlist(plan.name, key, hash, now);
      return rows.map(({ key }) => key);
    });
    for (const key of keys) this.#changed({ bucket: plan.name, key });
    return keys.length;
  }

  #collect(now: number): number {
    return this.#journal.transaction(() => {
      const rows = this.#journal
        .sql("SELECT hash FROM garbage WHERE since <= ? ORDER BY since LIMIT ?")
        .all(now - this.#grace, COLLECTION_LIMIT) as { hash: string }[];
      for (const { hash } of rows) {
        const isUsed = this.#journal.sql("SELECT 1 FROM objects WHERE hash = ? LIMIT 1").get(hash);
        if (!isUsed) {
          rmSync(this.#blobPath(hash), { force: true });
          this.#journal.sql("DELETE FROM checksums WHERE hash = ?").run(hash);
        }
        this.#journal.sql("DELETE FROM garbage WHERE hash = ?").run(hash);
      }
      return rows.length;
    });
  }

  #plan(bucket: string): BucketPlan {
    const plan = this.#plans.get(bucket);
    if (plan) return plan;
    throw new MillraceError("not-found", `no bucket ${bucket}; there are: ${this.names().join(", ") || "none"}`);
  }

  #row(bucket: string, key: string): ObjectRow | undefined {
    checkKey(key);
    return this.#journal
      .sql(`SELECT ${COLUMNS} FROM objects WHERE bucket = ? AND key = ? AND modified > ?`)
      .get(bucket, key, cutoff(this.#plan(bucket), this.#clock.now())) as unknown as ObjectRow | undefined;
  }

  #list(
    bucket: string,
    { prefix = "", after = "", limit }: { prefix?: string; after?: string; limit?: number } = {},
  ): { objects: readonly ObjectInfo[]; next?: string } {
    const most = pageLimit(limit);
    const objects: ObjectInfo[] = [];
    // SQLite compares text by its UTF-8 bytes, so the keys of a prefix lie together.
    const rows = this.#journal
      .sql(`SELECT ${COLUMNS} FROM objects WHERE bucket = ? AND key >= ? AND modified > ? ORDER BY key`)
      .iterate(bucket, laterText(prefix, after), cutoff(this.#plan(bucket), this.#clock.now()));
    for (const row of rows as unknown as Iterable<ObjectRow>) {
      if (row.key === after) continue;
      if (!row.key.startsWith(prefix)) break;
      if (objects.length === most) return { objects, next: objects.at(-1)!.key };
      objects.push(toInfo(row));
    }
    return { objects };
  }

  /** An open file keeps its content, whatever happens to the object. */
  async #open(
    bucket: string,
    key: string,
    { range, ifMatch }: GetOptions = {},
  ): Promise<{ handle: FileHandle; first: number; length: number }> {
    const { info, path } = await this.path(bucket, key, ifMatch === undefined ? {} : { ifMatch });
    const [first, last] = range ? clipRange(key, info.size, range) : [0, info.size - 1];
    return { handle: await open(path, "r"), first, length: last - first + 1 };
  }

  async #put(bucket: string, key: string, body: Uint8Array | string | Readable, options: PutOptions = {}) {
    const staged = this.stage();
    return this.#finish(bucket, key, staged, options, async () => {
      const handle = await open(staged, "wx", 0o444);
      try {
        const content = await hashContent(body instanceof Readable ? body : [body], (chunk) =>
          writeFully(handle, chunk),
        );
        await handle.sync();
        return content;
      } finally {
        await handle.close();
      }
    });
  }

  /** Links the file rather than copying it, where nobody else can write to it then; it is left alone if this fails. */
  async #putFile(bucket: string, key: string, path: string, options: PutOptions = {}): Promise<ObjectInfo> {
    const staged = this.stage();
    const file = lstatSync(path);
    // A linked or read-only file may be somebody's content: another object's, for example.
    const isOwn = file.isFile() && file.nlink === 1 && (file.mode & 0o200) !== 0;
    const isLinked = isOwn && (await isDone(link(path, staged)));
    if (!isLinked) await this.#copy(path, staged);
    const info = await this.commit(bucket, key, staged, options);
    if (isLinked) await rm(path, { force: true });
    return info;
  }

  async #copy(from: string, to: string): Promise<void> {
    try {
      await copyFile(from, to, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL);
      await chmod(to, 0o644);
    } catch (error) {
      await rm(to, { force: true });
      throw isFullDisk(error) ? fullDisk(this.#journal.folder, error) : error;
    }
  }

  async #finish(
    bucket: string,
    key: string,
    staged: string,
    options: PutOptions,
    write: () => Promise<Content>,
    also: () => void = () => {},
  ): Promise<ObjectInfo> {
    try {
      checkKey(key);
      checkPut(key, this.head(bucket, key), options); // before the work; again in the transaction
      const content = await write();
      const info = this.#publish(bucket, key, staged, content, options, also);
      this.#changed({ bucket, key });
      return info;
    } catch (error) {
      throw isFullDisk(error) ? fullDisk(this.#journal.folder, error) : error;
    } finally {
      await rm(staged, { force: true });
    }
  }

  /** In one go, so that no collection comes between: a content is garbage until an object has it. */
  #publish(
    bucket: string,
    key: string,
    staged: string,
    { hash, size, crc64 }: Content,
    options: PutOptions,
    also: () => void,
  ): ObjectInfo {
    const now = this.#clock.now();
    const blob = this.#blobPath(hash);
    this.#journal.transaction(() => this.#discard(hash, now));
    if (!existsSync(blob)) {
      mkdirSync(dirname(blob), { recursive: true });
      renameSync(staged, blob);
    }
    return this.#journal.transaction(() => {
      checkPut(key, this.head(bucket, key), options);
      const { hash: previous } = this.#stored(bucket, key) ?? {};
      const { contentType = null, metadata = {} } = options;
      this.#journal
        .sql(`INSERT OR REPLACE INTO objects (bucket, ${COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)`)
        .run(bucket, key, hash, size, now, contentType, JSON.stringify(metadata));
      this.#journal.sql("DELETE FROM garbage WHERE hash = ?").run(hash);
      if (crc64) {
        const { kind, value } = crc64;
        this.#journal
          .sql("INSERT OR REPLACE INTO checksums (hash, kind, value) VALUES (?, ?, ?)")
          .run(hash, kind, value);
      }
      also();
      if (previous !== undefined && previous !== hash) this.#discard(previous, now);
      const info = this.head(bucket, key)!;
      this.#onCreated(this.#event(bucket, info));
      return info;
    });
  }

  #event(bucket: string, { key, etag, size, modified }: ObjectInfo): BucketCreated {
    const { count } = this.#journal.sql("UPDATE bucket_events SET count = count + 1 RETURNING count").get() as {
      count: number;
    };
    return { type: "bucket.created", id: `${bucket}-${count}`, bucket, key, etag, size, time: modified };
  }

  #remove(bucket: string, key: string): void {
    checkKey(key);
    const isRemoved = this.#journal.transaction(() => {
      const row = this.#stored(bucket, key);
      if (row) this.#unlist(bucket, key, row.hash, this.#clock.now());
      return row !== undefined;
    });
    if (isRemoved) this.#changed({ bucket, key });
  }

  /** The row, expired or not. */
  #stored(bucket: string, key: string): { readonly hash: string } | undefined {
    return this.#journal.sql("SELECT hash FROM objects WHERE bucket = ? AND key = ?").get(bucket, key) as
      | { hash: string }
      | undefined;
  }

  #unlist(bucket: string, key: string, hash: string, now: number): void {
    this.#journal.sql("DELETE FROM objects WHERE bucket = ? AND key = ?").run(bucket, key);
    this.#discard(hash, now);
  }

  /** Says that a content may be garbage from now on; the collection asks whether it still is. */
  #discard(hash: string, now: number): void {
    this.#journal
      .sql("INSERT INTO garbage (hash, since) VALUES (?, ?) ON CONFLICT DO UPDATE SET since = excluded.since")
      .run(hash, now);
  }

  #changed(change: ObjectChange): void {
    if (isHidden(change.bucket)) return;
    for (const listener of this.#listeners) listener(change);
  }

  #blobPath(hash: string): string {
    return join(this.#blobs, hash.slice(0, 2), hash);
  }
}

const COLUMNS = "key, hash, size, modified, content_type, metadata";

const toInfo = ({ key, hash, size, modified, content_type, metadata }: ObjectRow): ObjectInfo => ({
  key,
  size,
  etag: hash.slice(0, ETAG_LENGTH),
  modified: new Date(modified).toISOString(),
  ...(content_type !== null && { contentType: content_type }),
  metadata: JSON.parse(metadata),
});

/** Objects that were modified then or earlier have expired. */
const cutoff = ({ expires }: BucketPlan, now: number): number => (expires === undefined ? -1 : now - expires * 1000);

/** The key's ending, where it can be a file's: tools look at it. */
const plainEnding = (key: string): string => /^\.[A-Za-z0-9]{1,16}$/.exec(extname(basename(key)))?.[0] ?? "";

async function hashContent(
  chunks: Iterable<Uint8Array | string> | AsyncIterable<Uint8Array | string>,
  onChunk: (chunk: Uint8Array) => Promise<void> = async () => {},
): Promise<Content> {
  const hash = createHash("sha256");
  let size = 0;
  for await (const chunk of chunks) {
    const bytes = typeof chunk === "string" ? Buffer.from(chunk) : chunk;
    hash.update(bytes);
    size += bytes.byteLength;
    await onChunk(bytes);
  }
  return { hash: hash.digest("hex"), size };
}

/** One file after the other. */
async function* contentOf(files: readonly string[]): AsyncGenerator<Uint8Array, undefined> {
  for (const file of files) yield* createReadStream(file, { highWaterMark: READ_CHUNK });
  return undefined;
}

/** One write may take a part of the bytes. */
async function writeFully(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  let written = 0;
  while (written < bytes.byteLength) written += (await handle.write(bytes, written)).bytesWritten;
}

async function readFully(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  let read = 0;
  while (read < bytes.byteLength) {
    const { bytesRead } = await handle.read(
      bytes,
      read,
      Math.min(LONGEST_READ, bytes.byteLength - read),
      position + read,
    );
    if (bytesRead === 0) throw new MillraceError("failed", "an object's file is shorter than its index says");
    read += bytesRead;
  }
}

const isDone = (work: Promise<void>): Promise<boolean> =>
  work.then(
    () => true,
    () => false,
  );

const isMissing = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === "ENOENT";

const isFullDisk = (error: unknown): boolean =>
  error instanceof Error && "code" in error && (error.code === "ENOSPC" || error.code === "EDQUOT");

const isHidden = (bucket: string): boolean => bucket.startsWith(".");
