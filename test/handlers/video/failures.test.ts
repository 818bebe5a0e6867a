import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { expect, test } from "vitest";
import { runFfmpeg } from "../../../lib/handlers/video/ffmpeg.ts";
import { MillraceError } from "../../../lib/runtime/errors.ts";
import { look, sample, tools } from "../../media.ts";
import { settingsOf, world } from "./world.ts";

/** The first part of a file. */
const cut = (path: string, share: number) => {
  const whole = readFileSync(path);
  return whole.subarray(0, Math.floor(whole.length * share));
};

test.each([
  ["empty", "", /bad\.mp4: is empty: 0 bytes/],
  ["a text", "this is a text and no video\n".repeat(100), /bad\.mp4: is no video/],
  ["an mp4 without its index", () => cut(sample("late.mp4"), 0.6), /bad\.mp4: is no video: .*moov atom not found/],
  ["an mp4 cut off", () => cut(sample("plain.mp4"), 0.6), /bad\.mp4: is cut off/],
  ["a Matroska cut off", () => cut(sample("plain.mkv"), 0.6), /bad\.mp4: is cut off|cut off or damaged/],
  ["an flv cut off", () => cut(sample("plain.flv"), 0.5), /cut off or damaged/],
  ["an avi cut off", () => cut(sample("plain.avi"), 0.5), /cut off/],
] as const)("%s: a clear error that is not retried, and nothing put", async (_, content, words) => {
  const w = world(["mp4", "flv"]);
  w.uploads.add("bad.mp4", typeof content === "function" ? content() : content);
  const error = await w.transcode({ object: "bad.mp4" }).catch((thrown) => thrown);
  expect(error).toBeInstanceOf(MillraceError);
  expect(error.message).toMatch(words);
  expect(error.kind).toBe("bad-input");
  expect(w.outputs.keys).toEqual([]);
});

test("an upload can't make ffmpeg read another file or host", async () => {
  const w = world(["mp4"]);
  const secret = sample("plain.mp4");
  const traps = {
    "concat.mp4": `ffconcat version 1.0\nfile ${secret}\n`,
    "unsafe.txt": `ffconcat version 1.0\nfile 'file:${secret}'\n`,
    "list.m3u8": `#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\nfile://${secret}\n#EXT-X-ENDLIST\n`,
    "list.mp4": `#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\nhttp://127.0.0.1:9/x.ts\n#EXT-X-ENDLIST\n`,
    "session.sdp":
      "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    "manifest.mpd": `<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet><Representation id="1"><BaseURL>file://${secret}</BaseURL></Representation></AdaptationSet></Period></MPD>`,
  };
  for (const [name, content] of Object.entries(traps)) {
    w.uploads.add(name, content);
    await expect(w.transcode({ object: name }), name).rejects.toMatchObject({
      kind: "bad-input",
      message: /is no video/,
    });
  }
  expect(w.outputs.keys).toEqual([]);
});

test.each([
  "-i",
  "--help",
  "a b + c%2Fd.mp4",
  "影片/😀 größe.mp4",
  "concat:a|b.mp4",
  "%05d.mp4",
  "http://127.0.0.1/x.mp4",
  "file:x.mp4",
  "$(touch hacked);`x`'\".mp4",
  "no ending",
])("an object named %s is just an object", async (object) => {
  const w = world([{ format: "jpeg", height: 36 }]);
  w.uploads.add(object, { file: sample("silent.mp4") });
  const { outputs } = await w.transcode({ object });
  expect(outputs.map(({ key }) => key)).toEqual([`${object}/thumbnail.jpeg`]);
  expect(existsSync("hacked")).toBe(false);
});

test("where outputs go: beside the object's name, in a folder, or exactly there", async () => {
  const w = world(
    [
      { format: "jpeg", height: 36 },
      { format: "jpeg", height: 36, name: "again" },
    ],
    { outputPrefix: "made/" },
  );
  w.uploads.add("in/480P.mp4", { file: sample("silent.mp4") });
  const keys = async (payload: object) => (await w.transcode(payload)).outputs.map(({ key }) => key);
  expect(await keys({ object: "in/480P.mp4" })).toEqual([
    "made/in/480P.mp4/thumbnail.jpeg",
    "made/in/480P.mp4/again.jpeg",
  ]);
  expect(await keys({ object: "in/480P.mp4", output_dir: "a" })).toEqual([
    "made/a/480P-thumbnail.jpeg",
    "made/a/480P-again.jpeg",
  ]);
  w.settings = settingsOf(["jpeg"]);
  expect(
    await keys({ bucket: "videos-uploads", object: "in/480P.mp4", output_dir: "a/b/", dst_format: "jpeg" }),
  ).toEqual(["a/b/480P.jpeg"]);
  expect(
    await keys({ bucket_name: "videos-uploads", object_key: "in/480P.mp4", output_dir: "video/output/a_out.gif" }),
  ).toEqual(["video/output/a_out.gif"]);
  expect(await keys({ object: "in/480P.mp4", output_dir: "a", dst_format: "gif, JPEG" })).toEqual([
    "a/480P.gif",
    "a/480P.jpeg",
  ]);
});

test.each([
  ["no JSON", "hello", /payload: the message is no JSON \(given "hello"\)/],
  ["null", null, /payload: an object is wanted \(given null\)/],
  ["no object", {}, /payload\.object: is missing/],
  ["a number as object", { object: 5 }, /payload\.object: an object's key is wanted \(given 5\)/],
  ["a path outside", { object: "../../etc/passwd" }, /payload\.object: a key without \. and \.\./],
  ["an output path outside", { object: "a", output_dir: "../x" }, /payload\.output_dir: a relative path/],
  ["an absolute output path", { object: "a", output_dir: "/etc" }, /payload\.output_dir/],
  ["a backslash", { object: "a", output_dir: "a\\b" }, /payload\.output_dir/],
  ["a control character", { object: "a", output_dir: "a\nb" }, /payload\.output_dir/],
  [
    "an unknown format",
    { object: "a", dst_format: "wmv" },
    /payload\.dst_format: .*given \["wmv"\]; allowed: mp4, mov/,
  ],
  ["a command as format", { object: "a", dst_format: "mp4; rm -rf /" }, /payload\.dst_format.*allowed/],
  ["no format", { object: "a", dst_format: [] }, /payload\.dst_format/],
  ["another bucket", { bucket: "other", object: "a" }, /payload\.bucket: .*given "other"; allowed: videos-uploads/],
])("a payload with %s is refused, in words", async (_, payload, words) => {
  await expect(world().transcode(payload)).rejects.toMatchObject({ kind: "bad-input", message: words });
});

test("an output where uploads start runs is refused at run time too", async () => {
  const w = world(["jpeg"], { outputPrefix: "", trigger: { prefix: "in/", suffixes: [] } });
  w.uploads.add("x.mp4", { file: sample("silent.mp4") });
  await expect(w.transcode({ object: "x.mp4", output_dir: "in" })).rejects.toMatchObject({
    kind: "bad-input",
    message: /would start a run of its own/,
  });
  await w.transcode({ object: "x.mp4", output_dir: "out" });
  expect(w.outputs.keys).toEqual(["out/x.jpeg"]);
});

test("an object removed or replaced before its turn", async () => {
  const w = world();
  await expect(w.transcode({ object: "gone.mp4" })).rejects.toMatchObject({
    kind: "not-found",
    message: /gone\.mp4: is not in videos-uploads/,
  });
  const { etag } = w.uploads.add("a.mp4", { file: sample("silent.mp4") });
  w.uploads.add("a.mp4", { file: sample("black.mp4") });
  await expect(w.transcode({ object: "a.mp4", etag })).rejects.toMatchObject({
    kind: "bad-input",
    message: /was replaced/,
  });
});

test("a watermark that is missing, or no image", async () => {
  const w = world([{ format: "mp4", watermark: { image: "logo.png" } }]);
  w.uploads.add("a.mp4", { file: sample("silent.mp4") });
  await expect(w.transcode({ object: "a.mp4" })).rejects.toMatchObject({
    kind: "not-found",
    message: /watermark's logo\.png/,
  });
  w.uploads.add("logo.png", "ffconcat version 1.0\n");
  await expect(w.transcode({ object: "a.mp4" })).rejects.toMatchObject({
    kind: "bad-input",
    message: /is no PNG, JPEG or WebP/,
  });
});

test("a clip that starts after the end", async () => {
  const w = world([{ format: "mp4", clip: { start: "1 minute" } }]);
  w.uploads.add("a.mp4", { file: sample("silent.mp4") });
  await expect(w.transcode({ object: "a.mp4" })).rejects.toMatchObject({
    kind: "bad-input",
    message: /lasts 1 s: there is nothing at 60 s/,
  });
});

test("a stop ends ffmpeg at once and leaves nothing", async () => {
  const w = world([{ format: "mp4", preset: "veryslow" }, "webm"]);
  w.uploads.add("large.mp4", { file: sample("large.mp4") });
  const running = w.transcode({ object: "large.mp4" }).catch((thrown) => thrown);
  const scratch = join(w.folder, "scratch-1");
  while (!programsIn(scratch).length) await wait(20);
  const reason = new MillraceError("stopped", "somebody stopped it");
  w.stop.abort(reason);
  expect(await running).toBe(reason);
  expect(programsIn(scratch)).toEqual([]);
  expect(w.outputs.keys).toEqual([]);
});

/** Programs that work in a folder; Linux only, like the builds these tests run on. */
const programsIn = (folder: string): string[] =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return execFileSync("readlink", [`/proc/${pid}/cwd`], { encoding: "utf8", stdio: "pipe" }).startsWith(folder);
      } catch {
        return false;
      }
    });

test("a put that fails leaves no later output, and a second run makes them all", async () => {
  const w = world(["jpeg", "gif"]);
  w.uploads.add("a.mp4", { file: sample("silent.mp4") });
  w.outputs.beforePut = (key) => {
    if (key.endsWith(".gif"))
      throw Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
  };
  await expect(w.transcode({ object: "a.mp4" })).rejects.toMatchObject({
    kind: "unavailable",
    message: /no space left/,
  });
  expect(w.outputs.keys).toEqual(["a.mp4/thumbnail.jpeg"]);
  w.outputs.beforePut = () => {};
  await w.transcode({ object: "a.mp4" });
  expect(w.outputs.keys).toEqual(["a.mp4/thumbnail.jpeg", "a.mp4/preview.gif"]);
});

test("a full disk is not the video's fault", async () => {
  const w = world();
  const folder = join(w.folder, "full");
  mkdirSync(folder);
  symlinkSync("/dev/full", join(folder, "output.mkv"));
  const args = ["-i", sample("plain.mp4"), "-c", "copy", "-f", "matroska", "file:output.mkv"];
  const run = runFfmpeg(args, { ffmpeg: tools.ffmpeg, cwd: folder, signal: w.stop.signal });
  await expect(run).rejects.toMatchObject({ kind: "unavailable", message: /no space left/ });
});

test("a tool that is not there, or dies", async () => {
  const w = world();
  w.uploads.add("a.mp4", { file: sample("silent.mp4") });
  w.tools = { ffprobe: tools.ffprobe };
  await expect(w.transcode({ object: "a.mp4" })).rejects.toMatchObject({ kind: "failed", message: /given no ffmpeg/ });
  w.tools = { ffprobe: tools.ffprobe, ffmpeg: "/nonexistent/ffmpeg" };
  await expect(w.transcode({ object: "a.mp4" })).rejects.toMatchObject({ kind: "failed", message: /can't be started/ });
  const dying = join(w.folder, "dying");
  writeFileSync(dying, "#!/bin/sh\nkill -9 $$\n", { mode: 0o755 });
  w.tools = { ffprobe: tools.ffprobe, ffmpeg: dying };
  await expect(w.transcode({ object: "a.mp4" })).rejects.toMatchObject({
    kind: "failed",
    message: /killed by SIGKILL: the machine may have run out of memory/,
  });
});

test("a second run of other content leaves no playlist of mixed segments", async () => {
  const w = world([{ format: "m3u8", segment: "1 second" }]);
  w.uploads.add("a.mp4", { file: sample("plain.mp4") });
  await w.transcode({ object: "a.mp4" });
  w.uploads.add("a.mp4", { file: sample("silent.mp4") });
  await w.transcode({ object: "a.mp4" });
  expect(look(w.download("a.mp4/video.m3u8")).video!.frames).toBe(25);
});
