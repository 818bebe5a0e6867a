import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import type { TranscodeResult } from "../../../lib/handlers/video/transcode.ts";
import { contentTypeOf } from "../../../lib/shared/content-type.ts";
import { FORMATS } from "../../../lib/shared/video/formats.ts";
import type { RenditionSpec } from "../../../lib/shared/video/rendition-spec.ts";
import { frames, greyFrame, look, type SampleName, sample } from "../../media.ts";
import { type World, world } from "./world.ts";

const transcode = async (name: SampleName, formats: readonly RenditionSpec[]) => {
  const w = world(formats);
  w.uploads.add(name, { file: sample(name) });
  return { w, result: await w.transcode({ object: name }) };
};

/** What came out, by format. */
const looks = (w: World, { outputs }: TranscodeResult) =>
  Object.fromEntries(outputs.map(({ format, key }) => [format, look(w.download(key))]));

test("every format of one H.264 video with B-frames and AAC; what shares codecs has the same frames", async () => {
  const { w, result } = await transcode("plain.mp4", FORMATS);

  expect(result.source).toMatchObject({ object: "plain.mp4", width: 192, height: 108 });
  expect(result.outputs.map(({ key }) => key)).toEqual([
    "plain.mp4/video.mp4",
    "plain.mp4/video.mov",
    "plain.mp4/video.mkv",
    "plain.mp4/video.webm",
    "plain.mp4/video.flv",
    "plain.mp4/video.avi",
    "plain.mp4/video.m3u8",
    "plain.mp4/audio.mp3",
    "plain.mp4/preview.gif",
    "plain.mp4/thumbnail.jpeg",
  ]);
  const made = looks(w, result);
  const shared = ["mp4", "mov", "mkv", "flv", "avi", "m3u8"] as const;
  for (const format of shared) {
    expect(made[format], format).toMatchObject({
      video: { codec: "h264", profile: "High", width: 192, height: 108, pixels: "yuv420p", frames: 75 },
      audio: { codec: "aac" },
    });
    expect(Math.abs(made[format]!.duration - 3), format).toBeLessThan(0.15);
    expect(
      Math.abs(made[format]!.video!.start - made[format]!.audio!.start),
      `${format}: sound and picture start together`,
    ).toBeLessThan(0.03);
  }
  const pictures = shared.map((format) => frames(w.download(`plain.mp4/video.${format}`)));
  expect(new Set(pictures).size, "every container decodes to the same frames").toBe(1);
  expect(made.webm).toMatchObject({ video: { codec: "vp9", frames: 75 }, audio: { codec: "opus" } });
  expect(made.mp3).toMatchObject({ audio: { codec: "mp3" } });
  expect(made.mp3!.video).toBeUndefined();
  expect(made.gif!.video).toMatchObject({ codec: "gif", frames: 30, height: 108 });
  expect(made.jpeg!.video).toMatchObject({ codec: "mjpeg", frames: 1, width: 192 });

  for (const key of w.outputs.keys) expect(w.outputs.objects.get(key)!.contentType, key).toBe(contentTypeOf(key));
  const mp4 = readFileSync(w.download("plain.mp4/video.mp4"));
  expect(mp4.indexOf("moov"), "plays before it is loaded whole").toBeLessThan(mp4.indexOf("mdat"));
  const steps = [...new Set(w.progress.map(({ message }) => message))].filter((message) =>
    message?.startsWith("encode"),
  );
  expect(steps[0], "six containers from one encode").toBe("encode mp4, mov, mkv, flv, avi, m3u8");
  const told = w.progress.map(({ fraction }) => fraction);
  expect(told).toEqual([...told].sort((left, right) => left - right));
  expect(told.at(-1)).toBe(1);
});

test("an m3u8 is cut at key frames, and its playlist names segments that mean the same in files and URLs", async () => {
  const w = world([{ format: "m3u8", segment: "1 second" }]);
  const object = "a b/100% größe #1?.mp4";
  w.uploads.add(object, { file: sample("plain.mp4") });
  await w.transcode({ object, output_dir: "out" });

  const playlist = "out/100% größe #1?.m3u8";
  const text = readFileSync(w.download(playlist), "utf8");
  const segments = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  expect(segments).toHaveLength(3);
  for (const [index, segment] of segments.entries()) {
    expect(segment).toMatch(new RegExp(`^100-gr-e-1-[a-z0-9]{8}-0000${index}\\.ts$`));
    expect(look(w.download(`out/${segment}`)).video!.frames, "each segment decodes alone").toBe(25);
  }
  expect(w.outputs.keys.at(-1), "the playlist comes last").toBe(playlist);
  expect(text).toContain("#EXT-X-ENDLIST");
  expect(look(w.download(playlist)).video!.frames).toBe(75);
});

test.each([
  ["hevc.mp4", { video: { codec: "h264", width: 128, height: 72, frames: 25 }, audio: { codec: "aac" } }],
  ["vp9.webm", { video: { codec: "h264", width: 128, height: 72, frames: 25 }, audio: { codec: "aac" } }],
  ["odd.mkv", { video: { codec: "h264", width: 134, height: 76, pixels: "yuv420p", frames: 25 } }],
  ["turned.mp4", { video: { codec: "h264", width: 108, height: 192 }, audio: { codec: "aac" } }],
  ["anamorphic.mkv", { video: { codec: "h264", width: 192, height: 108, frames: 25 } }],
  ["plain.ts", { video: { codec: "h264", width: 192, height: 108 }, audio: { codec: "aac" } }],
] as const)("%s becomes an mp4 that plays in browsers", async (name, wanted) => {
  const { w } = await transcode(name, ["mp4"]);
  expect(look(w.download(`${name}/video.mp4`))).toMatchObject(wanted);
});

test("no sound in, no sound out; a variable frame rate becomes constant, the same in every container", async () => {
  const silent = await transcode("silent.mp4", ["mp4"]);
  expect(look(silent.w.download("silent.mp4/video.mp4")).audio).toBeUndefined();

  const variable = await transcode("variable.mp4", ["mp4", "flv", "avi", "m3u8"]);
  for (const made of Object.values(looks(variable.w, variable.result))) {
    expect(made.video!.frames).toBeGreaterThanOrEqual(88);
    expect(made.video!.frames).toBeLessThanOrEqual(91);
    expect(Math.abs(made.duration - 3)).toBeLessThan(0.2);
  }
  const counts = Object.values(looks(variable.w, variable.result)).map(({ video }) => video!.frames);
  expect(new Set(counts).size).toBe(1);
});

test("cover art is no video: a song gives mp3, and is refused for mp4", async () => {
  const { w } = await transcode("covered.m4a", ["mp3"]);
  expect(look(w.download("covered.m4a/audio.mp3"))).toMatchObject({ audio: { codec: "mp3" } });
  await expect(transcode("covered.m4a", ["mp4"])).rejects.toMatchObject({
    kind: "bad-input",
    message: "covered.m4a: has no picture to make mp4 of; mp3 can be made of it",
  });
  await expect(transcode("silent.mp4", ["mp3"])).rejects.toMatchObject({
    kind: "bad-input",
    message: /no sound to make mp3/,
  });
});

test("codec, height, quality, sound and clip are as asked; nothing is scaled up unasked", async () => {
  const clip = { start: "1 second", end: "2 seconds" } as const;
  const { w, result } = await transcode("plain.mp4", [
    { format: "mp4", height: 54, clip, audio: false },
    { format: "mkv", codec: "hevc", name: "small", preset: "ultrafast", height: 54, bitrate: "50 kbps" },
    { format: "mov", height: 1080 },
    { format: "mp4", height: 216, upscale: true, name: "large", crf: 40, preset: "ultrafast" },
  ]);
  const [small, hevc, kept, large] = result.outputs.map(({ key }) => look(w.download(key)));
  expect(result.outputs.map(({ key }) => key)).toEqual([
    "plain.mp4/54p.mp4",
    "plain.mp4/small.mkv",
    "plain.mp4/1080p.mov",
    "plain.mp4/large.mp4",
  ]);
  expect(small).toMatchObject({ video: { width: 96, height: 54, frames: 25 } });
  expect(small!.audio).toBeUndefined();
  expect(hevc).toMatchObject({ video: { codec: "hevc", width: 96, height: 54, frames: 75 } });
  expect(kept!.video).toMatchObject({ width: 192, height: 108 });
  expect(large!.video).toMatchObject({ width: 384, height: 216 });
});

test("a clip shows the frames of that time", async () => {
  const { w } = await transcode("plain.mp4", [
    { format: "mp4", crf: 1, clip: { start: "1 second", end: "2 seconds" } },
  ]);
  const made = greyFrame(w.download("plain.mp4/video.mp4"), 0.2);
  const [same, other] = [greyFrame(sample("plain.mp4"), 1.2), greyFrame(sample("plain.mp4"), 2.2)];
  expect(difference(made, same)).toBeLessThan(2);
  expect(difference(made, other)).toBeGreaterThan(5);
});

test('codec "copy" takes the streams as they are, or says why it can\'t', async () => {
  const { w, result } = await transcode(
    "plain.mp4",
    (["mkv", "flv", "avi", "m3u8"] as const).map((format) => ({ format, codec: "copy" })),
  );
  const source = frames(sample("plain.mp4"));
  for (const { key } of result.outputs) expect(frames(w.download(key)), key).toBe(source);
  await expect(transcode("vp9.webm", [{ format: "flv", codec: "copy" }])).rejects.toMatchObject({
    kind: "bad-input",
    message: /flv can't hold its vp9 picture/,
  });
});

test("pictures: one where it was asked for, or one every N seconds from the first frame on", async () => {
  const series = await transcode("plain.mp4", [{ format: "jpeg", every: "1 second" }]);
  expect(series.w.outputs.keys).toEqual([1, 2, 3].map((number) => `plain.mp4/frame-0000${number}.jpeg`));
  expect(series.result.outputs).toMatchObject([{ key: "plain.mp4/frame-00001.jpeg", files: 3 }]);
  for (const [index, key] of series.w.outputs.keys.entries())
    expect(difference(greyFrame(series.w.download(key), 0), greyFrame(sample("plain.mp4"), index))).toBeLessThan(4);

  const one = await transcode("plain.mp4", [
    { format: "jpeg", at: "2 seconds", height: 54 },
    { format: "jpeg", name: "late", at: "1 hour" },
  ]);
  expect(one.w.outputs.keys).toEqual(["plain.mp4/thumbnail.jpeg", "plain.mp4/late.jpeg"]);
  expect(look(one.w.download("plain.mp4/thumbnail.jpeg")).video).toMatchObject({ width: 96, height: 54 });
});

test.each([
  ["an image", { image: "logo.png", position: "top-left", size: 20 }],
  ["a text", { text: "It's 100%: [v];\\ Grüße", position: "top-left", size: 20, color: "#ffffff", opacity: 1 }],
] as const)("%s as watermark shows in its corner and nowhere else", async (_, watermark) => {
  const w = world([
    { format: "mp4", watermark },
    { format: "gif", watermark },
    { format: "jpeg", every: "1 second", watermark },
  ]);
  w.uploads.add("black.mp4", { file: sample("black.mp4") });
  w.uploads.add("logo.png", { file: sample("white.png") });
  const { outputs } = await w.transcode({ object: "black.mp4" });
  for (const { key } of outputs) {
    const frame = greyFrame(w.download(key), 0);
    const [width, height] = [160, 90];
    const bright = (left: number, right: number, top: number, bottom: number) =>
      frame.filter(
        (value, index) =>
          value > 120 &&
          index % width >= left &&
          index % width < right &&
          index / width >= top &&
          index / width < bottom,
      ).length;
    expect(bright(0, width, 0, height / 2), `${key}: something is there`).toBeGreaterThan(30);
    expect(bright(0, width, height / 2, height), `${key}: nothing below`).toBe(0);
  }
});

/** How far two frames are apart, on average over their pixels. */
function difference(left: Uint8Array, right: Uint8Array): number {
  expect(left.length).toBe(right.length);
  return left.reduce((sum, value, index) => sum + Math.abs(value - right[index]!), 0) / left.length;
}
