/** An entry as a cloud's: runs the bundle's handler on buckets that are folders. */
import { createReadStream } from "node:fs";
import { copyFile, mkdir, mkdtemp, open, readFile, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { MillraceError } from "../../../lib/runtime/errors.ts";
import type { Handler } from "../../../lib/runtime/handler.ts";
import type { BucketReader, BucketRemover, BucketWriter, ObjectInfo } from "../../../lib/runtime/ports.ts";

const log = { debug() {}, info() {}, warn() {}, error() {} };

function bucket(folder: string): BucketReader & BucketWriter & BucketRemover {
  const path = (key: string) => join(folder, key);
  const info = async (key: string): Promise<ObjectInfo> => {
    const { size, mtime } = await stat(path(key));
    return { key, size, etag: "etag", modified: mtime.toISOString(), contentType: "", metadata: {} } as ObjectInfo;
  };
  const missing = (key: string) => () => {
    throw new MillraceError("not-found", key);
  };
  return {
    bucket: folder,
    head: (key) => info(key).catch(() => undefined),
    async get(key, { range } = {}) {
      const bytes = await readFile(path(key)).catch(missing(key));
      return range ? bytes.subarray(range[0], range[1] + 1) : bytes;
    },
    stream: async (key) => createReadStream(path(key)),
    file: async (key) => path(key),
    list: () => Promise.reject(new Error("not used here")),
    async put(key, body) {
      await mkdir(dirname(path(key)), { recursive: true });
      if (typeof body === "string" || body instanceof Uint8Array) await writeFile(path(key), body);
      else {
        const file = await open(path(key), "w");
        for await (const chunk of body) await file.write(chunk as Uint8Array);
        await file.close();
      }
      return info(key);
    },
    async putFile(key, from) {
      await mkdir(dirname(path(key)), { recursive: true });
      await copyFile(from, path(key));
      return info(key);
    },
    remove: (key) => rm(path(key), { force: true }),
  };
}

/** What a platform calls: the handler on the buckets under a folder. */
export const start =
  ({ handler, settings, code }: { handler: Handler; settings: unknown; code: unknown }) =>
  async (payload: unknown, home: string): Promise<unknown> => {
    const scratch = await mkdtemp(join(home, "scratch-"));
    return handler(
      { type: "function.invoked", id: "event", payload, time: "2026-01-01T00:00:00.000Z" },
      {
        links: {
          input: bucket(join(home, "input")),
          work: bucket(join(home, "work")),
          outputs: bucket(join(home, "out")),
        },
        ...{ settings, code, scratch, log },
        run: { id: "step", attempt: 1, deadline: Number.MAX_SAFE_INTEGER, progress() {} },
        signal: new AbortController().signal,
        metrics: { count() {}, gauge() {} },
        clock: { now: () => 0, sleep: () => Promise.resolve() } as never,
        tools: {},
      },
    );
  };
