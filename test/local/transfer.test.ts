import { createHash } from "node:crypto";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Readable } from "node:stream";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import type { LocalClient } from "../../lib/clouds/local/client.ts";
import { evaluate } from "../../lib/program/evaluate.ts";
import { isOver, type WorkflowRun } from "../../lib/runtime/workflows/run.ts";
import { startLocal } from "../../lib/testing/index.ts";
import { MB } from "../handlers/transfer/in-process.ts";
import { noise } from "../handlers/transfer/world.ts";
import { startDevProcess } from "./dev-process.ts";
import { scene } from "./scene.ts";

const program = fileURLToPath(new URL("./programs/transfers-stack.ts", import.meta.url));
const project = fileURLToPath(new URL("../..", import.meta.url));
const FLOW = "move-flow";

/** Content of which no two pieces are the same, a megabyte at a time. */
function* content(megabytes: number, seed = 1): Generator<Buffer> {
  for (let index = 0; index < megabytes; index += 1) yield noise(MB, seed * 1000 + index);
}

const hashOf = async (chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<string> => {
  const hash = createHash("sha256");
  for await (const chunk of chunks) hash.update(chunk);
  return hash.digest("hex");
};

const over = async (cloud: LocalClient, id: string): Promise<WorkflowRun> => {
  for (;;) {
    const found = await cloud.workflows.get(FLOW, id);
    if (found && isOver(found.run.status)) return found.run;
    await pause(50);
  }
};

const outputOf = async (cloud: LocalClient, id: string): Promise<unknown> =>
  (await cloud.workflows.get(FLOW, id))?.output;

test("a large object, and a prefix of many small ones", { timeout: 120_000 }, async () => {
  await using cloud = await startLocal({ program, project });
  const [from, to] = ["move-from", "move-to"].map((name) => cloud.buckets.bucket(name)) as [Bucket, Bucket];
  await from.put("big/film.mp4", Readable.from(content(200)), { contentType: "video/mp4", metadata: { owner: "猫" } });
  const { id } = await cloud.workflows.start(FLOW, { object: "big/film.mp4" }, { id: "film" });
  expect(await over(cloud, id)).toMatchObject({ status: "succeeded" });
  expect(await outputOf(cloud, id)).toEqual({ objects: 1, bytes: 200 * MB, kept: 0 });
  expect(await to.head("big/film.mp4")).toMatchObject({ contentType: "video/mp4", metadata: { owner: "猫" } });
  expect(await hashOf(await to.stream("big/film.mp4"))).toBe(await hashOf(content(200)));

  for (let n = 0; n < 300; n += 1) await from.put(`small/${n}`, `content ${n}`);
  await cloud.workflows.start(FLOW, { prefix: "small/" }, { id: "small" });
  expect(await over(cloud, "small")).toMatchObject({ status: "succeeded" });
  expect(await outputOf(cloud, "small")).toMatchObject({ objects: 300, kept: 0 });
  expect(Buffer.from(await to.get("small/299")).toString()).toBe("content 299");

  await from.put("auto/a", "by upload");
  await expect.poll(async () => (await to.head("auto/a"))?.size, { timeout: 15_000 }).toBe(9);
});

type Bucket = ReturnType<LocalClient["buckets"]["bucket"]>;

test("a source that changes is told, and a request that is none is refused", { timeout: 120_000 }, async () => {
  await using cloud = await startLocal({ program, project });
  const from = cloud.buckets.bucket("move-from");
  await from.put("a", Buffer.concat([...content(64)]));
  // The first pieces wait, so that the change comes in between.
  cloud.fault({ at: "bucket.piece", part: "move-to", times: 2, delay: "2 seconds" });
  await cloud.workflows.start(FLOW, { object: "a" }, { id: "changed" });
  await expect.poll(() => stepsOf(cloud, "changed"), { timeout: 20_000 }).toContain("copy");
  await from.put("a", Buffer.concat([...content(64, 2)]));
  expect(await over(cloud, "changed")).toMatchObject({ status: "failed", error: { kind: "conflict" } });
  expect(await cloud.buckets.bucket("move-to").head("a")).toBeUndefined();
  await cloud.workflows.start(FLOW, { objects: "a" }, { id: "wrong" });
  expect(await over(cloud, "wrong")).toMatchObject({ status: "failed", error: { kind: "bad-input" } });
});

const stepsOf = async (cloud: LocalClient, id: string): Promise<readonly string[]> =>
  ((await cloud.workflows.get(FLOW, id))?.steps ?? []).map(({ step }) => step);

test("workers that are killed are begun again, and copy what is missing", { timeout: 120_000 }, async () => {
  await using cloud = await startLocal({ program, project });
  await cloud.buckets.bucket("move-from").put("a", Buffer.concat([...content(96)]));
  cloud.fault({ at: "bucket.piece", part: "move-to", times: 2, rate: 0.3, kill: true });
  cloud.fault({ at: "bucket.read", part: "move-from", times: 2, rate: 0.3, kill: true });
  await cloud.workflows.start(FLOW, { object: "a" }, { id: "killed" });
  expect(await over(cloud, "killed")).toMatchObject({ status: "succeeded" });
  const made = await cloud.buckets.bucket("move-to").stream("a");
  expect(await hashOf(made)).toBe(await hashOf(content(96)));
});

test("after kill -9 of everything no piece that was there is copied again", { timeout: 120_000 }, async () => {
  const stage = scene();
  const first = startDevProcess(stage, { program });
  onTestFinished(() => void first.child.kill("SIGKILL"));
  await first.ready;
  await first.client.buckets.bucket("move-from").put("a", Readable.from(content(200)));
  await first.client.workflows.start(FLOW, { object: "a" }, { id: "killed" });
  await expect.poll(() => piecesIn(stage.folder).size, { timeout: 20_000, interval: 20 }).toBeGreaterThan(3);
  await first.end("SIGKILL");
  const before = piecesIn(stage.folder);
  expect(before.size).toBeLessThan(25);

  const second = startDevProcess(stage, { program });
  onTestFinished(() => void second.child.kill("SIGKILL"));
  await second.ready;
  const after = new Map<number, string>();
  const done = over(second.client, "killed");
  let isDone = false;
  void done.finally(() => {
    isDone = true;
  });
  while (!isDone) {
    for (const [number, file] of piecesIn(stage.folder)) after.set(number, file);
    await pause(20);
  }
  expect(await done).toMatchObject({ status: "succeeded" });
  for (const [number, file] of before) expect(after.get(number), `piece ${number}`).toBe(file);
  const to = second.client.buckets.bucket("move-to");
  expect(await hashOf(await to.stream("a"))).toBe(await hashOf(content(200)));
  await second.end("SIGINT");
  expect(readdirSync(join(stage.folder, "uploads"))).toEqual([]);
});

test.each(["index", "clouds"])("the example %s has no problems on its clouds", { timeout: 120_000 }, async (name) => {
  const program = join(project, "examples", "large-object-transfer", `${name}.ts`);
  const { plan, problems } = await evaluate({ folder: project, program });
  expect(problems).toEqual([]);
  expect(plan.parts.filter(({ kind }) => kind === "workflow")).toHaveLength(1);
});

/** The pieces that the local cloud's journal knows, by number: another file is another copy. */
function piecesIn(folder: string): ReadonlyMap<number, string> {
  const journal = new DatabaseSync(join(folder, "journal.db"), { readOnly: true, timeout: 2000 });
  try {
    const rows = journal.prepare("SELECT number, file FROM pieces").all() as { number: number; file: string }[];
    return new Map(rows.map(({ number, file }) => [number, file]));
  } finally {
    journal.close();
  }
}
