import { describe, expect, it, onTestFinished } from "vitest";
import { Queues } from "../../../lib/clouds/local/host/queues.ts";
import { Triggers } from "../../../lib/clouds/local/host/triggers.ts";
import { VirtualClock } from "../../../lib/clouds/local/host/virtual-clock.ts";
import type { FunctionPlan, PartPlan, QueuePlan, SchedulePlan, TimingPlan } from "../../../lib/parts/plan.ts";
import type { BucketCreated } from "../../../lib/runtime/events.ts";
import { makeFolder, makeHost, until } from "./fixtures/kit.ts";

const names = { construct: "test", cloud: "local" };

const queuePlan = (name: string, plan: Partial<QueuePlan> = {}): QueuePlan => ({
  kind: "queue",
  name,
  stem: name,
  ...names,
  visibility: 60,
  retention: 3600,
  delay: 0,
  ...plan,
});

const schedulePlan = (name: string, timing: TimingPlan, enabled = true): SchedulePlan => ({
  kind: "schedule",
  name,
  stem: name,
  ...names,
  timing,
  enabled,
});

const upload = (key: string, bucket = "uploads"): BucketCreated => ({
  type: "bucket.created",
  id: `${bucket}-${key}`,
  bucket,
  key,
  etag: "e",
  size: 1,
  time: "2026-01-01T00:00:00.000Z",
});

/** A host with functions that log the ids of their events, and what starts them. */
function setUp(options: { readonly folder?: string; readonly clock?: VirtualClock; readonly most?: number } = {}) {
  const clock = options.clock ?? new VirtualClock("2026-01-01T00:00:00Z");
  const host = makeHost({ ...options, clock });
  const { journal, agenda, functions, faults } = host;
  const queues = new Queues({ journal, clock, random: () => 0, onSent: () => agenda.wake() });
  const triggers = new Triggers({ journal, clock, agenda, functions, queues, faults, most: host.processes.most });
  agenda.add(triggers.duty);
  const close = async () => {
    await Promise.all([triggers.close(), host.close()]);
  };
  onTestFinished(close);
  const deploy = (...parts: readonly PartPlan[]) => {
    for (const part of parts) if (part.kind === "queue") queues.define(part);
    triggers.define(parts);
  };
  /** Resolves when there is nothing left in the queue, or nothing that can be received now. */
  const count = (queue: string) => queues.stats(queue);
  return { ...host, clock, queues, triggers, deploy, count, close };
}

const LOGS_ID = `async ({ id }) => { console.log(id); }`;

describe("objects", () => {
  it("start the functions whose prefix and suffix they have", async () => {
    const { define, deploy, triggers, lines, functions } = setUp();
    const source = (prefix: string, suffix: string, bucket = "uploads"): Partial<FunctionPlan> => ({
      sources: [{ type: "bucket.created", bucket, prefix, suffix }],
    });
    const log = (name: string) => `async ({ key }) => { console.log(${JSON.stringify(name)} + " " + key); }`;
    deploy(
      define("all", log("all"), source("", "")),
      define("videos", log("videos"), source("in/", ".mp4")),
      define("other", log("other"), source("", "", "others")),
    );
    for (const key of ["in/a.mp4", "in/b.txt", "c.mp4"]) triggers.created(upload(key));
    await until("the end", () => Object.keys(functions.waiting()).length === 0);
    expect(lines().toSorted()).toEqual(["all c.mp4", "all in/a.mp4", "all in/b.txt", "videos in/a.mp4"]);
  });

  it("are told of twice or late by a fault", async () => {
    const { define, deploy, triggers, faults, lines, clock, functions } = setUp();
    const sources = [{ type: "bucket.created", bucket: "uploads", prefix: "", suffix: "" }] as const;
    deploy(define("all", LOGS_ID, { sources }));
    faults.add({ at: "bucket.created", part: "all", times: 1, duplicate: 2 });
    faults.add({ at: "bucket.created", part: "all", times: 1, delay: "1 hour" });
    triggers.created(upload("twice"));
    await until("three deliveries", () => lines().length === 3);
    triggers.created(upload("late"));
    await clock.advance("59 minutes");
    expect(lines()).toEqual(Array.from({ length: 3 }, () => "uploads-twice"));
    await clock.advance("1 minute");
    await until("the late one", () => Object.keys(functions.waiting()).length === 0);
    expect(lines()).toContain("uploads-late");
  });
});

describe("messages", () => {
  const received = (batch: number, window = 0): Partial<FunctionPlan> => ({
    sources: [{ type: "queue.received", queue: "jobs", batch, window }],
  });
  const BATCHES = `async (event) => { console.log(event.body + " " + event.receives); if (event.body.startsWith("bad")) throw new Error("bad"); }`;

  it("that succeed are acknowledged, those that fail come back alone and end as dead letters", async () => {
    const { define, deploy, queues, count, lines, clock } = setUp();
    deploy(
      queuePlan("jobs", { attempts: 2, deadLetters: "dead" }),
      queuePlan("dead"),
      define("works", BATCHES, received(10)),
    );
    for (const body of ["one", "bad", "two"]) queues.sendNow("jobs", body);
    await until("the first batch", () => count("jobs").inFlight === 1 && count("jobs").ready === 0);
    expect(lines().filter((line) => !line.startsWith("event"))).toEqual(["one 1", "bad 1", "two 1"]);
    await clock.advance("1 minute");
    await until("the second try", () => lines().includes("bad 2"));
    await clock.advance("1 minute");
    await until("the dead letter", () => count("dead").ready === 1);
    expect(lines().filter((line) => line.startsWith("bad"))).toEqual(["bad 1", "bad 2"]);
    expect(queues.peek("dead", 1)[0]).toMatchObject({ body: "bad", attributes: { deadLetterSource: "jobs" } });
  });

  it("are all left in the queue by a process that dies", async () => {
    const { define, deploy, queues, count, lines, clock } = setUp();
    deploy(
      queuePlan("jobs"),
      define(
        "dies",
        `async ({ body, receives }) => { console.log(body); if (body === "b" && receives === 1) process.exit(1); }`,
        received(3),
      ),
    );
    for (const body of ["a", "b", "c"]) queues.sendNow("jobs", body);
    await until("the death", () => lines().some((line) => line.includes("exited with code 1")));
    expect(count("jobs")).toMatchObject({ inFlight: 3 });
    await clock.advance("1 minute");
    await until("the end", () => count("jobs").inFlight + count("jobs").ready === 0);
    expect(lines().filter((line) => line.length === 1)).toEqual(["a", "b", "a", "b", "c"]);
  });

  it("wait for the window to fill a batch, and no longer", async () => {
    const { define, deploy, queues, lines, clock } = setUp();
    const size = `async ({ body }, { run }) => { console.log(run.id + " " + body); }`;
    deploy(queuePlan("jobs"), define("batches", size, received(3, 300)));
    queues.sendNow("jobs", "a");
    queues.sendNow("jobs", "b");
    await clock.advance("4 minutes");
    expect(lines()).toEqual([]);
    await clock.advance("1 minute");
    await until("the batch that waited", () => lines().length === 2);
    const [first, second] = lines().map((line) => line.split(" ")[0]);
    expect(first).toBe(second);
    for (const body of ["c", "d", "e", "f"]) queues.sendNow("jobs", body);
    await until("the full batch", () => lines().length === 5);
    await clock.advance("5 minutes");
    await until("the rest", () => lines().length === 6);
  });

  it("stay hidden for as long as they are worked on", async () => {
    const { define, deploy, queues, count, lines, clock } = setUp();
    deploy(
      queuePlan("jobs", { visibility: 10 }),
      define(
        "slow",
        `(event, { clock }) => { console.log("began"); return new Promise((resolve) => clock.at(clock.now() + 300_000, resolve)); }`,
        { ...received(1), timeout: 600 },
      ),
    );
    queues.sendNow("jobs", "a");
    await until("the start", () => lines().includes("began"));
    for (let n = 0; n < 20; n += 1) await clock.advance("14 seconds");
    expect(count("jobs")).toMatchObject({ inFlight: 1, ready: 0 });
    await clock.advance("20 seconds");
    await until("the end", () => count("jobs").inFlight === 0);
    expect(lines()).toEqual(["began"]);
  });

  it("are worked on by as many as the function's concurrency allows", async () => {
    const { define, deploy, queues, count, lines } = setUp({ most: 3 });
    const body = `async ({ body }) => { console.log("+" + body); await new Promise((r) => setTimeout(r, 30)); console.log("-" + body); }`;
    deploy(queuePlan("jobs"), define("one", body, { ...received(1), concurrency: 1 }));
    for (const body of ["a", "b", "c"]) queues.sendNow("jobs", body);
    await until("the end", () => lines().length === 6 && count("jobs").inFlight === 0);
    expect(
      lines()
        .filter((_, index) => index % 2 === 0)
        .every((line) => line.startsWith("+")),
    ).toBe(true);
  });

  it("stay in the queue if their function has gone meanwhile", async () => {
    const { define, deploy, queues, count, faults, functions, clock } = setUp();
    deploy(queuePlan("jobs"), define("works", BATCHES, received(1)));
    faults.add({ at: "queue.received", times: 1, delay: "5 seconds" });
    queues.sendNow("jobs", "a");
    await until("the delivery", () => count("jobs").inFlight === 1);
    functions.remove("works");
    deploy(queuePlan("jobs"));
    await clock.advance("10 seconds");
    expect(count("jobs")).toMatchObject({ ready: 1, inFlight: 0 });
  });

  it("come twice by a fault", async () => {
    const { define, deploy, queues, count, lines, faults } = setUp();
    deploy(queuePlan("jobs"), define("works", BATCHES, received(2)));
    faults.add({ at: "queue.received", times: 1, duplicate: 1 });
    for (const body of ["a", "b"]) queues.sendNow("jobs", body);
    await until("both deliveries", () => lines().length === 4);
    expect(lines()).toEqual(["a 1", "b 1", "a 1", "b 1"]);
    expect(count("jobs")).toMatchObject({ ready: 0, inFlight: 0 });
  });

  it("in work when the host closes are there again at the next start", async () => {
    const folder = makeFolder();
    const first = setUp({ folder });
    const part = queuePlan("jobs");
    first.deploy(
      part,
      first.define("slow", `() => { console.log("began"); return new Promise(() => {}); }`, received(1)),
    );
    first.queues.sendNow("jobs", "a");
    await until("the start", () => first.lines().includes("began"));
    await first.close();
    const second = setUp({ folder });
    second.deploy(part, second.define("slow", BATCHES, received(1)));
    await until("the end", () => second.lines().includes("a 2"));
  });
});

describe("schedules", () => {
  const fired = (schedule: string): Partial<FunctionPlan> => ({ sources: [{ type: "schedule.fired", schedule }] });

  it("fire at their times, with the time in the id", async () => {
    const { define, deploy, lines, clock } = setUp();
    deploy(
      schedulePlan("minutes", { every: 300 }),
      schedulePlan("mornings", { cron: "0 4 * * *", timeZone: "Asia/Shanghai" }),
      schedulePlan("never", { every: 60 }, false),
      define("ticks", LOGS_ID, { sources: [...fired("minutes").sources!, ...fired("never").sources!] }),
      define("reports", LOGS_ID, fired("mornings")),
    );
    await clock.advance("11 minutes");
    await until("two", () => lines().length === 2);
    expect(lines().toSorted()).toEqual(["minutes-2026-01-01T00:05:00.000Z", "minutes-2026-01-01T00:10:00.000Z"]);
    await clock.advanceTo("2026-01-01T20:00:00Z");
    await until("the morning", () => lines().includes("mornings-2026-01-01T20:00:00.000Z"));
  });

  it("keep a time zone's hour when the clocks are changed", async () => {
    const clock = new VirtualClock("2026-03-28T12:00:00Z");
    const { define, deploy, lines } = setUp({ clock });
    deploy(
      schedulePlan("daily", { cron: "30 9 * * *", timeZone: "Europe/Berlin" }),
      define("reports", LOGS_ID, fired("daily")),
    );
    await clock.advanceTo("2026-03-30T12:00:00Z");
    await until("both", () => lines().length === 2);
    // 9:30 is 8:30 UTC in winter and 7:30 in summer, which begins on the 29th.
    expect(lines().toSorted()).toEqual(["daily-2026-03-29T07:30:00.000Z", "daily-2026-03-30T07:30:00.000Z"]);
  });

  it.each<[string, TimingPlan, string]>([
    ["every", { every: 3600 }, "2026-01-03T10:00:00.000Z"],
    ["cron", { cron: "15 * * * *", timeZone: "UTC" }, "2026-01-03T10:15:00.000Z"],
  ])("fire once after a pause, for the latest time missed: %s", async (_name, timing, latest) => {
    const folder = makeFolder();
    const first = setUp({ folder });
    first.deploy(schedulePlan("hourly", timing), first.define("ticks", LOGS_ID, fired("hourly")));
    await first.close();
    const clock = new VirtualClock("2026-01-03T10:20:00Z");
    const second = setUp({ folder, clock });
    second.deploy(schedulePlan("hourly", timing), second.define("ticks", LOGS_ID, fired("hourly")));
    await clock.advance("0 seconds");
    expect(second.lines()).toEqual([`hourly-${latest}`]);
    await clock.advance("1 hour");
    expect(second.lines()).toHaveLength(2);
  });

  it("are late, not lost, where the journal takes nothing for a while", async () => {
    const { define, deploy, lines, clock, journal } = setUp();
    deploy(schedulePlan("s", { every: 60 }), define("ticks", LOGS_ID, fired("s")));
    journal.define("CREATE TRIGGER full BEFORE INSERT ON deliveries BEGIN SELECT RAISE(ABORT, 'full'); END");
    await clock.advance("63 seconds");
    expect(lines()).toEqual([]);
    journal.define("DROP TRIGGER full");
    await clock.advance("1 second");
    expect(lines()).toEqual(["s-2026-01-01T00:01:00.000Z"]);
  });

  it("count anew when their timing is changed", async () => {
    const { define, deploy, lines, clock } = setUp();
    const plan = define("ticks", LOGS_ID, fired("s"));
    deploy(schedulePlan("s", { every: 3600 }), plan);
    await clock.advance("59 minutes");
    deploy(schedulePlan("s", { every: 60 }), plan);
    await clock.advance("61 seconds");
    await until("one", () => lines().length === 1);
    expect(lines()).toEqual(["s-2026-01-01T01:00:00.000Z"]);
  });
});
