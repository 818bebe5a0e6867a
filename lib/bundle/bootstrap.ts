import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

export type { FetchedFile, FetchManifest } from "../bootstrap/manifest.ts";

/**
 * The program that a stock image of Node starts with, as the text of an ES module of 10 KB without any imports but
 * Node's own: the same text from the same sources on every machine. It reads a {@link FetchManifest}, as JSON, from the
 * environment variable `MILLRACE_FETCH`.
 *
 * As a file, `node bootstrap.mjs --then <file>`; as an argument, `node --input-type=module -e <text> -- --then <file>`.
 */
export async function bootstrapScript(): Promise<string> {
  const extension = THIS_FILE.endsWith(".ts") ? ".ts" : ".js";
  const { outputFiles } = await build({
    entryPoints: [join(dirname(dirname(THIS_FILE)), "bootstrap", `bootstrap${extension}`)],
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node24",
    minify: true,
    charset: "ascii", // it passes through YAML, JSON and command lines
    legalComments: "none",
    write: false,
    logLevel: "silent",
  });
  return outputFiles[0]!.text;
}

const THIS_FILE = fileURLToPath(import.meta.url);
