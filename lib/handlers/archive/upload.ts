import { createReadStream } from "node:fs";
import { rm, stat, statfs } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { type Crc64Kind, crc64 } from "../../runtime/crc64.ts";
import { MillraceError, toErrorRecord } from "../../runtime/errors.ts";
import type { ScheduleFired } from "../../runtime/events.ts";
import type { Context } from "../../runtime/handler.ts";
import type {
  BucketReader,
  BucketWriter,
  ObjectInfo,
  TableReader,
  TableWriter,
  VolumeMount,
} from "../../runtime/ports.ts";
import { shownName } from "../../shared/archive/application.ts";
import { crc32 } from "../../shared/archive/crc32.ts";
import { objectKey, parseFileName } from "../../shared/archive/places.ts";
import { atOnce } from "../transfer/at-once.ts";
import { fileError } from "./file.ts";
import { removeOrphans } from "./orphans.ts";
import { patiently } from "./patience.ts";
import type { SealSettings, UploadSettings } from "./settings.ts";
import { type ArchiveFile, isDue, isHeld, type SlotRow, Slots, sealed } from "./slots.ts";

/** What who uploads may touch. */
export interface UploadLinks {
  readonly slots: TableReader & TableWriter;
  readonly volume: VolumeMount;
  readonly bucket: BucketReader & BucketWriter;
}

/** What was uploaded. */
export interface Uploaded {
  readonly files: number;
  readonly bytes: number;
  /** Files that are left for the next time. */
  readonly left: number;
  /** Files that were nobody's any more. */
  readonly removed: number;
}

type World = Context<UploadLinks, UploadSettings>;

/** Applications under way at once. */
const AT_ONCE = 4;
/** Kept of the time to end in an orderly way: a file that is begun is small beside it. */
const RESERVE = 20_000;
/** With less room than this share of the volume, files are closed whatever their size and age. */
const LEAST_ROOM = 0.1;

/**
 * Closes the files that are due, puts what is closed into the bucket, looks at it there, and lets go of it here. Killed
 * anywhere, the next one does the rest: an object has the same key and content every time.
 */
export async function handler(_: ScheduleFired, world: World): Promise<Uploaded> {
  const { links, log, metrics, clock, run } = world;
  const slots = new Slots(links.slots);
  const seal = (await isNearlyFull(links.volume.path)) ? EVERYTHING : world.settings.seal;
  const begun = clock.now();
  const end = begun + Math.max((run.deadline - begun) / 2, run.deadline - begun - RESERVE);
  const known = new Set<string>();
  const outcomes: Outcome[] = [];
  for await (const folders of slots.applications()) {
    const found = await atOnce(AT_ONCE, folders, (folder) => ofApplication(world, slots, folder, seal, end));
    for (const one of found) {
      outcomes.push(...one.outcomes);
      for (const path of one.paths) known.add(path);
    }
  }
  const removed = await removeOrphans(links.volume.path, known, clock.now());
  const result = resultOf(outcomes, removed);
  metrics.count("archive.uploaded", result.files);
  metrics.gauge("archive.waiting", result.left);
  log.info("uploaded", { ...result });
  const failures = outcomes.filter((outcome) => "error" in outcome);
  if (failures.length > 0) throw failureOf(failures);
  return result;
}

const EVERYTHING: SealSettings = { size: 0, age: 0 };

async function isNearlyFull(path: string): Promise<boolean> {
  const { bavail, blocks } = await statfs(path).catch((error: unknown) => Promise.reject(fileError(path, error)));
  return blocks > 0 && bavail / blocks < LEAST_ROOM;
}

type Outcome =
  | { readonly bytes: number }
  | { readonly left: true }
  | { readonly file: string; readonly error: unknown };

function resultOf(outcomes: readonly Outcome[], removed: number): Uploaded {
  const done = outcomes.flatMap((outcome) => ("bytes" in outcome ? [outcome.bytes] : []));
  const bytes = done.reduce((sum, one) => sum + one, 0);
  return { files: done.length, bytes, left: outcomes.length - done.length, removed };
}

/** One is told of with all others counted: the rest is in the log. */
function failureOf(failures: readonly { readonly file: string; readonly error: unknown }[]): MillraceError {
  const [{ file, error }] = failures as [(typeof failures)[0]];
  const { kind, message } = toErrorRecord(error);
  const others = failures.length > 1 ? `, and ${failures.length - 1} more` : "";
  return new MillraceError(kind, `${file} was not uploaded${others}: ${message}`, { cause: error });
}

/** Closes and uploads an application's files; the paths are those that somebody may still write or upload. */
async function ofApplication(world: World, slots: Slots, folder: string, seal: SealSettings, end: number) {
  const { clock, signal, log } = world;
  const rows = await patiently(world, () => closed(world, slots, folder, seal));
  const outcomes: Outcome[] = [];
  for (const { value } of rows) {
    for (const file of value.sealed) {
      const path = `${folder}/${file.name}`;
      signal.throwIfAborted();
      if (clock.now() >= end) outcomes.push({ left: true });
      else {
        const outcome = await upload(world, slots, folder, value.slot, value.application, file).catch(
          (error: unknown) => ({ file: path, error }),
        );
        if ("error" in outcome) log.error("a file was not uploaded", outcome);
        outcomes.push(outcome);
      }
    }
  }
  const paths = rows.flatMap(({ value: { file, sealed } }) =>
    [...(file ? [file] : []), ...sealed].map(({ name }) => `${folder}/${name}`),
  );
  return { outcomes, paths };
}

/** An application's slots, with the files closed that are due. One that is written just now is left to its writer. */
async function closed({ clock }: World, slots: Slots, folder: string, seal: SealSettings): Promise<readonly SlotRow[]> {
  const rows = await slots.of(folder);
  return await atOnce(1, rows, async (row): Promise<SlotRow> => {
    const now = clock.now();
    const { file } = row.value;
    if (!file || !isDue(file, seal, now) || isHeld(row.value, now)) return row;
    const value = sealed(row.value);
    return { ...row, value, version: await slots.put(folder, row, value) };
  });
}

async function upload(
  world: World,
  slots: Slots,
  folder: string,
  slot: number,
  application: string,
  file: ArchiveFile,
): Promise<Outcome> {
  const path = join(world.links.volume.path, folder, file.name);
  const key = objectKey(world.settings.prefix, { ...file, folder, file: file.name });
  try {
    await patiently(world, () => putWhole(world, path, key, application, file), ["unavailable", "timed-out"]);
  } catch (error) {
    // Two may be at work: what the other one has done is no failure of ours.
    if (await isWaiting(slots, folder, slot, file)) throw error;
    return { bytes: 0 };
  }
  await patiently(world, () => letGo(slots, folder, slot, file));
  await rm(path, { force: true });
  return { bytes: file.length };
}

/** The object is there, and is what was archived: size and sum are looked at, by the store's own sum or by reading it. */
async function putWhole(
  { links: { bucket }, signal }: World,
  path: string,
  key: string,
  application: string,
  file: ArchiveFile,
): Promise<void> {
  if (await isThere(bucket, key, path, file)) return;
  await checkFile(path, file);
  const { records, earliest, latest, crc } = file;
  await bucket.put(key, contentOf(path, file), {
    contentType: parseFileName(file.name)?.codec === "zstd" ? "application/zstd" : "application/gzip",
    metadata: {
      application: shownName(application, LONGEST_METADATA),
      ...{ records: `${records}`, earliest: `${earliest}`, latest: `${latest}`, crc32: `${crc}` },
    },
  });
  signal.throwIfAborted();
  if (await isThere(bucket, key, path, file)) return;
  throw new MillraceError("unavailable", `object "${key}" is not what was put there`);
}

/** Stores take 2 KB of metadata, percent-encoded. */
const LONGEST_METADATA = 100;

const contentOf = (path: string, { length }: ArchiveFile): Readable =>
  createReadStream(path, { end: length - 1, highWaterMark: 2 ** 18 });

/** @throws `failed` if the volume has not what was archived */
async function checkFile(path: string, file: ArchiveFile): Promise<void> {
  try {
    const { size } = await stat(path);
    if (size < file.length) throw new MillraceError("failed", `it has ${size} bytes, and ${file.length} were archived`);
    const sum = await crcOf(contentOf(path, file));
    if (sum !== file.crc) throw new MillraceError("failed", `its CRC-32 is ${sum}, and ${file.crc} was archived`);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT")
      throw new MillraceError("failed", `it is not on the volume, and ${file.length} bytes were archived`);
    throw fileError(path, error);
  }
}

async function isThere(bucket: BucketReader, key: string, path: string, file: ArchiveFile): Promise<boolean> {
  const found = await bucket.head(key, { crc64: true });
  if (!found || found.size !== file.length) return false;
  const { crc64: told } = found;
  const isOnVolume = await stat(path).then(
    ({ size }) => size >= file.length,
    () => false,
  );
  if (told && isOnVolume) return (await crc64Of(contentOf(path, file), told.kind)) === told.value;
  return (await crcOf(await bucket.stream(key, ifStill(found)))) === file.crc;
}

const ifStill = ({ etag }: ObjectInfo) => ({ ifMatch: etag });

async function crcOf(content: Readable): Promise<number> {
  let sum = 0;
  for await (const chunk of content) sum = crc32(chunk as Uint8Array, sum);
  return sum;
}

async function crc64Of(content: Readable, kind: Crc64Kind): Promise<string> {
  let sum = crc64(kind, new Uint8Array());
  for await (const chunk of content) sum = crc64(kind, chunk as Uint8Array, sum);
  return sum;
}

async function isWaiting(slots: Slots, folder: string, slot: number, { name }: ArchiveFile): Promise<boolean> {
  const row = await slots.get(folder, slot);
  return row?.value.sealed.some((one) => one.name === name) ?? false;
}

/** The row knows the file no more. */
async function letGo(slots: Slots, folder: string, slot: number, { name }: ArchiveFile): Promise<void> {
  const row = await slots.get(folder, slot);
  if (!row?.value.sealed.some((one) => one.name === name)) return;
  await slots.put(folder, row, { ...row.value, sealed: row.value.sealed.filter((one) => one.name !== name) });
}
