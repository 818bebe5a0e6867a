import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { rename, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { MillraceError } from "./errors.ts";
import type { GetOptions } from "./ports.ts";

/** What buckets that are asked over HTTP have in common. */

/** An etag without the quotes it has in a header. */
export const unquoted = (etag = ""): string => etag.replace(/^"|"$/g, "");

/** Metadata as a header carries it, which is ASCII: anything else, and `%` itself, is percent-encoded. */
export const encodeMetadata = (value: string): string => value.replace(/[^\x21-\x24\x26-\x7e]+/gu, encodeURIComponent);

/** What was encoded; a value that somebody else wrote is taken as it is. */
export function decodeMetadata(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}

/** @throws `bad-input` unless a range has first and last byte in order */
export function checkRange(key: string, range: GetOptions["range"]): void {
  const [first, last] = range ?? [0, 0];
  if (Number.isInteger(first) && Number.isInteger(last) && first >= 0 && first <= last) return;
  throw new MillraceError("bad-input", `bytes ${first} to ${last} of "${key}" are no range`);
}

/** Where content is kept, and which it is: a second call for the same one answers the same file. */
export interface KeptFile {
  readonly folder: string;
  /** Names the content: bucket, key, etag. */
  readonly content: readonly string[];
  readonly signal: AbortSignal;
}

/** A path that holds the content; it is read once. */
export async function keepFile({ folder, content, signal }: KeptFile, read: () => Promise<Readable>): Promise<string> {
  const path = join(folder, createHash("sha256").update(content.join("\0")).digest("hex"));
  if (await exists(path)) return path;
  const draft = `${path}.${Math.random()}`;
  await pipeline(await read(), createWriteStream(draft), { signal });
  await rename(draft, path);
  return path;
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );
