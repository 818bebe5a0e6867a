import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type Archive, archive } from "./archive.ts";
import { type BundleArgs, bundle } from "./bundle.ts";
import { type InstallTarget, installedFiles } from "./installed.ts";

/** Where bundles and archives are kept between deployments; relative paths to it are the same on every machine. */
export const bundleFolder = (): string => join(process.cwd(), ".millrace", "deploy");

/** What goes into one deployed function's code. */
export interface DeployableArgs extends BundleArgs {
  /** The machine of the platform, for packages that cannot be bundled. */
  readonly machine: InstallTarget;
}

/**
 * A function's code as a platform takes it: a zip with `index.mjs`, its source map, and the packages to install.
 *
 * @throws BundleError with file and line of everything that is wrong.
 */
export async function deployable(args: DeployableArgs): Promise<Archive> {
  const { file } = await bundle({ ...args, builds: join(args.outdir, "built") });
  const from = "file" in args.handler ? args.handler.file : file;
  const [js, map, packages] = await Promise.all([
    readFile(file),
    readFile(`${file}.map`),
    installedFiles(args.install, from, args.machine, join(args.outdir, "packages")),
  ]);
  return archive(
    { "index.mjs": { bytes: js }, "index.mjs.map": { bytes: map }, ...packages },
    join(dirname(dirname(file)), "zip"),
    // Native packages are large: the smallest zip of them takes four times as long, for a twentieth less.
    { level: args.install.length > 0 ? 1 : 9 },
  );
}
