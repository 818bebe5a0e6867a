import { toSeconds } from "../duration.ts";
import type { Problem } from "../problem.ts";
import { schemaProblems } from "../schema.ts";
import { toBitsPerSecond } from "./bitrate.ts";
import { type Codec, FORMAT_FACTS, FORMATS, type Format } from "./formats.ts";
import { renditionSchema } from "./rendition-schema.ts";
import type { Position, Preset, RenditionSettings, RenditionSpec, WatermarkSpec } from "./rendition-spec.ts";

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

/** Renditions as asked for, checked and filled in; whatever is wrong with them is in `problems`, and left out. */
export function effectiveRenditions(
  given: readonly RenditionSpec[],
  path: string,
): { readonly renditions: readonly Rendition[]; readonly problems: readonly Problem[] } {
  const renditions: Rendition[] = [];
  const problems: Problem[] = [];
  for (const [index, spec] of given.entries()) {
    const where = `${path}[${index}]`;
    const found = specProblems(spec, where);
    if (found.length === 0) renditions.push(effectiveRendition(settingsOf(spec)));
    problems.push(...found);
  }
  return { renditions, problems: [...problems, ...duplicates(renditions, path)] };
}

/** What `dst_format` gets where the pipeline has no rendition of that format. */
export const defaultRendition = (format: Format): Rendition => effectiveRendition({ format });

/** Keys in the uploads bucket that are not videos: watermark images and fonts. */
export const assetKeys = (renditions: readonly Rendition[]): readonly string[] =>
  renditions.flatMap(({ picture }) => {
    const watermark = picture?.watermark;
    if (!watermark) return [];
    return "image" in watermark ? [watermark.image] : watermark.font === undefined ? [] : [watermark.font];
  });

const settingsOf = (spec: RenditionSpec): RenditionSettings => (typeof spec === "string" ? { format: spec } : spec);

function specProblems(spec: RenditionSpec, path: string): readonly Problem[] {
  if (typeof spec === "string" && !(FORMATS as readonly string[]).includes(spec))
    return [{ path, message: "there is no such format", given: spec, allowed: FORMATS.join(", ") }];
  const parsed = renditionSchema.safeParse(spec);
  return parsed.success ? relationProblems(settingsOf(spec), path) : schemaProblems(parsed.error, spec, path);
}

/** Options a format has no use for, beyond `format`, `name` and `clip`. */
const OPTIONS: Readonly<Record<Format, readonly (keyof RenditionSettings)[]>> = (() => {
  const encoded = ["codec", "height", "upscale", "crf", "bitrate", "preset", "audio", "watermark"] as const;
  return {
    mp4: encoded,
    mov: encoded,
    mkv: encoded,
    webm: encoded,
    flv: encoded,
    avi: encoded,
    m3u8: [...encoded, "segment"],
    mp3: ["audio"],
    gif: ["height", "upscale", "fps", "watermark"],
    jpeg: ["height", "upscale", "at", "every", "watermark"],
  };
})();

function relationProblems(settings: RenditionSettings, path: string): readonly Problem[] {
  const { format, clip, watermark } = settings;
  const codec = codecOf(settings);
  const allowed = ["format", "name", "clip", ...OPTIONS[format]];
  const given = Object.keys(settings) as (keyof RenditionSettings)[];
  const problems = given
    .filter((option) => settings[option] !== undefined && !allowed.includes(option))
    .map(
      (option): Problem => ({
        path: `${path}.${option}`,
        message: `${format} has no use for it`,
        given: settings[option],
        allowed: allowed.join(", "),
      }),
    );
  const say = (holds: boolean, option: keyof RenditionSettings, message: string, bound?: string) => {
    if (!holds)
      problems.push({ path: `${path}.${option}`, message, given: settings[option], ...(bound && { allowed: bound }) });
  };
  const codecs = FORMAT_FACTS[format].codecs;
  say(
    settings.codec === undefined || codecs.length === 0 || codecs.includes(settings.codec),
    "codec",
    `${format} can't hold this codec`,
    codecs.join(", "),
  );
  for (const option of ["height", "upscale", "crf", "bitrate", "preset", "watermark", "clip"] as const)
    say(
      codec !== "copy" || settings[option] === undefined,
      option,
      'codec "copy" changes nothing in the streams',
      "leave it out, or name another codec",
    );
  say(
    codec !== "copy" || !isBitrate(settings.audio),
    "audio",
    'codec "copy" changes nothing in the streams',
    "false, or leave it out",
  );
  say(
    settings.crf === undefined || settings.bitrate === undefined,
    "crf",
    "constant quality and a bitrate exclude each other",
    "crf or bitrate",
  );
  say(settings.crf === undefined || codec === "vp9" || settings.crf <= 51, "crf", `${codec} goes up to 51`, "0 to 51");
  say(settings.preset === undefined || codec !== "vp9", "preset", "vp9 has no presets", "leave it out");
  say(format !== "mp3" || settings.audio !== false, "audio", "an mp3 without sound is nothing", "a bitrate");
  say(
    clip?.end === undefined || toSeconds(clip.end) > toSeconds(clip.start ?? "0 seconds"),
    "clip",
    "must end after it starts",
  );
  say(
    settings.at === undefined || settings.every === undefined,
    "at",
    "one jpeg at a time or a series exclude each other",
    "at or every",
  );
  say(
    hasGlyphs(watermark),
    "watermark",
    "the built-in font has Latin, Greek and Cyrillic letters only",
    "watermark.font: the key of a font in the uploads bucket",
  );
  return problems;
}

const isBitrate = (audio: RenditionSettings["audio"]): boolean => typeof audio === "object";

/** What the built-in font can write. */
const GLYPHS = /^[\x20-\x7e\u00a0-\u017f\u0370-\u03ff\u0400-\u045f\u2013\u2014\u2018-\u201e\u2022\u2026\u20ac\u2122]*$/;

const hasGlyphs = (watermark: WatermarkSpec | undefined): boolean =>
  watermark === undefined || !("text" in watermark) || watermark.font !== undefined || GLYPHS.test(watermark.text);

const codecOf = ({ format, codec }: RenditionSettings): Codec | undefined => codec ?? FORMAT_FACTS[format].codecs[0];

function effectiveRendition(settings: RenditionSettings): Rendition {
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

function duplicates(renditions: readonly Rendition[], path: string): readonly Problem[] {
  const files = renditions.map(({ name, format }) => `${name}.${format}`);
  return [...new Set(files.filter((file, index) => files.indexOf(file) !== index))].map((file) => ({
    path,
    message: `two renditions would be called ${file}`,
    allowed: "a `name` of its own for each",
  }));
}
