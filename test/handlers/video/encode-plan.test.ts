import { expect, test } from "vitest";
import { encodePlan } from "../../../lib/handlers/video/encode-plan.ts";
import { fromFile, SAFE_INPUT } from "../../../lib/handlers/video/input-options.ts";
import { type Source, toSource } from "../../../lib/handlers/video/source.ts";
import type { RenditionSpec } from "../../../lib/shared/video/rendition-spec.ts";
import { settingsOf } from "./world.ts";

const SOURCE: Source = {
  container: "mov,mp4,m4a,3gp,3g2,mj2",
  duration: 60,
  start: 0,
  video: {
    index: 0,
    codec: "h264",
    width: 1920,
    height: 1080,
    isStretched: false,
    isInterlaced: false,
    frameRate: 25,
    isVariable: false,
    gridRate: 25,
    duration: 60,
  },
  audio: { index: 1, codec: "aac", channels: 2, sampleRate: 48_000, duration: 60 },
};

const plan = (formats: readonly RenditionSpec[], source: Source = SOURCE) =>
  encodePlan(settingsOf(formats).renditions, {
    input: fromFile("input"),
    source,
    watermarks: () => ({ font: "font", text: "text" }),
  });
const labels = (formats: readonly RenditionSpec[]) => plan(formats).steps.map(({ label }) => label);

test("one mp4 is one plain call of ffmpeg", () => {
  const { steps } = plan(["mp4"]);
  expect(steps.map(({ args }) => args.slice(SAFE_INPUT.length).join(" "))).toEqual([
    "-i file:input -map 0:0 -c:v libx264 -profile:v high -preset medium -crf 23 -pix_fmt yuv420p " +
      "-map 0:1 -c:a aac -b:a 128000 -max_muxing_queue_size 9999 -movflags +faststart -f mp4 file:output-0.mp4",
  ]);
});

test("formats that share codecs and settings come from one encode, others from their own", () => {
  expect(labels(["mp4", "mov", "flv", "avi", "m3u8"])).toEqual([
    "encode mp4, mov, flv, avi, m3u8",
    "pack mov, flv, avi, m3u8",
  ]);
  expect(labels(["mp4", { format: "mov", height: 720 }])).toEqual(["encode mp4", "encode mov"]);
  expect(labels(["mp4", { format: "mov", audio: false }])).toEqual(["encode mp4", "encode mov"]);
  expect(labels(["flv", { format: "mp4", clip: { end: "5 seconds" } }])).toEqual(["encode flv", "encode mp4"]);
  expect(labels(["webm", { format: "mkv", codec: "vp9" }])).toEqual(["encode webm, mkv", "pack mkv"]);
  expect(
    labels([
      { format: "mkv", codec: "copy" },
      { format: "mp4", codec: "copy" },
    ]),
  ).toEqual(["copy mkv, mp4"]);
  expect(plan(["mp4", "flv"]).steps[0]!.args).toEqual(plan(["mp4"]).steps[0]!.args);
});

test("without an mp4 or mov to copy from, a file is made that nobody gets", () => {
  const { steps, outputs } = plan(["flv", "avi"]);
  expect(steps[0]!.args.at(-1)).toBe("file:master-0.mp4");
  expect(steps[1]!.args).toContain("file:master-0.mp4");
  expect(outputs.map(({ file }) => file)).toEqual(["output-0.flv", "output-1.avi"]);
});

test("key frames come every two seconds where an m3u8 is cut at them, and only there", () => {
  const text = (formats: readonly RenditionSpec[]) => plan(formats).steps[0]!.args.join(" ");
  expect(text(["mp4", "m3u8"])).toContain("expr:gte(t,n_forced*2)");
  expect(text(["mp4", { format: "m3u8", segment: "1 second" }])).toContain("expr:gte(t,n_forced*1)");
  expect(text(["mp4"])).not.toContain("force_key_frames");
});

test("nothing of a watermark's text is in the arguments, and a color can't bring in an option", () => {
  const { steps } = plan([{ format: "mp4", watermark: { text: "a:b,c[v]';\\ %{pts}", color: "#12ab34" } }]);
  const text = steps[0]!.args.join(" ");
  expect(text).not.toContain("a:b");
  expect(text).toContain("textfile=text:expansion=none");
  expect(text).toContain("fontcolor=0x12ab34@0.8");
});

test("what ffprobe says becomes what is shown: turned, square pixels, cover art left out, a constant rate", () => {
  const video = {
    index: 1,
    codec_type: "video",
    codec_name: "h264",
    width: 720,
    height: 576,
    r_frame_rate: "25/1",
    avg_frame_rate: "25/1",
  };
  const of = (more: object) => toSource({ format: { format_name: "mov" }, streams: [{ ...video, ...more }] }).video;
  expect(of({ sample_aspect_ratio: "16:11" })).toMatchObject({ width: 1047, height: 576, isStretched: true });
  expect(of({ side_data_list: [{ rotation: -90 }] })).toMatchObject({ width: 576, height: 720 });
  expect(of({ tags: { rotate: "270" } })).toMatchObject({ width: 576, height: 720 });
  expect(of({ tags: { rotate: "180" } })).toMatchObject({ width: 720, height: 576 });
  expect(of({ disposition: { attached_pic: 1 } })).toBeUndefined();
  expect(of({ field_order: "tt" })).toMatchObject({ isInterlaced: true });
  expect(of({})).toMatchObject({ isVariable: false, frameRate: 25 });
  expect(of({ r_frame_rate: "30/1", avg_frame_rate: "2370/100" })).toMatchObject({ isVariable: true, frameRate: 30 });
  expect(of({ r_frame_rate: "1000/1", avg_frame_rate: "0/0" })).toMatchObject({ isVariable: true, frameRate: 30 });
  expect(of({ r_frame_rate: "90000/1", avg_frame_rate: "58/1" })).toMatchObject({ isVariable: true, frameRate: 60 });
  expect(of({ tags: { DURATION: "00:01:02.500000000" } })).toMatchObject({ duration: 62.5 });
});
