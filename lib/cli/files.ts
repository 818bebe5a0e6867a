import { randomBytes } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { link, lstat, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { MillraceError } from "../runtime/errors.ts";
import { UsageError } from "./exit.ts";

export interface OpenFile {
  readonly stream: Readable;
  /** Bytes; undefined for standard input. */
  readonly size: number | undefined;
}

/** A file to read, or `-` for standard input. */
export async function openFile(path: string): Promise<OpenFile> {
  if (path === "-") return { stream: process.stdin, size: undefined };
  const info = await stat(path);
  if (info.isDirectory()) throw new UsageError(`${path}: it is a folder; name files`);
  return { stream: createReadStream(path), size: info.size };
}

/**
 * Where an object goes: the place the user named; in it, if that is a folder, or here, under the last part of the key
 * and nowhere else, whatever the key is.
 *
 * @throws UsageError if that part cannot be a file's name.
 */
export async function targetOf(key: string, given: string | undefined): Promise<string> {
  const folder = given === undefined ? "." : given;
  const isFolder = given === undefined || given.endsWith("/") || (await isDirectory(given));
  return isFolder ? join(folder, nameOf(key)) : folder;
}

function nameOf(key: string): string {
  const name = key.split("/").at(-1)!;
  // A backslash parts folders on Windows; the rest would be invisible in a list of files.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  if (name === "" || name === "." || name === ".." || /[\\\u0000-\u001f\u007f]/.test(name)) {
    throw new UsageError(
      `the key ${JSON.stringify(key)} ends in nothing that can be a file's name; name a file for it`,
    );
  }
  return name;
}

const isDirectory = (path: string): Promise<boolean> =>
  stat(path).then(
    (info) => info.isDirectory(),
    () => false,
  );

/** @throws `conflict` if there is something already; a link counts, wherever it leads. */
export async function refuseExisting(file: string): Promise<void> {
  const isThere = await lstat(file).then(
    () => true,
    () => false,
  );
  if (isThere) throw existing(file);
}

const existing = (file: string): MillraceError =>
  new MillraceError("conflict", `${file} is there already; name another file, or overwrite it with --force`);

/** Writes a file that is there whole or not at all. */
export async function saveStream(
  body: Readable,
  file: string,
  { isForced }: { readonly isForced: boolean },
): Promise<void> {
  const unfinished = join(dirname(file), `.millrace-${randomBytes(6).toString("hex")}.part`);
  try {
    await pipeline(body, createWriteStream(unfinished, { flags: "wx" }));
    // A link, unlike a rename, never takes the place of a file that has come meanwhile.
    await (isForced ? rename(unfinished, file) : link(unfinished, file));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EEXIST") throw existing(file);
    throw code === "ENOENT" ? new MillraceError("not-found", `${dirname(file)}: there is no such folder`) : error;
  } finally {
    await rm(unfinished, { force: true });
  }
}
