import { symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isErrorKind, MillraceError } from "../../../runtime/errors.ts";
import type { BucketReader } from "../../../runtime/ports.ts";
import type { Group, Sliced } from "../encode-plan.ts";
import {
  failureKey,
  findJson,
  type Manifest,
  manifestKey,
  reportKey,
  type SliceReport,
  type SlicesFailure,
  sliceKey,
  soundKey,
} from "./manifest.ts";
import { encodesFor } from "./sharing.ts";

/** What was made of a run in slices, fetched to a folder. */
export interface Slices {
  readonly manifest: Manifest;
  /** What a group of outputs is joined from; nothing if it is not made of slices. */
  readonly of: (group: Group) => SlicedPicture | undefined;
}

/** A picture in slices, and what it must come to. */
export interface SlicedPicture extends Sliced {
  /** Of all slices together. */
  readonly frames: number;
  /** Seconds of all slices together. */
  readonly duration: number;
}

/**
 * Fetches what was made of a run in slices.
 *
 * @returns nothing if the run is not made in slices, or if some of them are missing.
 * @throws what its slices failed with, at the run's first attempt: the next ones make it in one piece.
 */
export async function fetchSlices(
  run: string,
  attempt: number,
  folder: string,
  work: BucketReader,
): Promise<Slices | undefined> {
  const failure = await findJson<SlicesFailure>(work, failureKey(run));
  if (failure && attempt === 1)
    throw new MillraceError(isErrorKind(failure.kind) ? failure.kind : "failed", failure.message);
  const manifest = failure ? undefined : await findJson<Manifest>(work, manifestKey(run));
  if (!manifest) return undefined;
  const found = await inGroups(manifest.slices, (_, index) => findJson<SliceReport>(work, reportKey(run, index)));
  const reports = found.filter((report) => report !== undefined);
  // Somebody stopped them.
  if (reports.length < found.length) return undefined;
  const sounds = manifest.source.audio ? manifest.sounds : [];
  for (const index of sounds.keys())
    await symlink(await work.file(soundKey(run, index)), join(folder, soundFile(index)));
  const pictures: SlicedPicture[] = [];
  for (const picture of manifest.pictures.keys()) {
    await inGroups(manifest.slices, async (_, index) =>
      symlink(await work.file(sliceKey(run, index, picture)), join(folder, sliceFile(picture, index))),
    );
    await writeFile(join(folder, listFile(picture)), listOf(picture, manifest));
    const counts = reports.map(({ frames }) => frames[picture]!);
    const lengths = [...manifest.slices.slice(0, -1).map(({ length }) => length), counts.at(-1)!];
    pictures.push({
      ...{ list: listFile(picture), delay: manifest.delay, frames: sum(counts) },
      duration: sum(lengths) / manifest.source.video!.gridRate,
    });
  }
  return {
    manifest,
    of: (group) => {
      const encodes = encodesFor(group, manifest);
      if (!encodes) return undefined;
      const { picture, sound } = encodes;
      return { ...pictures[picture]!, ...(sound !== undefined && { sound: soundFile(sound) }) };
    },
  };
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);

const AT_ONCE = 8;

/** A few at once, the results in order. */
async function inGroups<Item, Result>(
  items: readonly Item[],
  work: (item: Item, index: number) => Promise<Result>,
): Promise<readonly Result[]> {
  const results: Result[] = [];
  for (let first = 0; first < items.length; first += AT_ONCE)
    results.push(
      ...(await Promise.all(items.slice(first, first + AT_ONCE).map((item, index) => work(item, first + index)))),
    );
  return results;
}

const soundFile = (index: number): string => `sound-${index}`;
const sliceFile = (picture: number, index: number): string => `slice-${picture}-${index}`;
const listFile = (picture: number): string => `slices-${picture}.txt`;

/**
 * What FFmpeg's concat demuxer reads. The length of each slice is said, since a file's own is rounded. Each is taken
 * from the difference of two places on the grid, so that no rounding adds up.
 * https://ffmpeg.org/ffmpeg-formats.html#concat-1
 */
function listOf(picture: number, { slices, source }: Manifest): string {
  const microseconds = (slots: number) => Math.round((slots / source.video!.gridRate) * 1e6);
  let slots = 0;
  const lines = slices.flatMap(({ length }, index) => {
    const before = microseconds(slots);
    slots += length;
    const duration = (microseconds(slots) - before) / 1e6;
    return [`file ${sliceFile(picture, index)}`, `duration ${duration.toFixed(6)}`];
  });
  return `${["ffconcat version 1.0", ...lines].join("\n")}\n`;
}
