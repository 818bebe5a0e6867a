import { readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { parseFileName } from "../../shared/archive/places.ts";
import { fileError } from "./file.ts";

/** Whoever wrote to a file that no row knows is long gone by then, and whoever reads it is done. Milliseconds. */
const OLD = 24 * 3_600_000;

/**
 * Removes files of an archive that no row knows any more: of writers that came too late, and of uploads that were killed
 * at their end. Other files on the volume are left alone.
 *
 * @param known by application's folder and name, `orders/03-00000012-x7k2.log.gz`
 */
export async function removeOrphans(volume: string, known: ReadonlySet<string>, now: number): Promise<number> {
  let removed = 0;
  for (const folder of await entriesOf(volume)) {
    for (const name of await entriesOf(join(volume, folder))) {
      if (known.has(`${folder}/${name}`) || !parseFileName(name)) continue;
      const path = join(volume, folder, name);
      const found = await stat(path).catch(() => undefined);
      if (!found?.isFile() || now - found.mtimeMs < OLD) continue;
      await rm(path, { force: true });
      removed += 1;
    }
  }
  return removed;
}

/** What is in a folder; what is no folder has nothing in it. */
async function entriesOf(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (["ENOTDIR", "ENOENT"].includes((error as NodeJS.ErrnoException).code ?? "")) return [];
    throw fileError(folder, error);
  }
}
