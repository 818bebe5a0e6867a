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
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import type { TranscodeSettings } from "../../../lib/handlers/video/settings.ts";
import { handler, type TranscodeResult } from "../../../lib/handlers/video/transcode.ts";
import { systemClock } from "../../../lib/runtime/clock.ts";
import { MillraceError } from "../../../lib/runtime/errors.ts";
import type { Context } from "../../../lib/runtime/handler.ts";
import type { BucketReader, BucketWriter, ObjectInfo } from "../../../lib/runtime/ports.ts";
import { effectiveRenditions } from "../../../lib/shared/video/effective-renditions.ts";
import { FORMATS } from "../../../lib/shared/video/formats.ts";
import type { RenditionSpec } from "../../../lib/shared/video/rendition-spec.ts";
import { tools } from "../../media.ts";

/** A bucket in a folder: keys are hashed into names, since no file system can hold every key. */
export class FolderBucket implements BucketReader, BucketWriter {
  readonly bucket: string;
  readonly folder: string;
  readonly objects = new Map<string, ObjectInfo>();
  /** Called before each put; throws to make it fail. */
  beforePut: (key: string) => void = () => {};

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
  async get(key: string) {
    return readFileSync(await this.file(key));
  }
  async stream(): Promise<never> {
    throw new Error("not used here");
  }
  async list(): Promise<never> {
    throw new Error("not used here");
  }
  async put(): Promise<never> {
    throw new Error("not used here");
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

/** Everything the handler touches, and what it said. */
export interface World {
  readonly folder: string;
  readonly uploads: FolderBucket;
  readonly outputs: FolderBucket;
  readonly progress: { fraction: number; message: string | undefined }[];
  readonly stop: AbortController;
  settings: TranscodeSettings;
  tools: Record<string, string>;
  /** Runs the handler, each time in a new scratch folder. */
  transcode(payload: unknown): Promise<TranscodeResult>;
  /** A copy of an output and all beside it, in a folder under the names they have in the bucket. */
  download(key: string): string;
}

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
  const silent = { debug() {}, info() {}, warn() {}, error() {} };
  let runs = 0;
  const made: World = {
    folder,
    uploads,
    outputs,
    progress: [],
    stop: new AbortController(),
    settings: settingsOf(formats, more),
    tools,
    async transcode(payload) {
      const scratch = join(folder, `scratch-${++runs}`);
      mkdirSync(scratch);
      const context: Context<{ uploads: BucketReader; outputs: BucketWriter }, TranscodeSettings> = {
        links: { uploads, outputs },
        settings: made.settings,
        code: {},
        run: {
          id: "run",
          attempt: 1,
          deadline: Number.MAX_SAFE_INTEGER,
          progress: (fraction, message) => made.progress.push({ fraction, message }),
        },
        signal: made.stop.signal,
        log: silent,
        metrics: { count() {}, gauge() {} },
        clock: systemClock,
        tools: made.tools,
        scratch,
      };
      const event = {
        type: "function.invoked",
        id: "event",
        payload: payload as never,
        time: "2026-01-01T00:00:00.000Z",
      } as const;
      return handler(event, context);
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
