import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { millrace } from "./run.ts";

const LIB = fileURLToPath(new URL("../../lib", import.meta.url));

/** A user's program with one task, whose handler says whom it greets. */
const PROGRAM = `
import { AsyncTask, code } from "${LIB}/index.ts";
import { local } from "${LIB}/clouds/local/index.ts";

const cloud = local();
new AsyncTask("greet", {
  cloud,
  handler: code<typeof import("./greet.ts")>(new URL("./greet.ts", import.meta.url)),
  attempts: 1,
  disk: process.env.LARGE ? "1 GB" : "512 MB",
  timeout: (process.env.TIMEOUT ?? "1 minute") as "1 minute",
});
export const millrace = cloud.output;
`;

const HANDLER = `
import type { Context, FunctionInvoked } from "${LIB}/runtime/index.ts";
export async function handler({ payload }: FunctionInvoked<{ name?: string }>, { log }: Context) {
  if (!payload?.name) throw Object.assign(new Error("nobody to greet"), { kind: "bad-input" });
  log.info("greeting " + payload.name);
  return { said: "hello " + payload.name };
}
`;

let folder: string;

beforeAll(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), "millrace-dev-")));
  writeFileSync(join(folder, "Pulumi.yaml"), "name: greetings\nruntime: nodejs\n");
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
  writeFileSync(join(folder, "index.ts"), PROGRAM);
  writeFileSync(join(folder, "greet.ts"), HANDLER);
});

afterAll(() => rmSync(folder, { recursive: true }));

const run = (...words: string[]) => millrace(words, { cwd: folder });

describe("millrace synth", () => {
  test("shows the tree, the graph, the plan", async () => {
    const tree = await run("synth");
    expect(tree).toMatchObject({ code: 0, err: "" });
    expect(tree.out).toMatch(/greetings, stack dev[\s\S]*greet-task-work +function/);
    expect((await run("synth", "--graph")).out).toMatch(/^(---|flowchart|graph)/);
    const { plan, problems } = JSON.parse((await run("synth", "--json", "--stack", "prod")).out);
    expect(plan).toMatchObject({ version: 1, project: "greetings", stack: "prod" });
    expect(problems).toEqual([]);
  });

  test("says all that another cloud refuses, and fails", async () => {
    const large = { cwd: folder, env: { LARGE: "1" } };
    const fine = await millrace(["synth", "--as", "aws"], large);
    expect(fine).toMatchObject({ code: 0, err: "aws has no objection\n" });
    expect(fine.out).toContain("greet-task-work");
    const { code, out, err } = await millrace(["synth", "--as", "alicloud"], large);
    expect({ code, out }).toEqual({ code: 1, out: "" });
    expect(err).toMatch(/^millrace: 1 problem\n {2}greet-task-work\.disk: .*1 GB.*allowed: 512 MB, 10 GB/);
    const { problems } = JSON.parse((await millrace(["synth", "--as", "alicloud", "--json"], large)).out);
    expect(problems).toMatchObject([{ path: "greet-task-work.disk" }]);
    const dev = await millrace(["dev", "--as", "alicloud"], large);
    expect(dev).toMatchObject({ code: 1, out: "", err: expect.stringContaining("greet-task-work.disk") });
  });

  test.each([
    ["alicloud", ["millrace:region=cn-hangzhou", "millrace:contactGroups=[]"]],
    ["aws", ["millrace:region=eu-central-1", "millrace:alarmEmails=[]"]],
    [
      "kubernetes",
      [
        'millrace:nats={"url":"nats://nats.nats.svc:4222"}',
        'millrace:store={"endpoint":"https://s3.example.com","secret":"store-keys"}',
        "millrace:alarms=none",
      ],
    ],
  ])("--cloud %s declares the same program there, without an account", async (cloud, values) => {
    const words = ["synth", "--cloud", cloud, ...values.flatMap((value) => ["--config", value]), "--json"];
    const { code, out, err } = await millrace(words, { cwd: fileURLToPath(new URL("../..", import.meta.url)) });
    expect({ code, err }).toEqual({ code: 0, err: "" });
    const { plan } = JSON.parse(out);
    expect(plan.clouds).toMatchObject([{ kind: cloud }]);
    expect(plan.parts).toContainEqual(expect.objectContaining({ name: "videos-transcode", kind: "task" }));
  });

  test("what both clouds refuse is said once, in the words of the one that was asked for", async () => {
    const slow = { cwd: folder, env: { TIMEOUT: "2 days" } };
    const { err } = await millrace(["synth", "--as", "alicloud"], slow);
    expect(err).toMatch(/^millrace: 1 problem\n {2}greet-task\.timeout: .*Alibaba Cloud/);
    expect((await millrace(["synth"], slow)).err).toMatch(/^millrace: 1 problem\n {2}greet-task\.timeout: /);
    const dev = await millrace(["dev", "--as", "alicloud"], slow);
    expect(dev.err.match(/greet-task\.timeout/g)).toHaveLength(1);
  });

  test("a program that is not there, or throws: one message", async () => {
    expect(await run("synth", "none.ts")).toMatchObject({ code: 1, out: "", err: expect.stringContaining("none.ts") });
    writeFileSync(join(folder, "throws.ts"), 'throw new Error("not today");');
    const { code, err } = await run("synth", "throws.ts");
    expect(code).toBe(1);
    expect(err).toContain("not today");
  });
});

/** All that `millrace dev` has printed so far. */
let said = "";

/** Runs `millrace dev` until it is ready, does the work, then presses Ctrl-C. */
async function whileDev(words: readonly string[], work: () => Promise<void>) {
  let failure: unknown;
  said = "";
  let isReady = false;
  const ended = await millrace(["dev", ...words], {
    cwd: folder,
    onOutput(text, child) {
      said = text;
      if (isReady || !/ready in|"type":"ready"/.test(text)) return;
      isReady = true;
      work()
        .catch((error: unknown) => {
          failure = error;
        })
        .finally(() => child.kill("SIGINT"));
    },
  });
  if (failure !== undefined) throw failure;
  if (!isReady) throw new Error(`millrace dev was never ready: ${ended.err}`);
  return ended;
}

describe("millrace dev", () => {
  test("runs the program until Ctrl-C, and shows what happens", async () => {
    const ended = await whileDev([], async () => {
      const good = await run("tasks", "submit", "greet", '{"name":"猫"}', "--id", "g1", "--wait", "--json");
      expect(JSON.parse(good.out)).toMatchObject({ status: "succeeded", resultPreview: '{"said":"hello 猫"}' });
      const bad = await run("tasks", "submit", "greet", "{}", "--id", "g2", "--wait");
      expect(bad).toMatchObject({ code: 1, out: expect.stringMatching(/^greet-task g2 failed.*: nobody to greet\n$/) });
      expect((await run("tasks", "logs", "greet", "g1", "--follow")).out).toContain("greeting 猫");
      expect((await run("queues", "peek", "greet-failures")).out).toContain("nobody to greet");
      const redriven = await run("queues", "redrive", "greet-failures");
      expect(redriven).toMatchObject({ out: "moved 0 messages\n", err: expect.stringContaining("--to") });
      writeFileSync(join(folder, "index.ts"), `${PROGRAM}\n`);
      await expect.poll(() => said, { timeout: 10_000 }).toMatch(/^taken, with the same code after/m);
    });
    expect(ended.code).toBe(0);
    expect(ended.out).toMatch(/^greetings\/dev on this computer\n/);
    expect(ended.out).toContain("millrace tasks submit greet-task '{ … }'");
    expect(ended.out).toMatch(/^ready in \d.* http:\/\/127\.0\.0\.1:\d+ /m);
    expect(ended.out).toMatch(/^greet-task g1 running$/m);
    expect(ended.out).toMatch(/^greet-task g1 succeeded in /m);
    expect(ended.out.match(/^greet-task g2 failed/gm)).toHaveLength(1);
    expect(ended.err).toMatch(/^stopping; .*\n$/);
    expect(existsSync(join(folder, ".millrace", "endpoint.json"))).toBe(false);
    expect((await run("tasks", "list", "greet")).err).toContain("no local cloud runs in");
  });

  test("what fails at the start ends the command, and leaves the folder free", async () => {
    const taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const { port } = taken.address() as AddressInfo;
    const refused = await run("dev", "--folder", "ports", "--port", String(port));
    expect(refused).toMatchObject({ code: 1, out: "", err: expect.stringContaining(`port ${port} is in use`) });
    taken.close();
    const next = await whileDev(["--folder", "ports", "--port", String(port)], async () => {});
    expect(next.code).toBe(0);
  });

  test("--json is one event a line; a second one on the folder is refused; an edit is taken", async () => {
    const { code, out } = await whileDev(["--json", "--folder", "other", "--as", "aws"], async () => {
      const second = await run("dev", "--folder", "other");
      expect(second).toMatchObject({ code: 1, out: "" });
      expect(second.err).toMatch(/^millrace: .*other is in use by another millrace process; .*\n$/);
      writeFileSync(join(folder, "greet.ts"), HANDLER.replace("hello", "good day"));
      const greeting = async () => {
        const { out } = await run(
          "tasks",
          "submit",
          "greet",
          '{"name":"x"}',
          "--wait",
          "--json",
          "--again",
          "--id",
          "e",
          "--folder",
          "other",
        );
        return (JSON.parse(out) as { resultPreview: string }).resultPreview;
      };
      await expect.poll(greeting, { timeout: 10_000, interval: 200 }).toContain("good day");
    });
    expect(code).toBe(0);
    const events = out
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as { type: string });
    expect(events[0]).toMatchObject({
      type: "ready",
      url: expect.stringContaining("127.0.0.1"),
      plan: { project: "greetings" },
    });
    expect(events.map(({ type }) => type)).toEqual(expect.arrayContaining(["task.changed", "code.changed"]));
    expect(readFileSync(join(folder, "other", "plan.json"), "utf8")).toContain("greet-task");
  });
});
