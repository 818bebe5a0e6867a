import { mkdir, readFile, stat, symlink } from "node:fs/promises";
import { join } from "node:path";
import { MillraceError } from "../../runtime/errors.ts";
import type { FunctionInvoked } from "../../runtime/events.ts";
import type { Context, Handler } from "../../runtime/handler.ts";
import type { BucketReader, BucketWriter } from "../../runtime/ports.ts";
import { contentTypeOf } from "../../shared/content-type.ts";
import { formatBytes } from "../../shared/size.ts";
import type { Format } from "../../shared/video/formats.ts";
import type { Rendition } from "../../shared/video/rendition.ts";
import { type EncodePlan, encodePlan, type PlannedOutput } from "./encode-plan.ts";
import { explain, explainSource } from "./explain.ts";
import { runFfmpeg } from "./ffmpeg.ts";
import { fileStart, isCutRiff } from "./file-start.ts";
import { fromFile } from "./input-options.ts";
import { type OutputFile, outputFiles, playlistDuration } from "./output-files.ts";
import { checkKey, outputBase } from "./output-keys.ts";
import { probe } from "./probe.ts";
import { type OldTranscodePayload, parseRequest, type TranscodePayload, type TranscodeRequest } from "./request.ts";
import type { TranscodeSettings } from "./settings.ts";
import { fetchSlices, type Slices } from "./slices/join.ts";
import { UnsoundError, verifyJoined } from "./slices/verify.ts";
import { type Source, toSource } from "./source.ts";
import { withSource } from "./source-server.ts";
import { toolOf } from "./tool.ts";
import { verify } from "./verify.ts";
import { fetchWatermarks } from "./watermarks.ts";

/** The buckets a transcoder works between. */
export interface TranscodeLinks {
  readonly uploads: BucketReader;
  readonly outputs: BucketWriter;
  /** Where large videos lie in slices; absent: every video is made in one piece. */
  readonly work?: BucketReader;
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
 * Makes renditions of one object: fetched, looked at, encoded and checked in `scratch`, and only then put. What was
 * encoded in slices before is joined instead.
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
  const { links, settings, run } = context;
  const request = parseRequest(payload, settings, links.uploads.bucket);
  for (const rendition of request.renditions)
    checkKey(`${outputBase(rendition, request, settings)}.${rendition.format}`, settings);
  try {
    const made = (await fromSlices(request, context)) ?? (await inOnePiece(request, context));
    await put(made.outputs, made.folder, context);
    run.progress(1, "done");
    return { source: made.source, outputs: made.outputs.map(({ output }) => output) };
  } catch (error) {
    throw explain(error, request.object);
  }
};

/** What was made, checked, and lies in a folder to be put. */
interface Made {
  readonly folder: string;
  readonly source: TranscodeResult["source"];
  readonly outputs: readonly Collected[];
}

async function inOnePiece(request: TranscodeRequest, context: TranscodeContext): Promise<Made> {
  const { links, run, scratch } = context;
  const folder = join(scratch, "work");
  await mkdir(folder);
  run.progress(0, `fetching ${request.object}`);
  const size = await fetchSource(request, folder, context);
  const input = fromFile(INPUT);
  const source = toSource(await probe(input, probeOptions(folder, context)));
  const watermarks = await fetchWatermarks(request.renditions, folder, links.uploads);
  const plan = encodePlan(request.renditions, { input, source, watermarks });
  await encode(plan, folder, context);
  const outputs = await collect(plan.outputs, request, source, folder, context);
  return { folder, source: describe(request.object, size, source), outputs };
}

/**
 * Joins what was encoded in slices, and makes what does not come from them.
 *
 * @returns nothing if there are no slices, or if what they came to is not what it should be.
 */
async function fromSlices(request: TranscodeRequest, context: TranscodeContext): Promise<Made | undefined> {
  const { links, run, scratch, log } = context;
  if (!links.work) return undefined;
  const folder = join(scratch, "slices");
  await mkdir(folder);
  const slices = await fetchSlices(run.id, run.attempt, folder, links.work);
  if (!slices) return undefined;
  try {
    return await joinSlices(request, slices, folder, context);
  } catch (error) {
    if (!(error instanceof UnsoundError)) throw error;
    log.warn(`${request.object} is made in one piece: ${error.message}`);
    return undefined;
  }
}

async function joinSlices(
  request: TranscodeRequest,
  slices: Slices,
  folder: string,
  context: TranscodeContext,
): Promise<Made> {
  const { source, size } = slices.manifest;
  const { uploads } = context.links;
  const watermarks = await fetchWatermarks(request.renditions, folder, uploads);
  return withSource(slices.manifest, uploads, async ({ input }) => {
    const plan = encodePlan(request.renditions, { input, source, watermarks, sliced: slices.of });
    await encode(plan, folder, context);
    for (const { file, group } of plan.joined)
      await verifyJoined(file, slices.of(group)!, source.video!.gridRate, probeOptions(folder, context));
    const outputs = await collect(plan.outputs, request, source, folder, context);
    return { folder, source: describe(request.object, size, source), outputs };
  });
}

/** No part of an object's name becomes a file's: nobody can make it an option, a pattern or a protocol. */
const INPUT = "input";

async function fetchSource(
  { object, etag }: TranscodeRequest,
  folder: string,
  { links }: TranscodeContext,
): Promise<number> {
  const path = await links.uploads.file(object, etag === undefined ? {} : { ifMatch: etag }).catch((error: unknown) => {
    throw explainSource(error, links.uploads.bucket);
  });
  const { size } = await stat(path);
  if (size === 0) throw new MillraceError("bad-input", "is empty: 0 bytes");
  if (isCutRiff(await fileStart(path), size))
    throw new MillraceError("bad-input", "is cut off: it is shorter than it says");
  await symlink(path, join(folder, INPUT));
  return size;
}

const probeOptions = (cwd: string, { tools, signal }: TranscodeContext) => ({
  ffprobe: toolOf(tools, "ffprobe"),
  cwd,
  signal,
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
      ffmpeg: toolOf(tools, "ffmpeg"),
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
  const made = toSource(await probe(fromFile(files[0]!.file), probeOptions(folder, context)));
  if (format !== "m3u8") return made;
  const duration = playlistDuration(await readFile(join(folder, files.at(-1)!.file), "utf8"));
  const { video, audio } = made;
  return {
    ...{ container: made.container, start: made.start, duration },
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
