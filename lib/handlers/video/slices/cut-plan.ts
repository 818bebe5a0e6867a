import type { Slice } from "./manifest.ts";
import type { Packet } from "./packets.ts";

/** How finely a video is cut. */
export interface CutOptions {
  /** Seconds that a slice should last. @default what suits the video */
  readonly length?: number;
  /** Most slices of one video. */
  readonly atMost: number;
}

/** Slices, or why the picture can't be cut. */
export type CutPlan = { readonly slices: readonly Slice[] } | { readonly reason: string };

/** Shorter ones cost more to start than they save. */
const SHORTEST = 20;
/** A slice decodes up to one group of pictures that is not its own; that should be little beside what is. */
const GROUPS_IN_SLICE = 4;
/** Where times jump by more, ffmpeg takes the rest for another recording and moves it up. */
const LONGEST_GAP = 10;
/**
 * Cuts a picture at key frames near equal distances.
 *
 * A slice is what is **shown** from a key frame up to the next cut. It is read from an earlier key frame on and trimmed
 * by time, so that what leads a key frame of an open group, or what deinterlacing looks back on, has all it needs.
 * Frames are put on one grid from the first frame of the video to its last, whichever slice they are in: `zero` is a
 * place on it, so that slices fit together without drift.
 */
export function cutPlan(packets: readonly Packet[], gridRate: number, options: CutOptions): CutPlan {
  const reason = whyWhole(packets);
  if (reason !== undefined) return { reason };
  const shown = packets.filter(({ isShown }) => isShown).sort((left, right) => left.pts - right.pts);
  const frames = shown.map(({ pts }) => pts);
  if (frames.length === 0) return { reason: "there is no frame in it" };
  if (frames.some((time, index) => index > 0 && time <= frames[index - 1]!))
    return { reason: "several frames are shown at the same time" };
  const origin = gridStart(frames, gridRate);
  const slotOf = (index: number) => Math.round((frames[index]! - origin) * gridRate);
  // A frame that shares its place with the one before it has no border before it.
  const candidates = shown.flatMap(({ isKey }, index) =>
    isKey && index > 0 && slotOf(index) > slotOf(index - 1) ? [index] : [],
  );
  const places = [0, ...chooseCuts(frames, candidates, options).map(slotOf), slotOf(frames.length - 1) + 1];
  return {
    slices: places.slice(1).map((end, index) => ({
      zero: origin + places[index]! / gridRate,
      length: end - places[index]!,
    })),
  };
}

/**
 * The place on the grid that is the first frame's. The grid lies where most frames are, in the middle between roundings:
 * the mean of their phases, as directions.
 */
function gridStart(frames: readonly number[], gridRate: number): number {
  let [sin, cos] = [0, 0];
  for (const time of frames) {
    sin += Math.sin(2 * Math.PI * time * gridRate);
    cos += Math.cos(2 * Math.PI * time * gridRate);
  }
  const phase = Math.atan2(sin, cos) / (2 * Math.PI);
  return (Math.round(frames[0]! * gridRate - phase) + phase) / gridRate;
}

function whyWhole(packets: readonly Packet[]): string | undefined {
  if (packets.some(({ pts }) => Number.isNaN(pts))) return "its container does not say when every frame is shown";
  let before = Number.NaN;
  for (const { dts } of packets) {
    if (dts < before || dts > before + LONGEST_GAP) return `its times jump at ${dts.toFixed(2)} s`;
    if (!Number.isNaN(dts)) before = dts;
  }
  return undefined;
}

/** Of the key frames those nearest to equal distances. */
function chooseCuts(frames: readonly number[], candidates: readonly number[], options: CutOptions): readonly number[] {
  const [start, end] = [frames[0]!, frames.at(-1)!];
  const count = Math.ceil((end - start) / sliceLength(end - start, candidates.length, options) - 1e-6);
  const cuts: number[] = [];
  let next = 0;
  for (let number = 1; number < count; number += 1) {
    const target = start + ((end - start) * number) / count;
    const distance = (at: number) => Math.abs(frames[candidates[at]!]! - target);
    while (next + 1 < candidates.length && distance(next + 1) <= distance(next)) next += 1;
    const cut = candidates[next];
    if (cut !== undefined && cut !== cuts.at(-1)) cuts.push(cut);
  }
  return cuts;
}

function sliceLength(duration: number, keys: number, { length, atMost }: CutOptions): number {
  const suiting = Math.max(SHORTEST, (GROUPS_IN_SLICE * duration) / (keys + 1));
  return Math.max(length ?? suiting, duration / atMost);
}
