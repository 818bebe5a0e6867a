import { existsSync, readFileSync } from "node:fs";
import { join, resolve, sep } from "node:path";
import type { OnResolveArgs, OnResolveResult, Plugin, PluginBuild } from "esbuild";

/**
 * Takes the packages of the AWS SDK as ES modules, where they are imported as such: what is not used of them stays out of
 * the bundle. For Node, esbuild takes a package's CommonJS by itself, since not every package has both with the same
 * exports; those of the SDK do.
 *
 * @see https://esbuild.github.io/api/#main-fields
 * @see https://docs.aws.amazon.com/cdk/api/v2/docs/aws-cdk-lib.aws_lambda_nodejs.BundlingOptions.html#mainfields
 */
export const moduleBuilds: Plugin = {
  name: "module-builds",
  setup(build) {
    // Not what lies in a package: there its `exports` say which is which, and asking takes time.
    build.onResolve({ filter: /^@(aws-sdk|smithy)\/[^/]+$/ }, (args) =>
      args.pluginData === ASKED || args.kind.startsWith("require") ? undefined : asModule(build, args),
    );
  },
};

/** Marks what this plugin asks esbuild itself. */
const ASKED = Symbol("asked");

async function asModule(build: PluginBuild, args: OnResolveArgs): Promise<OnResolveResult | undefined> {
  const { path, importer, kind, namespace, resolveDir } = args;
  const found = await build.resolve(path, { importer, kind, namespace, resolveDir, pluginData: ASKED });
  // What is not there, or is to stay outside, is esbuild's to tell.
  if (found.errors.length > 0 || found.external) return undefined;
  const file = moduleOf(found.path);
  return file === undefined ? undefined : { path: file, sideEffects: found.sideEffects };
}

/** The same code as an ES module, if this is a package's CommonJS, and it has both. */
function moduleOf(file: string): string | undefined {
  const [root] = /^.*[\\/]node_modules[\\/]@[^\\/]+[\\/][^\\/]+(?=[\\/])/.exec(file) ?? [];
  if (root === undefined) return undefined;
  const { main, module } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as PackageJson;
  if (main === undefined || module === undefined || resolve(root, main) !== file) return undefined;
  const found = resolve(root, module);
  return found.startsWith(root + sep) && existsSync(found) ? found : undefined;
}

interface PackageJson {
  readonly main?: string;
  readonly module?: string;
}
