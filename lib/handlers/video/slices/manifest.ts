import type { BucketReader } from "../../../runtime/ports.ts";
import type { Picture, Sound } from "../../../shared/video/rendition.ts";
import type { Source } from "../source.ts";

/** How a video is cut: an object in the work bucket that every step of the run reads. */
export interface Manifest {
  /** In the uploads bucket. */
  readonly object: string;
  readonly etag: string;
  /** Bytes. */
  readonly size: number;
  readonly source: Source;
  /** Every way the picture is encoded; each slice is encoded in all of them, from one decode. */
  readonly pictures: readonly PictureEncode[];
  /** Every way the sound is encoded, each once and whole. */
  readonly sounds: readonly Sound[];
  /** In the order they are joined in. */
  readonly slices: readonly Slice[];
  /** Seconds from the source's start to the first frame. */
  readonly delay: number;
}

export interface PictureEncode {
  readonly picture: Picture;
  /** Seconds between key frames that are forced, counted from the first frame of the video. */
  readonly every?: number;
}

/** A part of the picture. Times are seconds. */
export interface Slice {
  /** The time in the source that is the slice's zero: a place on the grid of frames. */
  readonly zero: number;
  /** In frames of the grid; the last slice may have more, as long as its last frame is shown. */
  readonly length: number;
}

/** What a step says of a slice it has encoded, as an object beside it. */
export interface SliceReport {
  /** In the order of the manifest's pictures. */
  readonly frames: readonly number[];
}

/** Why there are no slices, as an object: what a run was to be made of failed. */
export interface SlicesFailure {
  readonly kind: string;
  readonly message: string;
}

/** Everything of a run lies under this, and nothing else does. */
export const runPrefix = (run: string): string => `runs/${run}/`;

export const manifestKey = (run: string): string => `${runPrefix(run)}manifest.json`;
export const failureKey = (run: string): string => `${runPrefix(run)}failure.json`;
export const sliceKey = (run: string, index: number, picture: number): string =>
  `${runPrefix(run)}slices/${index}-${picture}`;
/** Put when all of a slice is there. */
export const reportKey = (run: string, index: number): string => `${runPrefix(run)}slices/${index}.json`;
export const soundKey = (run: string, index: number): string => `${runPrefix(run)}sounds/${index}`;

/** An object's content as JSON. */
export async function readJson<Value>(bucket: BucketReader, key: string): Promise<Value> {
  return JSON.parse(Buffer.from(await bucket.get(key)).toString("utf8")) as Value;
}

/** The same where there need not be such an object. */
export const findJson = async <Value>(bucket: BucketReader, key: string): Promise<Value | undefined> =>
  (await bucket.head(key)) && readJson<Value>(bucket, key);
