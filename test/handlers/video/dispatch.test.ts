import { expect, test } from "vitest";
import { type DispatchSettings, handler } from "../../../lib/handlers/video/dispatch.ts";
import { systemClock } from "../../../lib/runtime/clock.ts";
import { MillraceError } from "../../../lib/runtime/errors.ts";
import type { SingleEvent } from "../../../lib/runtime/events.ts";
import type { Task } from "../../../lib/runtime/tasks/task.ts";
import { RUN_ID, type WorkflowRun } from "../../../lib/runtime/workflows/run.ts";
import { settingsOf, world } from "./world.ts";

const time = "2026-01-01T00:00:00.000Z";

/** Dispatches events and remembers what was submitted. */
function dispatcher(settings: DispatchSettings = settingsOf(["mp4"])) {
  const { uploads } = world();
  const submitted: { id: string; payload: unknown }[] = [];
  const started: { id: string; input: unknown }[] = [];
  const sliced = {
    async start(id: string, input: unknown) {
      started.push({ id, input });
      return { id } as WorkflowRun;
    },
  };
  const silent = { debug() {}, info() {}, warn() {}, error() {} };
  const task = {
    async submit(id: string, payload: unknown) {
      submitted.push({ id, payload });
      return { id } as Task;
    },
  };
  const dispatch = (event: SingleEvent) =>
    handler(event, {
      links: { uploads, task, ...(settings.slices && { sliced }) },
      settings,
      code: {},
      run: { id: "run", attempt: 1, deadline: 0, progress() {} },
      signal: new AbortController().signal,
      log: silent,
      metrics: { count() {}, gauge() {} },
      clock: systemClock,
      tools: {},
      scratch: "",
    });
  const upload = (key: string, etag = "e1", size = 10, id = "event") =>
    dispatch({ type: "bucket.created", id, bucket: "videos-uploads", key, etag, size, time });
  const message = (body: string, id = "m1") =>
    dispatch({ type: "queue.received", id, queue: "videos-requests", body, attributes: {}, receives: 1, time });
  const call = (payload: unknown) => dispatch({ type: "function.invoked", id: "call", payload, time });
  return { uploads, submitted, started, upload, message, call, ids: () => submitted.map(({ id }) => id) };
}

test("the same upload, however often it is delivered, has one id; other content and settings have others", async () => {
  const d = dispatcher();
  await d.upload("in/a b+c%2Fd.mp4");
  await d.upload("in/a b+c%2Fd.mp4", "e1", 10, "another delivery");
  await d.upload("in/a b+c%2Fd.mp4", "e2");
  const [first, again, other] = d.ids();
  expect(again).toBe(first);
  expect(other).not.toBe(first);
  expect(first).toMatch(/^a-b-c-2Fd-mp4-[a-z0-9]{12}$/);
  expect(d.submitted[0]!.payload).toEqual({
    bucket: "videos-uploads",
    object: "in/a b+c%2Fd.mp4",
    etag: "e1",
    size: 10,
  });

  const changed = dispatcher(settingsOf([{ format: "mp4", crf: 22 }]));
  await changed.upload("in/a b+c%2Fd.mp4");
  expect(changed.ids()[0]).not.toBe(first);
});

test("a message or a call for an upload is the upload's run, unless it asks for something else", async () => {
  const d = dispatcher();
  const { etag } = d.uploads.add("a.mp4", "content");
  await d.upload("a.mp4", etag, 7);
  await d.message(JSON.stringify({ bucket: "videos-uploads", object: "a.mp4" }));
  await d.call({ object: "a.mp4" });
  expect(new Set(d.ids()).size).toBe(1);
  expect(d.submitted[2]!.payload).toEqual({ object: "a.mp4", etag });

  for (const more of [{ dst_format: "flv" }, { dst_format: "avi" }, { output_dir: "a" }])
    await d.call({ object: "a.mp4", ...more });
  await d.message(JSON.stringify({ bucket_name: "videos-uploads", object_key: "a.mp4", output_dir: "a/b.mp4" }));
  expect(new Set(d.ids()).size).toBe(5);
  d.uploads.add("a.mp4", "other content");
  await d.call({ object: "a.mp4" });
  expect(new Set(d.ids()).size).toBe(6);
});

test("what names no object, or one that is not there, is a run all the same, with one id", async () => {
  const d = dispatcher();
  for (const body of ["no json {", "[]", '{"dst_format":"mp4"}', '{"object":"gone.mp4"}', '{"object":5}']) {
    await d.message(body, "m1");
    await d.message(body, "m2");
  }
  expect(new Set(d.ids()).size).toBe(5);
  expect(d.submitted[0]!.payload).toBe("no json {");
  expect(d.submitted[6]!.payload).toEqual({ object: "gone.mp4" });
});

test("a key that the bucket refuses to look up is a run; a bucket that does not answer is an error", async () => {
  const d = dispatcher();
  d.uploads.head = async () => {
    throw new MillraceError("bad-input", "no such key can be");
  };
  await d.call({ object: "x".repeat(2000) });
  expect(d.submitted).toHaveLength(1);
  d.uploads.head = async () => {
    throw new MillraceError("unavailable", "no answer");
  };
  await expect(d.call({ object: "a.mp4" })).rejects.toMatchObject({ kind: "unavailable" });
});

test("folders' placeholders, watermark images and fonts start nothing", async () => {
  const d = dispatcher(
    settingsOf([
      { format: "mp4", watermark: { image: "brand/logo.png" } },
      { format: "mov", watermark: { text: "磨坊", font: "brand/song.otf" } },
    ]),
  );
  await d.upload("in/", "e", 0);
  await d.upload("brand/logo.png");
  await d.upload("brand/song.otf");
  expect(d.submitted).toEqual([]);
  await d.upload("in/", "e", 5);
  expect(d.submitted).toHaveLength(1);
});

test("a large video is started in slices, with the id and payload that its run of the task would have", async () => {
  const settings = settingsOf(["mp4"]);
  const d = dispatcher({ ...settings, slices: { over: 100 } });
  await d.upload("large.mp4", "e1", 101);
  await d.upload("small.mp4", "e1", 100);
  const whole = dispatcher(settings);
  await whole.upload("large.mp4", "e1", 101);
  const [run] = whole.submitted;
  expect(d.started).toEqual([{ id: run!.id, input: run }]);
  expect(run!.id).toMatch(RUN_ID);
  expect(d.ids()).toHaveLength(1);

  d.uploads.add("asked.mp4", "x".repeat(101));
  await d.message('{"object":"asked.mp4"}');
  await d.message('{"object":"asked.mp4","etag":"other"}');
  await d.message('{"object":"missing.mp4"}');
  expect(d.started.map(({ input }) => (input as { payload: unknown }).payload).slice(1)).toMatchObject([
    { object: "asked.mp4" },
    { object: "asked.mp4", etag: "other" },
  ]);
  await d.call({ object: "asked.mp4" });
  expect(d.started, "a caller gets a run of the task").toHaveLength(3);
  expect(d.submitted).toHaveLength(3);
});
