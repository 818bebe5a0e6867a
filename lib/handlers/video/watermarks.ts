import { symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { inflateSync } from "node:zlib";
import { MillraceError } from "../../runtime/errors.ts";
import type { BucketReader } from "../../runtime/ports.ts";
import type { Picture, Watermark } from "../../shared/video/rendition.ts";
import { fileStart, imageTypeOf } from "./file-start.ts";
import { FONT } from "./font.ts";
import type { WatermarkFiles } from "./picture-filters.ts";

/** What has a picture, or none: a rendition, or an encode of its own. */
interface Pictured {
  readonly picture?: Picture;
}

/** Puts what watermarks are made of into the folder; an image or font used twice is fetched once. */
export async function fetchWatermarks(
  pictured: readonly Pictured[],
  folder: string,
  uploads: BucketReader,
): Promise<(pictured: Pictured) => WatermarkFiles> {
  const made = new Map<string, WatermarkFiles>();
  for (const { picture } of pictured) {
    const id = JSON.stringify(picture?.watermark);
    if (picture?.watermark && !made.has(id))
      made.set(id, await fetchWatermark(picture.watermark, made.size, folder, uploads));
  }
  return ({ picture }) => made.get(JSON.stringify(picture?.watermark)) ?? {};
}

async function fetchWatermark(
  watermark: Watermark,
  index: number,
  folder: string,
  uploads: BucketReader,
): Promise<WatermarkFiles> {
  if ("image" in watermark) {
    const path = await fetchAsset(watermark.image, uploads);
    const type = imageTypeOf(await fileStart(path));
    if (!type) throw new MillraceError("bad-input", `the watermark's ${watermark.image} is no PNG, JPEG or WebP image`);
    const image = `watermark-${index}.${type}`;
    await symlink(path, join(folder, image));
    return { image };
  }
  const [font, text] = [`watermark-${index}.ttf`, `watermark-${index}.txt`];
  if (watermark.font === undefined) await writeFile(join(folder, font), inflateSync(Buffer.from(FONT, "base64")));
  else await symlink(await fetchAsset(watermark.font, uploads), join(folder, font));
  await writeFile(join(folder, text), watermark.text);
  return { font, text };
}

const fetchAsset = (key: string, uploads: BucketReader): Promise<string> =>
  uploads.file(key).catch((error: unknown) => {
    if (!(error instanceof MillraceError) || error.kind !== "not-found") throw error;
    throw new MillraceError("not-found", `the watermark's ${key} is not in ${uploads.bucket}`);
  });
