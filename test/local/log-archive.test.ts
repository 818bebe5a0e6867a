import { readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { evaluate } from "../../lib/program/evaluate.ts";
import { startLocal } from "../../lib/testing/index.ts";
import { millrace } from "../cli/run.ts";
import { ARCHIVE, expectAll, LINES, lagOf, lines, program, project, uploaded } from "./log-archive.ts";

test("lines go from the stream to the bucket, by application, once each", { timeout: 120_000 }, async () => {
  await using cloud = await startLocal({ program, project, clock: "virtual" });
  await cloud.streams.produce(LINES, lines(0, 600));
  await cloud.advance("4 seconds");
  expect(await lagOf(cloud)).toBe(0);
  expect(readdirSync(join(cloud.folder, "volumes", "logs-files"))).toHaveLength(6);
  const find = (...words: string[]) => millrace(["logs", "find", ...words], { cwd: cloud.folder });
  const folder = ["--folder", cloud.folder];
  const before = await find("--app", "orders", ...folder);
  expect(before.out.trimEnd().split("\n")).toHaveLength(400);
  await cloud.advance("10 seconds");
  expect(await uploaded(cloud)).toBe(600);
  await expectAll(cloud);
  const linesOf = (text: string) => text.trimEnd().split("\n");
  const after = await find("--app", "orders", ...folder);
  expect(linesOf(after.out).sort()).toEqual(linesOf(before.out).sort());
  const grepped = await find("logs", "--app", "app-3", "--grep", '"number":(3|33)\\b', "--json", ...folder);
  const found = linesOf(grepped.out).map((line) => JSON.parse(line) as { readonly value: string });
  expect(found.sort((one, other) => one.value.length - other.value.length)).toEqual([
    expect.objectContaining({ application: "app-3", stream: LINES, offset: expect.any(Number) }),
    expect.objectContaining({ application: "app-3", value: expect.stringContaining('"number":33') }),
  ]);
  expect(linesOf((await find("--app", "orders", "--limit", "7", ...folder)).out)).toHaveLength(7);
  expect(await find("--app", "orders", "--until", "2020-01-01", ...folder)).toEqual({
    ...{ code: 0, out: "", err: "no lines\n" },
  });
  expect(await find("nothing", "--app", "orders", ...folder)).toMatchObject({
    code: 1,
    err: 'millrace: there is no archive of logs "nothing"; there are logs\n',
  });
  expect(await find("--app", "Orders", ...folder)).toMatchObject({
    code: 1,
    err: 'millrace: there are no lines of "Orders"; applications with lines: app-0, app-1, app-2, app-3, app-4, orders\n',
  });
  expect((await find("--app", "orders", "--grep", "(", ...folder)).err).toContain("must be a regular expression");
  expect(readdirSync(join(cloud.folder, "volumes", "logs-files", "orders"))).toEqual([]);
  const verbs = (name: string) =>
    cloud
      .usedVerbs(name)
      .map(({ part, action }) => `${action} ${part}`)
      .sort();
  expect(verbs("logs-append")).toEqual(["table.read logs-slots", "table.write logs-slots"]);
  expect(verbs("logs-upload")).toEqual([
    "bucket.read logs-archive",
    "bucket.write logs-archive",
    "table.read logs-slots",
    "table.write logs-slots",
  ]);
});

test("functions that are killed, batches that come twice, a table that fails", { timeout: 150_000 }, async () => {
  await using cloud = await startLocal({ program, project, clock: "virtual" });
  cloud.fault({ at: "table.put", part: "logs-slots", rate: 0.05, times: 2, kill: true });
  cloud.fault({ at: "table.put", part: "logs-slots", rate: 0.02, times: 10, error: "unavailable" });
  cloud.fault({ at: "function.end", part: "logs-append", rate: 0.1, times: 2, kill: true });
  cloud.fault({ at: "stream.consumed", part: "logs-append", rate: 0.2, duplicate: 1 });
  cloud.fault({ at: "bucket.put", part: ARCHIVE, rate: 0.2, times: 3, kill: true });
  await cloud.streams.produce(LINES, lines(0, 400));
  for (let minutes = 0; minutes < 3; minutes += 1) await cloud.advance("1 minute");
  expect(await lagOf(cloud)).toBe(0);
  expect(await uploaded(cloud)).toBe(400);
  await expectAll(cloud);
});

test("a batch that fails again and again waits for its time, and is never given up", { timeout: 120_000 }, async () => {
  await using cloud = await startLocal({ program, project, clock: "virtual" });
  cloud.fault({ at: "function.start", part: "logs-append", times: 6, error: "unavailable" });
  const batch = lines(0, 40).map((line) => ({ ...line, partition: 0 }));
  await cloud.streams.produce(LINES, batch);
  for (let minutes = 0; minutes < 4; minutes += 1) await cloud.advance("1 minute");
  expect(await lagOf(cloud)).toBe(0);
  expect(await uploaded(cloud)).toBe(40);
});

test.each(["index", "clouds"])("the example %s has no problems", { timeout: 120_000 }, async (name) => {
  const example = join(project, "examples", "log-archive-pipeline", `${name}.ts`);
  const { plan, problems } = await evaluate({ folder: project, program: example });
  expect(problems).toEqual([]);
  expect(plan.parts.filter((part) => part.kind === "volume").length).toBeGreaterThan(0);
});
