import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync } from "node:fs";
import { delimiter, join } from "node:path";
import { describe, expect, test } from "vitest";
import { cloudFolder } from "./cloud.ts";

const { folder, client, run, json } = cloudFolder();

describe("the command line", () => {
  test.each<[string, string[], number, RegExp]>([
    ["nothing", [], 2, /Usage: millrace/],
    ["help", ["--help"], 0, /millrace dev/],
    ["help of a verb", ["tasks", "submit", "--help"], 0, /Examples:\n {2}millrace tasks submit/],
    ["the version", ["--version"], 0, /^\d+\.\d+\.\d+\n$/],
    ["an unknown verb", ["taks"], 2, /unknown command 'taks'\n\(Did you mean tasks\?\)/],
    ["an unknown verb below", ["tasks", "lst"], 2, /Did you mean list\?/],
    ["a verb like none", ["frobnicate"], 2, /\(verbs: dev, synth, tasks, .*, completion, help; --help tells more\)/],
    ["an unknown option", ["tasks", "list", "videos", "--statsu", "failed"], 2, /Did you mean --status\?/],
    ["an argument missing", ["tasks", "get", "videos"], 2, /missing required argument 'id'/],
    ["one too many", ["queues", "ls", "more"], 2, /too many arguments/],
    ["a wrong time", ["tasks", "list", "videos", "--since", "1 week"], 2, /such as 90s, 15m, 1h or 7d/],
    ["a wrong state", ["tasks", "list", "videos", "--status", "done"], 2, /"done" is none of queued/],
    ["a wrong cloud", ["synth", "--as", "azure"], 2, /local, alicloud, aws, kubernetes/],
    ["a payload that is no JSON", ["tasks", "submit", "videos", "{a:1}"], 2, /payload is no JSON: .*use @file/],
    ["a file that is not there", ["tasks", "submit", "videos", "@none.json"], 1, /none\.json: there is no such file/],
    ["which runs to stop, unsaid", ["tasks", "stop", "videos"], 2, /name ids, say by options which runs, or --all/],
    ["which runs to stop, said twice", ["tasks", "stop", "videos", "a", "--all"], 2, /not both/],
    [
      "a task that is not there",
      ["tasks", "list", "nobody"],
      1,
      /no task "nobody"; there are videos-transcode, resize-task/,
    ],
    [
      "a bucket of several",
      ["buckets", "ls", "videos"],
      1,
      /more than one bucket; name one of videos-uploads, videos-outputs/,
    ],
  ])("%s", async (_name, words, code, said) => {
    const ended = await run(words);
    expect(ended.out + ended.err).toMatch(said);
    expect(ended.code).toBe(code);
    expect(ended.err).not.toMatch(/^\s+at /m);
  });

  test("nobody there: one sentence", async () => {
    const elsewhere = mkdtempSync(join(folder, "elsewhere-"));
    const { code, out, err } = await run(["tasks", "list", "videos"], { cwd: elsewhere });
    expect({ code, out, err }).toEqual({
      code: 1,
      out: "",
      err: `millrace: no local cloud runs in ${elsewhere}/.millrace; start it with: millrace dev\n`,
    });
    const debugged = await run(["tasks", "list", "videos"], { cwd: elsewhere, env: { MILLRACE_DEBUG: "1" } });
    expect(debugged.err).toMatch(/^\s+at /m);
    expect(await json("buckets", "ls", "--folder", join(folder, ".millrace"))).toHaveLength(2);
  });

  test("no colours and no redrawing where it is no terminal", async () => {
    const { out, err } = await run(["tasks", "submit", "resize", "--id", "plain", "--wait"], {
      env: { FORCE_COLOR: "1" },
    });
    expect(out + err).not.toContain("\u001b");
  });
});

describe("completion", () => {
  const complete = async (words: string[], cwd = folder) =>
    (await run(["complete", "--", ...words], { cwd })).out
      .split("\n")
      .map((line) => line.split("\t")[0]!)
      .filter((word) => word !== "" && !word.startsWith(":"));

  test("verbs, options and their values", async () => {
    expect(await complete(["ta"])).toEqual(["tasks"]);
    expect(await complete(["tasks", ""])).toEqual(["submit", "list", "get", "stop", "retry", "logs", "help"]);
    expect(await complete(["synth", "--gr"])).toEqual(["--graph"]);
    expect(await complete(["synth", "--as", "a"])).toEqual(["alicloud", "aws"]);
  });

  test("names of what runs here, or ran here last", async () => {
    expect(await complete(["tasks", "list", ""])).toEqual(["videos-transcode", "resize-task"]);
    expect(await complete(["buckets", "put", "videos-u"])).toEqual(["videos-uploads"]);
    const stopped = join(folder, "stopped");
    cpSync(join(folder, ".millrace", "plan.json"), join(stopped, "cloud", "plan.json"));
    expect(await complete(["queues", "peek", "--folder", "cloud", ""], stopped)).toEqual([
      "videos-jobs",
      "videos-failures",
      "resize-failures",
    ]);
    expect(await complete(["queues", "peek", ""], stopped)).toEqual([]);
    expect(await complete(["buckets", "put", "videos-uploads", "clo"], stopped)).toEqual(["cloud/"]);
  });

  test.each(["bash", "zsh", "fish", "powershell"])("a script for %s", async (shell) => {
    const { code, out } = await run(["completion", shell]);
    expect(code).toBe(0);
    expect(out).toMatch(/millrace complete (--|.--.) /);
    if (shell === "bash") execFileSync("bash", ["-n"], { input: out });
  });

  test("no other shell", async () => {
    expect((await run(["completion", "tcsh"])).code).toBe(2);
  });
});

/** Another Node on the PATH than the project's own, if it is too old for the command. */
const oldNode = (process.env.PATH ?? "")
  .split(delimiter)
  .filter((path) => !path.includes("node_modules"))
  .map((path) => join(path, "node"))
  .find((path) => existsSync(path) && Number(execFileSync(path, ["-p", "parseInt(process.versions.node)"])) < 22);

describe.skipIf(!oldNode)(`on an old Node${oldNode ? "" : " (skipped: there is none on the PATH)"}`, () => {
  test("it says which one is needed, in one sentence", async () => {
    const { code, err } = await run(["--version"], { node: oldNode!, env: { MILLRACE_HANDED_OVER: "1" } });
    expect(code).toBe(1);
    expect(err).toMatch(/^millrace needs Node 22\.\d+ or newer, best is 24, and this is \d+\.\d+\.\d+: .*\n$/);
  });

  test("it hands over to the project's own, with words, input and exit code", async () => {
    const good = await run(["tasks", "submit", "videos", "-", "--id", "old", "--json"], {
      node: oldNode!,
      input: '"猫"',
    });
    expect(JSON.parse(good.out)).toMatchObject({ id: "old", payloadPreview: '"猫"' });
    expect((await run(["taks"], { node: oldNode! })).code).toBe(2);
    const followed = ["tasks", "logs", "resize", "f3", "--follow"];
    await client.tasks.submit("resize-task", { run: "on" }, { id: "f3" });
    const ended = await run(followed, { node: oldNode!, onOutput: (_text, child) => child.kill("SIGTERM") });
    expect(ended.code).toBe(130);
  });
});
