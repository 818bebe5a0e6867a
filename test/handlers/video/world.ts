import { createHash } from "node:crypto";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { onTestFinished } from "vitest";
import type { TranscodeSettings } from "../../../lib/handlers/video/settings.ts";
import type { CutOptions } from "../../../lib/handlers/video/slices/cut-plan.ts";
import { handler as encode } from "../../../lib/handlers/video/slices/encode.ts";
import type { SliceReport } from "../../../lib/handlers/video/slices/manifest.ts";
import { type PlanResult, handler as plan } from "../../../lib/handlers/video/slices/plan.ts";
import { handler as sound } from "../../../lib/handlers/video/slices/sound.ts";
import { handler, type TranscodeResult } from "../../../lib/handlers/video/transcode.ts";
import { systemClock } from "../../../lib/runtime/clock.ts";
import { MillraceError } from "../../../lib/runtime/errors.ts";
import type { FunctionInvoked } from "../../../lib/runtime/events.ts";
import type { Context, Handler } from "../../../lib/runtime/handler.ts";
import type { BucketReader, BucketRemover, BucketWriter, GetOptions, ObjectInfo } from "../../../lib/runtime/ports.ts";
import { effectiveRenditions } from "../../../lib/shared/video/effective-renditions.ts";
import { FORMATS } from "../../../lib/shared/video/formats.ts";
import type { RenditionSpec } from "../../../lib/shared/video/rendition-spec.ts";
import { tools } from "../../media.ts";

/** A bucket in a folder: keys are hashed into names, since no file system can hold every key. */
export class FolderBucket implements BucketReader, BucketWriter, BucketRemover {
  readonly bucket: string;
  readonly folder: string;
  readonly objects = new Map<string, ObjectInfo>();
  /** Called before each put; throws to make it fail. */
  beforePut: (key: string) => void = () => {};
  /** The same before content is read. */
  beforeGet: (key: string) => void = () => {};
  /** Objects in one page of a list. */
  page = 1000;

  constructor(bucket: string, folder: string) {
    this.bucket = bucket;
    this.folder = join(folder, bucket);
    mkdirSync(this.folder, { recursive: true });
  }

  get keys(): readonly string[] {
    return [...this.objects.keys()];
  }

  path(key: string): string {
    return join(this.folder, createHash("sha256").update(key).digest("hex"));
  }

  /** An object with that content: a file's, or a text. */
  add(key: string, content: { file: string } | string | Uint8Array): ObjectInfo {
    if (typeof content === "object" && "file" in content) copyFileSync(content.file, this.path(key));
    else writeFileSync(this.path(key), content);
    const etag = createHash("md5")
      .update(readFileSync(this.path(key)))
      .digest("hex");
    const info = { key, size: statSync(this.path(key)).size, etag, modified: "2026-01-01T00:00:00.000Z", metadata: {} };
    this.objects.set(key, info);
    return info;
  }

  async head(key: string) {
    return this.objects.get(key);
  }
  async get(key: string, { range, ...options }: GetOptions = {}) {
    this.beforeGet(key);
    const path = await this.file(key, options);
    if (!range) return readFileSync(path);
    const handle = await open(path);
    try {
      const length = Math.min(range[1] + 1, (await handle.stat()).size) - range[0];
      return (await handle.read(Buffer.alloc(length), 0, length, range[0])).buffer;
    } finally {
      await handle.close();
    }
  }
  async stream(): Promise<never> {
    throw new Error("not used here");
  }
  async list({ prefix = "", after = "" }: { readonly prefix?: string; readonly after?: string } = {}) {
    const found = this.keys.filter((key) => key.startsWith(prefix) && key > after).sort();
    const objects = found.slice(0, this.page).map((key) => this.objects.get(key)!);
    return { objects, ...(found.length > this.page && { next: objects.at(-1)!.key }) };
  }
  async remove(key: string) {
    this.objects.delete(key);
    rmSync(this.path(key), { force: true });
  }
  async put(key: string, body: Uint8Array | string | Readable) {
    if (body instanceof Readable) throw new Error("not used here");
    this.beforePut(key);
    return this.add(key, body);
  }
  async file(key: string, options: { readonly ifMatch?: string } = {}) {
    const info = this.objects.get(key);
    if (!info) throw new MillraceError("not-found", `there is no object ${key}`);
    if (options.ifMatch !== undefined && options.ifMatch !== info.etag)
      throw new MillraceError("conflict", `${key} has another etag`);
    return this.path(key);
  }
  async putFile(key: string, path: string, options: { readonly contentType?: string } = {}) {
    this.beforePut(key);
    const info = { ...this.add(key, { file: path }), contentType: options.contentType ?? "" };
    this.objects.set(key, info);
    return info;
  }
}

/** Everything the handlers touch, and what they said. */
export interface World {
  readonly folder: string;
  readonly uploads: FolderBucket;
  readonly outputs: FolderBucket;
  /** Where videos lie in slices. */
  readonly work: FolderBucket;
  readonly progress: { fraction: number; message: string | undefined }[];
  /** What was logged, but for debugging. */
  readonly said: string[];
  readonly stop: AbortController;
  settings: TranscodeSettings;
  tools: Record<string, string>;
  /** Runs the handler, each time in a new scratch folder. */
  transcode(payload: unknown, sliced?: { readonly attempt?: number }): Promise<TranscodeResult>;
  /** Cuts a video and encodes all that comes from slices, in any order; what is left is `transcode`'s. */
  slice(payload: unknown, cut: CutOptions): Promise<Sliced>;
  /** A step of a sliced run, in a new scratch folder. */
  step<Payload, Result>(
    handler: Handler<FunctionInvoked<Payload>, never, never, Result>,
    payload: Payload,
    settings?: object,
  ): Promise<Result>;
  /** A copy of an output and all beside it, in a folder under the names they have in the bucket. */
  download(key: string): string;
}

/** How a video was cut. */
export interface Sliced extends PlanResult {
  readonly reports: readonly SliceReport[];
}

/** The run's id. */
export const RUN = "run";

const invoked = <Payload>(payload: Payload): FunctionInvoked<Payload> => ({
  type: "function.invoked",
  id: "event",
  payload,
  time: "2026-01-01T00:00:00.000Z",
});

export const settingsOf = (
  formats: readonly RenditionSpec[],
  more: Partial<TranscodeSettings> = {},
): TranscodeSettings => {
  const { renditions, problems } = effectiveRenditions(formats, "formats");
  if (problems.length > 0) throw new Error(JSON.stringify(problems));
  return { renditions, accepts: FORMATS, outputPrefix: "", ...more };
};

export function world(formats: readonly RenditionSpec[] = ["mp4"], more: Partial<TranscodeSettings> = {}): World {
  const folder = mkdtempSync(join(tmpdir(), "millrace-video-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const uploads = new FolderBucket("videos-uploads", folder);
  const outputs = new FolderBucket("videos-outputs", folder);
  const work = new FolderBucket("videos-work", folder);
  const said: string[] = [];
  const say = (message: string) => said.push(message);
  const log = { debug() {}, info: say, warn: say, error: say };
  let runs = 0;
  const contextOf = (links: object, settings: object, attempt = 1): Context<never, never> => {
    const scratch = join(folder, `scratch-${++runs}`);
    mkdirSync(scratch);
    return {
      links: links as never,
      settings: settings as never,
      code: {} as never,
      run: {
        id: RUN,
        attempt,
        deadline: Number.MAX_SAFE_INTEGER,
        progress: (fraction, message) => made.progress.push({ fraction, message }),
      },
      signal: made.stop.signal,
      log,
      metrics: { count() {}, gauge() {} },
      clock: systemClock,
      tools: made.tools,
      scratch,
    };
  };
  const made: World = {
    ...{ folder, uploads, outputs, work, said },
    progress: [],
    stop: new AbortController(),
    settings: settingsOf(formats, more),
    tools,
    async transcode(payload, sliced) {
      const links = { uploads, outputs, ...(sliced && { work }) };
      return handler(invoked(payload as never), contextOf(links, made.settings, sliced?.attempt));
    },
    async slice(payload, cut) {
      const planned = await made.step(plan, { run: RUN, payload: payload as never }, { ...made.settings, cut });
      const reports: SliceReport[] = [];
      const left = planned.slices.map(({ index }) => index);
      const worker = async () => {
        for (let index = left.pop(); index !== undefined; index = left.pop())
          reports[index] = await made.step(encode, { run: RUN, index });
      };
      await Promise.all([worker(), worker()]);
      if (planned.count > 0) await made.step(sound, { run: RUN });
      return { ...planned, reports };
    },
    async step(step, payload, settings = {}) {
      return step(invoked(payload), contextOf({ uploads, outputs, work }, settings));
    },
    download(key) {
      const home = join(folder, "downloads");
      for (const name of outputs.keys) {
        const path = join(home, name);
        mkdirSync(join(path, ".."), { recursive: true });
        if (!existsSync(path)) copyFileSync(outputs.path(name), path);
      }
      return join(home, key);
    },
  };
  return made;
}
