import { rmSync } from "node:fs";
import { access, chmod, mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { type Credentials, findCredentials } from "./credentials.ts";
import { type FetchedFile, type FetchManifest, MANIFEST_VARIABLE, readManifest } from "./manifest.ts";
import { fetchObject } from "./object.ts";
import { unzip, unzipMember } from "./zip.ts";

/** The folder of notes: what is there, by name, and the hash it was made from. */
const HAVE = ".have";

/*
 * Runs in a stock image of Node, before the code that it fetches: `node bootstrap.mjs [--then <file> [...arguments]]`.
 * What to fetch stands in the environment. Ends with 1 and a sentence if anything is missing or wrong; with `--then` it
 * becomes the program in that file.
 */
try {
  await fetchAll(readManifest(process.env[MANIFEST_VARIABLE]));
} catch (error) {
  console.error(`bootstrap: ${(error as Error).message}`);
  process.exit(1);
}
const then = process.argv.indexOf("--then");
if (then > 0) await become(process.argv.slice(then + 1));

async function fetchAll(manifest: FetchManifest): Promise<void> {
  await mkdir(join(manifest.into, HAVE), { recursive: true });
  const draft = await mkdtemp(join(manifest.into, ".draft-"));
  // The first process of a container is not ended by a signal that it does not handle.
  const onSignal = () => {
    rmSync(draft, { recursive: true, force: true });
    process.exit(143);
  };
  process.once("SIGTERM", onSignal);
  let found: Promise<Credentials> | undefined;
  const credentials = () => (found ??= findCredentials(process.env, manifest.region));
  try {
    const work = manifest.files.map((file, index) => provide(manifest, file, join(draft, `${index}`), credentials));
    const failure = (await Promise.allSettled(work)).find((one) => one.status === "rejected");
    if (failure) throw failure.reason;
  } finally {
    await rm(draft, { recursive: true, force: true });
    process.off("SIGTERM", onSignal);
  }
}

/** Fetches, unpacks and puts in place, unless an earlier start has done so. What is seen under its name is whole. */
async function provide(
  manifest: FetchManifest,
  file: FetchedFile,
  draft: string,
  credentials: () => Promise<Credentials>,
): Promise<void> {
  const place = join(manifest.into, file.as === "tool" ? "bin" : "", file.name);
  const note = join(manifest.into, HAVE, `${file.as}-${file.name}`);
  const made = JSON.stringify([file.sha256, file.member, file.executable]);
  if ((await isThere(place)) && (await readFile(note, "utf8").catch(() => "")) === made) return;
  await fetchObject(manifest, file, draft, credentials);
  const ready = await unpack(manifest, file, draft);
  await rm(note, { force: true });
  await rm(place, { recursive: true, force: true });
  await mkdir(dirname(place), { recursive: true });
  await rename(ready, place);
  await writeFile(`${draft}.note`, made);
  await rename(`${draft}.note`, note);
  console.log(`bootstrap: ${manifest.bucket}/${file.key} is ${place}`);
}

function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** @returns what is to be put in place */
async function unpack({ bucket }: FetchManifest, file: FetchedFile, draft: string): Promise<string> {
  const ready = `${draft}.ready`;
  try {
    if (file.as === "code") await unzip(draft, ready);
    else if (file.member) await unzipMember(draft, file.member, ready);
    else await rename(draft, ready);
  } catch (error) {
    throw new Error(`${bucket}/${file.key}: ${(error as Error).message}`);
  }
  if (file.as === "tool") await chmod(ready, file.executable === false ? 0o644 : 0o755);
  return ready;
}

/** Goes on as another program: its arguments are the rest, and its tools are found by name. */
async function become([file, ...args]: readonly string[]): Promise<void> {
  if (!file) {
    console.error("bootstrap: --then: name the file to go on with");
    process.exit(1);
  }
  const { into } = readManifest(process.env[MANIFEST_VARIABLE]);
  process.env.PATH = [join(into, "bin"), process.env.PATH].filter(Boolean).join(":");
  process.argv = [process.argv[0]!, file, ...args];
  await import(pathToFileURL(file).href);
}
