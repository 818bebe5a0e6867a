import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deflateRawSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bundle } from "../../lib/bundle/bundle.ts";
import type { CloudKind } from "../../lib/parts/plan.ts";
import { functionOn, HANDLERS, type HandlerName } from "./functions.ts";

/** Nothing of ours is uploaded that is larger than this. */
const MOST = 1000;

/**
 * Kilobytes of each zip, with its source map, that it may take at most: a tenth more than it takes. What is larger now has
 * taken something in: look what, by esbuild's metafile, before this number is raised.
 */
const LIMITS: Readonly<Record<CloudKind, Readonly<Record<HandlerName, number>>>> = {
  local: { "tasks/dispatch": 31, "tasks/keep": 33, "video/dispatch": 36, "video/transcode": 140, "a user's": 29 },
  alicloud: {
    "tasks/dispatch": 505,
    "tasks/keep": 505,
    "video/dispatch": 510,
    "video/transcode": 610,
    "a user's": 380,
  },
  aws: { "tasks/dispatch": 850, "tasks/keep": 850, "video/dispatch": 855, "video/transcode": 960, "a user's": 560 },
  kubernetes: {
    "tasks/dispatch": 775,
    "tasks/keep": 765,
    "video/dispatch": 780,
    "video/transcode": 865,
    "a user's": 655,
  },
};

describe("what is uploaded of a function", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "millrace-sizes-"));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  const pairs = (Object.keys(LIMITS) as CloudKind[]).flatMap((cloud) => HANDLERS.map((handler) => [cloud, handler]));

  it.each(pairs as [CloudKind, HandlerName][])("%s: %s is small", async (cloud, handler) => {
    const { file } = await bundle(functionOn(cloud, handler, folder));
    const kilobytes = (await packedBytes([file, `${file}.map`])) / 1000;
    const limit = LIMITS[cloud][handler];
    expect(limit).toBeLessThan(MOST);
    expect(kilobytes).toBeLessThan(limit);
    // A limit that is far away holds nothing.
    expect(kilobytes).toBeGreaterThan(0.8 * limit);
  });
});

/** What the zip of a deployment has in it, by Node's own packer, which is much quicker and packs as well. */
async function packedBytes(files: readonly string[]): Promise<number> {
  const packed = files.map(async (file) => deflateRawSync(await readFile(file), { level: 9 }).byteLength);
  return (await Promise.all(packed)).reduce((sum, bytes) => sum + bytes, 0);
}
