import { createHash, randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { type Zippable, zipSync } from "fflate";

/** One file of an archive. */
export interface ArchivedFile {
  readonly bytes: Uint8Array;
  /** @default it is not executable */
  readonly executable?: boolean;
}

/** A zip file named by what is in it. */
export interface Archive {
  /** Absolute path of `<hash>.zip`. */
  readonly file: string;
  /** Of names and contents: equal files, equal hash. */
  readonly hash: string;
  /** Size of the zip. */
  readonly bytes: number;
  /** Size of its files. */
  readonly unzipped: number;
}

/**
 * Zips files, by path: the same bytes from the same files on every machine, so that a deployment uploads only what
 * has changed. An archive that is there already is used again.
 */
export async function archive(
  files: Readonly<Record<string, ArchivedFile>>,
  folder: string,
  { level = 9 }: { /** 1 is quick, 9 is small. @default 9 */ readonly level?: 1 | 9 } = {},
): Promise<Archive> {
  const sorted = Object.entries(files).sort(([one], [other]) => (one < other ? -1 : 1));
  const hash = hashOf(sorted);
  const file = resolve(folder, `${hash}.zip`);
  if (!existsSync(file)) await publish(file, zipSync(toZippable(sorted), { level }));
  const unzipped = sorted.reduce((sum, [, { bytes }]) => sum + bytes.byteLength, 0);
  return { file, hash, bytes: (await stat(file)).size, unzipped };
}

function hashOf(files: readonly (readonly [string, ArchivedFile])[]): string {
  const hash = createHash("sha256");
  for (const [name, { bytes, executable = false }] of files) {
    hash.update(`${name}\0${executable}\0${bytes.byteLength}\0`).update(bytes);
  }
  return hash.digest("hex").slice(0, 20);
}

/** Zip files know local time only: this one reads the same everywhere. */
const time = (): Date => new Date(1980, 0, 1);
/** The attributes that follow are those of Unix. https://pkwaredownloads.blob.core.windows.net/pkware-general/Documentation/APPNOTE-6.3.9.TXT */
const UNIX = 3;

const toZippable = (files: readonly (readonly [string, ArchivedFile])[]): Zippable =>
  Object.fromEntries(
    files.map(([name, { bytes, executable = false }]) => [
      name,
      [bytes, { mtime: time(), os: UNIX, attrs: (executable ? 0o100755 : 0o100644) * 2 ** 16 }],
    ]),
  );

/** Writes beside, then renames: nobody sees half a file. */
async function publish(file: string, bytes: Uint8Array): Promise<void> {
  await mkdir(join(file, ".."), { recursive: true });
  // Two functions with the same code make the same file at once.
  const draft = `${file}.${randomUUID()}`;
  try {
    await writeFile(draft, bytes);
    await rename(draft, file);
  } finally {
    await rm(draft, { force: true });
  }
}
