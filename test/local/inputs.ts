import { readFileSync } from "node:fs";
import { type SampleName, sample } from "../media.ts";

/** A video as somebody uploads it, under a name that goes wrong elsewhere. */
export interface Input {
  readonly what: string;
  readonly key: string;
  readonly sample: SampleName;
  readonly width: number;
  readonly height: number;
  readonly sound: boolean;
}

export const INPUTS: readonly Input[] = [
  {
    what: "H.264 with B-frames, AAC",
    key: "lesson one.mp4",
    sample: "plain.mp4",
    width: 192,
    height: 108,
    sound: true,
  },
  { what: "HEVC", key: "a+b.mp4", sample: "hevc.mp4", width: 128, height: 72, sound: true },
  { what: "VP9", key: "100%2Fdone.webm", sample: "vp9.webm", width: 128, height: 72, sound: true },
  { what: "no audio", key: "课程/无声.mp4", sample: "silent.mp4", width: 128, height: 72, sound: false },
  { what: "odd sizes", key: "🎬🎞.mkv", sample: "odd.mkv", width: 134, height: 76, sound: false },
  { what: "a rotated phone video", key: "-rotated.mp4", sample: "turned.mp4", width: 108, height: 192, sound: true },
  {
    what: "a variable frame rate",
    key: "in/a/variable.mkv",
    sample: "variable.mkv",
    width: 128,
    height: 72,
    sound: true,
  },
  {
    what: "an object named like a shell command",
    key: "$(touch x); `touch x` | touch x.mp4",
    sample: "silent.mp4",
    width: 128,
    height: 72,
    sound: false,
  },
];

/** Takes a while to look at. */
export const LONG_INPUT: Input = {
  what: "ten minutes",
  key: "long.mp4",
  sample: "long.mp4",
  width: 64,
  height: 36,
  sound: true,
};

/** A file that no video can be made of, and what its run says. */
export interface BadUpload {
  readonly key: string;
  readonly content: () => string | Uint8Array;
  readonly says: RegExp;
}

const half = (name: SampleName): Uint8Array => {
  const whole = readFileSync(sample(name));
  return whole.subarray(0, whole.length / 2);
};

export const BAD_UPLOADS: readonly BadUpload[] = [
  { key: "empty.mp4", content: () => "", says: /^empty\.mp4: is empty: 0 bytes$/ },
  {
    key: "text.mp4",
    content: () => "a text file with a video's name\n",
    says: /^text\.mp4: .*(Invalid data|no video)/,
  },
  { key: "cut.mp4", content: () => half("plain.mp4"), says: /^cut\.mp4: .*cut off/ },
  { key: "cut late.mp4", content: () => half("late.mp4"), says: /^cut late\.mp4: .*(moov|cut off)/ },
  { key: "cut.mkv", content: () => half("plain.mkv"), says: /^cut\.mkv: .*cut off/ },
  { key: "cut.avi", content: () => half("plain.avi"), says: /^cut\.avi: .*cut off/ },
  { key: "cut.flv", content: () => half("plain.flv"), says: /^cut\.flv: .*cut off/ },
];

/** A request that no run can fulfil, and what its run says; `good.mp4` is there. */
export interface BadRequest {
  readonly what: string;
  readonly payload: unknown;
  readonly says: RegExp;
}

const shell = "$(touch x)";
export const BAD_REQUESTS: readonly BadRequest[] = [
  {
    what: "an unknown format",
    payload: { object: "good.mp4", dst_format: "exe" },
    says: /payload\.dst_format.*exe.*allowed: mp4/,
  },
  { what: "a text that is no JSON", payload: "{not json", says: /^payload: the message is no JSON/ },
  {
    what: "an object that was never there",
    payload: { object: "none.mp4" },
    says: /^none\.mp4: is not in videos-uploads/,
  },
  { what: "no object", payload: { dst_format: "mp4" }, says: /payload\.object: is missing/ },
  { what: "another bucket", payload: { bucket: "../secrets", object: "good.mp4" }, says: /payload\.bucket/ },
  {
    what: "a format that is a shell command",
    payload: { object: "good.mp4", dst_format: `mp4;${shell}` },
    says: /payload\.dst_format/,
  },
  {
    what: "a format in backticks",
    payload: { object: "good.mp4", dst_format: "`touch x`" },
    says: /payload\.dst_format/,
  },
  {
    what: "a format that is an option",
    payload: { object: "good.mp4", dst_format: "-y,mp4" },
    says: /payload\.dst_format/,
  },
  {
    what: "a format that is a path",
    payload: { object: "good.mp4", dst_format: "../../x.mp4" },
    says: /payload\.dst_format/,
  },
  {
    what: "an output folder outside",
    payload: { object: "good.mp4", output_dir: "../../outside" },
    says: /payload\.output_dir/,
  },
  {
    what: "an absolute output folder",
    payload: { object: "good.mp4", output_dir: "/tmp/outside" },
    says: /payload\.output_dir/,
  },
  {
    what: "an output folder with backslashes",
    payload: { object: "good.mp4", output_dir: "..\\outside" },
    says: /payload\.output_dir/,
  },
  { what: "an object outside", payload: { object: "../../../../etc/passwd" }, says: /payload\.object/ },
  { what: "an absolute object", payload: { object: "/etc/passwd" }, says: /\/etc\/passwd: is not in videos-uploads/ },
  { what: "an object that is a shell command", payload: { object: `${shell}.mp4` }, says: /is not in videos-uploads/ },
  { what: "an object that is a protocol", payload: { object: "file:/etc/passwd" }, says: /is not in videos-uploads/ },
];
