import { join } from "node:path";
import { expect, test } from "vitest";
import type { RenditionSpec } from "../../../lib/shared/video/rendition-spec.ts";
import { type Look, look, type SampleName, sample } from "../../media.ts";
import { AAC_FRAME, expectRising, make, shownAt, soundGaps } from "./seams.ts";
import { world } from "./world.ts";

const FORMATS = ["mp4", "mov", "flv", "avi", "m3u8"].map((format) => ({
  ...{ format, preset: "ultrafast" },
})) as readonly RenditionSpec[];
const PICTURE = ["-f", "lavfi", "-i", "testsrc2=size=160x90:rate=30000/1001:duration=6"];
const SOUND = ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100:duration=6"];
const H264 = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-bf", "2"];

/** The same video made in slices and in one piece. */
async function both(path: string, formats: readonly RenditionSpec[] = FORMATS, length = 1) {
  const made = [];
  for (const isSliced of [true, false]) {
    const w = world(formats);
    w.uploads.add("film", { file: path });
    const sliced = isSliced ? await w.slice({ object: "film" }, { length, atMost: 40 }) : undefined;
    const { outputs } = await w.transcode({ object: "film" }, sliced && {});
    made.push({ w, sliced, outputs });
  }
  const [sliced, whole] = made;
  expect(sliced!.w.said).toEqual([]);
  return { sliced: sliced!, whole: whole! };
}

/** How far apart sound and picture begin. */
const lead = ({ video, audio }: Look): number => (audio ? video!.start - audio.start : 0);

interface Expected {
  /** @default what the source has */
  readonly frames?: number;
  /** Places on the grid that the source may have no frame for, at its end. */
  readonly gaps?: number;
  readonly formats?: readonly RenditionSpec[];
}

/**
 * As many frames as the source has, each shown for as long; sound and picture begin as far apart as there; the sound
 * is as it is in one piece.
 */
async function expectSame(
  path: string,
  count: number,
  { frames = look(path).video!.frames, gaps = 0, formats = FORMATS }: Expected = {},
): Promise<void> {
  const source = look(path);
  const { sliced, whole } = await both(path, formats);
  expect(sliced.sliced!.count).toBe(count);
  for (const [index, { key, format }] of sliced.outputs.entries()) {
    const [one, other] = [sliced.w.download(key), whole.w.download(whole.outputs[index]!.key)];
    const [made, wanted] = [look(one), look(other)];
    expect(made.video, key).toEqual({ ...wanted.video, frames: made.video!.frames, start: made.video!.start });
    expect(made.video!.frames - frames, `${key}: frames`).toBeOneOf([0, gaps]);
    expect(made.audio?.codec, key).toBe(wanted.audio?.codec);
    // Old ffmpegs repeat frames in one piece to begin both at zero; sound may be a packet earlier than it is heard.
    const wholeLead = wanted.video!.frames === frames ? lead(wanted) : lead(source);
    const apart = format === "avi" ? 0 : lead(made) - wholeLead;
    expect(Math.abs(apart), `${key}: sound and picture`).toBeLessThan(AAC_FRAME + 0.001);
    expectRising(one);
    if (made.audio?.codec === "aac") expect(soundGaps(one), `${key}: gaps in the sound`).toEqual(soundGaps(other));
    if (format !== "mp4") continue;
    expect(Math.abs(made.duration - wanted.duration), `${key}: ${made.duration}`).toBeLessThan(AAC_FRAME);
    const steps = stepsOf(shownAt(one));
    expect(Math.max(...steps) - Math.min(...steps), `${key}: frames at other distances`).toBeLessThan(0.0005);
  }
}

const stepsOf = (times: readonly number[]): readonly number[] =>
  times.slice(1).map((time, index) => time - times[index]!);

test("five formats of slices: frames, sound and times as in the source, and no seams", async () => {
  const w = world();
  const path = make(join(w.folder, "film.mp4"), [...PICTURE, ...SOUND, ...H264, "-g", "30", "-c:a", "aac"]);
  await expectSame(path, 6);
});

const OPEN = ["-x264-params", "open-gop=1:bframes=3:keyint=30"];

test.each([
  ["an open group: what leads a key frame is shown before it", [...PICTURE, ...SOUND, ...H264, ...OPEN]],
  ["a picture that starts late", ["-itsoffset", "0.4", ...PICTURE, ...SOUND, ...H264, "-g", "30"]],
  ["sound that starts late", [...PICTURE, "-itsoffset", "0.7", ...SOUND, ...H264, "-g", "30"]],
] as const)("%s", async (_, args) => {
  const w = world();
  await expectSame(make(join(w.folder, "film.mp4"), [...args, "-c:a", "aac"]), 6);
});

test.each<[SampleName, number, Expected?]>([
  ["silent.mp4", 1],
  ["variable.mkv", 1, { frames: 88 }],
  ["turned.mp4", 1, { gaps: 1 }],
  ["anamorphic.mkv", 1],
  ["plain.ts", 2],
  ["vp9.webm", 1, { formats: ["webm", { format: "mkv", codec: "hevc", preset: "ultrafast" }] }],
])("%s", (name, count, options) => expectSame(sample(name), count, options));
