import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { type BuildOptions, build, type Metafile, version } from "esbuild";
import type { CodePlan } from "../parts/plan.ts";
import { type Built, builtBefore } from "./built.ts";
import { BundleError, toBundleError } from "./bundle-error.ts";
import { checkInstalled } from "./install.ts";
import { kafkaClient } from "./kafka-client.ts";
import { BUILTINS, lateBuiltins } from "./late-builtins.ts";
import { moduleBuilds } from "./module-builds.ts";
import { portableMap } from "./source-map.ts";

/** What goes into one function's bundle. */
export interface BundleArgs {
  /** Exports `handler`. */
  readonly handler: CodePlan;
  /** User modules the handler gets by name. */
  readonly code: Readonly<Record<string, CodePlan>>;
  /** Plain values, baked in. */
  readonly settings: unknown;
  /** Absolute path of the module whose `start({ handler, code, settings })` runs it all: a cloud's entry. */
  readonly entry: string;
  /** The bundle becomes `<outdir>/<hash>/index.mjs`, with its source map beside it. */
  readonly outdir: string;
  /** Packages left out of the bundle; Node finds them from the bundle's folder upwards. */
  readonly install: readonly string[];
  readonly target: "node20" | "node24";
  /**
   * By the link's name, the absolute path of the module that speaks with what is linked; loaded when first asked for.
   * @default the entry speaks with it itself
   */
  readonly ports?: Readonly<Record<string, string>>;
  /** What the platform calls: the name under which the bundle exports what `start` answers. @default nothing */
  readonly exports?: string;
  /**
   * Where the code is kept for the next bundle that differs in nothing but its settings.
   * @default every bundle is made anew
   */
  readonly builds?: string;
}

export interface Bundle {
  /** Absolute path of `index.mjs`. */
  readonly file: string;
  /** Names the content: equal bytes, equal hash. */
  readonly hash: string;
  /** Size of `index.mjs`. */
  readonly bytes: number;
  /** Absolute paths of all files it was made of but those of packages: when one changes, the bundle is out of date. */
  readonly inputs: readonly string[];
}

/**
 * Makes one file of a handler, the user's modules and a cloud's entry: the same bytes from the same sources on every
 * machine. A bundle that is there already is used again; a new one appears whole or not at all.
 *
 * @throws BundleError with file and line of everything that is wrong.
 */
export async function bundle(args: BundleArgs): Promise<Bundle> {
  const outdir = resolve(args.outdir);
  const handler = codeFile(args.handler);
  const code = Object.entries(args.code).map(([name, plan]) => [name, codeFile(plan)] as const);
  checkFiles([handler, ...code.map(([, file]) => file)]);
  checkInstalled(args.install, handler);
  const built = await codeOf({ ...args, outdir }, handler, code);
  const js = withSettings(built.js, args.settings);
  const hash = createHash("sha256").update(js).update(built.map).digest("hex").slice(0, 20);
  await publish(join(outdir, hash), { "index.mjs": js, "index.mjs.map": built.map });
  return { file: join(outdir, hash, "index.mjs"), hash, bytes: js.byteLength, inputs: userInputs(built.files) };
}

const THIS_FILE = fileURLToPath(import.meta.url);
const LIBRARY = dirname(dirname(THIS_FILE));

/** Our handlers lie beside this file: as TypeScript in the repository, as JavaScript in the package. */
const codeFile = (code: CodePlan): string =>
  "file" in code ? code.file : join(LIBRARY, "handlers", `${code.id}${THIS_FILE.endsWith(".ts") ? ".ts" : ".js"}`);

function checkFiles(files: readonly string[]): void {
  const missing = files.filter((file) => !existsSync(file));
  if (missing.length > 0) throw new BundleError(missing.map((file) => ({ text: `there is no file ${file}`, file })));
}

/** The bundle without its settings, or with those of any other: they are all on one line of their own. */
function codeOf(args: BundleArgs, handler: string, code: readonly (readonly [string, string])[]): Promise<Built> {
  const make = () => run(optionsOf(args, handler, code), handler);
  if (args.builds === undefined) return make();
  // With what is in no file, but has a say: Node's own modules, and where else esbuild looks for packages.
  const { install, outdir, target } = args;
  const { version: node, env } = process;
  const asked = [main(args, handler, code), install, outdir, target, version, node, env.NODE_PATH ?? ""];
  const key = createHash("sha256").update(JSON.stringify(asked)).digest("hex").slice(0, 20);
  return builtBefore(args.builds, key, make);
}

/**
 * Identifiers are minified because esbuild derives them from folder names: else one project gives different bytes
 * under two names. `keepNames` and the source map give errors and stacks their names back.
 */
function optionsOf(args: BundleArgs, handler: string, code: readonly (readonly [string, string])[]): BuildOptions {
  return {
    stdin: { contents: main(args, handler, code), resolveDir: dirname(handler), sourcefile: "main.mjs", loader: "js" },
    bundle: true,
    platform: "node",
    format: "esm",
    target: args.target,
    minify: true,
    keepNames: true,
    treeShaking: true,
    charset: "utf8",
    legalComments: "none",
    sourcemap: "linked",
    metafile: true,
    write: false,
    logLevel: "silent",
    absWorkingDir: dirname(handler),
    // A folder of the depth of the real one, so that the map's relative paths fit it.
    outfile: join(args.outdir, "hash", "index.mjs"),
    external: [...args.install],
    plugins: [moduleBuilds, kafkaClient, lateBuiltins(LIBRARY)],
    banner: { js: banner(undefined) },
  };
}

/** CommonJS packages want these; `require` also for Node's own modules. https://github.com/evanw/esbuild/issues/1921 */
const COMMONJS = [
  'import { createRequire as __createRequire } from "node:module";',
  "const require = __createRequire(import.meta.url);",
  "const __filename = import.meta.filename, __dirname = import.meta.dirname;",
];

/**
 * The first lines, with the settings on the last one, so that others change neither the code nor its map. They go in as
 * text: `JSON.parse` is quicker than a literal, and `__proto__` stays a key.
 */
const banner = (settings: unknown): string =>
  [...COMMONJS, `const __settings = ${JSON.stringify(JSON.stringify(settings ?? {}))};`].join("\n");

const withSettings = (js: Uint8Array, settings: unknown): Uint8Array =>
  Buffer.concat([Buffer.from(banner(settings)), js.subarray(Buffer.byteLength(banner(undefined)))]);

/** The module everything hangs on. */
function main(args: BundleArgs, handler: string, code: readonly (readonly [string, string])[]): string {
  const { entry, ports, exports } = args;
  const quote = (text: string) => JSON.stringify(text);
  // A path ends its line: the map counts columns, and other machines have longer paths.
  const load = ([name, file]: readonly [string, string]) => `${quote(name)}: () => import(${quote(file)}\n)`;
  const start = [
    "start({ handler, code, ",
    ports ? `ports: { ${Object.entries(ports).map(load).join(", ")} }, ` : "",
    "settings: JSON.parse(__settings) });",
  ].join("");
  const problem = `${basename(handler)} exports no function "handler"`;
  return [
    `import { handler } from ${quote(handler)};`,
    ...code.map(([, file], index) => `import * as code_${index} from ${quote(file)};`),
    `import { start } from ${quote(entry)};`,
    `if (typeof handler !== "function") throw new TypeError(${quote(problem)});`,
    `const code = { ${code.map(([name], index) => `${quote(name)}: code_${index}`).join(", ")} };`,
    ...(exports === undefined ? [start] : [`const started = ${start}`, `export { started as ${exports} };`]),
  ].join("\n");
}

async function run(options: BuildOptions, handler: string): Promise<Built> {
  const result = await build({ ...options, metafile: true, write: false }).catch(async (error: unknown) => {
    throw await toBundleError(error, handler, options.absWorkingDir!);
  });
  const map = result.outputFiles.find(({ path }) => path.endsWith(".map"))!;
  const js = result.outputFiles.find(({ path }) => path.endsWith(".mjs"))!;
  return {
    js: js.contents,
    map: portableMap(map.text, map.path, LIBRARY),
    files: absolute(result.metafile, options.absWorkingDir!),
  };
}

const absolute = (metafile: Metafile, from: string): readonly string[] =>
  Object.keys(metafile.inputs)
    .filter((input) => input !== "main.mjs" && input !== "<stdin>" && !input.startsWith(`${BUILTINS}:`))
    .map((input) => resolve(from, input));

const userInputs = (inputs: readonly string[]): readonly string[] =>
  inputs.filter((input) => !input.includes(`${sep}node_modules${sep}`)).sort();

/** Writes beside, then renames; when somebody else was quicker, theirs has the same bytes. */
async function publish(folder: string, files: Readonly<Record<string, Uint8Array>>): Promise<void> {
  if (existsSync(folder)) return;
  await mkdir(dirname(folder), { recursive: true });
  const draft = await mkdtemp(`${folder}.`);
  try {
    await Promise.all(Object.entries(files).map(([name, bytes]) => writeFile(join(draft, name), bytes)));
    await rename(draft, folder);
  } catch (error) {
    if (!existsSync(folder)) throw error;
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}
