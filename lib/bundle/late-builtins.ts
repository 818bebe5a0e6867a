import { builtinModules } from "node:module";
import { sep } from "node:path";
import type { Plugin } from "esbuild";

/** Modules of Node are read from here, by `require`. */
export const BUILTINS = "builtin";

/**
 * Node's own modules are loaded when what imports them is. As imports they would stand at the bundle's top, those of a
 * client nobody asks for too; and an import reads every export there is, which of `node:http` brings the whole of
 * `fetch` and WebSocket with it: a third of the time that a bundle takes to load.
 *
 * Only in packages and the library itself: what the user writes is as Node would have it.
 *
 * @param library the folder of the library's own sources
 * @see https://github.com/nodejs/node/blob/v24.x/lib/http.js its getters
 */
export const lateBuiltins = (library: string): Plugin => ({
  name: "late-builtins",
  setup(build) {
    build.onResolve({ filter: /^(node:)?[a-z_0-9/]+$/ }, ({ path, kind, importer }) => {
      const isLate = importer.startsWith(library + sep) || importer.includes(`${sep}node_modules${sep}`);
      if (kind !== "import-statement" || !isLate || !isBuiltin(path)) return undefined;
      return { path: path.replace(/^node:/, ""), namespace: BUILTINS, sideEffects: false };
    });
    build.onLoad({ filter: /.*/, namespace: BUILTINS }, ({ path }) => ({
      contents: `module.exports = require(${JSON.stringify(`node:${path}`)});`,
    }));
  },
});

/** A package may have the name of a module of Node: with the prefix it is Node's, without it what is bundled for Node too. */
const NAMES: ReadonlySet<string> = new Set(builtinModules);
const isBuiltin = (path: string): boolean => path.startsWith("node:") || NAMES.has(path);
