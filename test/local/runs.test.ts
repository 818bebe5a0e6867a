import { describe, expect, test } from "vitest";
import { sample } from "../media.ts";
import { envelopes, FAILURES, keys, processesOf, put, putFile, REQUESTS, runs, runsOf, scene } from "./scene.ts";

const REPORTS = new URL("../../stacks/tasks.ts", import.meta.url);

describe("one content, one run", () => {
  test("an upload's event that comes three times, and the same object put or asked for again", async () => {
    const cloud = await scene().start();
    cloud.fault({ at: "bucket.created", part: "videos-transcode-dispatch", times: 1, duplicate: 2 });
    await put(cloud, "cat.mp4", "no video");
    await cloud.idle();
    const [first] = await runsOf(cloud, "cat.mp4");
    expect(await runs(cloud)).toHaveLength(1);
    const audit = await cloud.tasks.audit("videos", first!.id);
    expect(audit?.events.filter(({ type }) => type === "deduplicated").length).toBeLessThanOrEqual(2);

    await put(cloud, "cat.mp4", "other content");
    await cloud.idle();
    expect(await runsOf(cloud, "cat.mp4")).toHaveLength(2);
    expect(await envelopes(cloud)).toHaveLength(2);
  });

  test("what succeeded is answered; again makes another run", async () => {
    const cloud = await scene().start();
    await putFile(cloud, "cat.mp4", sample("silent.mp4"));
    await cloud.idle();
    await putFile(cloud, "cat.mp4", sample("silent.mp4"));
    await cloud.queues.send(REQUESTS, JSON.stringify({ object: "cat.mp4" }));
    const answered = await cloud.tasks.submit("videos", { object: "cat.mp4" });
    await cloud.idle();
    const [run, ...others] = await runs(cloud);
    expect(others).toEqual([]);
    expect(answered).toMatchObject({ id: run!.id, status: "succeeded", deduplicated: true });
    const again = await cloud.tasks.submit("videos", { object: "cat.mp4" }, { again: true });
    expect(again.id).toBe(`${run!.id}--r1`);
    expect(await cloud.tasks.wait("videos", again.id)).toMatchObject({ status: "succeeded" });
    expect(await runs(cloud)).toHaveLength(2);
  });
});

test("a stop ends ffmpeg, is told once, and a retry succeeds", async () => {
  const { start, folder } = scene();
  const cloud = await start();
  await putFile(cloud, "large.mp4", sample("large.mp4"));
  const encoders = () => processesOf(folder).filter((line) => /ffmpeg/.test(line));
  await expect.poll(encoders, { timeout: 10_000, interval: 20 }).not.toEqual([]);
  const [run] = await runs(cloud);
  await cloud.tasks.stop("videos", run!.id);
  // Well before its grace of 30 seconds is over.
  await expect.poll(encoders, { timeout: 5000, interval: 20 }).toEqual([]);
  expect(await cloud.tasks.wait("videos", run!.id)).toMatchObject({ status: "stopped", error: { kind: "stopped" } });
  await cloud.idle();
  expect((await envelopes(cloud)).map(({ task }) => task)).toMatchObject([{ id: run!.id, status: "stopped" }]);
  expect(await keys(cloud)).toEqual([]);
  await cloud.tasks.retry("videos", run!.id);
  expect(await cloud.tasks.wait("videos", run!.id)).toMatchObject({ status: "succeeded", progress: 1 });
  await cloud.idle();
  expect(await envelopes(cloud, FAILURES)).toHaveLength(1);
});

test("after a restart, runs are found by status, time and prefix, with logs, payload and result", async () => {
  const { start } = scene();
  const first = await start({ program: REPORTS });
  for (const id of ["a-1", "a-2", "b-1"]) await first.tasks.submit("reports", { month: id, pages: 1 }, { id });
  await first.idle();
  const middle = new Date(first.clock.now()).toISOString();
  await first.tasks.submit("reports", { month: "later", pages: 1 }, { id: "b-2", delay: "1 hour", tenant: "acme" });
  await first.close();

  const cloud = await start({ program: REPORTS });
  const ids = async (filter: Parameters<typeof cloud.tasks.list>[1]) =>
    (await cloud.tasks.list("reports", { order: "oldest", ...filter })).tasks.map(({ id }) => id);
  expect(await ids({})).toEqual(["a-1", "a-2", "b-1", "b-2"]);
  expect(await ids({ status: "succeeded" })).toEqual(["a-1", "a-2", "b-1"]);
  expect(await ids({ status: ["queued", "retrying"] })).toEqual(["b-2"]);
  expect(await ids({ prefix: "b-" })).toEqual(["b-1", "b-2"]);
  expect(await ids({ after: middle })).toEqual(["b-2"]);
  expect(await ids({ before: middle, prefix: "a" })).toEqual(["a-1", "a-2"]);
  expect(await ids({ tenant: "acme" })).toEqual(["b-2"]);
  const page = await cloud.tasks.list("reports", { limit: 3, order: "oldest" });
  expect(await ids({ limit: 3, cursor: page.next! })).toEqual(["b-2"]);
  const lines = [];
  for await (const line of cloud.tasks.logs("reports", "a-1")) lines.push(line);
  expect(lines).toMatchObject([{ message: "page written", attempt: 1, fields: { month: "a-1", page: 1 } }]);
  expect(await cloud.tasks.audit("reports", "a-1")).toMatchObject({
    payload: { month: "a-1", pages: 1 },
    result: { month: "a-1", pages: 1 },
    events: [{ type: "submitted" }, { type: "started" }, { type: "succeeded" }],
  });
});
