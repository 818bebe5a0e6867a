import { readFileSync } from "node:fs";
import { findPackageJSON, registerHooks, stripTypeScriptTypes } from "node:module";
import { basename, dirname, extname, sep } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { type TransformOptions, transformSync } from "esbuild";

/**
 * Loads the modules of a user's program as `pulumi up` would, without a build: TypeScript that erases is only
 * stripped, so that lines stay where they are; enums, decorators and modules that TypeScript turns into CommonJS
 * (`"type": "commonjs"`, or no type, as in Pulumi's own template) are turned by esbuild, file by file, so that
 * `import.meta.url` and `__dirname` stay true. Relative imports may leave out their extension.
 *
 * @returns the files of the user's that have been loaded so far; it grows.
 */
export function loadUserPrograms(): ReadonlySet<string> {
  const loaded = new Set<string>();
  registerHooks({
    resolve(specifier, context, next) {
      try {
        return next(specifier, context);
      } catch (error) {
        const found = isUsers(context.parentURL) && specifier.startsWith(".") ? guesses(specifier) : [];
        for (const guess of found) {
          try {
            return next(guess, context);
          } catch {}
        }
        throw error;
      }
    },
    load(url, context, next) {
      if (!isUsers(url)) return next(url, context);
      const file = fileURLToPath(url);
      loaded.add(file);
      return /\.[mc]?tsx?$/.test(file) ? { ...toJavaScript(file), shortCircuit: true } : next(url, context);
    },
  });
  return loaded;
}

const LIBRARY = dirname(dirname(fileURLToPath(import.meta.url))) + sep;

/** Whether a module is the user's own: no package's, not ours, not Node's. */
export function isUsers(url: string | undefined): url is string {
  if (!url?.startsWith("file:")) return false;
  const file = fileURLToPath(url);
  return !file.includes(`${sep}node_modules${sep}`) && !file.startsWith(LIBRARY);
}

/** What TypeScript would have found: `./a` and `./a.js` may be `a.ts`, and a folder its index. */
function guesses(specifier: string): readonly string[] {
  const stem = specifier.replace(/\.([mc]?)js$/, "");
  const extensions = [".ts", ".tsx", ".mts", ".cts", ".js", ".json"];
  return [
    ...extensions.map((extension) => stem + extension),
    ...extensions.map((extension) => `${stem}/index${extension}`),
  ];
}

interface JavaScript {
  readonly format: "module" | "commonjs";
  readonly source: string;
}

function toJavaScript(file: string): JavaScript {
  const source = readFileSync(file, "utf8");
  if (isModule(file)) return { format: "module", source: strip(file, source) };
  return toCommonJs(file, source) ?? { format: "module", source: strip(file, source) };
}

/** Whether a file says that it is a module: by its extension, or its package's type. */
export function isModule(file: string): boolean {
  if (/\.[mc][tj]s$/.test(file)) return /\.m[tj]s$/.test(file);
  const manifest = findPackageJSON(pathToFileURL(file));
  // Where there is none, Node 24 answers the file itself.
  if (manifest === undefined || basename(manifest) !== "package.json") return false;
  return (JSON.parse(readFileSync(manifest, "utf8")) as { type?: unknown }).type === "module";
}

function strip(file: string, source: string): string {
  try {
    if (extname(file) !== ".tsx") return stripTypeScriptTypes(source);
  } catch {
    // Not only types, or a syntax error: esbuild says where.
  }
  return transformSync(source, optionsOf(file, "esm")).code;
}

/** Nothing if only a module can say it: `import.meta`, or an `await` at the top. */
function toCommonJs(file: string, source: string): JavaScript | undefined {
  try {
    const { code, warnings } = transformSync(source, optionsOf(file, "cjs"));
    return warnings.some(({ id }) => id === "empty-import-meta") ? undefined : { format: "commonjs", source: code };
  } catch (error) {
    if (error instanceof Error && error.message.includes("Top-level await")) return undefined;
    throw error;
  }
}

const optionsOf = (file: string, format: "esm" | "cjs"): TransformOptions => ({
  format,
  loader: extname(file) === ".tsx" ? "tsx" : "ts",
  platform: "node",
  target: "node22",
  sourcemap: "inline",
  sourcefile: file,
  keepNames: true,
  logLevel: "silent",
});
