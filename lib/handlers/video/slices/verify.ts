import { fromOwn } from "../input-options.ts";
import type { ProbeOptions } from "../probe.ts";
import type { SlicedPicture } from "./join.ts";
import { type Packet, scanPackets } from "./packets.ts";

/** What slices came to is not what it should be: the run is made in one piece. */
export class UnsoundError extends Error {
  override readonly name = "UnsoundError";
}

/** Frames that a rounding of times may add to or take from the length. */
const FRAMES_APART = 1.5;

/**
 * Checks that a file has all its slices have, and no seams: as many frames, times that only rise, as long as the slices
 * together, and the sound as it was encoded.
 *
 * @throws {@link UnsoundError}
 */
export async function verifyJoined(
  file: string,
  { frames, duration, delay, sound }: SlicedPicture,
  gridRate: number,
  options: ProbeOptions,
): Promise<void> {
  const miss = (message: string) => {
    throw new UnsoundError(`${file}, joined from slices, ${message}`);
  };
  const picture = await look(file, "v:0", options);
  if (picture.count !== frames) miss(`has ${picture.count} frames, its slices have ${frames}`);
  if (picture.backwards !== undefined) miss(`goes back in time at ${picture.backwards} s`);
  const lasts = picture.last - picture.first + 1 / gridRate;
  if (Math.abs(lasts - duration) > FRAMES_APART / gridRate) miss(`has a picture of ${lasts} s, not of ${duration} s`);
  if (sound === undefined) return;
  const [alone, joined] = [await look(sound, "a:0", options), await look(file, "a:0", options)];
  if (joined.count !== alone.count) miss(`has ${joined.count} packets of sound, and not ${alone.count}`);
  if (joined.backwards !== undefined) miss(`has sound that goes back in time at ${joined.backwards} s`);
  const apart = picture.first - joined.first - (delay - alone.first);
  if (Math.abs(apart) > 1 / gridRate) miss(`has its sound ${apart.toFixed(3)} s away from where it belongs`);
}

/** What a stream's packets tell. Times are seconds. */
interface Stream {
  readonly count: number;
  readonly first: number;
  readonly last: number;
  /** Where a packet is to be decoded no later than the one before it. */
  readonly backwards?: number;
}

async function look(file: string, stream: string, options: ProbeOptions): Promise<Stream> {
  let count = 0;
  let [first, last, before] = [Infinity, -Infinity, -Infinity];
  let backwards: number | undefined;
  const add = ({ pts, dts }: Packet) => {
    count += 1;
    first = Math.min(first, pts);
    last = Math.max(last, pts);
    if (dts <= before) backwards ??= dts;
    before = dts;
  };
  await scanPackets(fromOwn(file), stream, add, options);
  return { count, first, last, ...(backwards !== undefined && { backwards }) };
}
