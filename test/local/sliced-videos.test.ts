import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import type { LocalClient } from "../../lib/clouds/local/client.ts";
import { isFinal } from "../../lib/runtime/tasks/task.ts";
import { isOver, type WorkflowHistory } from "../../lib/runtime/workflows/run.ts";
import type { LocalCloud } from "../../lib/testing/index.ts";
import { make } from "../handlers/video/seams.ts";
import { look, sample } from "../media.ts";
import { startDevProcess } from "./dev-process.ts";
import {
  DONE,
  download,
  envelopes,
  keys,
  leftFiles,
  payloadOf,
  processesOf,
  put,
  putFile,
  resultOf,
  runs,
  type Scene,
  scene,
} from "./scene.ts";

const program = fileURLToPath(new URL("./programs/sliced.ts", import.meta.url));
const WORKFLOW = "videos-sliced";
const FORMATS = ["mp4", "mov", "flv", "avi", "m3u8", "jpeg"];

/** Six seconds with sound, a key frame every second. */
const film = ({ folder }: Pick<Scene, "folder">): string =>
  make(join(folder, "..", "film.mp4"), [
    ...["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=6"],
    ...["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100:duration=6"],
    ...["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "25", "-c:a", "aac"],
  ]);

/** Idle, with nothing left that waits for its next try. */
async function settled(cloud: LocalCloud): Promise<void> {
  for (;;) {
    await cloud.idle();
    const { runs: sliced } = await cloud.workflows.list(WORKFLOW);
    const tasks = await runs(cloud);
    if (sliced.every(({ status }) => isOver(status)) && tasks.every(({ status }) => isFinal(status))) return;
    await pause(50);
  }
}

/** The only run in slices, with its steps. */
async function slicedRun({ workflows }: LocalClient): Promise<WorkflowHistory> {
  const { runs: found } = await workflows.list(WORKFLOW);
  expect(found).toHaveLength(1);
  return (await workflows.get(WORKFLOW, found[0]!.id))!;
}

/** One run of the task with all its outputs, told as every other run is, and nothing left of its slices. */
async function expectMade(cloud: LocalClient, object: string, { notes }: Scene): Promise<void> {
  const [run, ...others] = await runs(cloud);
  expect(others).toEqual([]);
  expect(run).toMatchObject({ status: "succeeded", attempts: [{ number: 1 }] });
  expect(payloadOf(run!)).toMatchObject({ object });
  const { outputs } = await resultOf(cloud, run!);
  expect(outputs.map(({ format }) => format)).toEqual(FORMATS);
  for (const { key, format } of outputs.filter(({ format }) => format !== "jpeg")) {
    const made = look(await download(cloud, key));
    expect(made.video!.frames, key).toBe(150);
    expect(made.audio?.codec, format).toBe("aac");
  }
  expect((await envelopes(cloud, DONE)).map(({ task }) => task.id)).toEqual([run!.id]);
  expect(new Set(notes().map((note) => `${note.run} ${note.status}`))).toEqual(new Set([`${run!.id} succeeded`]));
  expect(await keys(cloud, "videos-work")).toEqual([]);
}

test("a video put into the bucket becomes five formats by slices; what fails twice is tried again alone", async () => {
  const stage = scene();
  const cloud = await stage.start({ program });
  cloud.fault({ at: "function.start", part: "videos-slice", times: 2, error: "unavailable" });
  await putFile(cloud, "in/film.mp4", film(stage));
  await settled(cloud);

  const { run, steps } = await slicedRun(cloud);
  expect(run).toMatchObject({ status: "succeeded" });
  const tries = steps.filter(({ step }) => step === "slice").map(({ attempts }) => attempts);
  expect(tries).toHaveLength(6);
  expect(tries.reduce((sum, attempts) => sum + attempts, 0)).toBe(8);
  expect(steps.filter(({ step, attempts }) => step !== "slice" && attempts > 1)).toEqual([]);
  await expectMade(cloud, "in/film.mp4", stage);
  expect((await runs(cloud))[0]!.id).toBe(run.id);
  await cloud.close();
  expect(leftFiles(stage.folder)).toEqual([]);
});

test("what slices fail with is told as a failure of the run, and nothing is left; a retry makes it in one piece", async () => {
  const stage = scene();
  const cloud = await stage.start({ program });
  cloud.fault({ at: "function.start", part: "videos-slice", error: "refused" });
  await putFile(cloud, "film.mp4", film(stage));
  await settled(cloud);

  const [run] = await runs(cloud);
  expect(run).toMatchObject({ status: "failed", error: { kind: "refused" } });
  expect((await envelopes(cloud)).map(({ task }) => task.id)).toEqual([run!.id]);
  expect((await slicedRun(cloud)).run).toMatchObject({ status: "failed" });
  expect(await keys(cloud, "videos-work")).toEqual([]);
  expect(await keys(cloud)).toEqual([]);

  await cloud.tasks.retry("videos", run!.id);
  await settled(cloud);
  expect((await runs(cloud))[0]).toMatchObject({ status: "succeeded" });
  expect(await keys(cloud)).toContain("film.mp4/video.m3u8");
  expect(await keys(cloud, "videos-work")).toEqual([]);
});

test("what can't be cut, or is no video, goes the same way as without slices", async () => {
  const stage = scene();
  const cloud = await stage.start({ program });
  await putFile(cloud, "film.avi", sample("plain.avi"));
  await put(cloud, "text.mp4", "no video");
  await settled(cloud);
  const ended = await runs(cloud);
  expect(ended.map(({ status }) => status).sort()).toEqual(["failed", "succeeded"]);
  const failed = ended.find(({ status }) => status === "failed");
  expect(failed!.error).toMatchObject({ kind: "bad-input", message: expect.stringMatching(/^text\.mp4: is no video/) });
  expect(await keys(cloud, "videos-work")).toEqual([]);
});

test("killed at random moments, it goes on with the slices that are left", async () => {
  const stage = scene();
  const path = film(stage);
  for (const [life, time] of [2500, 1000].entries()) {
    const dev = startDevProcess(stage, { program });
    onTestFinished(() => void dev.child.kill("SIGKILL"));
    await dev.ready;
    if (life === 0) await putFile(dev.client as never, "film.mp4", path);
    await pause(time);
    await dev.end("SIGKILL");
  }
  const cloud = await stage.start({ program });
  await settled(cloud);
  const sliced = await slicedRun(cloud);
  expect(sliced.run).toMatchObject({ status: "succeeded" });
  expect(sliced.steps.filter(({ step }) => step === "slice").map(({ status }) => status)).toEqual(
    Array.from({ length: 6 }, () => "succeeded"),
  );
  const [run] = await runs(cloud);
  expect(run).toMatchObject({ status: "succeeded" });
  expect(look(await download(cloud, "film.mp4/video.mp4")).video!.frames).toBe(150);
  expect(await keys(cloud, "videos-work")).toEqual([]);
  await cloud.close();
  expect(processesOf(stage.folder)).toEqual([]);
}, 60_000);
