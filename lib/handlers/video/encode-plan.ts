import { MillraceError } from "../../runtime/errors.ts";
import { FORMAT_FACTS, type Format } from "../../shared/video/formats.ts";
import type { Picture, Rendition, Sound } from "../../shared/video/rendition.ts";
import { fromOwn, type InputAddress } from "./input-options.ts";
import { type PictureFilters, pictureFilters, type WatermarkFiles } from "./picture-filters.ts";
import type { AudioStream, Source } from "./source.ts";

/** One call of ffmpeg. */
export interface Step {
  /** What it does, for the run's progress: `encode mp4, flv`. */
  readonly label: string;
  readonly args: readonly string[];
  /** Seconds of output; absent if the source does not say how long it is. */
  readonly duration?: number;
  /** Its share of the work, in no unit. */
  readonly weight: number;
}

/** A rendition and the file it is made in; series and playlists have more files, found by their number. */
export interface PlannedOutput {
  readonly rendition: Rendition;
  readonly file: string;
  /** What the file must last, seconds; absent for images and where nobody knows. */
  readonly duration?: number;
}

/** The picture of a group of outputs that was encoded in slices, and their sound. */
export interface Sliced {
  /** A list of the slices in their order, for FFmpeg's concat demuxer. */
  readonly list: string;
  /** Seconds from the source's start to the first frame. */
  readonly delay: number;
  /** The file of the sound; absent: there is none. */
  readonly sound?: string;
}

/** A file whose picture was joined. */
export interface Joined {
  readonly file: string;
  readonly group: Group;
}

export interface EncodePlan {
  readonly steps: readonly Step[];
  readonly outputs: readonly PlannedOutput[];
  /** What came from slices, before anything was copied from it. */
  readonly joined: readonly Joined[];
}

/** What the plan is made from. */
export interface EncodeInput {
  readonly input: InputAddress;
  readonly source: Source;
  /** A rendition's watermark files. */
  readonly watermarks: (rendition: Rendition) => WatermarkFiles;
  /** What was made of a group's picture in slices already. @default every picture is encoded here */
  readonly sliced?: (group: Group) => Sliced | undefined;
}

/** Outputs that come from one encode. */
export type Group = readonly { readonly rendition: Rendition }[];

/**
 * Plans the calls of ffmpeg that make all renditions of a source.
 *
 * Renditions with the same picture, sound and clip come from **one** encode: it writes the first of them (mp4 before
 * mov, before a file nobody asked for), and one more call copies its streams into the other containers. FFmpeg's `tee`
 * would do it in a single call, but an old one loses the edit list of mp4 and mov that way, so that picture and sound
 * start late.
 *
 * @throws `bad-input` where the source lacks what a rendition is made of.
 */
export function encodePlan(renditions: readonly Rendition[], input: EncodeInput): EncodePlan {
  const outputs = renditions.map((rendition, index) => planOutput(rendition, index, input.source));
  const groups = sharing(outputs).map((group, index) => groupSteps(group, index, input));
  return {
    steps: groups.flatMap(({ steps }) => steps),
    outputs,
    joined: groups.flatMap(({ joined }) => joined ?? []),
  };
}

/** Outputs that come from one encode, together. */
export function sharing<Output extends Group[number]>(outputs: readonly Output[]): readonly (readonly Output[])[] {
  const groups = new Map<string, Output[]>();
  for (const output of outputs) {
    const key = shareKey(output.rendition);
    groups.set(key, [...(groups.get(key) ?? []), output]);
  }
  return [...groups.values()];
}

function shareKey({ format, name, picture, sound, clip }: Rendition): string {
  return isContainer(format) ? JSON.stringify([picture, sound, clip]) : `${name}.${format}`;
}

const isContainer = (format: Format): boolean => FORMAT_FACTS[format].codecs.length > 0;

/** The file of an output; a series of images and the segments of a playlist are numbered. */
function planOutput(rendition: Rendition, index: number, source: Source): PlannedOutput {
  const { format, every } = rendition;
  checkStreams(rendition, source);
  const range = clipOf(rendition, source);
  const file = `output-${index}${every === undefined ? "" : "-%05d"}.${format}`;
  return { rendition, file, ...(format !== "jpeg" && range.duration !== undefined && { duration: range.duration }) };
}

function checkStreams({ format, picture, sound, clip }: Rendition, { video, audio, duration }: Source): void {
  const refuse = (message: string) => {
    throw new MillraceError("bad-input", message);
  };
  if (picture && !video) refuse(`has no picture to make ${format} of${audio ? "; mp3 can be made of it" : ""}`);
  if (!picture && !audio) refuse(`has no sound to make ${format} of`);
  if (clip && duration !== undefined && clip.start >= duration)
    refuse(`lasts ${duration} s: there is nothing at ${clip.start} s, where the clip of ${format} starts`);
  if (picture?.codec !== "copy") return;
  const { copies } = FORMAT_FACTS[format];
  if (!copies.video.includes(video!.codec))
    refuse(`${format} can't hold its ${video!.codec} picture: codec "copy" allows ${copies.video.join(", ")}`);
  if (sound && audio && !copies.audio.includes(audio.codec))
    refuse(`${format} can't hold its ${audio.codec} sound: codec "copy" allows ${copies.audio.join(", ")}`);
}

/** The part to take: from where, and how long; no `length` is to the end. */
function clipOf({ clip }: Rendition, { duration }: Source) {
  const start = clip?.start ?? 0;
  const length = clip?.end === undefined ? undefined : clip.end - start;
  const rest = duration === undefined ? undefined : duration - start;
  return {
    start,
    ...(length !== undefined && { length }),
    ...(rest !== undefined && { duration: Math.min(rest, length ?? Infinity) }),
  };
}

function groupSteps(group: readonly PlannedOutput[], index: number, input: EncodeInput) {
  const { rendition } = group[0]!;
  if (rendition.format === "jpeg") return { steps: [imageStep(group[0]!, input)] };
  if (rendition.picture?.codec === "copy") return { steps: [copyStep("copy", group, input.input, input.source)] };
  const sliced = input.sliced?.(group);
  if (group.length === 1 && !sliced) return { steps: [encodeStep(group, group[0]!, input)] };
  const first = masterOf(group, index);
  const rest = group.filter(({ file }) => file !== first.file);
  const pack = rest.length === 0 ? [] : [copyStep("pack", rest, fromOwn(first.file), input.source)];
  if (!sliced) return { steps: [encodeStep(group, first, input), ...pack] };
  return { steps: [joinStep(group, first, sliced), ...pack], joined: { file: first.file, group } };
}

/** The output that is encoded and copied from; a file nobody asked for if no output keeps timestamps as mp4 does. */
function masterOf(group: readonly PlannedOutput[], index: number): PlannedOutput {
  const { rendition } = group[0]!;
  const formats: readonly Format[] = rendition.picture?.codec === "vp9" ? ["webm", "mkv"] : ["mp4", "mov"];
  const found = formats.flatMap((format) => group.find((output) => output.rendition.format === format) ?? [])[0];
  return (
    found ?? { ...group[0]!, rendition: { ...rendition, format: formats[0]! }, file: `master-${index}.${formats[0]}` }
  );
}

function encodeStep(group: readonly PlannedOutput[], target: PlannedOutput, input: EncodeInput): Step {
  const { rendition, file, duration } = target;
  const { picture, sound } = rendition;
  const filters =
    picture && pictureFilters(picture, input.source.video!, input.watermarks(rendition), palette(picture));
  const args = [
    ...sourceArgs(rendition, input),
    ...(filters?.inputs ?? []),
    ...pictureArgs(picture, filters, keyEvery(group), input.source),
    ...soundArgs(sound, input.source.audio),
    ...muxArgs(rendition, file, picture?.codec),
  ];
  return {
    label: `encode ${formatsOf(group)}`,
    args,
    ...(duration !== undefined && { duration }),
    weight: weightOf(picture, filters, duration),
  };
}

/**
 * Slices, one after the other in the order of the list, and the sound. Times are taken as they are: ffmpeg would let
 * each input begin at zero, and sound and picture need not begin together.
 */
function joinStep(group: readonly PlannedOutput[], target: PlannedOutput, { list, delay, sound }: Sliced): Step {
  const { rendition, file, duration } = target;
  return {
    label: `join ${formatsOf(group)}`,
    args: [
      ...["-copyts", "-itsoffset", delay.toFixed(6), "-f", "concat", "-i", list],
      ...(sound === undefined ? [] : ["-i", `file:${sound}`]),
      ...["-map", "0:v:0", ...(sound === undefined ? [] : ["-map", "1:a:0"]), "-c", "copy"],
      ...muxArgs(rendition, file, rendition.picture?.codec),
    ],
    ...(duration !== undefined && { duration }),
    weight: 0.02 * (duration ?? 60),
  };
}

/** Containers filled with streams that are coded already. */
function copyStep(
  verb: string,
  outputs: readonly PlannedOutput[],
  { safety, url }: InputAddress,
  source: Source,
): Step {
  const codec = outputs[0]!.rendition.picture!.codec;
  const video = codec === "copy" ? source.video!.codec : codec;
  const isOriginal = safety.length > 0;
  const args = outputs.flatMap(({ rendition, file }) => [
    ...["-map", isOriginal ? `0:${source.video!.index}` : "0:v:0"],
    ...(rendition.sound && source.audio ? ["-map", isOriginal ? `0:${source.audio.index}` : "0:a:0"] : []),
    ...["-c", "copy"],
    // AAC starts with a frame before time zero. Old FFmpeg shifts all but the first picture for it in Matroska.
    ...(rendition.format === "mkv" ? ["-copypriorss", "0"] : []),
    ...muxArgs(rendition, file, video),
  ]);
  const { duration } = outputs[0]!;
  return {
    label: `${verb} ${formatsOf(outputs)}`,
    args: [...safety, "-i", url, ...args],
    ...(duration !== undefined && { duration }),
    weight: 0.02 * (duration ?? 60),
  };
}

function imageStep({ rendition, file }: PlannedOutput, input: EncodeInput): Step {
  const { source } = input;
  const { at, every } = rendition;
  const range = clipOf(rendition, source);
  // Numbered anew at 25 frames per second, or old FFmpeg repeats frames to fill the time between them.
  const series = every === undefined ? [] : [`select=gte(t\\,selected_n*${every})`, "setpts=N/(25*TB)"];
  const filters = pictureFilters(rendition.picture!, source.video!, input.watermarks(rendition), series);
  const moment = every === undefined ? thumbnailTime(range, at, source) : range.start;
  const args = [
    ...sourceArgs(rendition, input, moment),
    ...filters.inputs,
    ...mapPicture(filters, source),
    ...(every === undefined ? ["-frames:v", "1"] : ["-r", "25"]),
    ...["-pix_fmt", "yuvj420p", "-q:v", "3", "-an", "-f", "image2", `file:${file}`],
  ];
  return {
    label: `take ${every === undefined ? "a picture" : "pictures"}`,
    args,
    weight: every === undefined ? 1 : 0.3 * (range.duration ?? 60),
  };
}

/** A tenth into the clip, or where it was asked for; in a shorter video its last moment. */
function thumbnailTime(
  { start, duration }: ReturnType<typeof clipOf>,
  at: number | undefined,
  { video }: Source,
): number {
  if (duration === undefined) return start + (at ?? 0);
  const last = Math.max(0, duration - Math.max(0.1, 2 / video!.frameRate));
  return start + Math.min(at ?? duration / 10, last);
}

function sourceArgs({ clip }: Rendition, { input }: EncodeInput, start = clip?.start ?? 0): string[] {
  const length = clip?.end === undefined ? undefined : clip.end - start;
  return [
    ...input.safety,
    ...(start > 0 ? ["-ss", String(start)] : []),
    ...(length === undefined ? [] : ["-t", String(length)]),
    ...["-i", input.url],
  ];
}

/** Two seconds between key frames where an m3u8 is cut at them. */
export function keyEvery(group: Group): number | undefined {
  const segments = group.flatMap(({ rendition }) => rendition.segment ?? []);
  return segments.length === 0 ? undefined : Math.min(2, ...segments);
}

const mapPicture = ({ graph }: PictureFilters, { video }: Source): string[] =>
  graph === undefined ? ["-map", `0:${video!.index}`] : ["-filter_complex", graph, "-map", "[v]"];

function pictureArgs(
  picture: Picture | undefined,
  filters: PictureFilters | undefined,
  every: number | undefined,
  source: Source,
): string[] {
  if (!picture || !filters) return ["-vn"];
  return [
    ...mapPicture(filters, source),
    ...codecArgs(picture),
    ...(every === undefined ? [] : ["-force_key_frames", `expr:gte(t,n_forced*${every})`]),
  ];
}

/** What browsers and phones play: 8-bit 4:2:0, closed groups of pictures. */
export function codecArgs({ codec, crf, bitrate, preset = "medium" }: Picture): string[] {
  const rate =
    bitrate === undefined
      ? ["-crf", String(crf)]
      : ["-b:v", String(bitrate), "-maxrate", String(Math.round(bitrate * 1.5)), "-bufsize", String(bitrate * 2)];
  switch (codec) {
    case "h264":
      return ["-c:v", "libx264", "-profile:v", "high", "-preset", preset, ...rate, "-pix_fmt", "yuv420p"];
    case "hevc":
      return [
        "-c:v",
        "libx265",
        "-preset",
        preset,
        ...rate,
        "-pix_fmt",
        "yuv420p",
        "-x265-params",
        "open-gop=0:log-level=error",
      ];
    case "vp9":
      // Constant quality wants an explicit bitrate of zero. https://trac.ffmpeg.org/wiki/Encode/VP9#constantq
      return [
        "-c:v",
        "libvpx-vp9",
        ...rate,
        ...(bitrate === undefined ? ["-b:v", "0"] : []),
        ...VP9_SPEED,
        "-pix_fmt",
        "yuv420p",
      ];
    case "gif":
      return ["-c:v", "gif", "-loop", "0"];
    default:
      return [];
  }
}

const VP9_SPEED = ["-deadline", "good", "-cpu-used", "4", "-row-mt", "1"] as const;

const palette = ({ codec }: Picture): string[] =>
  codec === "gif" ? ["split[a][b];[a]palettegen=stats_mode=diff[c];[b][c]paletteuse=diff_mode=rectangle"] : [];

const ENCODERS = { aac: "aac", opus: "libopus", mp3: "libmp3lame" } as const;

export function soundArgs(sound: Sound | undefined, audio: AudioStream | undefined): string[] {
  if (!sound || !audio || sound.codec === "copy") return ["-an"];
  return [
    ...["-map", `0:${audio.index}`, "-c:a", ENCODERS[sound.codec], "-b:a", String(sound.bitrate)],
    ...(audio.channels > 2 ? ["-ac", "2"] : []),
    ...(audio.sampleRate > 48_000 ? ["-ar", "48000"] : []),
  ];
}

function muxArgs({ format, segment }: Rendition, file: string, video: string | undefined): string[] {
  const stem = file.slice(0, -format.length - 1);
  return [
    ...["-max_muxing_queue_size", "9999"],
    ...(format === "mp4" || format === "mov" ? ["-movflags", "+faststart"] : []),
    // Apple's players want this tag. https://developer.apple.com/documentation/http-live-streaming/hls-authoring-specification-for-apple-devices
    ...((format === "mp4" || format === "mov") && video === "hevc" ? ["-tag:v", "hvc1"] : []),
    ...(format === "m3u8" ? playlistArgs(stem, segment!) : []),
    ...["-f", FORMAT_FACTS[format].muxer, `file:${file}`],
  ];
}

const playlistArgs = (stem: string, segment: number): string[] => [
  ...["-hls_time", String(segment), "-hls_playlist_type", "vod", "-hls_list_size", "0"],
  ...["-hls_flags", "independent_segments", "-hls_segment_filename", `${stem}-%05d.ts`],
];

/** Roughly how the encoders' times compare, per megapixel and second. */
const EFFORT: Readonly<Record<string, number>> = { h264: 1, hevc: 4, vp9: 4, gif: 0.3 };

function weightOf(picture: Picture | undefined, filters: PictureFilters | undefined, duration = 60): number {
  if (!picture || !filters) return 0.05 * duration;
  const { width, height } = filters.size;
  return EFFORT[picture.codec]! * duration * ((width * height) / 1e6 + 0.1);
}

const formatsOf = (outputs: readonly PlannedOutput[]): string =>
  outputs.map(({ rendition }) => rendition.format).join(", ");
