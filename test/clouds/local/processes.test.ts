import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it, onTestFinished } from "vitest";
import { isAlive, makeFolder, makeHost, until, writeBundle } from "./fixtures/kit.ts";

const CHILD = `import { spawn } from "node:child_process";`;
const ORPHANS = fileURLToPath(new URL("fixtures/orphans.ts", import.meta.url));

describe("a process that misbehaves", () => {
  const cases: readonly [what: string, handler: string, expected: object][] = [
    ["throws undefined", `async () => { throw undefined; }`, { kind: "failed", message: "undefined" }],
    [
      "rejects later",
      `() => new Promise(() => { setTimeout(() => Promise.reject(new Error("too late")), 10); })`,
      { kind: "failed", message: "too late" },
    ],
    ["exits", `() => process.exit(3)`, { kind: "failed", message: 'function "bad" exited with code 3' }],
    [
      "is killed by somebody",
      `() => process.kill(process.pid, "SIGKILL")`,
      { kind: "failed", message: 'function "bad" was killed by SIGKILL' },
    ],
    [
      "runs out of memory",
      `() => { const all = []; for (;;) all.push(new Array(100_000).fill(Math.random())); }`,
      { kind: "failed", message: 'function "bad" ran out of its 64 MB of memory' },
    ],
    [
      "answers what is no JSON",
      `async () => ({ frames: new Map() })`,
      { kind: "failed", message: expect.stringContaining('"frames" is a Map') },
    ],
  ];

  it.each(cases)("%s: an error in words, and the next invocation runs", async (_what, handler, expected) => {
    const { define, functions } = makeHost();
    define("bad", `async (event, context) => event.payload === "good" ? "fine" : (${handler})(event, context)`, {
      memory: 64 * 2 ** 20,
    });
    await expect(functions.invoke("bad", "bad")).rejects.toMatchObject(expected);
    expect(await functions.invoke("bad", "good")).toBe("fine");
  });

  it("rejects after its invocation: the next one runs in another process", async () => {
    const { define, functions } = makeHost({ most: 1 });
    define("late", `async () => { setTimeout(() => Promise.reject(new Error("late")), 1); return process.pid; }`);
    const pids = new Set<unknown>();
    for (let n = 0; n < 20; n += 1) pids.add(await functions.invoke("late", null));
    await new Promise((resolve) => setTimeout(resolve, 100));
    pids.add(await functions.invoke("late", null));
    expect(pids.size).toBeGreaterThan(1);
  });

  it("cannot be loaded: says why", async () => {
    const { define, functions } = makeHost();
    define("broken", `async () => 1`, {}, `throw new TypeError("no such codec");`);
    await expect(functions.invoke("broken", null)).rejects.toMatchObject({
      kind: "failed",
      message: 'function "broken" exited with code 1 before it was ready: TypeError: no such codec',
    });
  });

  it.each([
    ["at once", `Promise.reject(new Error("no database"));`],
    [
      "after a while",
      `await new Promise((resolve) => setTimeout(resolve, 5)); void (async () => { throw new Error("no database"); })();`,
    ],
  ])("crashes %s while its code is loaded: says why, and nothing has begun", async (_when, before) => {
    const { define, functions, lines } = makeHost();
    define("eager", `async () => { console.log("begun"); return 1; }`, {}, before);
    for (let n = 0; n < 3; n += 1) {
      await expect(functions.invoke("eager", null)).rejects.toMatchObject({
        kind: "failed",
        message: 'function "eager" crashed while its code was loaded: no database',
      });
    }
    expect(lines()).toEqual([]);
  });

  it("prints megabytes: lines are kept up to a bound, in order, and the loss is told", async () => {
    const { define, functions, lines } = makeHost();
    define(
      "loud",
      `async ({ payload }) => { for (let n = 0; n < payload; n++) console.log(n + " " + "x".repeat(1000)); process.stdout.write("y".repeat(100_000)); console.error("end"); return "said"; }`,
      { timeout: 60 },
    );
    expect(await functions.invoke("loud", 20_000)).toBe("said");
    const numbers = lines()
      .slice(0, -1)
      .map((line) => Number.parseInt(line, 10));
    expect(numbers).toEqual(numbers.map((_, index) => index));
    expect(numbers.length).toBeGreaterThan(7000);
    expect(lines().at(-1)).toMatch(/cut at 8 MB: 1\d{4} more lines/);
    const before = lines().length;
    await functions.invoke("loud", 1);
    expect(lines().slice(before)).toEqual([
      expect.stringMatching(/^0 x+$/),
      expect.stringMatching(/^y+.*100000 characters/),
      "end",
    ]);
  });

  it("has the output of its programs and of its own code in its log, by level", async () => {
    const { define, functions, logs } = makeHost();
    define(
      "prints",
      `async (event, { log }) => { console.log("one %d", 1); console.warn("two"); process.stderr.write("thr"); process.stderr.write("ee\\nfour\\n"); log.error("five", { cause: new Error("x") }); await new Promise((r) => setTimeout(r, 100)); await new Promise((resolve) => spawn("sh", ["-c", "echo six"], { stdio: "inherit" }).on("close", resolve)); await new Promise((r) => setTimeout(r, 100)); }`,
      {},
      CHILD,
    );
    await functions.invoke("prints", null);
    expect(logs.flatMap(({ lines }) => lines.map(({ level, message }) => `${level} ${message}`))).toEqual([
      "info one 1",
      "warn two",
      "warn three",
      "warn four",
      "error five",
      "info six",
    ]);
    expect(logs.flatMap(({ lines }) => lines).find(({ message }) => message === "five")?.fields).toMatchObject({
      cause: { kind: "failed", message: "x" },
    });
  });
});

describe("the environment", () => {
  it("is the plan's, and nothing of the host's", async () => {
    process.env.MILLRACE_TEST_SECRET = "hunter2";
    process.env.NODE_OPTIONS = "--no-warnings";
    onTestFinished(() => {
      delete process.env.MILLRACE_TEST_SECRET;
      delete process.env.NODE_OPTIONS;
    });
    const { define, functions } = makeHost();
    define("env", `async (event, { scratch }) => ({ ...process.env, scratch, args: process.execArgv })`, {
      environment: { STAGE: "test" },
      memory: 300 * 2 ** 20,
    });
    const { scratch, args, ...environment } = (await functions.invoke("env", null)) as Record<string, unknown>;
    expect(environment).toEqual({
      PATH: process.env.PATH,
      HOME: scratch,
      TMPDIR: scratch,
      LANG: "C.UTF-8",
      STAGE: "test",
    });
    expect(args).toContain("--max-old-space-size=300");
  });
});

describe("scratch", () => {
  it("is empty at first, and what was written there is gone afterwards, however the invocation ended", async () => {
    const { define, functions, folder } = makeHost({ most: 1 });
    define(
      "writes",
      `async ({ payload }, { scratch }) => { const seen = readdirSync(scratch); if (payload === "nothing") return seen; mkdirSync("a/b", { recursive: true }); writeFileSync("a/b/c", "x"); if (payload === "exit") process.exit(1); return seen; }`,
      {},
      `import { mkdirSync, readdirSync, writeFileSync } from "node:fs";`,
    );
    for (const payload of ["files", "nothing", "nothing", "files", "files"]) {
      expect(await functions.invoke("writes", payload)).toEqual([]);
    }
    await expect(functions.invoke("writes", "exit")).rejects.toThrow(/code 1/);
    await until("the end of the folders", () => readdirSync(join(folder, "millrace/scratch")).length === 0);
  });

  it("of a host that was killed is swept", () => {
    const folder = makeFolder();
    mkdirSync(join(folder, "millrace/scratch/1-1/deep"), { recursive: true });
    makeHost({ folder });
    expect(readdirSync(join(folder, "millrace/scratch"))).toEqual([]);
  });
});

describe("the pool", () => {
  it("uses warm processes again, and ends idle ones", async () => {
    const { define, functions } = makeHost({ most: 1, idle: 100 });
    define("pid", `async () => process.pid`);
    const first = (await functions.invoke("pid", null)) as number;
    expect(await functions.invoke("pid", null)).toBe(first);
    await until("the end of the idle process", () => !isAlive(first));
    expect(await functions.invoke("pid", null)).not.toBe(first);
  });

  it("holds the cap, and gives every function its turn", async () => {
    const { define, functions } = makeHost({ most: 2 });
    const handler = `async ({ payload }) => { const from = performance.timeOrigin + performance.now(); await new Promise((r) => setTimeout(r, 20)); return [payload, from, performance.timeOrigin + performance.now()]; }`;
    for (const name of ["many", "few"]) define(name, handler);
    // The line is what is tried here, not how long a first start takes.
    for (const name of ["many", "few"]) await functions.invoke(name, name);
    const done: string[] = [];
    const spans: (readonly [number, number])[] = [];
    const call = async (name: string) => {
      const [, from, to] = (await functions.invoke(name, name)) as [string, number, number];
      done.push(name);
      spans.push([from, to]);
    };
    await Promise.all([...Array.from({ length: 20 }, () => call("many")), call("few")]);
    expect(done.indexOf("few")).toBeLessThan(6);
    for (const [at] of spans) expect(spans.filter(([from, to]) => from <= at && at < to).length).toBeLessThanOrEqual(2);
  });

  it("starts what has room, whatever has left the line in front of it", async () => {
    const { define, functions } = makeHost({ most: 2 });
    define("gone", `() => new Promise(() => {})`, { concurrency: 1, timeout: 1000 });
    functions.invoke("gone", null).catch(() => {});
    const waiting = functions.invoke("gone", null);
    functions.remove("gone");
    await expect(waiting).rejects.toMatchObject({ kind: "stopped" });
    define("next", `async () => "fine"`);
    expect(await functions.invoke("next", null)).toBe("fine");
  });

  it("runs thousands of invocations through a few messages each", async () => {
    const { define, functions } = makeHost({ most: 2 });
    define("no-op", `async () => {}`);
    const calls = Array.from({ length: 3000 }, () => functions.invoke("no-op", null));
    expect(new Set(await Promise.all(calls))).toEqual(new Set([null]));
  });
});

describe("the programs a handler starts", () => {
  const START = `const child = spawn("sleep", ["1000"]); console.log(JSON.stringify([process.pid, child.pid]));`;

  it("die with it when it is killed or stopped", async () => {
    const { define, functions } = makeHost();
    define(
      "leaves",
      `(event, { signal }) => new Promise((resolve) => { ${START} signal.addEventListener("abort", resolve); })`,
      {},
      CHILD,
    );
    define("deaf", `() => new Promise(() => { ${START} })`, {}, CHILD);
    const event = { type: "function.invoked", id: "1", payload: null, time: "" } as const;
    for (const name of ["leaves", "deaf"]) {
      const controller = new AbortController();
      let pids: number[] = [];
      const outcome = await functions.run(name, {
        event,
        run: { id: "1", attempt: 1 },
        grace: 100,
        signal: controller.signal,
        onLog: ([line]) => {
          pids = JSON.parse(line!.message);
          controller.abort();
        },
      });
      expect(outcome).toMatchObject({ error: { kind: "stopped" } });
      expect(pids).toHaveLength(2);
      await until(`the end of ${name}`, () => !pids.some(isAlive));
    }
  });

  it("die with the host when that is closed", async () => {
    const host = makeHost();
    host.define("deaf", `() => new Promise(() => { ${START} })`, {}, CHILD);
    const call = host.functions.invoke("deaf", null);
    call.catch(() => {});
    await until("the start", () => host.lines().length > 0);
    const pids = JSON.parse(host.lines()[0]!) as number[];
    await host.close();
    await expect(call).rejects.toMatchObject({ kind: "interrupted" });
    await until("the end", () => !pids.some(isAlive));
    expect(existsSync(join(host.folder, "millrace/scratch"))).toBe(false);
  });

  async function killHost(handler: string) {
    const folder = makeFolder();
    const report = join(folder, "report");
    const bundle = writeBundle(folder, handler, CHILD);
    const host = spawn(process.execPath, [ORPHANS, join(folder, "millrace"), bundle, report], { stdio: "inherit" });
    const exited = new Promise((resolve) => host.once("exit", resolve));
    await until("the start", () => existsSync(report) && readFileSync(report, "utf8") !== "");
    const pids = JSON.parse(readFileSync(report, "utf8")) as number[];
    expect(pids.every(isAlive)).toBe(true);
    const kill = () => {
      host.kill("SIGKILL");
      return exited;
    };
    return { folder, pids, kill };
  }

  it("die soon after a host that is killed", async () => {
    const { pids, kill } = await killHost(`() => new Promise(() => { ${START} })`);
    await kill();
    await until("the end of child and grandchild", () => !pids.some(isAlive), 3);
  });

  it.runIf(existsSync("/proc/self/stat"))("of a blocked process die when the next host starts", async () => {
    const block = `await new Promise((r) => setTimeout(r, 200)); for (;;);`;
    const { folder, pids, kill } = await killHost(`async () => { ${START} ${block} }`);
    await new Promise((resolve) => setTimeout(resolve, 300));
    await kill();
    await new Promise((resolve) => setTimeout(resolve, 1000));
    expect(pids.every(isAlive)).toBe(true);
    makeHost({ folder });
    await until("the end of child and grandchild", () => !pids.some(isAlive), 3);
  });

  it.runIf(existsSync("/proc/self/stat"))(
    "die when the next host starts, also if the process died with the host",
    async () => {
      const { folder, pids, kill } = await killHost(`() => new Promise(() => { ${START} })`);
      const killed = kill();
      process.kill(pids[0]!, "SIGKILL");
      await killed;
      await new Promise((resolve) => setTimeout(resolve, 200));
      expect(isAlive(pids[1]!)).toBe(true);
      makeHost({ folder });
      await until("the end of the grandchild", () => !isAlive(pids[1]!), 3);
    },
  );
});
