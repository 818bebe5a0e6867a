import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import type { Task } from "../../lib/runtime/index.ts";
import { millrace } from "../cli/run.ts";
import { sample } from "../media.ts";
import { startDevProcess } from "./dev-process.ts";
import { leftFiles, OUTPUTS, PROJECT, processesOf, type Scene, scene, UPLOADS, VIDEOS } from "./scene.ts";

/** The command in another terminal, on the scene's folder. */
const run = ({ folder, env }: Scene, ...words: string[]) =>
  millrace([...words, "--folder", folder], { cwd: PROJECT, env });

const json = async <Value>(stage: Scene, ...words: string[]): Promise<Value> => {
  const { code, out, err } = await run(stage, ...words, "--json");
  expect({ code, err }, out).toEqual({ code: 0, err: "" });
  return JSON.parse(out) as Value;
};

test("upload, watch, ask again, stop by Ctrl-C in the middle, and the next start finishes", async () => {
  const stage = scene();
  const first = startDevProcess(stage);
  onTestFinished(() => void first.child.kill("SIGKILL"));
  await first.ready;
  const second = await run(stage, "dev", VIDEOS);
  expect(second.code).toBe(1);
  expect(second.err).toMatch(/^millrace: .* is in use by another millrace process; stop that one first/);

  await json(stage, "buckets", "put", UPLOADS, sample("silent.mp4"), "--key", "猫 +%2F.mp4");
  const request = JSON.stringify({ object: "猫 +%2F.mp4" });
  const made = await json<Task>(stage, "tasks", "submit", "videos", request, "--wait");
  expect(made).toMatchObject({ status: "succeeded" });
  const again = await json<Task>(stage, "tasks", "submit", "videos", request, "--again", "--wait");
  expect(again).toMatchObject({ id: `${made.id}--r1`, status: "succeeded" });
  const files = await run(stage, "buckets", "ls", OUTPUTS);
  expect(files.out).toContain("猫 +%2F.mp4/video.mp4");

  await json(stage, "buckets", "put", UPLOADS, sample("large.mp4"));
  const isAtWork = () => processesOf(stage.folder).some((line) => /ffmpeg/.test(line));
  await expect.poll(isAtWork, { timeout: 10_000, interval: 20 }).toBe(true);
  const ended = await first.end("SIGINT");
  expect(ended).toMatchObject({
    code: 0,
    said: expect.stringMatching(/^stopping; what runs goes on at the next start/),
  });
  expect(leftFiles(stage.folder)).toEqual([]);
  expect(processesOf(stage.folder)).toEqual([]);

  const next = startDevProcess(stage);
  onTestFinished(() => void next.child.kill("SIGKILL"));
  await next.ready;
  const tasks = await json<readonly Task[]>(stage, "tasks", "list", "videos");
  const large = tasks.find(({ id }) => id.startsWith("large"));
  const done = await next.client.tasks.wait("videos", large!.id);
  expect(done).toMatchObject({ status: "succeeded" });
  expect(done.attempts[0]).toMatchObject({ error: { kind: "interrupted" } });
  expect(await next.end("SIGINT")).toMatchObject({ code: 0 });
}, 60_000);

test("outputs that would start runs of their own are refused at synthesis", async () => {
  const stage = scene();
  const program = join(import.meta.dirname, "programs", "loop.ts");
  const { code, out, err } = await millrace(["synth", program], { cwd: PROJECT, env: stage.env });
  expect({ code, out }).toEqual({ code: 1, out: "" });
  expect(err).toMatch(/videos\.outputPrefix: .*would start runs again/);
});
