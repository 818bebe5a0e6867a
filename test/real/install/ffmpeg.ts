import { accessSync, chmodSync, constants, globSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pythonPackage } from "./python-package.ts";

/** FFmpeg 9.0.2, built with x264, x265, SVT-AV1 and libvpx; it ships no ffprobe. https://pypi.org/project/imageio-ffmpeg/ */
const FFMPEG_WHEEL = "imageio-ffmpeg==0.8.1";

/** Installs a recent ffmpeg, once. `MILLRACE_FFMPEG` names another one to use. */
export async function installFfmpeg(): Promise<string> {
  if (process.env.MILLRACE_FFMPEG) return process.env.MILLRACE_FFMPEG;
  const folder = await pythonPackage(FFMPEG_WHEEL);
  const binary = globSync(join(folder, "**/imageio_ffmpeg/binaries/ffmpeg-*"))[0];
  if (!binary) {
    throw new Error(`${FFMPEG_WHEEL} has no ffmpeg for ${process.platform} ${process.arch}: set MILLRACE_FFMPEG`);
  }
  makeExecutable(binary);
  return binary;
}

/** An ffprobe of the project's own dependencies. `MILLRACE_FFPROBE` names another one to use. */
export function findFfprobe(): string {
  if (process.env.MILLRACE_FFPROBE) return process.env.MILLRACE_FFPROBE;
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
