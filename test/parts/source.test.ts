import { expect, test } from "vitest";
import { type Bucket, Part, type Queue, type Schedule } from "../../lib/parts/part.ts";
import { created, cron, every, fired, received } from "../../lib/parts/source.ts";

const part = <P>(name: string): P => new Part({ kind: "bucket", name } as never, undefined as never) as P;
const bucket = part<Bucket>("files");
const queue = part<Queue>("jobs");

test("sources are data", () => {
  expect(created(bucket)).toEqual({ plan: { type: "bucket.created", bucket: "files", prefix: "", suffix: "" } });
  expect(created(bucket, { prefix: "in/", suffix: ".mp4" }).plan).toMatchObject({ prefix: "in/", suffix: ".mp4" });
  expect(received(queue)).toEqual({ plan: { type: "queue.received", queue: "jobs", batch: 1, window: 0 } });
  expect(received(queue, { batch: 10, window: "5 seconds" }).plan).toMatchObject({ batch: 10, window: 5 });
  expect(fired(part<Schedule>("nightly"))).toEqual({ plan: { type: "schedule.fired", schedule: "nightly" } });
});

test("timings have no schedule part yet", () => {
  expect(every("5 minutes")).toEqual({ timing: { every: 300 } });
  expect(cron("0 4 * * *")).toEqual({ timing: { cron: "0 4 * * *", timeZone: "UTC" } });
  expect(cron("0 4 * * mon", { timeZone: "Asia/Shanghai" })).toEqual({
    timing: { cron: "0 4 * * mon", timeZone: "Asia/Shanghai" },
  });
});

test("what cannot be a time is refused where it is written", () => {
  expect(() => cron("0 4 * *")).toThrow("five fields");
  expect(() => cron("0 4 * * *", { timeZone: "Nowhere" })).toThrow('got "Nowhere"');
  expect(() => every("-5 minutes")).toThrow('got "-5 minutes"');
});
