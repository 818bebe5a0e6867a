import { MillraceError } from "../../runtime/errors.ts";
import { formatProblem, type Problem } from "../../shared/problem.ts";
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

/** A field's value or, if nothing allows it, what must hold. */
type Checked<Value> = { readonly value: Value } | { readonly message: string };

const text = (given: unknown): Checked<string | undefined> =>
  given === undefined || typeof given === "string" ? { value: given } : { message: "a text is wanted" };

function objectKey(given: unknown): Checked<string> {
  if (given === undefined) return { message: "is missing: the key of an object in the uploads bucket" };
  if (typeof given !== "string" || given === "") return { message: "an object's key is wanted" };
  if (Buffer.byteLength(given) > 1024) return { message: "a key has at most 1,024 bytes" };
  if (/\p{Cc}/u.test(given)) return { message: "a key without control characters is wanted" };
  if (given.split("/").some(isDots)) return { message: "a key without . and .. as folders is wanted" };
  return { value: given };
}

function folder(given: unknown): Checked<string> {
  const message =
    "a relative path of at most 900 characters without . or .. or empty folders, backslashes and control characters is wanted";
  if (given === undefined || given === "") return { value: "" };
  if (typeof given !== "string" || given.length > 900 || /[\p{Cc}\\]/u.test(given)) return { message };
  const path = given.replace(/\/$/, "");
  return path.split("/").some((segment) => segment === "" || isDots(segment)) ? { message } : { value: path };
}

function isDots(segment: string): boolean {
  return segment === "." || segment === "..";
}

/** Formats by name, in small letters, each once. */
function formatNames(given: unknown): Checked<readonly string[] | undefined> {
  if (given === undefined) return { value: undefined };
  const list: readonly unknown[] =
    typeof given === "string" ? given.split(",") : Array.isArray(given) ? given : [undefined];
  if (!list.every((name) => typeof name === "string"))
    return { message: "a format's name, or a list of them, is wanted" };
  return { value: [...new Set(list.map((name) => name.trim().toLowerCase()))] };
}

/**
 * What a payload asks for.
 *
 * @throws `bad-input` naming every field that is wrong, what was given and what is allowed.
 */
export function parseRequest(payload: unknown, settings: TranscodeSettings, uploads: string): TranscodeRequest {
  const { object, bucket, etag, output_dir, dst_format } = checkFields(payload);
  if (bucket !== undefined && bucket !== uploads)
    throw badInput([
      { path: "payload.bucket", message: "this pipeline reads its own uploads", given: bucket, allowed: uploads },
    ]);
  const target = targetOf(output_dir, dst_format);
  return {
    object,
    ...(etag !== undefined && { etag }),
    renditions: renditionsOf(target ? [target.format] : dst_format, settings, target !== undefined),
    ...(target ? { target: target.stem } : output_dir !== "" && { folder: output_dir }),
  };
}

function checkFields(payload: unknown) {
  if (typeof payload === "string")
    throw badInput([{ path: "payload", message: "the message is no JSON", given: payload.slice(0, 200) }]);
  if (typeof payload !== "object" || payload === null || Array.isArray(payload))
    throw badInput([{ path: "payload", message: "an object is wanted", given: payload }]);
  const given = toCurrentForm(payload as Fields);
  const problems: Problem[] = [];
  const take = <Value>(field: string, check: (given: unknown) => Checked<Value>): Value => {
    const checked = check(given[field]);
    if ("value" in checked) return checked.value;
    problems.push({ path: `payload.${field}`, ...checked, ...(given[field] !== undefined && { given: given[field] }) });
    return undefined as Value;
  };
  const fields = {
    object: take("object", objectKey),
    bucket: take("bucket", text),
    etag: take("etag", text),
    output_dir: take("output_dir", folder),
    dst_format: take("dst_format", formatNames),
  };
  if (problems.length > 0) throw badInput(problems);
  return fields;
}

type Fields = Readonly<Record<string, unknown>>;

const badInput = (problems: readonly Problem[]): MillraceError =>
  new MillraceError("bad-input", problems.map(formatProblem).join("; "));

function toCurrentForm(payload: Fields): Fields {
  if (payload.object_key === undefined || payload.object !== undefined) return payload;
  const { bucket_name, object_key, ...rest } = payload;
  return { bucket: bucket_name, object: object_key, ...rest };
}

/** `a/film.mp4` names a file unless other formats are asked for; `a` is a folder. */
function targetOf(path: string, formats: readonly string[] | undefined): { stem: string; format: Format } | undefined {
  const [, stem, format = ""] = /^(.*[^/])\.([a-z0-9]+)$/s.exec(path) ?? [];
  if (stem === undefined || !isFormat(format)) return undefined;
  return formats === undefined || formats.join() === format ? { stem, format } : undefined;
}

function renditionsOf(
  formats: readonly string[] | undefined,
  { renditions, accepts }: TranscodeSettings,
  isOneFile: boolean,
): readonly Rendition[] {
  if (formats === undefined) return renditions;
  const unknown = formats.filter((format) => !(accepts as readonly string[]).includes(format));
  if (unknown.length > 0 || formats.length === 0) {
    const message = "not a format this pipeline makes";
    throw badInput([{ path: "payload.dst_format", message, given: unknown, allowed: accepts.join(", ") }]);
  }
  const wanted = formats.flatMap((format) => {
    const own = renditions.filter((rendition) => rendition.format === format);
    return own.length > 0 ? own : [defaultRendition(format as Format)];
  });
  if (isOneFile && wanted.length > 1) {
    const message = `names one file, but this pipeline makes ${wanted.map(({ name, format }) => `${name}.${format}`).join(" and ")}`;
    throw badInput([{ path: "payload.output_dir", message, allowed: "a folder" }]);
  }
  return wanted;
}
