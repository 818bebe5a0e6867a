import { z } from "zod";
import { MillraceError } from "../../runtime/errors.ts";
import { formatProblem } from "../../shared/problem.ts";
import { schemaProblems } from "../../shared/schema.ts";
import { type Format, isFormat } from "../../shared/video/formats.ts";
import { defaultRendition, type Rendition } from "../../shared/video/rendition.ts";
import type { TranscodeSettings } from "./settings.ts";

/** What a caller sends to have an object transcoded. */
export interface TranscodePayload {
  /** The uploads bucket; anything else is refused. @default the uploads bucket */
  readonly bucket?: string;
  /** Key of the video in the uploads bucket. */
  readonly object: string;
  /** Content other than this is refused. @default whatever is there */
  readonly etag?: string;
  /** Folder of the outputs, or the one output's key. @default a folder named like the object */
  readonly output_dir?: string;
  /** Formats: one, several with commas, or a list. @default the pipeline's */
  readonly dst_format?: string | readonly string[];
}

/** An older form: `output_dir` is the output's key, whose ending is the format. */
export interface OldTranscodePayload {
  readonly bucket_name?: string;
  readonly object_key: string;
  readonly output_dir: string;
}

/** A payload, checked. */
export interface TranscodeRequest {
  readonly object: string;
  readonly etag?: string;
  readonly renditions: readonly Rendition[];
  /** Folder of the outputs, without a slash at its end. */
  readonly folder?: string;
  /** The only output's key without its ending. */
  readonly target?: string;
}

const key = z
  .string()
  .min(1, "an object's key is wanted")
  .refine((text) => Buffer.byteLength(text) <= 1024, "a key has at most 1,024 bytes")
  .refine((text) => !/\p{Cc}/u.test(text), "a key without control characters is wanted")
  .refine((text) => !text.split("/").some(isDots), "a key without . and .. as folders is wanted");

const schema = z.object({
  bucket: z.string().optional(),
  object: key,
  etag: z.string().optional(),
  output_dir: z
    .string()
    .max(900, "at most 900 characters")
    .refine(isFolder, "a relative path without . or .. or empty folders, backslashes and control characters is wanted")
    .optional(),
  dst_format: z.union([z.string(), z.array(z.string())]).optional(),
});

function isFolder(text: string): boolean {
  const segments = text.replace(/\/$/, "").split("/");
  return text === "" || (!/[\p{Cc}\\]/u.test(text) && segments.every((segment) => segment !== "" && !isDots(segment)));
}

function isDots(segment: string): boolean {
  return segment === "." || segment === "..";
}

/**
 * What a payload asks for.
 *
 * @throws `bad-input` naming every field that is wrong, what was given and what is allowed.
 */
export function parseRequest(payload: unknown, settings: TranscodeSettings, uploads: string): TranscodeRequest {
  if (typeof payload === "string") throw badInput(`the message is no JSON: ${JSON.stringify(payload.slice(0, 200))}`);
  const given = toCurrentForm(payload);
  const parsed = schema.safeParse(given);
  if (!parsed.success) throw badInput(schemaProblems(parsed.error, given, "payload").map(formatProblem).join("; "));
  const { bucket, object, etag, output_dir: folder = "", dst_format } = parsed.data;
  if (bucket !== undefined && bucket !== uploads)
    throw badInput(
      `payload.bucket: this pipeline reads its own uploads (given ${JSON.stringify(bucket)}; allowed: ${uploads})`,
    );
  const target = targetOf(folder, dst_format);
  const formats = target ? [target.format] : formatsOf(dst_format);
  return {
    object,
    ...(etag !== undefined && { etag }),
    renditions: renditionsOf(formats, settings, target !== undefined),
    ...(target ? { target: target.stem } : folder !== "" && { folder: folder.replace(/\/$/, "") }),
  };
}

const badInput = (message: string): MillraceError => new MillraceError("bad-input", message);

function toCurrentForm(payload: unknown): unknown {
  if (typeof payload !== "object" || payload === null || !("object_key" in payload) || "object" in payload)
    return payload;
  const { bucket_name, object_key, ...rest } = payload as Partial<OldTranscodePayload>;
  return { ...(bucket_name !== undefined && { bucket: bucket_name }), object: object_key, ...rest };
}

/** `a/film.mp4` names a file unless other formats are asked for; `a` is a folder. */
function targetOf(path: string, formats: TranscodePayload["dst_format"]): { stem: string; format: Format } | undefined {
  const [, stem, format = ""] = /^(.*[^/])\.([a-z0-9]+)$/s.exec(path) ?? [];
  if (stem === undefined || !isFormat(format)) return undefined;
  return formats === undefined || formatsOf(formats)?.join() === format ? { stem, format } : undefined;
}

function formatsOf(given: TranscodePayload["dst_format"]): readonly string[] | undefined {
  if (given === undefined) return undefined;
  const names = (typeof given === "string" ? given.split(",") : given).map((name) => name.trim().toLowerCase());
  return [...new Set(names)];
}

function renditionsOf(
  formats: readonly string[] | undefined,
  settings: TranscodeSettings,
  isOneFile: boolean,
): readonly Rendition[] {
  if (formats === undefined) return settings.renditions;
  const unknown = formats.filter((format) => !(settings.accepts as readonly string[]).includes(format));
  if (unknown.length > 0 || formats.length === 0)
    throw badInput(
      `payload.dst_format: not a format this pipeline makes (given ${JSON.stringify(unknown)}; allowed: ${settings.accepts.join(", ")})`,
    );
  const renditions = formats.flatMap((format) => {
    const own = settings.renditions.filter((rendition) => rendition.format === format);
    return own.length > 0 ? own : [defaultRendition(format as Format)];
  });
  if (isOneFile && renditions.length > 1)
    throw badInput(
      `payload.output_dir: names one file, but this pipeline makes ${renditions.map(({ name, format }) => `${name}.${format}`).join(" and ")}`,
    );
  return renditions;
}
