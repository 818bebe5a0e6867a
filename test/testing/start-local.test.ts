import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { startLocal } from "../../lib/testing/index.ts";

const program = new URL("../../stacks/tasks.ts", import.meta.url);
const project = fileURLToPath(new URL("../..", import.meta.url));

test("a run on a clock that stands still: what is delayed starts when time comes", async () => {
  await using cloud = await startLocal({ program, project, clock: "virtual" });
  const { id } = await cloud.tasks.submit("reports", { month: "2026-10", pages: 1 }, { delay: "1 hour" });
  await cloud.idle();
  expect(await cloud.tasks.get("reports", id)).toMatchObject({ status: "queued" });
  await cloud.advance("1 hour");
  expect(await cloud.tasks.get("reports", id)).toMatchObject({ status: "succeeded", progress: 1 });
});

test("a fault that hits twice is retried after its backoff, and the third try succeeds", async () => {
  await using cloud = await startLocal({ program, project, clock: "virtual" });
  cloud.fault({ at: "function.start", part: "reports-task-work", times: 2, error: "unavailable" });
  const { id } = await cloud.tasks.submit("reports", { month: "2026-10", pages: 1 }, { id: "october" });
  await cloud.idle();
  expect(await cloud.tasks.get("reports", id)).toMatchObject({ status: "retrying" });
  await cloud.advance("10 minutes");
  const run = await cloud.tasks.get("reports", id);
  expect(run).toMatchObject({ id: "october", status: "succeeded" });
  expect(run?.attempts.map(({ error }) => error?.kind)).toEqual(["unavailable", "unavailable", undefined]);
});

test("a folder given twice is a restart: runs and data stay", async () => {
  const folder = await mkdtemp(join(tmpdir(), "millrace-restart-"));
  try {
    const first = await startLocal({ program, project, folder });
    await first.tasks.submit("reports", { month: "2026-10", pages: 1 }, { id: "kept" });
    await first.tasks.wait("reports", "kept");
    await first.close();
    await using second = await startLocal({ program, project, folder });
    expect(await second.tasks.get("reports", "kept")).toMatchObject({ status: "succeeded" });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

test("time is moved by hand only where it stands still", async () => {
  await using cloud = await startLocal({ program, project });
  await expect(cloud.advance("1 hour")).rejects.toThrow("virtual");
});
