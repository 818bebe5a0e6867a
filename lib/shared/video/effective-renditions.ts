import { toSeconds } from "../duration.ts";
import type { Problem } from "../problem.ts";
import { schemaProblems } from "../schema.ts";
import { FORMAT_FACTS, FORMATS, type Format } from "./formats.ts";
import { codecOf, effectiveRendition, type Rendition } from "./rendition.ts";
import { renditionSchema } from "./rendition-schema.ts";
import type { RenditionSettings, RenditionSpec, WatermarkSpec } from "./rendition-spec.ts";

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

function duplicates(renditions: readonly Rendition[], path: string): readonly Problem[] {
  const files = renditions.map(({ name, format }) => `${name}.${format}`);
  return [...new Set(files.filter((file, index) => files.indexOf(file) !== index))].map((file) => ({
    path,
    message: `two renditions would be called ${file}`,
    allowed: "a `name` of its own for each",
  }));
}
