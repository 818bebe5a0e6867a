import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { FunctionInvoked } from "../../../runtime/events.ts";
import type { Context, Handler } from "../../../runtime/handler.ts";
import type { BucketReader, BucketWriter } from "../../../runtime/ports.ts";
import { codecArgs } from "../encode-plan.ts";
import { explain } from "../explain.ts";
import { runFfmpeg } from "../ffmpeg.ts";
import { fromOwn, type InputAddress } from "../input-options.ts";
import { drawing, framing, type WatermarkFiles } from "../picture-filters.ts";
import { withSource } from "../source-server.ts";
import { toolOf } from "../tool.ts";
import { fetchWatermarks } from "../watermarks.ts";
import {
  type Manifest,
  manifestKey,
  type PictureEncode,
  readJson,
  reportKey,
  type SliceReport,
  sliceKey,
} from "./manifest.ts";
import { scanPackets } from "./packets.ts";

/** Which slice of which run. */
export interface EncodePayload {
  readonly run: string;
  readonly index: number;
}

export interface EncodeLinks {
  readonly uploads: BucketReader;
  readonly work: BucketReader & BucketWriter;
}

type EncodeContext = Context<EncodeLinks>;

/** Encodes one slice in every way that is wanted, from one decode; says how many frames each has. */
export const handler: Handler<FunctionInvoked<EncodePayload>, EncodeLinks, unknown, SliceReport> = async (
  { payload: { run, index } },
  context,
) => {
  const { uploads, work } = context.links;
  const manifest = await readJson<Manifest>(work, manifestKey(run));
  try {
    const folder = join(context.scratch, "work");
    await mkdir(folder);
    const watermarks = await fetchWatermarks(manifest.pictures, folder, uploads);
    const report = { frames: await encode(manifest, index, watermarks, folder, context) };
    for (const [picture, encoded] of manifest.pictures.entries())
      await work.putFile(sliceKey(run, index, picture), join(folder, sliceFile(picture, encoded)));
    await work.put(reportKey(run, index), JSON.stringify(report), { contentType: "application/json" });
    return report;
  } catch (error) {
    throw explain(error, manifest.object);
  }
};

/**
 * What came out must have the frames that the plan counted. Where it has not, a seek may have led astray: the slice is
 * read again from the video's beginning, and what comes then is what there is to see.
 */
async function encode(
  manifest: Manifest,
  index: number,
  watermarks: (encode: PictureEncode) => WatermarkFiles,
  folder: string,
  context: EncodeContext,
): Promise<readonly number[]> {
  const { log, links } = context;
  return withSource(manifest, links.uploads, async ({ input }) => {
    const work = (seeks: boolean) =>
      encodeOnce(sliceArgs(manifest, index, { input, watermarks, seeks }), manifest, index, folder, context);
    const frames = await work(true);
    if (index === 0 || isWhole(frames, manifest, index)) return frames;
    log.warn(`slice ${index} is read from the beginning: it has other frames than its place`, { frames });
    return work(false);
  });
}

const isWhole = (frames: readonly number[], { slices }: Manifest, index: number): boolean =>
  frames.every((count) =>
    index === slices.length - 1 ? count >= slices[index]!.length : count === slices[index]!.length,
  );

async function encodeOnce(
  args: readonly string[],
  { slices, source, pictures }: Manifest,
  index: number,
  cwd: string,
  { tools, signal, run }: EncodeContext,
): Promise<readonly number[]> {
  await runFfmpeg(args, {
    ...{ ffmpeg: toolOf(tools, "ffmpeg"), cwd, signal },
    duration: slices[index]!.length / source.video!.gridRate,
    onProgress: (fraction) => run.progress(fraction, `encoding slice ${index + 1} of ${slices.length}`),
  });
  return countFrames(pictures, cwd, { ffprobe: toolOf(tools, "ffprobe"), signal });
}

async function countFrames(
  pictures: readonly PictureEncode[],
  cwd: string,
  options: { readonly ffprobe: string; readonly signal: AbortSignal },
): Promise<readonly number[]> {
  const counts: number[] = [];
  for (const [picture, encoded] of pictures.entries()) {
    let count = 0;
    await scanPackets(fromOwn(sliceFile(picture, encoded)), "v:0", () => (count += 1), { ...options, cwd });
    counts.push(count);
  }
  return counts;
}

/** Containers that keep times exactly, where the codec has one. */
const containerOf = ({ picture }: PictureEncode): string => (picture.codec === "vp9" ? "webm" : "mp4");
const sliceFile = (number: number, encode: PictureEncode): string => `slice-${number}.${containerOf(encode)}`;

/** How the slice is read. */
export interface SliceInput {
  readonly input: InputAddress;
  readonly watermarks: (encode: PictureEncode) => WatermarkFiles;
  /** Whether reading starts near the slice, or at the beginning of the video. */
  readonly seeks: boolean;
}

/**
 * The call of ffmpeg that encodes a slice.
 *
 * Times are the source's own less the slice's zero, so that the frames' places on the grid are the same in every slice.
 * A seek goes to the key frame before the slice's first; what is decoded but not its own is trimmed by its place on the
 * grid, after what looks at several frames at once.
 */
export function sliceArgs(
  { source, pictures, slices }: Pick<Manifest, "source" | "pictures" | "slices">,
  index: number,
  { input, watermarks, seeks }: SliceInput,
): readonly string[] {
  const video = source.video!;
  const { zero, length } = slices[index]!;
  const trim = [
    ...(index === 0 ? [] : ["start_pts=0"]),
    ...(index === slices.length - 1 ? [] : [`end_pts=${length}`]),
  ].join(":");
  const shared = [...framing({ fps: video.gridRate }, video), ...(trim === "" ? [] : [`trim=${trim}`])];
  const links = pictures.map((_, number) => `[s${number}]`);
  const graphs = [`[0:${video.index}]${[...shared, `split=${pictures.length}`].join(",")}${links.join("")}`];
  const images: string[][] = [];
  for (const [number, encode] of pictures.entries()) {
    const drawn = drawing(encode.picture, video, watermarks(encode), {
      ...{ from: links[number]!, to: `[v${number}]`, image: 1 + images.length, label: String(number) },
      ...{ before: [], after: [] },
    });
    graphs.push(drawn.graph ?? `${links[number]}null[v${number}]`);
    // An image that came later than the first frame would not be on it.
    if (drawn.inputs.length > 0) images.push(["-itsoffset", "-1", ...drawn.inputs]);
  }
  return [
    ...[...input.safety, "-copyts", "-noaccurate_seek", "-itsoffset", seconds(-zero)],
    ...(seeks && index > 0 ? ["-seek_timestamp", "1", "-ss", seconds(zero - 1.5 / video.gridRate)] : []),
    ...["-i", input.url, ...images.flat(), "-filter_complex", graphs.join(";")],
    ...pictures.flatMap((encode, number) => encodeArgs(encode, number, zero - slices[0]!.zero)),
  ];
}

/** As ffmpeg takes them, to the microsecond. */
const seconds = (time: number): string => time.toFixed(6);

function encodeArgs(encode: PictureEncode, number: number, start: number): string[] {
  const { picture, every } = encode;
  return [
    ...["-map", `[v${number}]`, "-an", ...codecArgs(picture)],
    ...(every === undefined ? [] : ["-force_key_frames", forcedKeys(every, start)]),
    ...["-f", containerOf(encode), `file:${sliceFile(number, encode)}`],
  ];
}

/** Key frames at the times they have in the whole video, where an m3u8 is cut at them. */
const forcedKeys = (every: number, start: number): string =>
  start === 0
    ? `expr:gte(t,n_forced*${every})`
    : `expr:gte(t+${seconds(start)},(n_forced+${Math.ceil(start / every - 1e-6)})*${every})`;
