import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

const TONE = ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"];
const picture = (size: string) => ["-f", "lavfi", "-i", `testsrc2=size=${size}:rate=30`];

/** Videos as people upload them, and one file that is none; answers their paths. */
export function makeSamples(ffmpeg: string, folder: string): readonly string[] {
  const videos = {
    "lesson one.mov": [
      ...picture("1280x720"),
      ...TONE,
      "-t",
      "20",
      "-c:v",
      "libx264",
      "-preset",
      "veryfast",
      "-c:a",
      "aac",
    ],
    "phone+rotated.mp4": [
      ...picture("640x360"),
      ...TONE,
      "-t",
      "12",
      "-vf",
      "transpose=1",
      "-c:v",
      "libx264",
      "-preset",
      "veryfast",
      "-c:a",
      "aac",
    ],
    "无声.mkv": [...picture("854x480"), "-t", "10", "-c:v", "libx264", "-preset", "veryfast", "-bf", "2"],
  };
  for (const [name, args] of Object.entries(videos)) {
    const made = spawnSync(
      ffmpeg,
      ["-hide_banner", "-loglevel", "error", "-y", ...args, "-pix_fmt", "yuv420p", join(folder, name)],
      { encoding: "utf8" },
    );
    if (made.status !== 0) throw new Error(`ffmpeg could not make ${name}: ${made.stderr}`);
  }
  writeFileSync(join(folder, "not a video.mp4"), "a text file with a video's name\n");
  return [...Object.keys(videos), "not a video.mp4"].map((name) => join(folder, name));
}
