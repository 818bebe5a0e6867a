import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { ffmpegTool, PROJECT } from "./machine.ts";

/** Where benches keep what takes long to make or to install. */
export const CACHE = join(PROJECT, ".cache", "bench");

/** An H.264/AAC file of that size and length, 30 frames a second; made once and kept. */
export async function sampleVideo(size: string, seconds: number): Promise<string> {
  const { path } = await ffmpegTool();
  const args = [
    ...["-f", "lavfi", "-i", `testsrc2=size=${size}:rate=30:duration=${seconds}`],
    ...["-f", "lavfi", "-i", `sine=frequency=330:sample_rate=48000:duration=${seconds}`],
    // About 7 Mbit/s in 1080p, as a phone's or a camera's film.
    ...["-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-pix_fmt", "yuv420p"],
    ...["-c:a", "aac", "-b:a", "128k", "-ac", "2", "-movflags", "+faststart"],
  ];
  const name = createHash("sha256")
    .update(JSON.stringify([path, args]))
    .digest("hex")
    .slice(0, 12);
  const file = join(CACHE, `${size}-${seconds}s-${name}.mp4`);
  if (existsSync(file)) return file;
  mkdirSync(CACHE, { recursive: true });
  execFileSync(path, ["-nostdin", "-hide_banner", "-loglevel", "error", "-y", ...args, `${file}.part.mp4`]);
  renameSync(`${file}.part.mp4`, file);
  return file;
}
