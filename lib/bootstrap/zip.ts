import { createWriteStream } from "node:fs";
import { type FileHandle, mkdir, open } from "node:fs/promises";
import { dirname, join, normalize } from "node:path";
import { pipeline } from "node:stream/promises";
import { createInflateRaw } from "node:zlib";

/** A file in a zip. */
interface Entry {
  readonly path: string;
  /** Of Unix; 0 if the zip was made elsewhere. */
  readonly mode: number;
  readonly method: number;
  readonly packed: number;
  readonly size: number;
  /** Where its own header begins. */
  readonly offset: number;
}

/** Unpacks a zip into a folder: all of it, or nothing if one path leads out of the folder. */
export async function unzip(zip: string, folder: string): Promise<void> {
  await withEntries(zip, async (file, entries) => {
    for (const entry of entries) checkPath(entry);
    for (const entry of entries)
      await extract(file, entry, join(folder, entry.path), entry.mode & 0o100 ? 0o755 : 0o644);
  });
}

/** Takes one file out of a zip. */
export async function unzipMember(zip: string, member: string, to: string): Promise<void> {
  await withEntries(zip, async (file, entries) => {
    const entry = entries.find(({ path }) => path === member);
    if (!entry) throw new Error(`the zip has no ${member}`);
    await extract(file, entry, to, 0o644);
  });
}

async function withEntries(
  zip: string,
  work: (file: FileHandle, entries: readonly Entry[]) => Promise<void>,
): Promise<void> {
  const file = await open(zip);
  try {
    await work(file, await entriesOf(file));
  } finally {
    await file.close();
  }
}

function checkPath({ path, mode }: Entry): void {
  const isLink = (mode & 0o170000) === 0o120000;
  const escapes = path.startsWith("/") || /[\\\0]/.test(path) || normalize(path).split("/")[0] === "..";
  if (isLink || escapes) throw new Error(`the zip's ${JSON.stringify(path)} leads out of its folder`);
}

/*
 * The format: at the end a record that says where the directory is, and the directory says where each file is.
 * https://pkwaredownloads.blob.core.windows.net/pkware-general/Documentation/APPNOTE-6.3.9.TXT
 */
const END_OF_DIRECTORY = { signature: 0x06054b50, bytes: 22 };
const IN_DIRECTORY = { signature: 0x02014b50, bytes: 46 };
const LOCAL = { signature: 0x04034b50, bytes: 30 };
const LONGEST_COMMENT = 0xffff;
const [STORED, DEFLATED] = [0, 8];

async function entriesOf(file: FileHandle): Promise<readonly Entry[]> {
  const { size } = await file.stat();
  const tail = await bytesOf(file, Math.max(0, size - END_OF_DIRECTORY.bytes - LONGEST_COMMENT), size);
  let end = tail.length - END_OF_DIRECTORY.bytes;
  while (end >= 0 && tail.readUInt32LE(end) !== END_OF_DIRECTORY.signature) end--;
  if (end < 0) throw new Error("it is no zip");
  const [count, bytes, start] = [tail.readUInt16LE(end + 10), tail.readUInt32LE(end + 12), tail.readUInt32LE(end + 16)];
  if (count === 0xffff || start === 0xffffffff) throw new Error("the zip is of the 64-bit kind, for 4 GB and more");
  const directory = await bytesOf(file, start, start + bytes);
  const entries: Entry[] = [];
  for (let at = 0; entries.length < count; ) {
    if (directory.readUInt32LE(at) !== IN_DIRECTORY.signature) throw new Error("the zip's directory is broken");
    const [name, extra, comment] = [28, 30, 32].map((field) => directory.readUInt16LE(at + field)) as number[];
    const next = at + IN_DIRECTORY.bytes + name!;
    entries.push({
      path: directory.toString("utf8", at + IN_DIRECTORY.bytes, next),
      mode: directory.readUInt32LE(at + 38) >>> 16,
      method: directory.readUInt16LE(at + 10),
      packed: directory.readUInt32LE(at + 20),
      size: directory.readUInt32LE(at + 24),
      offset: directory.readUInt32LE(at + 42),
    });
    at = next + extra! + comment!;
  }
  return entries;
}

async function extract(file: FileHandle, entry: Entry, to: string, mode: number): Promise<void> {
  if (entry.path.endsWith("/")) return void (await mkdir(to, { recursive: true }));
  await mkdir(dirname(to), { recursive: true });
  const header = await bytesOf(file, entry.offset, entry.offset + LOCAL.bytes);
  if (header.readUInt32LE(0) !== LOCAL.signature) throw new Error(`the zip's ${entry.path} is broken`);
  const start = entry.offset + LOCAL.bytes + header.readUInt16LE(26) + header.readUInt16LE(28);
  const target = createWriteStream(to, { mode });
  if (entry.packed === 0) await pipeline([], target);
  else {
    const packed = file.createReadStream({ start, end: start + entry.packed - 1, autoClose: false });
    if (entry.method === STORED) await pipeline(packed, target);
    else if (entry.method === DEFLATED) await pipeline(packed, createInflateRaw(), target);
    else throw new Error(`the zip's ${entry.path} is packed by method ${entry.method}, which is neither 0 nor 8`);
  }
  if (target.bytesWritten !== entry.size) {
    throw new Error(`the zip's ${entry.path} has ${target.bytesWritten} bytes, not ${entry.size}`);
  }
}

async function bytesOf(file: FileHandle, start: number, end: number): Promise<Buffer> {
  const bytes = Buffer.alloc(end - start);
  const { bytesRead } = await file.read(bytes, 0, bytes.length, start);
  if (bytesRead < bytes.length) throw new Error("the zip is cut off");
  return bytes;
}
