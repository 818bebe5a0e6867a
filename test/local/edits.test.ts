import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { type LocalSession, startDev } from "../../lib/clouds/local/dev.ts";
import type { DevEvent } from "../../lib/clouds/local/host/inspect.ts";

const LIB = fileURLToPath(new URL("../../lib", import.meta.url));

const PROGRAM = `
import { AsyncTask, code } from "${LIB}/index.ts";
import { local } from "${LIB}/clouds/local/index.ts";

const cloud = local();
new AsyncTask("work", {
  cloud,
  handler: code<typeof import("./work.ts")>(new URL("./work.ts", import.meta.url)),
  onSuccess: code<typeof import("./hook.ts")>(new URL("./hook.ts", import.meta.url)),
});
export const millrace = cloud.output;
`;

/** Runs until its gate is opened: the file it is told of. */
const work = (version: string) => `
import { existsSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
export async function handler({ payload }: { payload: { gate?: string } }) {
  while (payload?.gate && !existsSync(payload.gate)) await pause(20);
  return "work ${version}";
}
`;

const hook = (version: string, book: string) => `
import { appendFileSync } from "node:fs";
import { saying } from "./saying.ts";
export async function handler({ payload }: { payload: { task: { id: string } } }) {
  appendFileSync(${JSON.stringify(book)}, payload.task.id + " " + saying + " ${version}\\n");
}
`;

function workshop() {
  const home = mkdtempSync(join(tmpdir(), "millrace-edits-"));
  const project = join(home, "project");
  mkdirSync(project);
  const book = join(home, "book");
  writeFileSync(book, "");
  const save = (name: string, text: string) => writeFileSync(join(project, name), text);
  save("Pulumi.yaml", "name: edits\nruntime: nodejs\n");
  save("package.json", '{ "type": "module" }');
  save("index.ts", PROGRAM);
  save("work.ts", work("one"));
  save("saying.ts", 'export const saying = "hook";');
  save("hook.ts", hook("one", book));
  let session: LocalSession | undefined;
  onTestFinished(async () => {
    await session?.close();
    rmSync(home, { recursive: true, force: true });
  });
  const events: DevEvent[] = [];
  return {
    home,
    events,
    save,
    saveHook: (version: string) => save("hook.ts", hook(version, book)),
    told: () => readFileSync(book, "utf8").trimEnd().split("\n"),
    async start() {
      session = await startDev({ project, folder: join(home, "cloud"), onEvent: (event) => events.push(event) });
      return session.host;
    },
    close: () => session!.close(),
    /** Resolves once that happened for the given time. */
    async hears(type: DevEvent["type"], times: number) {
      await expect.poll(() => events.filter((event) => event.type === type).length, { timeout: 20_000 }).toBe(times);
      return events.filter((event) => event.type === type).at(-1)!;
    },
  };
}

test("saved code runs from the next call on; what runs finishes on the old; broken code changes nothing", async () => {
  const { start, home, save, saveHook, told, hears, events } = workshop();
  const { tasks } = await start();
  const gate = join(home, "gate");
  const run = async (id: string, payload: unknown = {}) => {
    await tasks.submit("work", payload, { id });
    const ended = await tasks.wait("work", id);
    return ended.resultPreview;
  };
  expect(await run("a")).toBe('"work one"');
  await expect.poll(told).toEqual(["a hook one"]);

  const inFlight = run("b", { gate });
  await expect.poll(async () => (await tasks.get("work", "b"))?.status).toBe("running");
  save("work.ts", work("two"));
  expect(await hears("code.changed", 1)).toMatchObject({ functions: ["work-task-work"] });
  expect(events.filter(({ type }) => type === "plan.changed")).toEqual([]);
  saveHook("two");
  expect(await hears("code.changed", 2)).toMatchObject({ functions: ["work-task-on-success"] });
  expect(await run("c")).toBe('"work two"');
  writeFileSync(gate, "");
  expect(await inFlight).toBe('"work one"');
  await expect.poll(told).toHaveLength(3);
  expect(new Set(told().slice(1))).toEqual(new Set(["b hook two", "c hook two"]));

  save("work.ts", `${work("three")} }`);
  expect(await hears("edit.refused", 1)).toMatchObject({ message: expect.stringMatching(/work\.ts:\d+:\d+/) });
  expect(await run("d")).toBe('"work two"');
  save("saying.ts", "export const = 1;");
  expect(await hears("edit.refused", 2)).toMatchObject({ message: expect.stringContaining("saying.ts") });
  save("work.ts", work("four"));
  save("saying.ts", 'export const saying = "the hook";');
  await expect.poll(() => run(`e${events.length}`), { timeout: 20_000 }).toBe('"work four"');
  await run("f");
  await expect.poll(told).toContain("f the hook two");
});

test("the next attempt and every run that waits take the new code; a run whose task is gone waits until it is back", async () => {
  const { start, home, save, hears } = workshop();
  const failing = (version: string) =>
    work(version).replace("return ", `if (payload?.gate) throw new Error("work ${version} fails");\n  return `);
  const behavior = 'concurrency: 1, backoff: { first: "1 second", factor: 1, longest: "1 second" },';
  const program = PROGRAM.replace("cloud,", `cloud, ${behavior}`);
  save("index.ts", program);
  save("work.ts", failing("one"));
  const { tasks } = await start();
  const gate = join(home, "gate");
  await tasks.submit("work", { gate }, { id: "a" });
  await expect.poll(async () => (await tasks.get("work", "a"))?.status).toBe("running");
  await tasks.submit("work", {}, { id: "waits" });
  save("work.ts", work("two"));
  await hears("code.changed", 1);
  writeFileSync(gate, "");
  expect(await tasks.wait("work", "a")).toMatchObject({
    resultPreview: '"work two"',
    attempts: [{ error: { message: "work one fails" } }, expect.not.objectContaining({ error: expect.anything() })],
  });
  expect(await tasks.wait("work", "waits")).toMatchObject({ resultPreview: '"work two"', attempts: [{}] });

  await tasks.submit("work", {}, { id: "later", delay: "2 seconds" });
  save("index.ts", program.replaceAll('"work"', '"other"'));
  await hears("plan.changed", 1);
  await expect(tasks.get("work", "later")).rejects.toThrow('there is no task "work"');
  save("work.ts", work("three"));
  await hears("code.changed", 3);
  await pause(3000);
  save("index.ts", program);
  await hears("plan.changed", 2);
  expect(await tasks.wait("work", "later")).toMatchObject({ status: "succeeded", resultPreview: '"work three"' });
});

test("a program that is edited is another plan: parts come and go, data stays", async () => {
  const { start, save, hears } = workshop();
  const host = await start();
  await host.tasks.submit("work", {}, { id: "a" });
  await host.tasks.wait("work", "a");
  save(
    "index.ts",
    `${PROGRAM}\nnew AsyncTask("more", { cloud, handler: code(new URL("./work.ts", import.meta.url)) });`,
  );
  await hears("plan.changed", 1);
  await host.tasks.submit("more", {}, { id: "b" });
  expect(await host.tasks.wait("more", "b")).toMatchObject({ status: "succeeded" });
  save("index.ts", `${PROGRAM}\nthrow new Error("not today");`);
  expect(await hears("edit.refused", 1)).toMatchObject({ message: expect.stringContaining("not today") });
  expect(await host.tasks.get("more", "b")).toMatchObject({ status: "succeeded" });
  save("index.ts", PROGRAM);
  await hears("plan.changed", 2);
  await expect(host.tasks.submit("more", {}, { id: "c" })).rejects.toThrow('there is no task "more"');
  expect(await host.tasks.get("work", "a")).toMatchObject({ status: "succeeded" });
});

test("an edit that was refused is taken whole once its last fault is repaired", async () => {
  const { start, save, saveHook, hears } = workshop();
  save("work.ts", "export const handler = async (_event: unknown, { settings }: { settings: unknown }) => settings;");
  const host = await start();
  save("hook.ts", "export const = 1;");
  save("index.ts", PROGRAM.replace("cloud,", 'cloud, settings: { word: "new" },'));
  await hears("edit.refused", 1);
  saveHook("two");
  await hears("code.changed", 1);
  await host.tasks.submit("work", {}, { id: "a" });
  expect(await host.tasks.wait("work", "a")).toMatchObject({ resultPreview: '{"word":"new"}' });
});

test("a file that a refused edit asks for is waited for, and watched while it is wrong", async () => {
  const { start, save, hears, events } = workshop();
  const host = await start();
  save(
    "index.ts",
    `${PROGRAM}\nnew AsyncTask("more", { cloud, handler: code(new URL("./more.ts", import.meta.url)) });`,
  );
  expect(await hears("edit.refused", 1)).toMatchObject({ problems: [{ message: "there is no such file" }] });
  save("more.ts", "export const = 1;");
  await expect.poll(() => JSON.stringify(events.at(-1)), { timeout: 20_000 }).toMatch(/more\.ts:1:14/);
  save("more.ts", work("more"));
  await hears("code.changed", 1);
  await host.tasks.submit("more", {}, { id: "a" });
  expect(await host.tasks.wait("more", "a")).toMatchObject({ resultPreview: '"work more"' });
});

test("who ends while an edit is taken hears no more of it, and of no edit after", async () => {
  const { home, events, save, start, close } = workshop();
  await start();
  const begun = join(home, "begun");
  const slow = `import { writeFileSync } from "node:fs";\nwriteFileSync(${JSON.stringify(begun)}, "");\n`;
  save(
    "index.ts",
    `${slow}await new Promise((done) => setTimeout(done, 500));\n${PROGRAM}throw new Error("in vain");\n`,
  );
  await expect.poll(() => existsSync(begun), { timeout: 20_000 }).toBe(true);
  await close();
  expect(events.filter(({ type }) => type === "edit.refused")).toEqual([]);
  rmSync(begun);
  save("index.ts", `${slow}${PROGRAM}`);
  await pause(1500);
  expect(existsSync(begun)).toBe(false);
  expect(events.filter(({ type }) => type === "code.changed")).toEqual([]);
});
