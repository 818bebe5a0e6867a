import { join, resolve, sep } from "node:path";
import type { OnResolveArgs, OnResolveResult, Plugin, PluginBuild } from "esbuild";

const PACKAGE = "@platformatic/kafka";
const WASM = "@platformatic/wasm-utils";
/** A file of the package. */
const INSIDE = `${sep}${join("node_modules", PACKAGE, "dist")}${sep}`;

/**
 * Makes a part of a bundle of the Kafka client. The package says nothing about side effects, so that all it has would
 * come along, with what it has for schema registries; and it reads its WebAssembly from a file beside it, which a bundle
 * does not have: the same package has it as text.
 *
 * @see https://esbuild.github.io/api/#tree-shaking-and-side-effects
 */
export const kafkaClient: Plugin = {
  name: "kafka-client",
  setup(build) {
    build.onResolve({ filter: /^@platformatic\/(kafka|wasm-utils)$/ }, (args) =>
      args.pluginData === ASKED ? undefined : withoutEffects(build, args),
    );
    // Relative imports with an ending are those of few packages: the others pass without being asked about.
    build.onResolve({ filter: /^\.\.?\/.*\.js$/ }, ({ path, importer, resolveDir }) =>
      importer.includes(INSIDE) ? { path: resolve(resolveDir, path), sideEffects: false } : undefined,
    );
  },
};

/** Marks what this plugin asks esbuild itself. */
const ASKED = Symbol("asked");

async function withoutEffects(build: PluginBuild, args: OnResolveArgs): Promise<OnResolveResult | undefined> {
  const { importer, kind, namespace, resolveDir } = args;
  const path = args.path === WASM ? `${WASM}/bundled` : args.path;
  const found = await build.resolve(path, { importer, kind, namespace, resolveDir, pluginData: ASKED });
  // What is not there, or is to stay outside, is esbuild's to tell.
  if (found.errors.length > 0 || found.external) return undefined;
  return { path: found.path, sideEffects: args.path === WASM };
}
