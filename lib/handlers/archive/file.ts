import { type FileHandle, mkdir, open } from "node:fs/promises";
import { dirname } from "node:path";
import { MillraceError } from "../../runtime/errors.ts";

/**
 * Writes behind what counts of a file, and flushes it. What lies there already was never acknowledged, and is cut off;
 * so is what a write leaves behind that fails.
 *
 * @param length what counts, in bytes; 0 makes the file
 * @throws `unavailable` if the volume is full, or does not answer, or has not what counts
 */
export async function append(path: string, length: number, bytes: Uint8Array): Promise<void> {
  try {
    const handle = await opened(path, length);
    try {
      await write(handle, path, length, bytes);
    } finally {
      await handle.close();
    }
    if (length === 0) await flushFolder(dirname(path));
  } catch (error) {
    throw fileError(path, error);
  }
}

async function opened(path: string, length: number): Promise<FileHandle> {
  if (length > 0) return open(path, "r+");
  await mkdir(dirname(path), { recursive: true });
  return open(path, "w+");
}

async function write(handle: FileHandle, path: string, length: number, bytes: Uint8Array): Promise<void> {
  const { size } = await handle.stat();
  if (size < length) throw new MillraceError("unavailable", `${path} has ${size} bytes, and ${length} were archived`);
  if (size > length) await handle.truncate(length);
  try {
    for (let at = 0; at < bytes.byteLength; ) {
      const { bytesWritten } = await handle.write(bytes, at, bytes.byteLength - at, length + at);
      at += bytesWritten;
    }
    await handle.datasync();
  } catch (error) {
    await handle.truncate(length).catch(() => {}); // makes room; who goes on would cut it off all the same
    throw error;
  }
}

/** A file that was made is there after a crash only if its folder knows of it. Not every file system flushes folders. */
async function flushFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r").catch(() => undefined);
  await handle?.sync().catch(() => {});
  await handle?.close();
}

/** What a volume does that goes wrong may go well a little later: it is remounted, or there is room again. */
export function fileError(path: string, error: unknown): unknown {
  const { code, message } = error as NodeJS.ErrnoException;
  if (error instanceof MillraceError || code === undefined) return error;
  const text = FULL.includes(code) ? `there is no room on the volume for ${path}` : message;
  return new MillraceError("unavailable", text, { cause: error });
}

const FULL: readonly string[] = ["ENOSPC", "EDQUOT"];
