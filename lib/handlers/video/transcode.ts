import { mkdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { inflateSync } from "node:zlib";
import { MillraceError } from "../../runtime/errors.ts";
import type { FunctionInvoked } from "../../runtime/events.ts";
import type { Context, Handler } from "../../runtime/handler.ts";
import type { BucketReader, BucketWriter } from "../../runtime/ports.ts";
import { contentTypeOf } from "../../shared/content-type.ts";
import { formatBytes } from "../../shared/size.ts";
import type { Format } from "../../shared/video/formats.ts";
import type { Rendition, Watermark } from "../../shared/video/rendition.ts";
import { type EncodePlan, encodePlan, type PlannedOutput } from "./encode-plan.ts";
import { runFfmpeg } from "./ffmpeg.ts";
import { fileStart, imageTypeOf, isCutRiff } from "./file-start.ts";
import { FONT } from "./font.ts";
import { type OutputFile, outputFiles, playlistDuration } from "./output-files.ts";
import { checkKey, outputBase } from "./output-keys.ts";
import type { WatermarkFiles } from "./picture-filters.ts";
import { probe } from "./probe.ts";
import { type OldTranscodePayload, parseRequest, type TranscodePayload, type TranscodeRequest } from "./request.ts";
import type { TranscodeSettings } from "./settings.ts";
import { type Source, toSource } from "./source.ts";
import { verify } from "./verify.ts";

/** The buckets a transcoder works between. */
export interface TranscodeLinks {
  readonly uploads: BucketReader;
  readonly outputs: BucketWriter;
}

/** What a run made. Sizes are bytes, durations seconds. */
export interface TranscodeResult {
  readonly source: {
    readonly object: string;
    readonly size: number;
    readonly duration?: number;
    readonly width?: number;
    readonly height?: number;
  };
  readonly outputs: readonly TranscodeOutput[];
}

/** One rendition in the outputs bucket. */
export interface TranscodeOutput {
  readonly format: Format;
  readonly name: string;
  /** A playlist, or the first of a series of images, where there are more files than one. */
  readonly key: string;
  /** Of all its files. */
  readonly size: number;
  readonly files: number;
  readonly duration?: number;
  readonly width?: number;
  readonly height?: number;
}

type TranscodeContext = Context<TranscodeLinks, TranscodeSettings>;

/** Shares of the progress bar: before and after the encodes. */
const FETCHED = 0.02;
const ENCODED = 0.95;

/**
 * Makes renditions of one object: fetched, looked at, encoded and checked in `scratch`, and only then put.
 *
 * Errors: `bad-input` for a payload or a video that can't work, `not-found` for an object that is not there,
 * `unavailable` for a full disk, `failed` otherwise.
 */
export const handler: Handler<
  FunctionInvoked<TranscodePayload | OldTranscodePayload>,
  TranscodeLinks,
  TranscodeSettings,
  TranscodeResult
> = async ({ payload }, context) => {
  const { links, settings, run, scratch } = context;
  const request = parseRequest(payload, settings, links.uploads.bucket);
  for (const rendition of request.renditions)
    checkKey(`${outputBase(rendition, request, settings)}.${rendition.format}`, settings);
  try {
    const folder = join(scratch, "work");
    await mkdir(folder);
    run.progress(0, `fetching ${request.object}`);
    const size = await fetchSource(request, folder, context);
    const source = toSource(await probe(INPUT, probeOptions(folder, context)));
    const watermarks = await fetchWatermarks(request.renditions, folder, context);
    const plan = encodePlan(request.renditions, { file: INPUT, source, watermarks });
    await encode(plan, folder, context);
    const outputs = await collect(plan.outputs, request, source, folder, context);
    await put(outputs, folder, context);
    run.progress(1, "done");
    return { source: describe(request.object, size, source), outputs: outputs.map(({ output }) => output) };
  } catch (error) {
    throw explain(error, request.object);
  }
};

/** No part of an object's name becomes a file's: nobody can make it an option, a pattern or a protocol. */
const INPUT = "input";

async function fetchSource(
  { object, etag }: TranscodeRequest,
  folder: string,
  { links }: TranscodeContext,
): Promise<number> {
  const path = await links.uploads.file(object, etag === undefined ? {} : { ifMatch: etag }).catch((error) => {
    const kind = kindOf(error);
    if (kind === "not-found")
      throw new MillraceError(
        "not-found",
        `is not in ${links.uploads.bucket}: it was removed before its turn, or never there`,
      );
    if (kind === "conflict")
      throw new MillraceError(
        "bad-input",
        "was replaced after this run was asked for; the new content gets a run of its own",
      );
    throw error;
  });
  const { size } = await stat(path);
  if (size === 0) throw new MillraceError("bad-input", "is empty: 0 bytes");
  if (isCutRiff(await fileStart(path), size))
    throw new MillraceError("bad-input", "is cut off: it is shorter than it says");
  await symlink(path, join(folder, INPUT));
  return size;
}

const probeOptions = (cwd: string, { tools, signal }: TranscodeContext) => ({
  ffprobe: tool(tools, "ffprobe"),
  cwd,
  signal,
});

function tool(tools: TranscodeContext["tools"], name: string): string {
  const path = tools[name];
  if (path === undefined) throw new MillraceError("failed", `the function was given no ${name}: name it in \`tools\``);
  return path;
}

/** Puts what watermarks are made of into the folder; an image or font used twice is fetched once. */
async function fetchWatermarks(renditions: readonly Rendition[], folder: string, context: TranscodeContext) {
  const made = new Map<string, WatermarkFiles>();
  for (const { picture } of renditions) {
    const id = JSON.stringify(picture?.watermark);
    if (picture?.watermark && !made.has(id))
      made.set(id, await fetchWatermark(picture.watermark, made.size, folder, context));
  }
  return ({ picture }: Rendition): WatermarkFiles => made.get(JSON.stringify(picture?.watermark)) ?? {};
}

async function fetchWatermark(
  watermark: Watermark,
  index: number,
  folder: string,
  context: TranscodeContext,
): Promise<WatermarkFiles> {
  if ("image" in watermark) {
    const path = await fetchAsset(watermark.image, context);
    const type = imageTypeOf(await fileStart(path));
    if (!type) throw new MillraceError("bad-input", `the watermark's ${watermark.image} is no PNG, JPEG or WebP image`);
    const image = `watermark-${index}.${type}`;
    await symlink(path, join(folder, image));
    return { image };
  }
  const [font, text] = [`watermark-${index}.ttf`, `watermark-${index}.txt`];
  if (watermark.font === undefined) await writeFile(join(folder, font), inflateSync(Buffer.from(FONT, "base64")));
  else await symlink(await fetchAsset(watermark.font, context), join(folder, font));
  await writeFile(join(folder, text), watermark.text);
  return { font, text };
}

const fetchAsset = (key: string, { links }: TranscodeContext): Promise<string> =>
  links.uploads.file(key).catch((error) => {
    if (kindOf(error) !== "not-found") throw error;
    throw new MillraceError("not-found", `the watermark's ${key} is not in ${links.uploads.bucket}`);
  });

async function encode(
  { steps }: EncodePlan,
  folder: string,
  { tools, signal, run, log }: TranscodeContext,
): Promise<void> {
  const total = steps.reduce((sum, { weight }) => sum + weight, 0);
  let before = 0;
  for (const { label, args, weight, duration } of steps) {
    const tell = (fraction: number) =>
      run.progress(FETCHED + ((ENCODED - FETCHED) * (before + weight * fraction)) / total, label);
    tell(0);
    log.debug(label, { args });
    const warnings = await runFfmpeg(args, {
      ffmpeg: tool(tools, "ffmpeg"),
      cwd: folder,
      signal,
      onProgress: tell,
      ...(duration !== undefined && { duration }),
    });
    if (warnings.length > 0) log.debug(`ffmpeg: ${label}`, { warnings });
    before += weight;
  }
}

interface Collected {
  readonly output: TranscodeOutput;
  readonly files: readonly OutputFile[];
}

/** Finds and checks what was made, before anything is put. */
async function collect(
  planned: readonly PlannedOutput[],
  request: TranscodeRequest,
  source: Source,
  folder: string,
  context: TranscodeContext,
): Promise<readonly Collected[]> {
  const collected: Collected[] = [];
  for (const plan of planned) {
    const { rendition } = plan;
    const files = await outputFiles(plan, outputBase(rendition, request, context.settings), folder);
    for (const { key } of files) checkKey(key, context.settings);
    collected.push({ files, output: await check(rendition, files, source, folder, context) });
  }
  return collected;
}

async function check(
  { format, name, ...rest }: Rendition,
  files: readonly OutputFile[],
  source: Source,
  folder: string,
  context: TranscodeContext,
): Promise<TranscodeOutput> {
  const rendition = { format, name, ...rest };
  const size = files.reduce((sum, file) => sum + file.size, 0);
  const key = format === "m3u8" ? files.at(-1)!.key : files[0]!.key;
  const output = { format, name, key, size, files: files.length };
  if (format === "jpeg") return output;
  const made = await probeOutput(format, files, folder, context);
  verify(rendition, made, source);
  return {
    ...output,
    ...(made.duration !== undefined && { duration: made.duration }),
    ...(made.video && { width: made.video.width, height: made.video.height }),
  };
}

/** A playlist is as long as its segments together; what streams there are, its first segment tells. */
async function probeOutput(
  format: Format,
  files: readonly OutputFile[],
  folder: string,
  context: TranscodeContext,
): Promise<Source> {
  const made = toSource(await probe(files[0]!.file, probeOptions(folder, context)));
  if (format !== "m3u8") return made;
  const duration = playlistDuration(await readFile(join(folder, files.at(-1)!.file), "utf8"));
  const { video, audio } = made;
  return {
    container: made.container,
    duration,
    ...(video && { video: { ...video, duration } }),
    ...(audio && { audio: { ...audio, duration } }),
  };
}

/** Puts every file, what others refer to first; each appears whole or not at all. */
async function put(
  outputs: readonly Collected[],
  folder: string,
  { links, run, signal }: TranscodeContext,
): Promise<void> {
  const files = outputs.flatMap((collected) => collected.files);
  const total = files.reduce((sum, { size }) => sum + size, 0);
  let before = 0;
  for (const { file, key, size } of files) {
    signal.throwIfAborted();
    run.progress(ENCODED + ((1 - ENCODED) * before) / total, `putting ${key} (${formatBytes(size)})`);
    await links.outputs.putFile(key, join(folder, file), { contentType: contentTypeOf(key) });
    before += size;
  }
}

const describe = (object: string, size: number, { duration, video }: Source): TranscodeResult["source"] => ({
  object,
  size,
  ...(duration !== undefined && { duration }),
  ...(video && { width: video.width, height: video.height }),
});

const kindOf = (error: unknown): unknown => (error instanceof MillraceError ? error.kind : undefined);

/** Names the object, and says what a full disk is. */
function explain(error: unknown, object: string): unknown {
  if (error instanceof MillraceError)
    return isOurs(error) ? new MillraceError(error.kind, `${object}: ${error.message}`, { cause: error }) : error;
  if (error instanceof Error && "code" in error && error.code === "ENOSPC")
    return new MillraceError("unavailable", `${object}: no space left on the disk`, { cause: error });
  return error;
}

/** Whether the error tells of the object; a stop or a timeout does not. */
const isOurs = ({ kind }: MillraceError): boolean =>
  kind === "bad-input" || kind === "not-found" || kind === "failed" || kind === "unavailable";
