import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { handler as clean } from "../../../lib/handlers/video/slices/clean.ts";
import { handler as encode } from "../../../lib/handlers/video/slices/encode.ts";
import { handler as fail } from "../../../lib/handlers/video/slices/fail.ts";
import { handler as plan } from "../../../lib/handlers/video/slices/plan.ts";
import { MillraceError } from "../../../lib/runtime/errors.ts";
import { greyFrame, look, sample } from "../../media.ts";
import { make } from "./seams.ts";
import { RUN, type World, world } from "./world.ts";

const CUT = { length: 1, atMost: 40 };
const PAYLOAD = { object: "film" };

/** A video of three groups of pictures. */
function withFilm(): World {
  const w = world([{ format: "mp4", preset: "ultrafast" }]);
  const picture = ["-f", "lavfi", "-i", "testsrc2=size=160x90:rate=25:duration=3"];
  const sound = ["-f", "lavfi", "-i", "sine=duration=3"];
  const coding = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "25", "-c:a", "aac"];
  w.uploads.add("film", { file: make(join(w.folder, "film.mp4"), [...picture, ...sound, ...coding]) });
  return w;
}

const firstFrame = (path: string): Uint8Array => greyFrame(path, 0);

/** The mean difference of two frames' pixels. */
const apart = (one: Uint8Array, other: Uint8Array): number =>
  one.reduce((sum, pixel, index) => sum + Math.abs(pixel - other[index]!), 0) / one.length;

const framesOf = (w: World): number => look(w.download("film/video.mp4")).video!.frames;

test("what keeps ffmpeg from reading the object is the error, and not the end of the video", async () => {
  const w = withFilm();
  await w.slice(PAYLOAD, CUT);
  const before = w.work.keys.length;
  w.uploads.beforeGet = () => {
    throw new MillraceError("unavailable", "the store does not answer");
  };
  await expect(w.step(encode, { run: RUN, index: 1 })).rejects.toMatchObject({
    ...{ kind: "unavailable", message: "film: the store does not answer" },
  });
  await expect(w.step(plan, { run: RUN, payload: PAYLOAD }, { ...w.settings, cut: CUT })).rejects.toMatchObject({
    kind: "unavailable",
  });
  expect(w.work.keys).toHaveLength(before);
});

test("an object that is replaced while its slices are made is not mixed with the old one", async () => {
  const w = withFilm();
  await w.slice(PAYLOAD, CUT);
  w.uploads.add("film", { file: sample("silent.mp4") });
  const error = { kind: "bad-input", message: expect.stringMatching(/^film: was replaced after this run/) };
  await expect(w.step(encode, { run: RUN, index: 1 })).rejects.toMatchObject(error);
  await expect(w.transcode(PAYLOAD, {})).rejects.toMatchObject(error);
  expect(w.outputs.keys).toEqual([]);
});

test("an object that is gone, or no video, is refused as by a transcode", async () => {
  const w = withFilm();
  const planned = (object: string) => w.slice({ object }, CUT);
  await expect(planned("gone")).rejects.toMatchObject({
    kind: "not-found",
    message: /^gone: is not in videos-uploads/,
  });
  w.uploads.add("text", "no video");
  await expect(planned("text")).rejects.toMatchObject({ kind: "bad-input", message: /^text: is no video/ });
  await expect(w.slice({ object: "film", dst_format: "x" }, CUT)).rejects.toMatchObject({ kind: "bad-input" });
});

test("slices that are not what they should be are found, and the video is made in one piece", async () => {
  const w = withFilm();
  await w.slice(PAYLOAD, CUT);
  const slice = `runs/${RUN}/slices/1-0`;
  const short = make(join(w.folder, "short.mp4"), ["-i", w.work.path(slice), "-frames:v", "20", "-c", "copy"]);
  w.work.add(slice, { file: short });
  await w.transcode(PAYLOAD, {});
  expect(w.said).toEqual([expect.stringMatching(/^film is made in one piece: .* has 70 frames, its slices have 75/)]);
  expect(framesOf(w)).toBe(75);
});

test("a slice that is encoded twice is joined once", async () => {
  const w = withFilm();
  await w.slice(PAYLOAD, CUT);
  const before = w.work.keys.length;
  await w.step(encode, { run: RUN, index: 1 });
  expect(w.work.keys).toHaveLength(before);
  await w.transcode(PAYLOAD, {});
  expect([framesOf(w), w.said]).toEqual([75, []]);
});

test("what slices failed with is the first attempt's error; the next attempt makes the video in one piece", async () => {
  const w = withFilm();
  await w.slice(PAYLOAD, CUT);
  await w.step(fail, { run: RUN, kind: "timed-out", message: "film: slice 2 took too long" });
  await expect(w.transcode(PAYLOAD, {})).rejects.toMatchObject({
    ...{ kind: "timed-out", message: "film: slice 2 took too long" },
  });
  expect(w.outputs.keys).toEqual([]);
  await w.transcode(PAYLOAD, { attempt: 2 });
  expect(framesOf(w)).toBe(75);
  expect(w.progress.map(({ message }) => message)).toContain("encode mp4");
});

test("slices that were stopped half-way are not waited for", async () => {
  const w = withFilm();
  await w.slice(PAYLOAD, CUT);
  await w.work.remove(`runs/${RUN}/slices/1.json`);
  await w.transcode(PAYLOAD, {});
  expect(framesOf(w)).toBe(75);
});

test("an empty object is told as without slices", async () => {
  const w = withFilm();
  w.uploads.add("film", "");
  expect(await w.slice(PAYLOAD, CUT)).toMatchObject({ count: 0, reason: "it is empty" });
  await expect(w.transcode(PAYLOAD, {})).rejects.toMatchObject({
    kind: "bad-input",
    message: "film: is empty: 0 bytes",
  });
});

test("a run without slices is made in one piece; nothing that is left is another run's", async () => {
  const w = withFilm();
  w.work.add("runs/run2/manifest.json", "{}");
  await w.transcode(PAYLOAD, {});
  expect(framesOf(w)).toBe(75);
  await w.slice(PAYLOAD, CUT);
  w.work.page = 2;
  const mine = w.work.keys.filter((key) => key.startsWith("runs/run/")).length;
  expect(await w.step(clean, { run: RUN })).toEqual({ removed: mine });
  expect(w.work.keys).toEqual(["runs/run2/manifest.json"]);
  expect(await w.step(clean, { run: RUN })).toEqual({ removed: 0 });
});

test("a stop ends ffmpeg", async () => {
  const w = withFilm();
  await w.slice(PAYLOAD, CUT);
  w.stop.abort(new MillraceError("stopped", "stopped"));
  await expect(w.step(encode, { run: RUN, index: 0 })).rejects.toMatchObject({ kind: "stopped" });
});

test("a watermark and key frames for an m3u8 are where they would be in one piece", async () => {
  const w = world([
    { format: "m3u8", preset: "ultrafast", segment: "2 seconds", watermark: { image: "white.png", size: 50 } },
    { format: "mp4", preset: "ultrafast", height: 54, watermark: { text: "Millrace" } },
  ]);
  w.uploads.add("white.png", { file: sample("white.png") });
  w.uploads.add("film", { file: sample("plain.mp4") });
  const { reports } = await w.slice(PAYLOAD, CUT);
  expect(reports).toEqual([{ frames: [50, 50] }, { frames: [25, 25] }]);
  await w.transcode(PAYLOAD, {});
  const playlist = readFileSync(w.download("film/video.m3u8"), "utf8");
  expect([...playlist.matchAll(/#EXTINF:([\d.]+)/g)].map(([, seconds]) => Number(seconds))).toEqual([2, 1]);
  expect(look(w.download("film/54p.mp4")).video).toMatchObject({ height: 54, frames: 75 });
  const whole = world();
  whole.settings = w.settings;
  whole.uploads.add("white.png", { file: sample("white.png") });
  whole.uploads.add("film", { file: sample("plain.mp4") });
  await whole.transcode(PAYLOAD);
  for (const key of ["film/video-00000.ts", "film/video-00001.ts", "film/54p.mp4"])
    expect(apart(firstFrame(w.download(key)), firstFrame(whole.download(key))), key).toBeLessThan(3);
});
