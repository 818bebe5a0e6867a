import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

const require = createRequire(import.meta.url);

/** The ffmpeg and ffprobe the tests use: `MILLRACE_FFMPEG` and `MILLRACE_FFPROBE`, else npm's. */
export const tools = {
  ffmpeg: process.env.MILLRACE_FFMPEG ?? npmTool("@ffmpeg-installer/ffmpeg"),
  ffprobe: process.env.MILLRACE_FFPROBE ?? npmTool("@ffprobe-installer/ffprobe"),
};

/** Some npm versions unpack programs without the right to run them. */
function npmTool(name: string): string {
  const { path } = require(name) as { path: string };
  try {
    accessSync(path, constants.X_OK);
  } catch {
    chmodSync(path, 0o755);
  }
  return path;
}

const PICTURE = (size: string, rate = "25", seconds = 3) => [
  ...["-f", "lavfi", "-i", `testsrc2=size=${size}:rate=${rate}:duration=${seconds}`],
];
const SOUND = (seconds = 3) => ["-f", "lavfi", "-i", `sine=frequency=440:sample_rate=44100:duration=${seconds}`];
const H264 = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"];

/** How each sample is made. Small and short, each with one thing that goes wrong elsewhere. */
const SAMPLES = {
  /** H.264 with B-frames, AAC. */
  "plain.mp4": [
    ...PICTURE("192x108"),
    ...SOUND(),
    ...H264,
    "-bf",
    "2",
    "-g",
    "50",
    "-c:a",
    "aac",
    "-movflags",
    "+faststart",
  ],
  "plain.mkv": [...PICTURE("192x108"), ...SOUND(), ...H264, "-bf", "2", "-c:a", "aac"],
  "hevc.mp4": [
    ...PICTURE("128x72", "25", 1),
    ...SOUND(1),
    "-c:v",
    "libx265",
    "-preset",
    "ultrafast",
    "-x265-params",
    "log-level=error",
    "-pix_fmt",
    "yuv420p",
    "-c:a",
    "aac",
  ],
  "vp9.webm": [
    ...PICTURE("128x72", "25", 1),
    ...SOUND(1),
    "-c:v",
    "libvpx-vp9",
    "-deadline",
    "realtime",
    "-cpu-used",
    "8",
    "-b:v",
    "100k",
    "-c:a",
    "libopus",
  ],
  "silent.mp4": [...PICTURE("128x72", "25", 1), ...H264],
  /** 4:4:4, because 4:2:0 has no odd sides. */
  "odd.mkv": [
    "-f",
    "lavfi",
    "-i",
    "testsrc=size=133x75:rate=25:duration=1",
    "-c:v",
    "libx264",
    "-preset",
    "ultrafast",
    "-pix_fmt",
    "yuv444p",
  ],
  /** 30 frames in the first second, 10 in each of the next two. */
  "variable.mkv": [
    ...PICTURE("128x72", "30"),
    ...SOUND(),
    "-vf",
    "select=lt(t\\,1)+not(mod(n\\,3))",
    ...H264,
    "-c:a",
    "aac",
  ],
  /** Pixels twice as wide as high. */
  "anamorphic.mkv": [...PICTURE("96x108", "25", 1), "-vf", "setsar=2", ...H264],
  "art.png": [...PICTURE("64x64", "1", 1), "-frames:v", "1"],
  "white.png": ["-f", "lavfi", "-i", "color=white:size=40x20", "-frames:v", "1"],
  "black.mp4": ["-f", "lavfi", "-i", "color=black:size=160x90:rate=10:duration=1", ...H264],
  /** Ten minutes, with few and small frames. */
  "long.mp4": [...PICTURE("64x36", "5", 600), ...SOUND(600), ...H264, "-c:a", "aac"],
  "large.mp4": [...PICTURE("1280x720", "25", 10), ...H264],
} as const satisfies Record<string, readonly string[]>;

/** Samples made from other samples. */
const DERIVED = {
  /** Its index is at the end. */
  "late.mp4": ["-i", "plain.mp4", "-c", "copy"],
  "plain.flv": ["-i", "plain.mp4", "-c", "copy"],
  "plain.avi": ["-i", "plain.mp4", "-c", "copy"],
  "plain.ts": ["-i", "plain.mp4", "-c", "copy"],
  "turned.mp4": ["-i", "plain.mp4", "-t", "1", "-c", "copy"],
  "variable.mp4": ["-i", "variable.mkv", "-c", "copy"],
  "covered.m4a": [
    ...[...SOUND(2), "-i", "art.png", "-map", "0", "-map", "1", "-c:a", "aac", "-c:v", "copy"],
    ...["-disposition:v:0", "attached_pic", "-f", "mp4"],
  ],
} as const satisfies Record<string, readonly string[]>;

export type SampleName = keyof typeof SAMPLES | keyof typeof DERIVED;

const FOLDER = join(
  tmpdir(),
  "millrace-media",
  createHash("sha256")
    .update(JSON.stringify([tools.ffmpeg, SAMPLES, DERIVED]))
    .digest("hex")
    .slice(0, 12),
);

/** The path of a sample; made when first asked for, by any test. */
export function sample(name: SampleName): string {
  const path = join(FOLDER, name);
  if (existsSync(path)) return path;
  const args: readonly string[] =
    name in SAMPLES ? SAMPLES[name as keyof typeof SAMPLES] : derivedArgs(name as keyof typeof DERIVED);
  mkdirSync(FOLDER, { recursive: true });
  const making = join(mkdtempSync(join(FOLDER, "making-")), name);
  execFileSync(tools.ffmpeg, ["-nostdin", "-hide_banner", "-loglevel", "error", ...args, making]);
  if (name === "turned.mp4") turn(making);
  renameSync(making, path);
  rmSync(dirname(making), { recursive: true });
  return path;
}

const derivedArgs = (name: keyof typeof DERIVED): readonly string[] =>
  DERIVED[name].map((word) => (word in SAMPLES ? sample(word as SampleName) : word));

/**
 * Notes a quarter turn in the picture's track header, as phones do: no option of ffmpeg does so in every version.
 * ISO/IEC 14496-12, 8.3.2: the matrix lies 44 bytes after the box's type.
 */
function turn(path: string): void {
  const file = readFileSync(path);
  const matrix = file.indexOf("tkhd") + 44;
  const [one, minusOne] = [0x10000, -0x10000];
  for (const [index, value] of [0, one, 0, minusOne, 0, 0, 0, 0, 0x40000000].entries())
    file.writeInt32BE(value, matrix + 4 * index);
  writeFileSync(path, file);
}

/** What ffprobe says of a file; frames are counted by decoding them all. */
export function look(path: string): Look {
  const entries =
    "stream=codec_name,codec_type,profile,width,height,pix_fmt,nb_read_frames,start_time,duration:format=duration";
  const args = ["-v", "error", "-count_frames", "-show_entries", entries, "-of", "json", "-allowed_extensions", "ALL"];
  const known = path.endsWith(".m3u8") ? args : args.slice(0, -2);
  const { streams, format } = JSON.parse(
    execFileSync(tools.ffprobe, [...known, path], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
      env: { GCONV_PATH: "/nonexistent" },
    }),
  );
  const of = (type: string) => streams.find((stream: { codec_type: string }) => stream.codec_type === type);
  const video = of("video");
  const audio = of("audio");
  return {
    duration: Number(format.duration),
    ...(video && {
      video: {
        codec: video.codec_name,
        profile: video.profile,
        width: video.width,
        height: video.height,
        pixels: video.pix_fmt,
        frames: Number(video.nb_read_frames),
        start: Number(video.start_time),
      },
    }),
    ...(audio && { audio: { codec: audio.codec_name, start: Number(audio.start_time) } }),
  };
}

export interface Look {
  readonly duration: number;
  readonly video?: {
    readonly codec: string;
    readonly profile: string;
    readonly width: number;
    readonly height: number;
    readonly pixels: string;
    readonly frames: number;
    readonly start: number;
  };
  readonly audio?: { readonly codec: string; readonly start: number };
}

/** The frame shown at that time, as grey pixels row by row. */
export function greyFrame(path: string, time: number): Uint8Array {
  const args = [
    "-nostdin",
    "-v",
    "error",
    "-i",
    path,
    "-ss",
    String(time),
    "-frames:v",
    "1",
    "-pix_fmt",
    "gray",
    "-f",
    "rawvideo",
    "-",
  ];
  return execFileSync(tools.ffmpeg, args, { maxBuffer: 2 ** 26 });
}

/** A hash of all decoded frames, whatever their timestamps. */
export function frames(path: string): string {
  const input = path.endsWith(".m3u8") ? ["-allowed_extensions", "ALL"] : [];
  const args = ["-nostdin", "-v", "error", ...input, "-i", path, "-map", "0:v:0", "-f", "framemd5", "-"];
  const lines = execFileSync(tools.ffmpeg, args, { encoding: "utf8" }).split("\n");
  const hashes = lines
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => line.split(",").at(-1)!.trim());
  return createHash("md5").update(hashes.join()).digest("hex");
}
