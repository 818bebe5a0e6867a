import { z } from "zod";
import type { Duration } from "../duration.ts";
import { toSeconds } from "../duration.ts";
import { BITRATE, type Bitrate } from "./bitrate.ts";
import { CODECS, type Codec, FORMATS, type Format } from "./formats.ts";

/** One output of every video: a format's name, or a format with its settings. */
export type RenditionSpec = Format | RenditionSettings;

/** A format with its settings. What a format has no use for is refused: a `height` of an mp3. */
export interface RenditionSettings {
  readonly format: Format;
  /** What the output is called. @default "720p" with a height, else "video", "audio", "preview", "thumbnail" or "frame" */
  readonly name?: string;
  /** `copy` puts the source's streams into the new container unchanged. @default "h264"; "vp9" in webm */
  readonly codec?: Codec;
  /** Lines of the picture; its width follows. @default the source's height; 240 for a gif */
  readonly height?: number;
  /** Whether a lower source is scaled up to `height`. @default it keeps its own height */
  readonly upscale?: boolean;
  /** Constant quality, lower is better: 0 to 51, VP9 0 to 63. @default 23 for h264, 28 for hevc, 32 for vp9 */
  readonly crf?: number;
  /** An average bitrate instead of constant quality. @default constant quality */
  readonly bitrate?: Bitrate;
  /** How hard h264 and hevc try to make small files. @default "medium" */
  readonly preset?: Preset;
  /** Bitrate of the sound, or no sound. @default 128 kbps; 192 kbps for mp3 */
  readonly audio?: { readonly bitrate: Bitrate } | false;
  /** An image or a text over every frame. @default none */
  readonly watermark?: WatermarkSpec;
  /** The part of the source to take. @default all of it; the first 10 seconds for a gif */
  readonly clip?: { readonly start?: Duration; readonly end?: Duration };
  /** Frames per second of a gif. @default 10 */
  readonly fps?: number;
  /** Length of an m3u8's segments; key frames come every 2 seconds. @default "6 seconds" */
  readonly segment?: Duration;
  /** Where in the video a jpeg is taken; a shorter video gives its last moment. @default a tenth into it */
  readonly at?: Duration;
  /** A jpeg again and again after that time, from the first frame on. @default one jpeg */
  readonly every?: Duration;
}

export const PRESETS = [
  "ultrafast",
  "superfast",
  "veryfast",
  "faster",
  "fast",
  "medium",
  "slow",
  "slower",
  "veryslow",
] as const;
export type Preset = (typeof PRESETS)[number];

export const POSITIONS = ["top-left", "top-right", "bottom-left", "bottom-right", "center"] as const;
export type Position = (typeof POSITIONS)[number];

/** An image from the uploads bucket, or a text. */
export type WatermarkSpec =
  | (WatermarkPlace & {
      /** Key of a PNG, JPEG or WebP image in the uploads bucket. Putting it there starts no run. */
      readonly image: string;
    })
  | (WatermarkPlace & {
      /** One line. The built-in font has Latin, Greek and Cyrillic letters. */
      readonly text: string;
      /** Key of a TrueType or OpenType font in the uploads bucket. @default a built-in one */
      readonly font?: string;
      /** A name such as `white`, or `#rrggbb`. @default white */
      readonly color?: string;
    });

interface WatermarkPlace {
  /** @default "bottom-right" */
  readonly position?: Position;
  /** Its height, in percent of the picture's. @default 10 for an image, 5 for a text */
  readonly size?: number;
  /** 0 (unseen) to 1. @default 1 for an image, 0.8 for a text */
  readonly opacity?: number;
}

const duration = z.custom<Duration>(isDuration, 'a duration such as "5 seconds" or "1.5 minutes" is wanted');
const positive = duration.refine((text) => toSeconds(text) > 0, "must be longer than zero");
const bitrate = z.custom<Bitrate>(
  (given) => typeof given === "string" && BITRATE.test(given) && Number.parseFloat(given) > 0,
  'a bitrate such as "800 kbps" or "2.5 Mbps" is wanted',
);
const name = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/,
    "a name is 1 to 64 letters, digits, - and _, beginning with a letter or digit",
  );
const key = z.string().min(1, "an object key is wanted").max(1024, "an object key has at most 1,024 characters");

const place = {
  position: z.enum(POSITIONS).optional(),
  size: z.number().min(1).max(100).optional(),
  opacity: z.number().min(0).max(1).optional(),
};
const watermark = z.union([
  z.strictObject({ image: key, ...place }),
  z.strictObject({
    text: z
      .string()
      .min(1, "a text is wanted")
      .max(200, "a text has at most 200 characters")
      .regex(/^\P{Cc}*$/u, "a text is one line without control characters"),
    font: key.optional(),
    color: z
      .string()
      .regex(/^(#[0-9a-fA-F]{6}|[a-zA-Z]{3,24})$/, "a color is a name such as white, or #rrggbb")
      .optional(),
    ...place,
  }),
]);

/** What a rendition may say; what goes with what is checked by `effectiveRenditions`. */
export const renditionSchema = z.union([
  z.enum(FORMATS),
  z.strictObject({
    format: z.enum(FORMATS),
    name: name.optional(),
    codec: z.enum(CODECS).optional(),
    height: z
      .number()
      .int()
      .min(16)
      .max(4320)
      .refine((lines) => lines % 2 === 0, "players want even heights")
      .optional(),
    upscale: z.boolean().optional(),
    crf: z.number().min(0).max(63).optional(),
    bitrate: bitrate.optional(),
    preset: z.enum(PRESETS).optional(),
    audio: z.union([z.literal(false), z.strictObject({ bitrate })]).optional(),
    watermark: watermark.optional(),
    clip: z.strictObject({ start: duration.optional(), end: positive.optional() }).optional(),
    fps: z.number().min(0.1).max(60).optional(),
    segment: positive.optional(),
    at: duration.optional(),
    every: positive.optional(),
  }),
]);

function isDuration(given: unknown): boolean {
  try {
    toSeconds(given as Duration);
    return true;
  } catch {
    return false;
  }
}
