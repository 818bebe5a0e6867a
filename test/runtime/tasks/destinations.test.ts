import { describe, expect, test } from "vitest";
import type { Envelope, PayloadReference } from "../../../lib/runtime/tasks/envelope.ts";
import { definition, makeWorld, type World } from "./world.ts";

const TWO = [
  { kind: "queue", name: "failures" },
  { kind: "function", name: "alert" },
] as const;

/** What a queue of Function Compute or AWS takes. */
const QUEUE_BYTES = 64 * 1024;

const read = ({ claims }: World, payload: string | PayloadReference): string =>
  typeof payload === "string" ? payload : claims.objects.get(payload.key)!.toString();

async function succeed(world: World, payload: unknown, result: unknown): Promise<Envelope> {
  await world.service.submit("work", payload, { id: "a" });
  await world.settle();
  await world.finish("a", { result });
  return world.delivered.at(-1)!.envelope;
}

describe("the envelope", () => {
  test("of a success", async () => {
    const world = makeWorld();
    await world.service.submit("work", { in: 1 }, { id: "a", tenant: "red" });
    await world.settle();
    await world.finish("a", { result: { out: 2 } });
    expect(world.delivered).toEqual([
      {
        destination: { kind: "queue", name: "successes" },
        key: "work/a--a1/1/queue/successes",
        envelope: {
          timestamp: world.clock.now(),
          requestContext: { requestId: "a--a1", functionArn: "work", condition: "", approximateInvokeCount: 1 },
          requestPayload: '{"in":1}',
          responseContext: { statusCode: 200, functionError: "" },
          responsePayload: '{"out":2}',
          task: { task: "work", id: "a", status: "succeeded", tenant: "red" },
        },
      },
    ]);
  });

  test("of a failure", async () => {
    const world = makeWorld({ tasks: [definition({ attempts: 1, onFailure: TWO })] });
    await world.service.submit("work", { in: 1 }, { id: "a" });
    await world.settle();
    await world.finish("a", { error: { kind: "failed", message: "it broke", stack: "at work.ts:1" } });
    expect(world.delivered.map(({ destination }) => destination)).toEqual(TWO);
    expect(world.delivered[0]!.envelope).toMatchObject({
      requestContext: { requestId: "a--a1", condition: "failed" },
      requestPayload: '{"in":1}',
      responseContext: { statusCode: 500, functionError: "failed" },
      responsePayload: '{"errorType":"failed","errorMessage":"it broke"}',
      task: { id: "a", status: "failed", error: { kind: "failed", message: "it broke" } },
    });
    expect(world.delivered[1]!.envelope).toEqual(world.delivered[0]!.envelope);
  });

  test.each<[string, payload: string, result: string, references: [boolean, boolean]]>([
    ["small", "p", "r", [false, false]],
    ["a large payload", "p".repeat(33 * 1024), "r", [true, false]],
    ["a large result", "p", "é".repeat(17 * 1024), [false, true]],
    ["two of nearly 32 KB", "p".repeat(32_700), "r".repeat(32_600), [true, false]],
    ["a payload full of quotes", '"'.repeat(15_000), "r".repeat(20_000), [true, false]],
    ["both full of quotes", '"'.repeat(16_380), '"'.repeat(16_000), [true, true]],
    ["over the store's own limit", "p".repeat(200_000), "r".repeat(200_000), [true, true]],
  ])("fits in a queue: %s", async (_name, payload, result, references) => {
    const world = makeWorld({ limits: { taskPayloadBytes: 128 * 1024, taskResultBytes: 128 * 1024 } });
    const envelope = await succeed(world, payload, result);
    expect(Buffer.byteLength(JSON.stringify(envelope))).toBeLessThan(QUEUE_BYTES);
    const { requestPayload, responsePayload } = envelope;
    expect([typeof requestPayload, typeof responsePayload]).toEqual(
      references.map((isReference) => (isReference ? "object" : "string")),
    );
    expect(JSON.parse(read(world, requestPayload))).toBe(payload);
    expect(JSON.parse(read(world, responsePayload))).toBe(result);
    if (typeof requestPayload === "object") {
      expect(requestPayload).toMatchObject({
        bucket: "claims",
        size: Buffer.byteLength(JSON.stringify(payload)),
        preview: JSON.stringify(payload).slice(0, 1024),
      });
    }
  });

  test("of a run without a result", async () => {
    const envelope = await succeed(makeWorld(), 1, undefined);
    expect(envelope.responsePayload).toBe("");
  });
});

describe("delivery", () => {
  test("is tried again until it arrives, each destination by itself, with one key", async () => {
    let isDown = true;
    const calls: string[] = [];
    const { service, settle, finish, advance, store } = makeWorld({
      tasks: [definition({ attempts: 1, onFailure: TWO })],
      deliver: (destination, _envelope, key) => {
        calls.push(key);
        if (destination.kind === "function" && isDown) throw new Error("down");
      },
    });
    await service.submit("work", 1, { id: "a" });
    await settle();
    await finish("a", { error: { kind: "failed", message: "no" } });
    await advance("1 hour");
    const alerts = calls.filter((key) => key === "work/a--a1/1/function/alert").length;
    expect(calls.filter((key) => key === "work/a--a1/1/queue/failures")).toHaveLength(1);
    expect(alerts).toBeGreaterThan(10);
    expect(alerts).toBeLessThan(60);
    expect((await store.get("work", "a"))?.deliveries).toMatchObject([{ destination: TWO[1], outcome: 1 }]);
    isDown = false;
    await advance("5 minutes");
    const done = calls.length;
    await advance("1 hour");
    expect(calls).toHaveLength(done);
    expect((await store.get("work", "a"))?.deliveries).toEqual([]);
    expect(await store.body("work", "a", "envelope-1")).toBe(undefined);
  });

  test("a run is not forgotten before everybody was told", async () => {
    let isDown = true;
    const { service, settle, finish, advance, status } = makeWorld({
      tasks: [definition({ retention: 60 })],
      deliver: () => {
        if (isDown) throw new Error("down");
      },
    });
    await service.submit("work", 1, { id: "a" });
    await settle();
    await finish("a", { result: 1 });
    await advance("1 hour");
    expect(await status("a")).toBe("succeeded");
    isDown = false;
    await advance("10 minutes");
    expect(await status("a")).toBe(undefined);
  });

  test("what was sent but not confirmed before a crash is sent again with the same key", async () => {
    const sent: [key: string, at: number][] = [];
    const first = makeWorld({
      deliver: (_destination, _envelope, key) => {
        sent.push([key, 1]);
        return new Promise(() => {}); // the process dies before it hears
      },
    });
    await first.service.submit("work", { in: 1 }, { id: "a" });
    for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    await first.service.finished({ task: "work", id: "a", attempt: 1 }, { result: 1 });
    for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    first.agenda.stop();
    const { journal, clock } = first;
    const second = makeWorld({ journal, clock, deliver: (_destination, _envelope, key) => void sent.push([key, 2]) });
    await second.service.recover();
    await second.settle();
    expect(sent).toEqual([
      ["work/a--a1/1/queue/successes", 1],
      ["work/a--a1/1/queue/successes", 2],
    ]);
  });

  test("two processes do not both send", async () => {
    const sent: string[] = [];
    const deliver = (_destination: unknown, _envelope: unknown, key: string) => void sent.push(key);
    const first = makeWorld({ deliver });
    const second = makeWorld({ journal: first.journal, clock: first.clock, deliver });
    await first.service.submit("work", 1, { id: "a" });
    await first.settle();
    await first.service.finished({ task: "work", id: "a", attempt: 1 }, { result: 1 });
    second.service.run(first.clock.now());
    await first.settle();
    await second.settle();
    await second.advance("1 hour");
    expect(sent).toHaveLength(1);
  });

  test("a send that outlasts its reservation is not doubled by the process that makes it", async () => {
    let sends = 0;
    let arrive = () => {};
    const world = makeWorld({
      deliver: () => {
        sends += 1;
        return new Promise<void>((resolve) => {
          arrive = resolve;
        });
      },
    });
    await world.service.submit("work", 1, { id: "a" });
    for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    await world.service.finished({ task: "work", id: "a", attempt: 1 }, { result: 1 });
    for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    world.service.run(world.clock.now() + 600_000);
    for (let turn = 0; turn < 9; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    expect(sends).toBe(1);
    arrive();
    await world.settle();
    expect((await world.store.get("work", "a"))?.deliveries).toEqual([]);
  });

  test("outcomes of two rounds are told each with its own payload, even if the first could not be for long", async () => {
    let isDown = true;
    const told: [status: string, payload: unknown][] = [];
    const { service, settle, finish, advance } = makeWorld({
      tasks: [definition({ attempts: 1 })],
      deliver: (_destination, { task, requestPayload }) => {
        if (isDown) throw new Error("down");
        told.push([task.status, requestPayload]);
      },
    });
    await service.submit("work", "old", { id: "a" });
    await settle();
    await finish("a", { error: { kind: "failed", message: "no" } });
    await service.submit("work", "new", { id: "a" });
    await settle();
    await finish("a", { error: { kind: "failed", message: "no" } });
    await service.retry("work", "a");
    await settle();
    await service.stop("work", "a");
    await finish("a", { result: 1 });
    expect(told).toEqual([]);
    isDown = false;
    await advance("10 minutes");
    expect(told.sort()).toEqual([
      ["failed", '"new"'],
      ["failed", '"old"'],
      ["succeeded", '"new"'],
    ]);
  });
});

describe("claims", () => {
  const limits = { taskPayloadBytes: 100, taskResultBytes: 100 };

  test("a large payload and result go to the bucket and come back whole", async () => {
    const world = makeWorld({ limits });
    const { service, settle, finish, platform, claims, store } = world;
    const payload = { text: "中".repeat(5000) };
    const run = await service.submit("work", payload, { id: "a/b c" });
    expect(run.payloadPreview).toBe(JSON.stringify(payload).slice(0, 1024));
    await settle();
    expect(platform.started[0]).toMatchObject({
      payload,
      payloadReference: { bucket: "claims", size: Buffer.byteLength(JSON.stringify(payload)) },
    });
    await finish("a/b c", { result: payload });
    expect(await service.audit("work", "a/b c")).toMatchObject({ payload, result: payload });
    expect(await store.body("work", "a/b c", "payload")).toBe(undefined);
    expect([...claims.objects.keys()].every((key) => /^tasks\/work\/[a-z0-9]{24}\/(payload|result)-/.test(key))).toBe(
      true,
    );
  });

  test("exactly at the limit stays, one byte more goes", async () => {
    const { service, claims } = makeWorld({ limits });
    await service.submit("work", "x".repeat(98), { id: "a" });
    expect(claims.objects.size).toBe(0);
    await service.submit("work", "x".repeat(99), { id: "b" });
    expect(claims.objects.size).toBe(1);
  });

  test("duplicates leave nothing behind and never overwrite the payload of the run", async () => {
    const { service, settle, claims, platform } = makeWorld({ limits });
    const texts = ["p", "q", "r", "s"].map((letter) => letter.repeat(500));
    const runs = await Promise.all(texts.map((text) => service.submit("work", text, { id: "a" })));
    await service.submit("work", "t".repeat(500), { id: "a" });
    await settle();
    expect(claims.objects.size).toBe(1);
    const winner = runs.findIndex(({ deduplicated }) => !deduplicated);
    expect(platform.started).toMatchObject([{ payload: texts[winner] }]);
  });

  test("a payload that is gone from the bucket fails the run in words", async () => {
    const { service, settle, claims } = makeWorld({ limits, tasks: [definition({ concurrency: 1 })] });
    await service.submit("work", 1, { id: "first" });
    await service.submit("work", "p".repeat(500), { id: "a" });
    claims.objects.clear();
    await settle();
    await service.stop("work", "first");
    await service.finished({ task: "work", id: "first", attempt: 1 }, { result: 1 });
    await settle();
    expect(await service.get("work", "a")).toMatchObject({ status: "failed", error: { kind: "not-found" } });
  });

  test("previews never end in half a character", async () => {
    const { service } = makeWorld();
    const { payloadPreview } = await service.submit("work", `${"x".repeat(1022)}🎬`, { id: "a" });
    expect(payloadPreview).toBe(`"${"x".repeat(1022)}`);
  });
});
