import type { Duration } from "../duration.ts";
import type { Bitrate } from "./bitrate.ts";
import type { Codec, Format } from "./formats.ts";

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
