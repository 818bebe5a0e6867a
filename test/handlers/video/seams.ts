import { execFileSync } from "node:child_process";
import { expect } from "vitest";
import { tools } from "../../media.ts";

/** Makes a video at that path. */
export function make(path: string, args: readonly string[]): string {
  execFileSync(tools.ffmpeg, ["-nostdin", "-hide_banner", "-loglevel", "error", "-y", ...args, path], {
    stdio: ["ignore", "ignore", "inherit"],
    env: { GCONV_PATH: "/nonexistent" },
  });
  return path;
}

interface Packet {
  readonly pts: number;
  readonly dts: number;
  readonly duration: number;
}

/** A stream's packets, in the order they lie in the file. */
export function packets(path: string, stream: "v:0" | "a:0"): readonly Packet[] {
  const entries = "packet=pts_time,dts_time,duration_time";
  const own = path.endsWith(".m3u8") ? ["-allowed_extensions", "ALL"] : [];
  const args = ["-v", "error", ...own, "-select_streams", stream, "-show_entries", entries, "-of", "json", path];
  const { packets } = JSON.parse(
    execFileSync(tools.ffprobe, args, {
      encoding: "utf8",
      maxBuffer: 2 ** 28,
      stdio: ["ignore", "pipe", "pipe"],
      env: { GCONV_PATH: "/nonexistent" },
    }),
  ) as { packets: { pts_time: string; dts_time: string; duration_time: string }[] };
  return packets.map(({ pts_time, dts_time, duration_time }) => ({
    pts: Number(pts_time),
    dts: Number(dts_time),
    duration: Number(duration_time),
  }));
}

/** One AAC frame at 44,100 Hz. */
export const AAC_FRAME = 1024 / 44_100;

/** Times only rise, and no two frames are shown at once. */
export function expectRising(path: string): void {
  const picture = packets(path, "v:0");
  const backwards = picture.filter(({ dts }, index) => index > 0 && dts <= picture[index - 1]!.dts);
  expect(backwards, `${path}: times that do not rise`).toEqual([]);
  if (path.endsWith(".avi")) return; // says only in which order frames are decoded
  expect(new Set(picture.map(({ pts }) => pts)).size, `${path}: frames shown at the same time`).toBe(picture.length);
}

/** Where two packets of sound are further apart, or closer, than most are; seconds, from its start. */
export function soundGaps(path: string): readonly number[] {
  const times = packets(path, "a:0").map(({ pts, dts }) => (Number.isNaN(pts) ? dts : pts));
  const steps = times.slice(1).map((time, index) => time - times[index]!);
  const most = steps.toSorted((left, right) => left - right)[Math.floor(steps.length / 2)]!;
  const gaps = times.slice(1).filter((_, index) => Math.abs(steps[index]! - most) > 0.0015);
  return gaps.map((time) => Number((time - times[0]!).toFixed(3)));
}

/** When each frame is shown, counted from the first one. */
export function shownAt(path: string): readonly number[] {
  const shown = packets(path, "v:0")
    .map(({ pts }) => pts)
    .sort((left, right) => left - right);
  return shown.map((time) => time - shown[0]!);
}
