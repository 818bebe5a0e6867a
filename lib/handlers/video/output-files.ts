import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { MillraceError } from "../../runtime/errors.ts";
import type { PlannedOutput } from "./encode-plan.ts";
import { segmentStem } from "./output-keys.ts";

/** A file to put, and where. */
export interface OutputFile {
  readonly file: string;
  readonly key: string;
  /** Bytes. */
  readonly size: number;
}

/** The files of one output in the order they are put: what others refer to first, what is asked for last. */
export async function outputFiles(
  { rendition, file }: PlannedOutput,
  base: string,
  folder: string,
): Promise<readonly OutputFile[]> {
  const { format, every } = rendition;
  if (format === "m3u8") return playlistFiles(file, base, folder);
  if (every === undefined) return [await toOutput(file, `${base}.${format}`, folder)];
  const names = await numbered(folder, file.slice(0, file.indexOf("%")), `.${format}`);
  return Promise.all(names.map(({ name, digits }) => toOutput(name, `${base}-${digits}.${format}`, folder)));
}

/** A playlist names its segments relative to itself, by the names they will have in the bucket. */
async function playlistFiles(playlist: string, base: string, folder: string): Promise<readonly OutputFile[]> {
  const stem = playlist.replace(/\.m3u8$/, "-");
  const home = base.slice(0, base.lastIndexOf("/") + 1);
  const segments = await numbered(folder, stem, ".ts");
  const named = segments.map(({ name, digits }) => ({ name, target: `${segmentStem(base)}-${digits}.ts` }));
  const text = await readFile(join(folder, playlist), "utf8");
  const targets = new Map(named.map(({ name, target }) => [name, target]));
  await writeFile(
    join(folder, playlist),
    text
      .split("\n")
      .map((line) => targets.get(line) ?? line)
      .join("\n"),
  );
  const files = named.map(({ name, target }) => toOutput(name, `${home}${target}`, folder));
  return Promise.all([...files, toOutput(playlist, `${base}.m3u8`, folder)]);
}

/** Seconds of all segments together. */
export const playlistDuration = (text: string): number =>
  [...text.matchAll(/^#EXTINF:([\d.]+)/gm)].reduce((sum, [, seconds]) => sum + Number(seconds), 0);

/** Files `<start><number><end>` by their number, never by the order a folder lists them in. */
async function numbered(
  folder: string,
  start: string,
  end: string,
): Promise<readonly { name: string; digits: string }[]> {
  const names = await readdir(folder);
  return names
    .filter((name) => name.startsWith(start) && name.endsWith(end))
    .map((name) => ({ name, digits: name.slice(start.length, -end.length) }))
    .filter(({ digits }) => /^\d+$/.test(digits))
    .sort((left, right) => Number(left.digits) - Number(right.digits));
}

async function toOutput(file: string, key: string, folder: string): Promise<OutputFile> {
  const size = await stat(join(folder, file)).then(
    (info) => info.size,
    () => 0,
  );
  if (size === 0)
    throw new MillraceError("bad-input", `nothing came out of it for ${key}: no frame or sound could be read`);
  return { file, key, size };
}
