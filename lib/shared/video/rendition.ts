import { toSeconds } from "../duration.ts";
import { toBitsPerSecond } from "./bitrate.ts";
import { type Codec, FORMAT_FACTS, type Format } from "./formats.ts";
import type { Position, Preset, RenditionSettings, WatermarkSpec } from "./rendition-spec.ts";

/**
 * A rendition with every default filled in: plain JSON, baked into the functions and hashed into the runs' ids.
 * Times are seconds, bitrates bits per second.
 */
export interface Rendition {
  readonly format: Format;
  readonly name: string;
  /** Absent: the output has no picture. */
  readonly picture?: Picture;
  /** Absent: the output has no sound. */
  readonly sound?: Sound;
  readonly clip?: { readonly start: number; readonly end?: number };
  /** Length of an m3u8's segments. */
  readonly segment?: number;
  /** Where a single jpeg is taken; absent: a tenth into the video. */
  readonly at?: number;
  /** Between the jpegs of a series; absent: there is one. */
  readonly every?: number;
}

/** How frames look and are coded: renditions with the same picture come from one encode. */
export interface Picture {
  readonly codec: Codec | "gif" | "jpeg";
  readonly height?: number;
  readonly upscale: boolean;
  readonly crf?: number;
  readonly bitrate?: number;
  readonly preset?: Preset;
  readonly fps?: number;
  readonly watermark?: Watermark;
}

export interface Sound {
  readonly codec: "aac" | "opus" | "mp3" | "copy";
  readonly bitrate?: number;
}

export type { Position };

interface WatermarkBase {
  readonly position: Position;
  /** Percent of the picture's height. */
  readonly size: number;
  readonly opacity: number;
}
export interface ImageWatermark extends WatermarkBase {
  /** Key in the uploads bucket. */
  readonly image: string;
}
export interface TextWatermark extends WatermarkBase {
  readonly text: string;
  /** Key in the uploads bucket; absent: the built-in font. */
  readonly font?: string;
  readonly color: string;
}
export type Watermark = ImageWatermark | TextWatermark;

/** What `dst_format` gets where the pipeline has no rendition of that format. */
export const defaultRendition = (format: Format): Rendition => effectiveRendition({ format });

/** Keys in the uploads bucket that are not videos: watermark images and fonts. */
export const assetKeys = (renditions: readonly Rendition[]): readonly string[] =>
  renditions.flatMap(({ picture }) => {
    const watermark = picture?.watermark;
    if (!watermark) return [];
    return "image" in watermark ? [watermark.image] : watermark.font === undefined ? [] : [watermark.font];
  });

/** The codec a rendition comes out with; none where the format has one of its own. */
export const codecOf = ({ format, codec }: RenditionSettings): Codec | undefined =>
  codec ?? FORMAT_FACTS[format].codecs[0];

/** Settings that were checked, with every default filled in. */
export function effectiveRendition(settings: RenditionSettings): Rendition {
  const { format, name, clip, segment, at, every } = settings;
  const sound = soundOf(settings);
  const picture = pictureOf(settings);
  const range = clip ?? (format === "gif" ? { end: GIF_END } : undefined);
  return {
    format,
    name: name ?? defaultName(settings),
    ...(picture && { picture }),
    ...(sound && { sound }),
    ...(range && {
      clip: {
        start: toSeconds(range.start ?? "0 seconds"),
        ...(range.end !== undefined && { end: toSeconds(range.end) }),
      },
    }),
    ...(format === "m3u8" && { segment: segment === undefined ? SEGMENT : toSeconds(segment) }),
    ...(at !== undefined && { at: toSeconds(at) }),
    ...(every !== undefined && { every: toSeconds(every) }),
  };
}

const GIF_END = "10 seconds";
const SEGMENT = 6;

const defaultName = ({ format, height, every }: RenditionSettings): string =>
  every !== undefined
    ? "frame"
    : height === undefined || format === "gif" || format === "jpeg"
      ? FORMAT_FACTS[format].stem
      : `${height}p`;

function pictureOf(settings: RenditionSettings): Picture | undefined {
  const { format, upscale = false, bitrate, preset = "medium", watermark } = settings;
  if (format === "mp3") return undefined;
  const codec = format === "gif" || format === "jpeg" ? format : codecOf(settings)!;
  const height = settings.height ?? (format === "gif" ? 240 : undefined);
  const isCoded = codec === "h264" || codec === "hevc" || codec === "vp9";
  return {
    codec,
    ...(height !== undefined && { height }),
    upscale,
    ...(isCoded &&
      (bitrate === undefined ? { crf: settings.crf ?? CRF[codec] } : { bitrate: toBitsPerSecond(bitrate) })),
    ...((codec === "h264" || codec === "hevc") && { preset }),
    ...(format === "gif" && { fps: settings.fps ?? 10 }),
    ...(watermark && { watermark: watermarkOf(watermark) }),
  };
}

const CRF = { h264: 23, hevc: 28, vp9: 32 } as const;

function soundOf(settings: RenditionSettings): Sound | undefined {
  const { format, audio } = settings;
  if (format === "gif" || format === "jpeg" || audio === false) return undefined;
  const codec = codecOf(settings);
  if (codec === "copy") return { codec };
  const bitrate = audio ? toBitsPerSecond(audio.bitrate) : format === "mp3" ? 192_000 : 128_000;
  return { codec: format === "mp3" ? "mp3" : codec === "vp9" ? "opus" : "aac", bitrate };
}

function watermarkOf(watermark: WatermarkSpec): Watermark {
  const { position = "bottom-right" } = watermark;
  if ("image" in watermark) {
    const { image, size = 10, opacity = 1 } = watermark;
    return { image, position, size, opacity };
  }
  const { text, font, color = "white", size = 5, opacity = 0.8 } = watermark;
  return { text, ...(font !== undefined && { font }), color, position, size, opacity };
}
