import { describe, expect, it } from "vitest";
import { VirtualClock } from "../../../lib/clouds/local/host/virtual-clock.ts";
import type { BucketCreated } from "../../../lib/runtime/events.ts";
import { functionPlan, link, makeFolder, makeHost, until, writeBundle } from "./fixtures/kit.ts";

const upload = (id: string): BucketCreated => ({
  type: "bucket.created",
  id,
  bucket: "uploads",
  key: `${id}.mp4`,
  etag: "e",
  size: 1,
  time: "2026-01-01T00:00:00.000Z",
});

describe("a call", () => {
  it("gives the event and the context, and answers the result", async () => {
    const { define, functions } = makeHost();
    define(
      "echo",
      `async (event, { settings, run, scratch, tools }) => ({ type: event.type, payload: event.payload, settings, attempt: run.attempt, tools, inScratch: process.cwd() === scratch })`,
    );
    const answer = await functions.invoke("echo", { a: [1, "二", null] });
    expect(answer).toEqual({
      type: "function.invoked",
      payload: { a: [1, "二", null] },
      settings: { greeting: "hello" },
      attempt: 1,
      tools: {},
      inScratch: true,
    });
  });

  it("throws what the handler throws, with its kind", async () => {
    const { define, functions } = makeHost();
    define("fails", `async () => { throw Object.assign(new Error("no such format"), { kind: "bad-input" }); }`);
    await expect(functions.invoke("fails", null)).rejects.toMatchObject({
      kind: "bad-input",
      message: "no such format",
    });
    await expect(functions.invoke("unknown", null)).rejects.toMatchObject({ kind: "not-found" });
  });

  it("refuses payloads and results over the limits", async () => {
    const { define, functions } = makeHost({ limits: { functionPayloadBytes: 1000, eventPayloadBytes: 500 } });
    define("big", `async ({ payload }) => "x".repeat(payload.length ?? 0)`);
    await expect(functions.invoke("big", "x".repeat(1000))).rejects.toMatchObject({
      kind: "refused",
      message: expect.stringContaining("1002 bytes"),
    });
    await expect(functions.invoke("big", { length: 5000 })).rejects.toMatchObject({
      kind: "refused",
      message: expect.stringContaining("5002 bytes"),
    });
    expect(await functions.invoke("big", { length: 900 })).toHaveLength(900);
    const event = { type: "function.invoked", id: "1", payload: "x".repeat(600), time: "" } as const;
    expect(() => functions.enqueue("big", event)).toThrow(/at most 500/);
  });

  it("from a handler waits for no place of its own", async () => {
    const host = makeHost({ most: 1, port: (part) => host.functions.port(part) });
    host.define("outer", `async ({ payload }, { links }) => (await links.inner.invoke(payload)) + 1`, {
      links: { inner: link("inner", "function.invoke") },
    });
    host.define("inner", `async ({ payload }) => payload * 2`);
    expect(await host.functions.invoke("outer", 20)).toBe(41);
  });

  it("ends when its caller gives up", async () => {
    const { define, functions } = makeHost();
    define(
      "waits",
      `(event, { signal }) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)))`,
    );
    const controller = new AbortController();
    const call = functions.invoke("waits", null, { signal: controller.signal });
    setTimeout(() => controller.abort(), 300);
    await expect(call).rejects.toMatchObject({ kind: "stopped" });
  });

  it("wants the tools that the plan names", async () => {
    const { define, functions } = makeHost({ tools: { ffmpeg: "/usr/bin/ffmpeg" } });
    define("has", `async (event, { tools }) => tools`, { tools: ["ffmpeg"] });
    define("lacks", `async () => 1`, { tools: ["ffmpeg", "pandoc"] });
    expect(await functions.invoke("has", null)).toEqual({ ffmpeg: "/usr/bin/ffmpeg" });
    await expect(functions.invoke("lacks", null)).rejects.toThrow(/"pandoc"/);
  });
});

describe("an event", () => {
  it("is tried again after a growing wait, then goes to the failure queue", async () => {
    const clock = new VirtualClock();
    const { define, functions, sent, lines } = makeHost({ clock });
    define(
      "fails",
      `async (event, { run }) => { console.log("attempt " + run.attempt + " of " + run.id); throw new Error("no luck"); }`,
      {
        failures: "letters",
        backoff: { first: 10, factor: 3, longest: 20 },
      },
    );
    functions.enqueue("fails", upload("a"));
    await until("the first attempt", () => lines().includes("attempt 1 of a"));
    await until("the first failure", () => (functions.duty.next() ?? 0) > clock.now());
    // Half of 10 seconds, since random says 0.5.
    expect(functions.duty.next()).toBe(clock.now() + 5000);
    await clock.advance("4 seconds");
    expect(lines()).not.toContain("attempt 2 of a");
    await clock.advance("1 second");
    await until("the second failure", () => (functions.duty.next() ?? 0) > clock.now());
    // Half of 20 seconds: 30 would be more than the longest.
    expect(functions.duty.next()).toBe(clock.now() + 10_000);
    expect(sent).toEqual([]);
    await clock.advance("10 seconds");
    await until("the failure queue", () => sent.length > 0);
    expect(lines()).toContain("attempt 3 of a");
    expect(sent).toHaveLength(1);
    expect(sent[0]!.queue).toBe("letters");
    expect(JSON.parse(sent[0]!.body)).toMatchObject({
      event: upload("a"),
      attempts: 3,
      error: { kind: "failed", message: "no luck" },
    });
    expect(functions.waiting()).toEqual({});
  });

  it("that can never work is not tried again", async () => {
    const { define, functions, sent } = makeHost();
    define("fails", `async () => { throw Object.assign(new Error("no"), { kind: "bad-input" }); }`, {
      failures: "letters",
    });
    functions.enqueue("fails", upload("a"));
    await until("the failure queue", () => sent.length > 0);
    expect(JSON.parse(sent[0]!.body)).toMatchObject({ attempts: 1 });
  });

  it("goes to the failure queue however much its error says", async () => {
    const { define, functions, sent } = makeHost();
    define("fails", `async () => { throw new Error("<html>".repeat(50_000)); }`, { attempts: 1, failures: "letters" });
    functions.enqueue("fails", upload("a"));
    await until("the failure queue", () => sent.length > 0);
    expect(sent[0]!.body.length).toBeLessThan(16_384);
    expect(JSON.parse(sent[0]!.body)).toMatchObject({ error: { message: expect.stringMatching(/^<html>/) } });
  });

  it("without a failure queue is told of in the log", async () => {
    const { define, functions, lines } = makeHost();
    define("fails", `async () => { throw new Error("no"); }`, { attempts: 1 });
    functions.enqueue("fails", upload("a"));
    await until("the log", () =>
      lines().some((line) => line.includes("is dropped: the function has no failure queue")),
    );
  });

  it("stands or falls with the transaction that enqueues it", () => {
    const { define, functions, journal } = makeHost();
    define("never", `async () => 1`);
    expect(() =>
      journal.transaction(() => {
        functions.enqueue("never", upload("a"));
        throw new Error("no");
      }),
    ).toThrow("no");
    expect(functions.waiting()).toEqual({});
  });

  it("is handled again if the journal does not take its outcome", async () => {
    const clock = new VirtualClock();
    const sent: string[] = [];
    let isFull = true;
    const send = (_queue: string, body: string) => {
      if (isFull) throw new Error("the disk is full");
      sent.push(body);
    };
    const { define, functions, lines } = makeHost({ clock, send });
    define("fails", `async () => { throw new Error("no"); }`, { attempts: 1, failures: "letters" });
    functions.enqueue("fails", upload("a"));
    await clock.advance("0 seconds");
    expect(lines()).toContainEqual(expect.stringMatching(/could not be written down.*the disk is full/));
    expect(functions.waiting()).toEqual({ fails: 1 });
    isFull = false;
    await clock.advance("1 second");
    expect(sent).toHaveLength(1);
    expect(functions.waiting()).toEqual({});
  });

  it("is handled by the next host, on the same attempt, if this one ends", async () => {
    const folder = makeFolder();
    const first = makeHost({ folder });
    first.define("slow", `() => new Promise(() => {})`, { timeout: 600 });
    first.functions.enqueue("slow", upload("a"));
    first.functions.enqueue("slow", upload("b"));
    await until("a start", () => (first.functions.duty.next() ?? 0) === 0);
    await first.close();
    const second = makeHost({ folder });
    second.define("slow", `async (event, { run }) => { console.log(event.id + run.attempt); }`);
    await until("both", () => second.lines().length === 2);
    expect(second.lines().toSorted()).toEqual(["a1", "b1"]);
    await until("nothing to be left", () => Object.keys(second.functions.waiting()).length === 0);
  });

  it("is handled after events before it where the function has a concurrency of one", async () => {
    const { define, functions, lines } = makeHost({ most: 4 });
    define(
      "one",
      `async ({ id }) => { console.log("+" + id); await new Promise((r) => setTimeout(r, 20)); console.log("-" + id); }`,
      { concurrency: 1 },
    );
    for (const id of ["a", "b", "c"]) functions.enqueue("one", upload(id));
    await until("all", () => lines().length === 6);
    expect(lines()).toEqual(["+a", "-a", "+b", "-b", "+c", "-c"]);
  });

  it("loses its answer to a fault, and is handled twice", async () => {
    const clock = new VirtualClock();
    const { define, functions, faults, lines } = makeHost({ clock });
    define("counted", `async ({ id }) => { console.log(id); }`);
    faults.add({ at: "function.end", part: "counted", times: 1, error: "unavailable" });
    functions.enqueue("counted", upload("a"));
    await until("the first", () => lines().includes("a") && (functions.duty.next() ?? 0) > clock.now());
    await clock.advance("1 second");
    await until("nothing to be left", () => Object.keys(functions.waiting()).length === 0);
    expect(lines().filter((line) => line === "a")).toHaveLength(2);
  });
});

describe("a task's run", () => {
  const event = { type: "function.invoked", id: "r1", payload: { n: 1 }, time: "" } as const;
  const run = { id: "r1", task: "work", tenant: "t", attempt: 2 };

  it("is told who it is, and tells its progress and its log", async () => {
    const { define, functions, logs } = makeHost();
    define(
      "work",
      `async (event, { run, log }) => { for (let n = 1; n <= 1000; n++) run.progress(n / 1000, "frame " + n); log.warn("careful", { n: 1 }); return { ...run, progress: undefined }; }`,
    );
    const progress: unknown[] = [];
    const lines: unknown[] = [];
    const outcome = await functions.run("work", {
      event,
      run,
      onProgress: (one) => progress.push(one),
      onLog: (more) => lines.push(...more),
    });
    expect(outcome).toMatchObject({ result: { id: "r1", task: "work", tenant: "t", attempt: 2 } });
    expect(progress.at(-1)).toEqual({ fraction: 1, message: "frame 1000" });
    expect(progress.length).toBeLessThan(10);
    expect(lines).toEqual([expect.objectContaining({ level: "warn", message: "careful", fields: { n: 1 } })]);
    expect(logs).toEqual([]);
  });

  it("is stopped gracefully, or killed after its grace", async () => {
    const { define, functions } = makeHost();
    define(
      "polite",
      `(event, { signal, log }) => new Promise((resolve) => { log.info("on"); signal.addEventListener("abort", () => { log.info("tidied: " + signal.reason.kind); resolve(); }); })`,
    );
    define("deaf", `(event, { log }) => new Promise(() => { log.info("on"); setInterval(() => {}, 1000); })`);
    for (const [name, ends] of [
      ["polite", "was stopped"],
      ["deaf", "was killed"],
    ] as const) {
      const controller = new AbortController();
      const lines: string[] = [];
      const outcome = await functions.run(name, {
        event,
        run,
        grace: 200,
        signal: controller.signal,
        onLog: (more) => {
          lines.push(...more.map(({ message }) => message));
          controller.abort();
        },
      });
      expect(outcome).toMatchObject({ error: { kind: "stopped", message: expect.stringContaining(ends) } });
      expect(lines).toEqual(name === "polite" ? ["on", "tidied: stopped"] : ["on"]);
    }
  });

  it("times out", async () => {
    const { define, functions } = makeHost();
    define(
      "polite",
      `(event, { signal }) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)))`,
    );
    define("blocked", `() => { for (;;); }`);
    for (const name of ["polite", "blocked"]) {
      const outcome = await functions.run(name, { event, run, timeout: 300, grace: 200 });
      expect(outcome).toMatchObject({
        error: { kind: "timed-out", message: expect.stringContaining("longer than 0.3 seconds") },
      });
    }
  });

  it("does not keep functions waiting", async () => {
    const { define, functions } = makeHost({ most: 1 });
    define("work", `(event, { signal }) => new Promise((resolve) => signal.addEventListener("abort", resolve))`);
    define("quick", `async () => "done"`);
    const controller = new AbortController();
    let hasStarted = false;
    const options = { event, run, signal: controller.signal };
    const first = functions.run("work", { ...options, onStart: () => (hasStarted = true) });
    await until("the start", () => hasStarted);
    const second = functions.run("work", options);
    expect(await functions.invoke("quick", null)).toBe("done");
    controller.abort();
    expect(await Promise.all([first, second])).toMatchObject([
      { error: { kind: "stopped" } },
      { error: { kind: "stopped" } },
    ]);
  });
});

describe("new code", () => {
  it("runs the next invocations, while those that run finish on the old", async () => {
    const { define, functions, folder } = makeHost();
    define("app", `async ({ payload }) => { await new Promise((r) => setTimeout(r, payload)); return "old"; }`);
    expect(await functions.invoke("app", 0)).toBe("old");
    const running = functions.invoke("app", 500);
    await new Promise((resolve) => setTimeout(resolve, 100));
    functions.define(functionPlan("app"), writeBundle(folder, `async () => "new"`));
    expect(await functions.invoke("app", 0)).toBe("new");
    expect(await running).toBe("old");
    expect(await functions.invoke("app", 0)).toBe("new");
  });
});
