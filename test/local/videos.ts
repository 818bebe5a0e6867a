import { readdirSync } from "node:fs";
import { expect } from "vitest";
import type { LocalCloud } from "../../lib/testing/index.ts";
import { look, sample } from "../media.ts";
import type { BadRequest, BadUpload, Input } from "./inputs.ts";
import {
  DONE,
  download,
  envelopes,
  FAILURES,
  keys,
  leftFiles,
  PROJECT,
  payloadOf,
  processesOf,
  put,
  putFile,
  REQUESTS,
  resultOf,
  runs,
  runsOf,
  scene,
  UPLOADS,
} from "./scene.ts";

/** Uploads them all at once, and looks at everything that became of them. */
export async function goodInputs(inputs: readonly Input[]): Promise<void> {
  const { start, notes, folder } = scene();
  const cloud = await start();
  for (const { key, sample: name } of inputs) await putFile(cloud, key, sample(name));
  await cloud.idle();
  for (const input of inputs) await checkGood(cloud, input);
  const ended = await runs(cloud);
  expect(ended).toHaveLength(inputs.length);
  expect((await envelopes(cloud, DONE)).map(({ task }) => task.id).sort()).toEqual(ended.map(({ id }) => id).sort());
  expect(
    notes()
      .map(({ run, status }) => `${run} ${status}`)
      .sort(),
  ).toEqual(ended.map(({ id }) => `${id} succeeded`).sort());
  expect(await envelopes(cloud)).toEqual([]);
  await cloud.close();
  expect(leftFiles(folder)).toEqual([]);
  expect(processesOf(folder)).toEqual([]);
}

async function checkGood(cloud: LocalCloud, { key, sample: name, width, height, sound }: Input): Promise<void> {
  const [run, ...others] = await runsOf(cloud, key);
  expect(others).toEqual([]);
  expect(run, key).toMatchObject({ status: "succeeded", progress: 1, attempts: [{ number: 1 }] });
  const { outputs } = await resultOf(cloud, run!);
  expect(outputs.map(({ format }) => format)).toEqual(["mp4", "mov", "mkv", "flv", "avi", "m3u8", "jpeg"]);
  const present = (await keys(cloud)).filter((each) => each.startsWith(`${key}/`));
  expect(present).toHaveLength(outputs.reduce((sum, { files }) => sum + files, 0));
  const source = look(sample(name));
  const counts = new Map<string, number | undefined>();
  for (const output of outputs) {
    expect(present).toContain(output.key);
    if (output.format === "jpeg") continue;
    const made = look(await download(cloud, output.key));
    expect({ key, ...made.video }).toMatchObject({ codec: "h264", width, height, pixels: "yuv420p" });
    expect(made.audio?.codec, output.key).toBe(sound ? "aac" : undefined);
    expect(Math.abs(made.duration - source.duration), `${output.key} ${made.duration} ${source.duration}`).toBeLessThan(
      0.5,
    );
    counts.set(output.format, made.video?.frames);
  }
  expect(new Set(counts.values()).size, `${key} ${JSON.stringify([...counts])}`).toBe(1);
}

/** Bad things in every way they can come, and one good video among them. */
export async function badInputs(uploads: readonly BadUpload[], requests: readonly BadRequest[]): Promise<void> {
  const { start, notes, folder } = scene();
  const before = readdirSync(PROJECT);
  const cloud = await start();
  cloud.fault({ at: "function.start", part: "videos-transcode-work", times: 1, delay: "2 seconds" });
  await putFile(cloud, "gone.mp4", sample("plain.mp4"));
  await cloud.buckets.bucket(UPLOADS).remove("gone.mp4");
  for (const { key, content } of uploads) await put(cloud, key, content());
  await putFile(cloud, "good.mp4", sample("silent.mp4"));
  for (const { payload } of requests)
    await cloud.queues.send(REQUESTS, typeof payload === "string" ? payload : JSON.stringify(payload));
  await cloud.idle();

  await checkFailed(cloud, await runsOf(cloud, "gone.mp4"), /^gone\.mp4: .* it was removed before its turn/);
  for (const { key, says } of uploads) await checkFailed(cloud, await runsOf(cloud, key), says);
  const all = await runs(cloud);
  for (const { payload, says } of requests)
    await checkFailed(
      cloud,
      all.filter((task) => isSame(payloadOf(task), payload)),
      says,
    );
  const bad = all.filter(({ status }) => status !== "succeeded");
  expect(await runsOf(cloud, "good.mp4")).toContainEqual(expect.objectContaining({ status: "succeeded" }));
  expect((await keys(cloud)).filter((key) => !key.startsWith("good.mp4/"))).toEqual([]);
  expect(notes().filter(({ status }) => status === "failed")).toHaveLength(bad.length);
  expect(await cloud.queues.stats(REQUESTS)).toMatchObject({ ready: 0, inFlight: 0, delayed: 0 });
  expect(await envelopes(cloud, FAILURES)).toHaveLength(bad.length);
  expect(readdirSync(PROJECT)).toEqual(before);
  await cloud.close();
  expect(leftFiles(folder)).toEqual([]);
  expect(processesOf(folder)).toEqual([]);
}

async function checkFailed(cloud: LocalCloud, found: Awaited<ReturnType<typeof runs>>, says: RegExp): Promise<void> {
  expect(found, String(says)).toHaveLength(1);
  const [run] = found;
  expect(run).toMatchObject({ status: "failed", error: { message: expect.stringMatching(says) } });
  expect(run!.attempts).toHaveLength(1);
  const told = (await envelopes(cloud)).filter(({ task }) => task.id === run!.id);
  expect(told).toHaveLength(1);
  expect(JSON.parse(told[0]!.requestPayload as string)).toEqual(payloadOf(run!));
}

/** A dispatcher adds what it knows; nothing that was sent is changed. */
const isSame = (given: unknown, sent: unknown): boolean => {
  if (typeof sent !== "object" || typeof given !== "object" || given === null) return given === sent;
  const { etag: _etag, size: _size, ...rest } = given as Readonly<Record<string, unknown>>;
  return JSON.stringify(rest) === JSON.stringify(sent);
};
