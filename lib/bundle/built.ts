import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";

/** What one run of esbuild made. */
export interface Built {
  readonly js: Uint8Array;
  readonly map: Uint8Array;
  /** Absolute paths of all files it was made of. */
  readonly files: readonly string[];
}

/**
 * What `make` answers; or what it answered before under this key, in this process or an earlier one, if nothing has
 * changed that it was made of: no file of the user's, of a package or of the bundler, and nothing that says which file an
 * import means. Who asks while it is made gets the same.
 *
 * @param folder where it is kept
 * @param key names all that is asked for, as a file's name
 */
export function builtBefore(folder: string, key: string, make: () => Promise<Built>): Promise<Built> {
  const place = join(folder, key);
  const before = underway.get(place);
  const answer = (async () => {
    await before?.catch(() => {}); // its caller is told; here it is tried again
    return (await kept(place)) ?? (await made(place, make));
  })();
  const settled = answer
    .catch(() => {})
    .finally(() => {
      if (underway.get(place) === settled) underway.delete(place);
    });
  underway.set(place, settled);
  return answer;
}

/** By place, the last one who was asked: the functions of a program are built at once, and many from the same code. */
const underway = new Map<string, Promise<unknown>>();

/** What lies beside the code: its files, and the state of everything that could have made it another one. */
interface Origin {
  readonly files: readonly string[];
  readonly states: Readonly<Record<string, string>>;
}

async function kept(place: string): Promise<Built | undefined> {
  try {
    const { files, states } = JSON.parse(await readFile(join(place, "origin.json"), "utf8")) as Origin;
    if (Object.entries(states).some(([path, state]) => stateOf(path).state !== state)) return undefined;
    const [js, map] = await Promise.all([readFile(join(place, "index.mjs")), readFile(join(place, "index.mjs.map"))]);
    return { js, map, files };
  } catch {
    return undefined; // nothing is there, or somebody replaces it just now
  }
}

/** Keeps it only if nothing has changed since it was begun, by the clock of the file system: the draft is as old as that. */
async function made(place: string, make: () => Promise<Built>): Promise<Built> {
  await mkdir(dirname(place), { recursive: true });
  const draft = await mkdtemp(`${place}.`);
  try {
    const begun = stateOf(draft).changed;
    const built = await make();
    const states = influencesOf(built.files).map((path) => [path, stateOf(path)] as const);
    if (states.every(([, { changed }]) => changed < begun)) {
      const origin = {
        files: built.files,
        states: Object.fromEntries(states.map(([path, { state }]) => [path, state])),
      };
      await keep({ "index.mjs": built.js, "index.mjs.map": built.map, "origin.json": JSON.stringify(origin) }, draft);
      await rm(place, { recursive: true, force: true });
      await rename(draft, place).catch(() => {}); // another process was quicker
    }
    return built;
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

const keep = (files: Readonly<Record<string, Uint8Array | string>>, folder: string): Promise<unknown> =>
  Promise.all(Object.entries(files).map(([name, content]) => writeFile(join(folder, name), content)));

/** The time of a file's last change cannot be set by anybody, unlike that of its content: npm gives all files the same. */
function stateOf(path: string): { readonly state: string; readonly changed: number } {
  const found = statSync(path, { throwIfNoEntry: false });
  if (!found) return { state: "none", changed: 0 };
  return { state: `${found.ino} ${found.size} ${found.ctimeMs}`, changed: found.ctimeMs };
}

const BUNDLER = dirname(fileURLToPath(import.meta.url));

/**
 * The files; their folders, where another file could come that an import then means; and what esbuild and Node look for
 * in every folder above.
 */
function influencesOf(files: readonly string[]): readonly string[] {
  const bundler = readdirSync(BUNDLER).map((name) => join(BUNDLER, name));
  const folders = new Set(files.map((file) => dirname(file)));
  // `x/index.ts` is what `./x` means until there is an `x.ts`.
  const around = files.filter((file) => basename(file).startsWith("index.")).map((file) => dirname(dirname(file)));
  const above = new Set([...folders].flatMap(withAllAbove));
  const looked = [...above].flatMap((folder) => [join(folder, "package.json"), join(folder, "node_modules")]);
  const settings = [...above].filter((folder) => !folder.includes(`${sep}node_modules`)).flatMap(tsconfigsOf);
  return [...new Set([...bundler, ...files, ...folders, ...around, ...looked, ...settings])];
}

function withAllAbove(folder: string): readonly string[] {
  const above = dirname(folder);
  return above === folder ? [folder] : [folder, ...withAllAbove(above)];
}

/** The folder's `tsconfig.json`, there or not, and the files it extends. */
function tsconfigsOf(folder: string): readonly string[] {
  const found = [join(folder, "tsconfig.json")];
  for (const file of found) found.push(...extended(file).filter((other) => !found.includes(other)));
  return found;
}

/** By path, with or without the ending. Those of packages change with the package. https://www.typescriptlang.org/tsconfig/#extends */
function extended(file: string): readonly string[] {
  const text = existsSync(file) ? readFileSync(file, "utf8") : "";
  const [, named = ""] = /"extends"\s*:\s*(\[[^\]]*\]|"[^"]*")/.exec(text) ?? [];
  const paths = [...named.matchAll(/"(\.[^"]*)"/g)].map(([, path]) => resolve(dirname(file), path!));
  return paths.flatMap((path) => (path.endsWith(".json") ? [path] : [path, `${path}.json`]));
}
