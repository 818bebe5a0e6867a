import { describe, expect, test } from "vitest";
import { VirtualClock } from "../../../lib/clouds/local/host/virtual-clock.ts";
import { MillraceError } from "../../../lib/runtime/errors.ts";
import type { TaskLogs } from "../../../lib/runtime/tasks/logs.ts";
import type { SubmitOptions, Task, TaskLogLine } from "../../../lib/runtime/tasks/task.ts";
import { definition, makeWorld, memoryBucket } from "./world.ts";

const failed = (message = "it broke") => ({ error: { kind: "failed", message } }) as const;

describe("submit", () => {
  test("a run starts, reports and ends", async () => {
    const { service, platform, settle, finish, events } = makeWorld();
    const run = await service.submit("work", { a: 1 }, { id: "one" });
    expect(run).toMatchObject({ task: "work", id: "one", status: "queued", payloadPreview: '{"a":1}', attempts: [] });
    await settle();
    expect(platform.started).toMatchObject([
      { task: "work", id: "one", attempt: 1, attemptId: "one--a1", payload: { a: 1 }, deadline: 1_767_225_660_000 },
    ]);
    expect(await service.get("work", "one")).toMatchObject({ status: "running", attempts: [{ number: 1 }] });
    await finish("one", { result: { ok: true } });
    expect(await service.get("work", "one")).toMatchObject({
      status: "succeeded",
      progress: 1,
      resultPreview: '{"ok":true}',
    });
    expect(await events("one")).toEqual(["submitted", "started", "succeeded"]);
  });

  test.each(["queued", "running", "retrying", "succeeded", "stopping", "stopped"] as const)(
    "a run that is %s answers its id",
    async (status) => {
      const { service, settle, finish, platform, events } = makeWorld({
        tasks: [definition({ concurrency: status === "queued" ? 0 : 1 })],
      });
      await service.submit("work", 1, { id: "one" });
      await settle();
      if (status === "retrying") await finish("one", failed());
      if (status === "succeeded") await finish("one", { result: 1 });
      if (status === "stopping" || status === "stopped") await service.stop("work", "one");
      if (status === "stopped") await finish("one", failed());
      const starts = platform.started.length;
      const answer = await service.submit("work", 2, { id: "one", by: "dispatcher" });
      await settle();
      expect(answer).toMatchObject({ status, deduplicated: true, payloadPreview: "1" });
      expect(platform.started).toHaveLength(starts);
      expect((await events("one")).at(-1)).toBe("deduplicated");
    },
  );

  test("ten submits at once are one run", async () => {
    const { service, settle, platform } = makeWorld();
    const runs = await Promise.all(Array.from({ length: 10 }, (_, n) => service.submit("work", n, { id: "one" })));
    await settle();
    expect(runs.filter(({ deduplicated }) => !deduplicated)).toHaveLength(1);
    expect(platform.started).toHaveLength(1);
  });

  test("a failed run starts a new round: new payload, attempts count on, the history stays", async () => {
    const { service, settle, finish, platform, events } = makeWorld({ tasks: [definition({ attempts: 1 })] });
    await service.submit("work", "old", { id: "one", tags: { a: "1" } });
    await settle();
    await finish("one", failed());
    const again = await service.submit("work", "new", { id: "one", priority: 3 });
    expect(again).toMatchObject({ status: "queued", priority: 3, tags: {}, payloadPreview: '"new"' });
    expect(again.deduplicated).toBeUndefined();
    expect(again.error).toBeUndefined();
    expect(again.started).toBeUndefined();
    await settle();
    expect(platform.started.map(({ attemptId, payload }) => [attemptId, payload])).toEqual([
      ["one--a1", "old"],
      ["one--a2", "new"],
    ]);
    await finish("one", { result: 1 });
    expect(await service.get("work", "one")).toMatchObject({
      status: "succeeded",
      attempts: [{ number: 1, error: { kind: "failed" } }, { number: 2 }],
    });
    expect(await events("one")).toEqual(["submitted", "started", "failed", "submitted", "started", "succeeded"]);
  });

  test("again makes <id>--r<n>, always the next one", async () => {
    const { service } = makeWorld({ tasks: [definition({ concurrency: 0 })] });
    const submit = async (id: string, options: SubmitOptions = {}) =>
      (await service.submit("work", 1, { id, again: true, ...options })).id;
    expect(await submit("one")).toBe("one");
    expect(await submit("one")).toBe("one--r1");
    expect(await submit("one")).toBe("one--r2");
    expect(await submit("one--r1")).toBe("one--r3");
    expect(new Set(await Promise.all([submit("one"), submit("one"), submit("one")])).size).toBe(3);
    expect(await submit("one")).toBe("one--r7");
    await expect(submit("one", { tenant: "b" })).rejects.toMatchObject({ kind: "conflict" });
  });

  test("without an id the dispatcher decides", async () => {
    const calls: unknown[] = [];
    const { service } = makeWorld({
      aliases: new Map([["resize", "work"]]),
      dispatch: async (task, payload, options) => {
        calls.push([task, payload, options]);
        return { id: "derived" } as Task;
      },
    });
    expect(await service.submit("resize", { a: 1 }, { priority: 2 })).toEqual({ id: "derived" });
    expect(calls).toEqual([["work", { a: 1 }, { priority: 2 }]]);
  });

  test("an unknown task is told which there are; an alias is known", async () => {
    const { service } = makeWorld({
      tasks: [definition(), definition({ name: "rest" })],
      aliases: new Map([["construct", "rest"]]),
    });
    await expect(service.submit("wrok", 1, { id: "a" })).rejects.toThrow(
      'there is no task "wrok"; there are: "work", "rest"',
    );
    await expect(service.list("wrok")).rejects.toMatchObject({ kind: "not-found" });
    expect(await service.submit("construct", 1, { id: "a" })).toMatchObject({ task: "rest" });
    expect(await service.get("construct", "a")).toMatchObject({ task: "rest" });
  });

  test.each([
    ["", "1 to 200"],
    ["x".repeat(201), "got 201"],
    ["a\nb", "control"],
    ["a\u0000", "control"],
    ["\ud800", "control"],
  ])("id %j is refused", async (id, words) => {
    const { service } = makeWorld();
    const submit = service.submit("work", 1, { id });
    await expect(submit).rejects.toMatchObject({ kind: "refused" });
    await expect(submit).rejects.toThrow(words);
  });

  test.each(["x".repeat(200), "中文 %2F+ 🎬.mp4", "🎬".repeat(200), "a--a1", "--r1"])("id %j is taken", async (id) => {
    const { service, settle, platform } = makeWorld();
    await service.submit("work", 1, { id });
    await settle();
    expect(platform.started).toMatchObject([{ id, attemptId: `${id}--a1` }]);
    expect((await service.list("work")).tasks).toMatchObject([{ id }]);
  });

  test.each<[SubmitOptions, string]>([
    [{ priority: 1.5 }, "priority: must be a whole number, got 1.5"],
    [{ delay: "soon" as "1 second" }, "delay: "],
    [{ expires: "1 week" as "1 day" }, "expires: "],
    [{ deadline: "tomorrow" }, 'deadline: must be a time in ISO 8601, such as 2026-01-31T08:00:00Z, got "tomorrow"'],
    [{ tenant: "" }, "tenant: "],
    [{ tags: { a: 1 as unknown as string } }, "tags.a: must be a text, got 1"],
  ])("option %j is refused by name", async (options, words) => {
    const { service } = makeWorld();
    const submit = service.submit("work", 1, { id: "a", ...options });
    await expect(submit).rejects.toMatchObject({ kind: "refused" });
    await expect(submit).rejects.toThrow(words);
  });

  test("a payload that is no JSON is bad input", async () => {
    const { service } = makeWorld();
    await expect(service.submit("work", 1n, { id: "a" })).rejects.toMatchObject({ kind: "bad-input" });
    await expect(service.submit("work", () => 1, { id: "a" })).rejects.toMatchObject({ kind: "bad-input" });
    await service.submit("work", undefined, { id: "a" });
    expect((await service.audit("work", "a"))?.payload).toBe(null);
  });

  test("an id of another tenant is a conflict, in both directions and every state", async () => {
    const { service, settle, finish } = makeWorld({ tasks: [definition({ attempts: 1 })] });
    await service.submit("work", 1, { id: "a", tenant: "red" });
    await expect(service.submit("work", 1, { id: "a", tenant: "blue" })).rejects.toMatchObject({ kind: "conflict" });
    await expect(service.submit("work", 1, { id: "a" })).rejects.toMatchObject({ kind: "conflict" });
    await settle();
    await finish("a", failed());
    await expect(service.submit("work", 1, { id: "a", tenant: "blue" })).rejects.toMatchObject({ kind: "conflict" });
    expect(await service.get("work", "a")).toMatchObject({ status: "failed", tenant: "red" });
  });
});

describe("admission", () => {
  test("never more than the cap, and the next as soon as one ends", async () => {
    const { service, settle, finish, platform } = makeWorld({ tasks: [definition({ concurrency: 2 })] });
    for (const id of ["a", "b", "c", "d"]) await service.submit("work", 1, { id });
    await settle();
    expect(platform.started.map(({ id }) => id)).toEqual(["a", "b"]);
    await finish("b", { result: 1 });
    expect(platform.started.map(({ id }) => id)).toEqual(["a", "b", "c"]);
  });

  test("priority first, then due time, then the order of submits; a delayed run does not hold up others", async () => {
    const { service, settle, advance, finish, platform, definitions } = makeWorld({
      tasks: [definition({ concurrency: 0 })],
    });
    await service.submit("work", 1, { id: "low", priority: -1 });
    await service.submit("work", 1, { id: "first" });
    await service.submit("work", 1, { id: "second" });
    await service.submit("work", 1, { id: "later", priority: 9, delay: "10 seconds" });
    await service.submit("work", 1, { id: "high", priority: 5 });
    (definitions as Map<string, unknown>).set("work", definition({ concurrency: 1 }));
    await service.recover();
    for (const id of ["high", "first"]) {
      await settle();
      await finish(id, { result: 1 });
    }
    await advance("10 seconds");
    for (const id of ["second", "later", "low"]) await finish(id, { result: 1 });
    expect(platform.started.map(({ id }) => id)).toEqual(["high", "first", "second", "later", "low"]);
  });

  test("one task at its cap does not hold up another", async () => {
    const { service, settle, platform } = makeWorld({
      tasks: [definition({ concurrency: 1 }), definition({ name: "other" })],
    });
    for (const id of ["a", "b", "c"]) await service.submit("work", 1, { id });
    await service.submit("other", 1, { id: "d" });
    await settle();
    expect(platform.started.map(({ id }) => id).sort()).toEqual(["a", "d"]);
  });

  test("backoff holds no slot, and a retry keeps its priority", async () => {
    const { service, settle, finish, advance, platform } = makeWorld({ tasks: [definition({ concurrency: 1 })] });
    await service.submit("work", 1, { id: "a", priority: 5 });
    await service.submit("work", 1, { id: "b" });
    await service.submit("work", 1, { id: "c" });
    await settle();
    await finish("a", failed());
    expect(platform.started.map(({ id }) => id)).toEqual(["a", "b"]);
    await advance("2 seconds");
    await finish("b", { result: 1 });
    expect(platform.started.map(({ id }) => id)).toEqual(["a", "b", "a"]);
  });

  test("more runs than fit in one claim all start", async () => {
    const { service, settle, platform } = makeWorld();
    await Promise.all(Array.from({ length: 350 }, (_, n) => service.submit("work", n, { id: `run-${n}` })));
    await settle();
    expect(new Set(platform.started.map(({ id }) => id)).size).toBe(350);
    expect(platform.started).toHaveLength(350);
  });
});

describe("time", () => {
  test("a delayed run starts when it is due", async () => {
    const { service, advance, settle, platform } = makeWorld();
    const run = await service.submit("work", 1, { id: "a", delay: "1 hour" });
    expect(Date.parse(run.due) - Date.parse(run.submitted)).toBe(3_600_000);
    await settle();
    await advance("59 minutes");
    expect(platform.started).toHaveLength(0);
    await advance("1 minute");
    expect(platform.started).toHaveLength(1);
  });

  test("a run that does not start in time expires, counted from its due time, and tells the failure destination", async () => {
    const { service, advance, status, delivered, platform } = makeWorld({
      tasks: [definition({ concurrency: 0, expires: 60 })],
    });
    await service.submit("work", 1, { id: "a" });
    await service.submit("work", 1, { id: "b", delay: "1 minute" });
    await service.submit("work", 1, { id: "c", expires: "10 seconds" });
    await advance("10 seconds");
    expect([await status("a"), await status("b"), await status("c")]).toEqual(["queued", "queued", "expired"]);
    await advance("50 seconds");
    expect([await status("a"), await status("b")]).toEqual(["expired", "queued"]);
    await advance("1 minute");
    expect(await status("b")).toBe("expired");
    expect(platform.started).toHaveLength(0);
    expect(delivered.map(({ destination, envelope }) => [destination.name, envelope.task.id])).toEqual([
      ["failures", "c"],
      ["failures", "a"],
      ["failures", "b"],
    ]);
    expect(delivered[0]!.envelope).toMatchObject({ requestContext: { condition: "expired", requestId: "c--a0" } });
  });

  test("a run that has started once does not expire while it waits for its retry", async () => {
    const { service, settle, advance, finish, status, platform } = makeWorld({
      tasks: [definition({ expires: 1, backoff: { first: 100, factor: 1, longest: 100 } })],
    });
    await service.submit("work", 1, { id: "a" });
    await settle();
    await finish("a", failed());
    await advance("49 seconds");
    expect(await status("a")).toBe("retrying");
    await advance("1 second");
    expect(platform.started).toHaveLength(2);
  });

  test("retention forgets final runs with all they left, and nothing else", async () => {
    const { service, settle, advance, finish, logs, claims, journal, status } = makeWorld({
      tasks: [definition({ retention: 3600, timeout: 86_400 })],
      limits: { taskPayloadBytes: 100, taskResultBytes: 100 },
    });
    await service.submit("work", "x".repeat(200), { id: "a" });
    await service.submit("work", 1, { id: "b" });
    await settle();
    await service.logged({ task: "work", id: "a" }, [{ time: "t", attempt: 1, level: "info", message: "hello" }]);
    await finish("a", { result: "y".repeat(200) });
    expect(claims.objects.size).toBe(2);
    await advance("59 minutes");
    expect(await status("a")).toBe("succeeded");
    await advance("1 minute");
    expect(await status("a")).toBe(undefined);
    expect(await status("b")).toBe("running");
    expect(claims.objects.size).toBe(0);
    expect(await logs.read("work", "a", { after: 0, limit: 10 })).toEqual([]);
    for (const table of ["task_bodies", "task_events", "task_runs"]) {
      expect(journal.sql(`SELECT count(*) AS n FROM ${table} WHERE id = 'a'`).get()).toEqual({ n: 0 });
    }
    expect(await service.submit("work", 1, { id: "a" })).toMatchObject({ status: "queued" });
  });
});

describe("attempts", () => {
  test("a retryable failure is tried again, with backoff and jitter, up to the attempts", async () => {
    const { service, settle, advance, finish, events, platform } = makeWorld();
    await service.submit("work", 1, { id: "a" });
    await settle();
    await finish("a", failed("first"));
    const waiting = await service.get("work", "a");
    expect(waiting).toMatchObject({ status: "retrying", error: { message: "first" } });
    expect(Date.parse(waiting!.due) - Date.parse(waiting!.started!)).toBe(500); // half of 1 s
    await advance("0.4 seconds");
    expect(platform.started).toHaveLength(1);
    await advance("0.1 seconds");
    expect(platform.started).toHaveLength(2);
    await finish("a", { error: { kind: "timed-out", message: "second" } });
    expect(Date.parse((await service.get("work", "a"))!.due) - Date.parse(waiting!.due)).toBe(1000); // half of 2 s
    await advance("1 second");
    await finish("a", { error: { kind: "unavailable", message: "third" } });
    expect(await service.get("work", "a")).toMatchObject({
      status: "failed",
      error: { kind: "unavailable", message: "third" },
      attempts: [{ error: { message: "first" } }, { error: { message: "second" } }, { error: { message: "third" } }],
    });
    expect(platform.started.map(({ attemptId }) => attemptId)).toEqual(["a--a1", "a--a2", "a--a3"]);
    expect(await events("a")).toEqual([
      "submitted",
      ...["started", "retrying", "started", "retrying", "started", "failed"],
    ]);
  });

  test.each(["bad-input", "refused", "not-found"] as const)("%s fails at once", async (kind) => {
    const { service, settle, finish, status } = makeWorld();
    await service.submit("work", 1, { id: "a" });
    await settle();
    await finish("a", { error: { kind, message: "no" } });
    expect(await status("a")).toBe("failed");
  });

  test("what the platform itself stopped or expired is stopped or expired", async () => {
    const { service, settle, finish, status } = makeWorld();
    await service.submit("work", 1, { id: "a" });
    await service.submit("work", 1, { id: "b" });
    await settle();
    await finish("a", { error: { kind: "stopped", message: "in the console" } });
    await finish("b", { error: { kind: "expired", message: "too old" } });
    expect([await status("a"), await status("b")]).toEqual(["stopped", "expired"]);
  });

  test("an interruption uses no attempt, keeps the run's place, and is bounded", async () => {
    const { service, settle, advance, finish, platform, status } = makeWorld({
      tasks: [definition({ attempts: 1, concurrency: 1, timeout: 86_400 })],
    });
    await service.submit("work", 1, { id: "a" });
    await service.submit("work", 1, { id: "b" });
    await settle();
    await finish("a", { error: { kind: "interrupted", message: "host gone" } });
    expect(platform.started.map(({ attemptId }) => attemptId)).toEqual(["a--a1", "a--a2"]);
    await service.stop("work", "b");
    for (let count = 2; count <= 100; count += 1) {
      await finish("a", { error: { kind: "interrupted", message: "host gone" } });
      await advance("5 minutes");
    }
    expect(await status("a")).toBe("running");
    expect(platform.started).toHaveLength(101);
    await finish("a", { error: { kind: "interrupted", message: "host gone" } });
    expect(await service.get("work", "a")).toMatchObject({ status: "failed", error: { kind: "interrupted" } });
  });

  test("an interruption leaves all attempts to the run", async () => {
    const { service, settle, advance, finish, status } = makeWorld({ tasks: [definition({ attempts: 2 })] });
    await service.submit("work", 1, { id: "a" });
    await settle();
    await finish("a", { error: { kind: "interrupted", message: "host gone" } });
    await finish("a", failed());
    expect(await status("a")).toBe("retrying");
    await advance("10 seconds");
    await finish("a", failed());
    expect(await status("a")).toBe("failed");
  });

  test("log lines that the store refuses are lost, and that is told", async () => {
    const { service, logs, warnings } = makeWorld();
    await service.submit("work", null, { id: "a" });
    logs.append = () => Promise.reject(new MillraceError("unavailable", "the disk is full"));
    await service.logged({ task: "work", id: "a" }, [{ time: "t", attempt: 1, level: "info", message: "hello" }]);
    expect(warnings).toEqual(['work "a": lines of its log could not be stored: the disk is full']);
  });

  test("a log that comes late is followed until all of it is there", async () => {
    const clock = new VirtualClock();
    const printed: { readonly shown: number; readonly line: TaskLogLine }[] = [];
    const logs: TaskLogs = {
      delay: 10_000,
      append: async () => {},
      read: async (_task, _id, { after }) =>
        printed
          .filter(({ shown }) => shown <= clock.now())
          .flatMap(({ line }) => (line.sequence > after ? [line] : [])),
      watch: () => () => {},
      remove: async () => {},
    };
    const { service, settle, finish, advance } = makeWorld({ clock, logs });
    const print = (sequence: number) =>
      printed.push({
        shown: clock.now() + 9000,
        line: { sequence, time: new Date(clock.now()).toISOString(), attempt: 1, level: "info", message: "hello" },
      });
    await service.submit("work", null, { id: "a" });
    await settle();
    print(1);
    const read: number[] = [];
    let isOver = false;
    const following = (async () => {
      for await (const { sequence } of service.logs("work", "a", { follow: true })) read.push(sequence);
      isOver = true;
    })();
    await advance("1 second");
    print(2);
    await finish("a", { result: 1 });
    await advance("8 seconds");
    expect(isOver).toBe(false);
    await advance("10 seconds");
    await following;
    expect(read).toEqual([1, 2]);
  });

  test("a report from an attempt that is not the current one changes nothing and is logged", async () => {
    const { service, settle, advance, finish, store, warnings, delivered } = makeWorld();
    await service.submit("work", 1, { id: "a" });
    await settle();
    await finish("a", failed());
    const check = async (attempt: number) => {
      const before = await store.get("work", "a");
      warnings.length = 0;
      await service.progressed({ task: "work", id: "a", attempt }, 0.7);
      await service.finished({ task: "work", id: "a", attempt }, { result: "late" });
      await settle();
      expect(await store.get("work", "a")).toEqual(before);
      expect(warnings).toHaveLength(2);
    };
    await check(1); // retrying: its own attempt is over
    await advance("1 second");
    await check(1); // running attempt 2
    await check(3); // not begun
    await finish("a", { result: 1 });
    await check(2); // a second report of the end
    expect(delivered).toHaveLength(1);
    await service.finished({ task: "work", id: "nobody", attempt: 1 }, { result: 1 });
  });

  test("a result that is no JSON is bad input, not a crash", async () => {
    const { service, settle, finish } = makeWorld();
    await service.submit("work", 1, { id: "a" });
    await settle();
    await finish("a", { result: 1n });
    expect(await service.get("work", "a")).toMatchObject({ status: "failed", error: { kind: "bad-input" } });
  });

  test("progress is seen, cheap when nothing is new, and back at 0 at the next attempt", async () => {
    const { service, settle, advance, finish, store } = makeWorld();
    const seen: number[] = [];
    await service.submit("work", 1, { id: "a" });
    await settle();
    service.onChange(({ progress }) => void seen.push(progress));
    const attempt = { task: "work", id: "a", attempt: 1 };
    const { version } = (await store.get("work", "a"))!;
    await service.progressed(attempt, 0.25, "half of a half");
    await service.progressed(attempt, 0.2501, "half of a half");
    await service.progressed(attempt, 7);
    await service.progressed(attempt, Number.NaN);
    expect(seen).toEqual([0.25, 1]);
    expect(await store.get("work", "a")).toMatchObject({ progress: 1, version });
    await finish("a", failed());
    await advance("1 second");
    expect(await service.get("work", "a")).toMatchObject({ status: "running", progress: 0 });
  });
});

describe("a platform with troubles", () => {
  test("a start that is refused fails the run", async () => {
    const { service, settle, platform } = makeWorld();
    platform.onStart = () => {
      throw new MillraceError("refused", "no permission");
    };
    await service.submit("work", 1, { id: "a" });
    await settle();
    expect(await service.get("work", "a")).toMatchObject({
      status: "failed",
      error: { kind: "refused", message: "could not start: no permission" },
    });
  });

  test("a start that is throttled costs no attempt", async () => {
    const { service, settle, advance, platform, status, finish } = makeWorld({
      tasks: [definition({ attempts: 1, timeout: 86_400 })],
    });
    let refusals = 5;
    platform.onStart = () => {
      refusals -= 1;
      if (refusals >= 0) throw new MillraceError("unavailable", "429");
    };
    await service.submit("work", 1, { id: "a" });
    await settle();
    await advance("10 minutes");
    expect(await status("a")).toBe("running");
    await finish("a", { result: 1 });
    expect(await status("a")).toBe("succeeded");
  });

  test("an attempt the platform lost is made again when its lease lapses", async () => {
    const { service, settle, advance, platform, events } = makeWorld();
    await service.submit("work", 1, { id: "a" });
    await settle();
    platform.running.clear();
    await advance("2 minutes");
    expect(platform.started.map(({ attemptId }) => attemptId)).toEqual(["a--a1", "a--a2"]);
    expect(await events("a")).toEqual(["submitted", "started", "interrupted", "started"]);
  });

  test("an end nobody reported is found", async () => {
    const { service, settle, advance, platform, delivered } = makeWorld();
    await service.submit("work", 1, { id: "a" });
    await settle();
    platform.known.set("a--a1", { result: "found" });
    await advance("2 minutes");
    expect(await service.get("work", "a")).toMatchObject({ status: "succeeded", resultPreview: '"found"' });
    expect(delivered).toHaveLength(1);
  });

  test("an attempt whose large result is on its way is not taken for lost", async () => {
    const claims = memoryBucket();
    let arrive = () => {};
    const { service, settle, platform, status } = makeWorld({
      limits: { taskResultBytes: 100 },
      claims: {
        ...claims,
        put: async (...args) => {
          await new Promise<void>((resolve) => {
            arrive = resolve;
          });
          return claims.put(...args);
        },
      },
    });
    await service.submit("work", 1, { id: "a" });
    await settle();
    platform.running.clear();
    const end = service.finished({ task: "work", id: "a", attempt: 1 }, { result: "x".repeat(200) });
    await service.recover();
    expect(await status("a")).toBe("running");
    arrive();
    await end;
    await settle();
    expect(await status("a")).toBe("succeeded");
    expect(platform.started).toHaveLength(1);
  });

  test("a long run keeps its slot as long as the platform says it runs", async () => {
    const { service, settle, advance, platform, status } = makeWorld({
      tasks: [definition({ timeout: 7200, concurrency: 1 })],
    });
    await service.submit("work", 1, { id: "a" });
    await service.submit("work", 1, { id: "b" });
    await settle();
    await advance("119 minutes");
    expect(await status("a")).toBe("running");
    expect(platform.started).toHaveLength(1);
  });

  test("a run the platform does not end at its timeout is ended by the service", async () => {
    const { service, settle, advance, platform } = makeWorld({ tasks: [definition({ attempts: 1 })] });
    await service.submit("work", 1, { id: "a" });
    await settle();
    await advance("5 minutes");
    expect(platform.stopped).toContainEqual({ attempt: "a--a1", grace: 0 });
    expect(await service.get("work", "a")).toMatchObject({ status: "failed", error: { kind: "timed-out" } });
  });

  test("a platform that does not answer is asked again", async () => {
    const { service, settle, advance, platform, status, warnings } = makeWorld();
    await service.submit("work", 1, { id: "a" });
    await settle();
    platform.inspect = () => {
      throw new Error("no route");
    };
    await advance("5 minutes");
    expect(await status("a")).toBe("running");
    expect(warnings.filter((warning) => warning.includes("no route")).length).toBeGreaterThan(3);
  });

  test("an end that cannot be stored is stored when there is room again", async () => {
    let isFull = false;
    const world = makeWorld({
      wrapStore: (store) =>
        new Proxy(store, {
          get(target, name: "update") {
            const method = target[name];
            if (name !== "update") return typeof method === "function" ? method.bind(target) : method;
            return (...args: Parameters<typeof method>) => {
              if (isFull) throw new MillraceError("unavailable", "disk full");
              return method.apply(target, args);
            };
          },
        }),
    });
    const { service, settle, advance, finish, status, platform } = world;
    await service.submit("work", 1, { id: "a" });
    await settle();
    isFull = true;
    await finish("a", { result: "kept" });
    await advance("10 minutes");
    expect(await status("a")).toBe("running");
    isFull = false;
    await advance("1 minute");
    expect(await service.get("work", "a")).toMatchObject({ status: "succeeded", resultPreview: '"kept"' });
    expect(platform.started).toHaveLength(1);
  });
});

describe("stop", () => {
  test("a waiting run stops at once; a run that is over is answered as it is", async () => {
    const { service, settle, finish, delivered, status } = makeWorld({ tasks: [definition({ concurrency: 1 })] });
    await service.submit("work", 1, { id: "a" });
    await service.submit("work", 1, { id: "b" });
    await settle();
    expect(await service.stop("work", "b", { by: "cli" })).toMatchObject({
      status: "stopped",
      error: { kind: "stopped", message: "stopped by cli" },
    });
    await finish("a", failed());
    expect(await service.stop("work", "a")).toMatchObject({ status: "stopped" });
    await settle();
    const { ended } = await service.stop("work", "b");
    expect(await service.stop("work", "b")).toMatchObject({ status: "stopped", ended });
    expect(delivered.map(({ envelope }) => [envelope.task.id, envelope.task.status])).toEqual([
      ["b", "stopped"],
      ["a", "stopped"],
    ]);
    await expect(service.stop("work", "nobody")).rejects.toMatchObject({ kind: "not-found" });
    expect(await status("b")).toBe("stopped");
  });

  test("a running run is asked to stop, once, and keeps its slot until it has", async () => {
    const { service, settle, finish, platform } = makeWorld({ tasks: [definition({ concurrency: 1 })] });
    await service.submit("work", 1, { id: "a" });
    await service.submit("work", 1, { id: "b" });
    await settle();
    expect(await service.stop("work", "a")).toMatchObject({ status: "stopping" });
    expect(await service.stop("work", "a")).toMatchObject({ status: "stopping" });
    expect(platform.stopped).toEqual([{ attempt: "a--a1", grace: 10 }]);
    expect(platform.started).toHaveLength(1);
    await finish("a", failed("killed"));
    expect(await service.get("work", "a")).toMatchObject({ status: "stopped", error: { kind: "stopped" } });
    expect(platform.started.map(({ id }) => id)).toEqual(["a", "b"]);
  });

  test("a success finished while stopping is a success", async () => {
    const { service, settle, finish, delivered } = makeWorld();
    await service.submit("work", 1, { id: "a" });
    await settle();
    await service.stop("work", "a");
    await finish("a", { result: 1 });
    expect(await service.get("work", "a")).toMatchObject({ status: "succeeded" });
    expect(delivered.map(({ destination }) => destination.name)).toEqual(["successes"]);
  });

  test("a stop is asked of the platform after the start, never before", async () => {
    const { service, settle, platform } = makeWorld();
    let go = () => {};
    const order: string[] = [];
    platform.onStart = async () => {
      await new Promise<void>((resolve) => {
        go = resolve;
      });
      order.push("started");
    };
    platform.stop = () => void order.push("stopped");
    await service.submit("work", 1, { id: "a" });
    for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    const stop = service.stop("work", "a");
    for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    expect(order).toEqual([]);
    go();
    await stop;
    await settle();
    expect(order).toEqual(["started", "stopped"]);
  });

  test("an attempt that outlives its grace is asked about, and stopped at once", async () => {
    const { service, settle, advance, platform, status } = makeWorld();
    await service.submit("work", 1, { id: "a" });
    await settle();
    await service.stop("work", "a");
    await advance("1 minute");
    expect(platform.stopped.at(-1)).toEqual({ attempt: "a--a1", grace: 0 });
    expect(await status("a")).toBe("stopping");
    platform.running.clear();
    await advance("1 minute");
    expect(await status("a")).toBe("stopped");
  });
});

describe("retry", () => {
  test("failed, stopped and expired runs run again with the payload they had and all attempts", async () => {
    const { service, settle, advance, finish, platform, status } = makeWorld({ tasks: [definition({ attempts: 2 })] });
    await service.submit("work", { keep: "me" }, { id: "a" });
    await settle();
    for (let attempt = 1; attempt <= 2; attempt += 1) {
      await finish("a", failed());
      await advance("10 seconds");
    }
    expect(await status("a")).toBe("failed");
    expect(await service.retry("work", "a")).toMatchObject({ status: "queued" });
    await settle();
    await finish("a", failed());
    expect(await status("a")).toBe("retrying");
    await service.stop("work", "a");
    await service.retry("work", "a");
    await settle();
    expect(platform.started.map(({ attempt, payload }) => [attempt, payload])).toEqual(
      [1, 2, 3, 4].map((attempt) => [attempt, { keep: "me" }]),
    );
    await finish("a", { result: 1 });
    expect(await status("a")).toBe("succeeded");
  });

  test("other states are a conflict that names the state", async () => {
    const { service, settle } = makeWorld();
    await service.submit("work", 1, { id: "a" });
    await settle();
    await expect(service.retry("work", "a")).rejects.toThrow(
      'work "a" is running; only failed, stopped and expired runs are retried',
    );
    await expect(service.retry("work", "a")).rejects.toMatchObject({ kind: "conflict" });
    await expect(service.retry("work", "b")).rejects.toMatchObject({ kind: "not-found" });
  });
});

describe("after a crash", () => {
  test("every run that was accepted comes to its end, in its old order, and is told of once", async () => {
    const first = makeWorld({ tasks: [definition({ concurrency: 2 })] });
    for (const id of ["a", "b", "c", "d"]) await first.service.submit("work", id, { id });
    await first.settle();
    await first.service.stop("work", "b");
    await first.service.close();
    const { journal, clock } = first;
    const second = makeWorld({ journal, clock, tasks: [definition({ concurrency: 2 })] });
    await second.service.recover();
    await second.settle();
    expect(await second.status("b")).toBe("stopped");
    expect(second.platform.started.map(({ attemptId }) => attemptId)).toEqual(["a--a2", "c--a1"]);
    for (const id of ["a", "c", "d"]) await second.finish(id, { result: 1 });
    expect(second.delivered.map(({ envelope }) => envelope.task.id).sort()).toEqual(["a", "b", "c", "d"]);
  });

  test("attempts that still run are left alone", async () => {
    const { service, settle, platform, status } = makeWorld();
    await service.submit("work", 1, { id: "a" });
    await settle();
    await service.recover();
    await settle();
    expect(await status("a")).toBe("running");
    expect(platform.started).toHaveLength(1);
  });

  test("runs of a task that has gone wait until it is back", async () => {
    const { service, settle, advance, platform, definitions, store } = makeWorld();
    const known = definitions as Map<string, ReturnType<typeof definition>>;
    await service.submit("work", 1, { id: "a", delay: "1 minute" });
    known.delete("work");
    await settle();
    await advance("1 hour");
    expect(await store.get("work", "a")).toMatchObject({ status: "queued" });
    known.set("work", definition());
    await service.recover();
    await settle();
    expect(platform.started).toHaveLength(1);
  });
});
