import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import type { RenditionSpec } from "../../lib/shared/video/rendition-spec.ts";
import { AAC_FRAME, expectRising, make, shownAt, soundGaps } from "../handlers/video/seams.ts";
import { world } from "../handlers/video/world.ts";
import { look, tools } from "../media.ts";

const home = mkdtempSync(join(tmpdir(), "millrace-sliced-"));
afterAll(() => rmSync(home, { recursive: true, force: true }));

/** Movement that a frame too many, too few or in the wrong place shows in. */
const picture = (seconds: number, size = "320x180", rate = "25") =>
  ["-f", "lavfi", "-i", `testsrc2=size=${size}:rate=${rate}:duration=${seconds}`] as const;
const sound = (seconds: number) =>
  ["-f", "lavfi", "-i", `sine=frequency=440:sample_rate=44100:duration=${seconds}`] as const;
const H264 = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-crf", "18"] as const;
const AAC = ["-c:a", "aac"] as const;
const MP4: RenditionSpec = { format: "mp4", preset: "veryfast" };

/** Made in slices of that length, and checked by every frame. */
async function sliced(path: string, length: number, formats: readonly RenditionSpec[] = [MP4], atMost = 200) {
  const w = world(formats);
  w.uploads.add("film", { file: path });
  const { count } = await w.slice({ object: "film" }, { length, atMost });
  const { outputs } = await w.transcode({ object: "film" }, {});
  expect(w.said).toEqual([]);
  return { count, outputs: outputs.map(({ key }) => w.download(key)) };
}

async function whole(path: string, formats: readonly RenditionSpec[] = [MP4]): Promise<string> {
  const w = world(formats);
  w.uploads.add("film", { file: path });
  const { outputs } = await w.transcode({ object: "film" });
  return w.download(outputs[0]!.key);
}

/** As many frames as the source, evenly, rising; the sound as long as it and without gaps. */
function expectFaithful(made: string, source: string, frames = look(source).video!.frames): void {
  const { video, audio } = look(made);
  expect(video!.frames).toBe(frames);
  expectRising(made);
  const shown = shownAt(made);
  const steps = shown.slice(1).map((time, index) => time - shown[index]!);
  expect(Math.max(...steps) - Math.min(...steps)).toBeLessThan(0.0005);
  if (!audio) return;
  expect(soundGaps(made)).toEqual([]);
  expect(Math.abs(look(made).duration - look(source).duration)).toBeLessThan(2 * AAC_FRAME);
}

/** Frame by frame against the source, 0 to 100. */
function vmaf(made: string, source: string): number {
  const frames = "setpts=N/(25*TB),format=yuv420p";
  const graph = `[0:v]${frames}[a];[1:v]${frames}[b];[a][b]libvmaf=n_threads=2:n_subsample=2`;
  const args = ["-nostdin", "-hide_banner", "-i", made, "-i", source, "-lavfi", graph, "-f", "null", "-"];
  const { stderr } = spawnSync(tools.ffmpeg, args, { encoding: "utf8", env: { GCONV_PATH: "/nonexistent" } });
  return Number(/VMAF score: ([\d.]+)/.exec(stderr)![1]);
}

describe("made in slices", () => {
  test.each([
    [1, 100],
    [2, 5],
    [7, 10 / 7],
    [40, 0.25],
  ])("%i slices have every frame of the source, and lose nothing of its quality", async (count, length) => {
    const path = join(home, "film.mp4");
    make(path, [...picture(10), ...sound(10), ...H264, "-bf", "2", "-g", "5", ...AAC]);
    const made = await sliced(path, length);
    expect(made.count).toBe(count);
    expectFaithful(made.outputs[0]!, path);
    const [one, other] = [vmaf(made.outputs[0]!, path), vmaf(await whole(path), path)];
    expect(one, `VMAF ${one} in slices, ${other} in one piece`).toBeGreaterThan(other - 0.5);
  });
});

test("200 slices", async () => {
  const path = make(join(home, "many.mp4"), [...picture(50, "96x54", "20"), ...sound(50), ...H264, "-g", "5", ...AAC]);
  const made = await sliced(path, 0.25);
  expect(made.count).toBe(200);
  expectFaithful(made.outputs[0]!, path);
});

const GROUP = ["-g", "25"] as const;
const OPEN = ["-x264-params", "open-gop=1:bframes=3:keyint=25:scenecut=0"] as const;

test.each<[string, string, readonly string[], number, { frames?: number; formats?: readonly RenditionSpec[] }?]>([
  ["open groups", "a.mp4", [...picture(6), ...sound(6), ...H264, ...OPEN, ...AAC], 6],
  ["open groups in MPEG-TS", "a.ts", [...picture(6), ...sound(6), ...H264, ...OPEN, ...AAC], 6],
  [
    "open groups of HEVC",
    "b.mp4",
    [...picture(6), "-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "keyint=25:open-gop=1:log-level=error"],
    6,
  ],
  ["59.94 frames a second in Matroska", "a.mkv", [...picture(6, "320x180", "60000/1001"), ...H264, "-g", "60"], 6],
  ["a film's 23.976", "c.mp4", [...picture(6, "320x180", "24000/1001"), ...sound(6), ...H264, "-g", "24", ...AAC], 6],
  ["no sound", "d.mp4", [...picture(6), ...H264, ...GROUP], 6],
  ["MPEG-4 without reordering", "e.mp4", [...picture(6), "-c:v", "mpeg4", "-q:v", "4", ...GROUP], 6],
  [
    "MPEG-2 in TS",
    "f.ts",
    [...picture(6), ...sound(6), "-c:v", "mpeg2video", "-bf", "2", "-q:v", "4", ...GROUP, "-c:a", "mp2"],
    6,
  ],
  [
    "VP9 in WebM",
    "g.webm",
    [...picture(6), "-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", ...GROUP],
    6,
  ],
  ["every frame a key frame", "h.mov", [...picture(4), "-c:v", "mjpeg", "-q:v", "4"], 4],
  ["flv", "i.flv", [...picture(6), ...sound(6), ...H264, ...GROUP, ...AAC], 6],
  [
    "4K",
    "j.mp4",
    [...picture(0.5, "3840x2160", "24"), ...H264, "-g", "4"],
    3,
    { formats: [{ ...MP4, preset: "ultrafast" }] },
  ],
  [
    "a variable rate becomes constant",
    "k.mkv",
    [
      ...picture(6, "320x180", "30"),
      "-vf",
      "select=lt(t\\,2)+not(mod(n\\,3))",
      "-fps_mode",
      "vfr",
      ...H264,
      "-g",
      "10",
    ],
    6,
    { frames: 178 },
  ],
])("%s", async (_, name, args, count, { frames, formats } = {}) => {
  const path = make(join(home, name), args);
  const made = await sliced(path, name === "j.mp4" ? 0.16 : 1, formats);
  expect(made.count).toBe(count);
  expectFaithful(made.outputs[0]!, path, frames);
});

test("turned a quarter, and two sizes from one decode, with every container", async () => {
  const flat = make(join(home, "flat.mp4"), [...picture(4), ...sound(4), ...H264, ...GROUP, ...AAC]);
  const path = make(join(home, "turned.mp4"), ["-display_rotation", "90", "-i", flat, "-c", "copy"]);
  const small: RenditionSpec = { format: "mp4", height: 160, preset: "veryfast" };
  const all = (["mp4", "mov", "mkv", "flv", "avi", "m3u8"] as const).map((format) => ({
    format,
    preset: "veryfast" as const,
  }));
  const { outputs } = await sliced(path, 1, [...all, small]);
  for (const output of outputs) expect(look(output).video, output).toMatchObject({ frames: 100 });
  expect(outputs.map((output) => look(output).video!.width)).toEqual([180, 180, 180, 180, 180, 180, 90]);
  expectFaithful(outputs[0]!, path);
});

test("VP9 with Opus, and HEVC in Matroska", async () => {
  const path = make(join(home, "many codecs.mp4"), [...picture(4), ...sound(4), ...H264, ...GROUP, ...AAC]);
  const { count, outputs } = await sliced(path, 1, ["webm", { format: "mkv", codec: "hevc", preset: "ultrafast" }]);
  expect(count).toBe(4);
  expect(outputs.map((output) => look(output).video!.codec)).toEqual(["vp9", "hevc"]);
  for (const output of outputs) {
    expect(look(output).video!.frames, output).toBe(100);
    expect(Math.abs(look(output).duration - 4), output).toBeLessThan(2 * AAC_FRAME);
    expectRising(output);
  }
});
