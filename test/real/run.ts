import { execFileSync, spawn } from "node:child_process";
import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  globSync,
  mkdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { constants as os } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/**
 * `npm run test:real`: gets a recent ffmpeg and an old Node into `.cache/`, then runs the tests of this folder, and those of the video
 * handlers once more with it. `MILLRACE_FFMPEG` and `MILLRACE_FFPROBE` name others to use; arguments go to vitest.
 */
const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const CACHE = join(ROOT, ".cache");

/** FFmpeg 9.0.2, built with x264, x265, SVT-AV1 and libvpx; it ships no ffprobe. https://pypi.org/project/imageio-ffmpeg/ */
const FFMPEG_WHEEL = "imageio-ffmpeg==0.8.1";

/** The oldest that the CLI takes; bin/millrace.js says why. */
const OLDEST_NODE = "22.15.0";

const env = {
  ...process.env,
  MILLRACE_FFMPEG: process.env.MILLRACE_FFMPEG ?? ffmpegFromPython(),
  MILLRACE_FFPROBE: process.env.MILLRACE_FFPROBE ?? ffprobeFromNpm(),
  MILLRACE_OLDEST_NODE: process.env.MILLRACE_OLDEST_NODE ?? nodeFromNpm(),
};
for (const tool of [env.MILLRACE_FFMPEG, env.MILLRACE_FFPROBE])
  console.log(`${firstLine(tool, "-version")}\n  ${tool}`);
console.log(`Node ${firstLine(env.MILLRACE_OLDEST_NODE, "--version")}\n  ${env.MILLRACE_OLDEST_NODE}`);
process.exitCode = await runTests();

function ffmpegFromPython(): string {
  const link = join(CACHE, "ffmpeg");
  if (existsSync(link)) return link;
  const folder = join(CACHE, FFMPEG_WHEEL.replace("==", "-"));
  const find = () => globSync(join(folder, "**/imageio_ffmpeg/binaries/ffmpeg-*"))[0];
  if (!find()) installWheel(folder);
  const binary = find();
  if (!binary)
    throw new Error(`${FFMPEG_WHEEL} has no ffmpeg for ${process.platform} ${process.arch}: set MILLRACE_FFMPEG`);
  makeExecutable(binary);
  rmSync(link, { force: true }); // a link to what is no longer there
  symlinkSync(binary, link);
  return link;
}

/** In a draft that is renamed: an installation that was interrupted is not taken for a whole one. */
function installWheel(folder: string): void {
  console.log(`installing ${FFMPEG_WHEEL} into ${folder}`);
  const draft = `${folder}.draft`;
  rmSync(draft, { recursive: true, force: true });
  mkdirSync(dirname(folder), { recursive: true });
  const quiet = ["--quiet", "--disable-pip-version-check"];
  try {
    // Not `pip install` alone: Debian's Python refuses it. https://peps.python.org/pep-0668/
    execFileSync("python3", ["-m", "venv", draft], { stdio: ["ignore", "ignore", "pipe"] });
    execFileSync(join(draft, "bin/python"), ["-m", "pip", "install", ...quiet, FFMPEG_WHEEL], { stdio: "inherit" });
  } catch {
    console.log("python3 -m venv did not work here; pip install --target instead");
    rmSync(draft, { recursive: true, force: true });
    execFileSync("python3", ["-m", "pip", "install", ...quiet, "--target", draft, FFMPEG_WHEEL], { stdio: "inherit" });
  }
  renameSync(draft, folder);
}

function ffprobeFromNpm(): string {
  const { path } = createRequire(import.meta.url)("@ffprobe-installer/ffprobe") as { path: string };
  makeExecutable(path);
  return path;
}

function makeExecutable(path: string): void {
  try {
    accessSync(path, constants.X_OK);
  } catch {
    chmodSync(path, 0o755);
  }
}

/** The npm package `node` is a Node of its own; its install script puts it in place. */
function nodeFromNpm(): string {
  const folder = join(CACHE, `node-${OLDEST_NODE}`);
  const binary = join(folder, "node_modules/node/bin/node");
  if (existsSync(binary)) return binary;
  console.log(`installing node@${OLDEST_NODE} into ${folder}`);
  mkdirSync(folder, { recursive: true });
  const manifest = { private: true, dependencies: { node: OLDEST_NODE }, allowScripts: { node: true } };
  writeFileSync(join(folder, "package.json"), JSON.stringify(manifest));
  execFileSync("npm", ["install", "--silent", "--no-audit", "--no-fund"], { cwd: folder, stdio: "inherit" });
  return binary;
}

function firstLine(tool: string, flag: string): string {
  return execFileSync(tool, [flag], { encoding: "utf8" }).split("\n")[0]!;
}

function runTests(): Promise<number> {
  const vitest = join(dirname(createRequire(import.meta.url).resolve("vitest/package.json")), "vitest.mjs");
  const args = [vitest, "run", "--config", "test/real/vitest.config.ts", ...process.argv.slice(2)];
  const child = spawn(process.execPath, args, { cwd: ROOT, env, stdio: "inherit" });
  process.on("SIGINT", () => {}); // the terminal tells vitest too; its exit code counts
  process.on("SIGTERM", () => child.kill("SIGTERM"));
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code, signal) => resolve(signal ? 128 + os.signals[signal] : (code ?? 1)));
  });
}
