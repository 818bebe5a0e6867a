import { randomUUID } from "node:crypto";
import {
  constants,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmdirSync,
  rmSync,
  type Stats,
} from "node:fs";
import { chmod, copyFile, open } from "node:fs/promises";
import { dirname, join, relative, resolve, sep } from "node:path";
import { Readable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { type FSWatcher, watch } from "chokidar";
import { MillraceError, toErrorRecord } from "../../../runtime/errors.ts";
import type { Log } from "../../../runtime/handler.ts";
import { contentTypeOf } from "../../../shared/content-type.ts";
import { formatBytes } from "../../../shared/size.ts";
import type { Buckets, ObjectChange } from "./buckets.ts";
import type { Journal } from "./journal.ts";

/** How long a file must be still before it counts as written, in milliseconds: a copy over a network pauses. */
const SETTLE = 1000;
/** How long a file waits that could not be put for now, a full disk for example; milliseconds. */
const RETRY = 5000;
/** Files of ours on their way to their name; left behind only by a killed host. */
const TEMPORARY = ".millrace-";
/** The longest name of a file, in bytes. https://man7.org/linux/man-pages/man0/limits.h.0p.html */
const NAME_BYTES = 255;
/** What browsers and download tools call a file they have not finished. */
const PARTIAL = /\.(part|partial|crdownload|download|opdownload|aria2)$/i;

/** The files this view made, by inode, size and time; a newer file joins before it takes the older one's place. */
const SCHEMA = `
  CREATE TABLE IF NOT EXISTS views (
    bucket TEXT NOT NULL,
    key TEXT NOT NULL,
    file TEXT NOT NULL,
    etag TEXT NOT NULL,
    PRIMARY KEY (bucket, key, file)
  ) STRICT, WITHOUT ROWID;
`;

export interface DropFolderOptions {
  readonly buckets: Buckets;
  readonly journal: Journal;
  readonly log: Log;
  /** How long a file must be still before it is taken, in milliseconds. @default a second */
  readonly settle?: number;
  /** Shows objects as copies. @default only to root, who writes through a link's read-only mode into the object itself */
  readonly copies?: boolean;
}

/**
 * Every bucket as a folder, `<journal's folder>/buckets/<bucket>/`: a file dropped there becomes an object, and
 * every object appears there as a read-only file, where its key can be a file's path.
 *
 * It is a view, the objects are elsewhere. Removing an object removes its file; **removing a file does not remove
 * the object**, the file comes back at the next start. A file that was dropped and is not yet taken is never
 * replaced. Links that lead elsewhere are ignored, dotfiles and unfinished downloads too.
 */
export class DropFolder {
  readonly path: string;
  readonly #buckets: Buckets;
  readonly #journal: Journal;
  readonly #log: Log;
  readonly #settle: number;
  readonly #copies: boolean;
  readonly #closing = new AbortController();
  readonly #waiting = new Map<string, ObjectChange>();
  #showing = Promise.resolve();
  #taking = Promise.resolve();
  #watcher: FSWatcher | undefined;
  #unsubscribe: (() => void) | undefined;

  /** Shows every object of the buckets that are defined, and takes what was dropped meanwhile. */
  static async open(options: DropFolderOptions): Promise<DropFolder> {
    const folder = new DropFolder(options);
    await folder.#open();
    return folder;
  }

  private constructor({ buckets, journal, log, settle = SETTLE, copies = isRoot() }: DropFolderOptions) {
    this.path = resolve(journal.folder, "buckets");
    this.#buckets = buckets;
    this.#journal = journal;
    this.#log = log;
    this.#settle = settle;
    this.#copies = copies;
    journal.define(SCHEMA);
  }

  /** Waits for what it is doing; what is not yet taken is taken at the next start. */
  async close(): Promise<void> {
    this.#closing.abort();
    this.#unsubscribe?.();
    await this.#watcher?.close();
    await Promise.all([this.#showing, this.#taking]);
  }

  /** Makes the folders of buckets that were defined since, and brings every object's file up to date. */
  async refresh(): Promise<void> {
    for (const bucket of this.#buckets.names()) await this.#showAll(bucket);
    await this.#showing;
  }

  async #open(): Promise<void> {
    this.#unsubscribe = this.#buckets.onChange((change) => this.#show(change));
    mkdirSync(this.path, { recursive: true });
    removeTemporaries(this.path);
    await this.refresh();
    await this.#watch();
  }

  async #showAll(bucket: string): Promise<void> {
    mkdirSync(join(this.path, bucket), { recursive: true });
    const shown = this.#journal.sql("SELECT DISTINCT key FROM views WHERE bucket = ?").all(bucket) as { key: string }[];
    for (const { key } of shown) this.#show({ bucket, key });
    const reader = this.#buckets.reader(bucket);
    let after = "";
    for (;;) {
      const { objects, next } = await reader.list({ after });
      for (const { key } of objects) this.#show({ bucket, key });
      if (next === undefined) return;
      after = next;
    }
  }

  async #watch(): Promise<void> {
    this.#watcher = watch(this.path, {
      followSymlinks: false,
      ignorePermissionErrors: true,
      ignored: (path) => isPassedOver(relative(this.path, path)),
      awaitWriteFinish: { stabilityThreshold: this.#settle, pollInterval: Math.min(100, this.#settle) },
    });
    let isReady = false;
    const take = (path: string) => this.#take(path, { isStill: isReady });
    this.#watcher.on("add", take).on("change", take);
    this.#watcher.on("error", (error) =>
      this.#log.warn(`the drop folder is not watched: ${toErrorRecord(error).message}`),
    );
    await new Promise<void>((resolve) => this.#watcher!.once("ready", resolve));
    isReady = true;
  }

  /** One file after the other becomes an object. */
  #take(path: string, { isStill }: { readonly isStill: boolean }): void {
    const [bucket, ...segments] = relative(this.path, path).split(sep);
    const change = { bucket: bucket ?? "", key: segments.join("/") };
    if (change.key === "" || !this.#buckets.names().includes(change.bucket) || !this.#dropped(change, path)) return;
    // What the first scan finds may still be growing.
    const still = isStill ? Promise.resolve() : this.#pause(this.#settle);
    this.#taking = Promise.all([this.#taking, still]).then(async () => {
      try {
        await this.#put(change, path);
      } catch (error) {
        this.#putLater(path, change, error);
      }
    });
  }

  async #put(change: ObjectChange, path: string): Promise<void> {
    const { bucket, key } = change;
    const file = this.#dropped(change, path);
    if (this.#closing.signal.aborted || !file) return;
    const body = Readable.from(readWhole(path, file));
    const { size } = await this.#buckets.writer(bucket).put(key, body, { contentType: contentTypeOf(key) });
    this.#remember(change, file, DROPPED);
    this.#show(change);
    this.#log.info(`${bucket}: ${key} was dropped (${formatBytes(size)})`);
  }

  /** The file there, if somebody dropped it. */
  #dropped(change: ObjectChange, path: string): Stats | undefined {
    const file = look(path);
    return file?.isFile() && this.#shown(change, file) === undefined ? file : undefined;
  }

  #putLater(path: string, { bucket, key }: ObjectChange, error: unknown): void {
    const { kind, message } = toErrorRecord(error);
    if (kind === "conflict") return; // it changed while it was read: the watcher calls again when it is still
    this.#log.warn(`${bucket}: ${key} could not be taken: ${message}`);
    if (kind === "unavailable") void this.#pause(RETRY).then(() => this.#take(path, { isStill: true }));
  }

  async #pause(milliseconds: number): Promise<void> {
    await delay(milliseconds, undefined, { signal: this.#closing.signal }).catch(() => {});
  }

  /** Brings the file of an object up to date, soon; many changes of one object are one. */
  #show(change: ObjectChange): void {
    const id = `${change.bucket}/${change.key}`;
    if (this.#waiting.has(id)) return;
    this.#waiting.set(id, change);
    this.#showing = this.#showing.then(async () => {
      this.#waiting.delete(id);
      try {
        await this.#showNow(change);
      } catch (error) {
        this.#log.warn(`${id} is not shown in the drop folder: ${toErrorRecord(error).message}`);
      }
    });
  }

  async #showNow(change: ObjectChange): Promise<void> {
    const { bucket, key } = change;
    const segments = toSegments(key);
    const folder = join(this.path, bucket);
    const object = this.#buckets.head(bucket, key);
    if (!segments) return;
    const path = join(folder, ...segments);
    if (!object) return this.#hide(change, path);
    if (!makeFolders(folder, segments)) return;
    const present = look(path);
    const etag = present && this.#shown(change, present);
    if (present && (etag === undefined || etag === object.etag)) return;
    const temporary = join(folder, `${TEMPORARY}${randomUUID()}`);
    try {
      const { info, path: blob } = await this.#buckets.path(bucket, key);
      await this.#copyOrLink(blob, temporary);
      this.#place(change, temporary, path, info.etag);
    } finally {
      rmSync(temporary, { force: true });
    }
  }

  async #copyOrLink(blob: string, path: string): Promise<void> {
    if (!this.#copies) {
      try {
        return linkSync(blob, path);
      } catch {
        // A disk without links, or a file with as many as it can have.
      }
    }
    await copyFile(blob, path, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL);
    await chmod(path, 0o444);
  }

  /** In one go: nobody drops a file between the look and the rename. */
  #place(change: ObjectChange, temporary: string, path: string, etag: string): void {
    const present = look(path);
    if (present && this.#shown(change, present) === undefined) return;
    const file = lstatSync(temporary);
    this.#remember(change, file, etag);
    renameSync(temporary, path);
    this.#journal
      .sql("DELETE FROM views WHERE bucket = ? AND key = ? AND file <> ?")
      .run(change.bucket, change.key, identity(file));
  }

  /** The object is gone: its file goes too, and folders that are empty then. */
  #hide(change: ObjectChange, path: string): void {
    const { bucket, key } = change;
    const present = look(path);
    if (present && this.#shown(change, present) !== undefined) {
      rmSync(path);
      removeEmptyFolders(dirname(path), join(this.path, bucket));
    }
    this.#journal.sql("DELETE FROM views WHERE bucket = ? AND key = ?").run(bucket, key);
  }

  /** The etag this file shows, if this view made the file. */
  #shown({ bucket, key }: ObjectChange, file: Stats): string | undefined {
    return this.#journal
      .sql("SELECT etag FROM views WHERE bucket = ? AND key = ? AND file = ?")
      .get(bucket, key, identity(file))?.etag as string | undefined;
  }

  #remember({ bucket, key }: ObjectChange, file: Stats, etag: string): void {
    this.#journal.sql("INSERT OR REPLACE INTO views VALUES (?, ?, ?, ?)").run(bucket, key, identity(file), etag);
  }
}

/** The etag of a file that was dropped and taken: it is replaced by one that shows the object. */
const DROPPED = "";

/** The key's path as a file, if it can be one: no empty name, `.` or `..`, none too long. */
export function toSegments(key: string): readonly string[] | undefined {
  const segments = key.split("/");
  return segments.every(isFileName) ? segments : undefined;
}

const isFileName = (name: string): boolean =>
  name !== "" &&
  name !== "." &&
  name !== ".." &&
  !name.includes("\0") &&
  !name.includes(sep) &&
  !name.startsWith(TEMPORARY) &&
  Buffer.byteLength(name) <= NAME_BYTES;

const isPassedOver = (path: string): boolean =>
  path.split(/[\\/]/).some((name) => name.startsWith(".")) || PARTIAL.test(path);

/** A file itself, not what it links to; nothing if there is none to be seen. */
function look(path: string): Stats | undefined {
  try {
    return lstatSync(path);
  } catch (error) {
    if (["ENOENT", "ENOTDIR", "EACCES"].includes((error as NodeJS.ErrnoException).code ?? "")) return undefined;
    throw error;
  }
}

/** What tells a file from any other that is or was at its place. */
const identity = ({ ino, size, mtimeMs }: Stats): string => `${ino} ${size} ${mtimeMs}`;

const isRoot = (): boolean => process.getuid?.() === 0;

/** Makes the folders above a file; false where a file or a link is in the way, such as the object `a` of `a/b`. */
function makeFolders(folder: string, segments: readonly string[]): boolean {
  mkdirSync(folder, { recursive: true });
  let path = folder;
  for (const name of segments.slice(0, -1)) {
    path = join(path, name);
    const present = look(path);
    if (!present) mkdirSync(path);
    else if (!present.isDirectory()) return false;
  }
  return true;
}

function removeTemporaries(path: string): void {
  for (const bucket of readdirSync(path, { withFileTypes: true }).filter((entry) => entry.isDirectory()))
    for (const name of readdirSync(join(path, bucket.name)))
      if (name.startsWith(TEMPORARY)) rmSync(join(path, bucket.name, name), { force: true });
}

function removeEmptyFolders(path: string, end: string): void {
  for (let folder = path; folder !== end; folder = dirname(folder)) {
    try {
      rmdirSync(folder);
    } catch {
      return; // not empty
    }
  }
}

/** A file's bytes, if it stays the same until the last one; never through a link. */
async function* readWhole(path: string, expected: Stats): AsyncGenerator<Buffer> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    yield* handle.createReadStream({ autoClose: false, highWaterMark: 2 ** 20 }) as AsyncIterable<Buffer>;
    if (identity(await handle.stat()) !== identity(expected)) throw new MillraceError("conflict", `${path} changed`);
  } finally {
    await handle.close();
  }
}
