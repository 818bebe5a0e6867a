import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { alicloud } from "../../../lib/clouds/alicloud/index.ts";
import { start } from "../../../lib/clouds/alicloud/runtime/entry.ts";
import { port } from "../../../lib/clouds/alicloud/runtime/function.ts";
import type { ImageOptions, ProgramOptions } from "../../../lib/parts/index.ts";
import type { RegisteredResource } from "../../../lib/program/mocks.ts";
import { systemClock } from "../../../lib/runtime/clock.ts";
import type { Deployment } from "../../../lib/runtime/deployment.ts";
import { writeEnvironment } from "../../../lib/shared/environment.ts";
import { synthesize } from "../../../lib/testing/synthesize.ts";
import { handler } from "../../local/programs/scores.ts";
import { REFERENCE, scores } from "../programs.ts";
import { FakeFc } from "./fakes/fc.ts";
import { KEYS } from "./fakes/server.ts";
import { ACCOUNT, deploy, inputsOf, listOf, ofType, REGION, unzipped } from "./stack.ts";

let home: string;
const before = process.cwd();
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "millrace-programs-"));
  process.chdir(home);
});
afterAll(async () => {
  process.chdir(before);
  await rm(home, { recursive: true, force: true });
});

const GPU: ImageOptions = {
  command: ["serve", "--quick"],
  port: 8000,
  memory: "4 GB",
  cpu: 1,
  timeout: "5 minutes",
  concurrency: 2,
  gpu: { type: "fc.gpu.tesla.1", memory: 16 * 2 ** 30 },
};

describe("programs of a handler's code", () => {
  let resources: readonly RegisteredResource[];
  beforeAll(async () => {
    resources = await deploy((cloud) => scores(cloud, GPU, { clean: { timeout: "30 seconds" } }));
  });

  test("an image is a function of its own on its container, without code", () => {
    expect(inputsOf(resources, "V3Function", "scores-task-work-score")).toEqual({
      functionName: expect.stringMatching(/^scores-task-work-score-/),
      runtime: "custom-container",
      handler: "not-used",
      customContainerConfig: { image: REFERENCE, port: 8000, commands: ["serve", "--quick"] },
      gpuConfig: { gpuType: "fc.gpu.tesla.1", gpuMemorySize: 16_384 },
      environmentVariables: { PORT: "8000" },
      role: expect.stringContaining(":role/scores-task-work-score-role"),
      timeout: 300,
      memorySize: 4096,
      diskSize: 512,
      cpu: 1,
      instanceConcurrency: 1,
      internetAccess: true,
      logConfig: expect.objectContaining({ logstore: "functions" }),
      tags: expect.anything(),
    });
    expect(listOf(resources)).not.toContain("BucketObject scores-task-work-score-code");
    expect(inputsOf(resources, "V3ConcurrencyConfig", "scores-task-work-score-concurrency")).toMatchObject({
      reservedConcurrency: 2,
    });
  });

  test("a Python function is one too, with its folder and the module that is called", () => {
    const { code, ...rest } = inputsOf(resources, "V3Function", "scores-task-work-clean");
    expect(rest).toMatchObject({ runtime: "python3.12", handler: "millrace_handler.handler", timeout: 30 });
    expect(rest).not.toHaveProperty("customContainerConfig");
    const { key, source } = inputsOf(resources, "BucketObject", "scores-task-work-clean-code");
    expect(code).toMatchObject({ ossObjectName: key });
    expect(Object.keys(unzipped(source))).toEqual(["folder/clean.py", "millrace_handler.py"]);
  });

  test("they may log, and nothing else; who calls them may call them, and gets them bare", () => {
    const statements = (name: string) =>
      JSON.parse(inputsOf(resources, "Policy", `${name}-role-policy`).policyDocument).Statement as readonly {
        readonly Action: readonly string[];
        readonly Resource: readonly string[];
      }[];
    for (const name of ["scores-task-work-score", "scores-task-work-clean"]) {
      expect(statements(name).flatMap(({ Action }) => Action)).toEqual(["log:PostLogStoreLogs"]);
      const { functionName } = inputsOf(resources, "V3Function", name);
      const callers = ofType(resources, "Policy").filter(({ inputs }) =>
        JSON.stringify(inputs.policyDocument).includes(`functions/${functionName}\\"`),
      );
      expect(callers.map((one) => one.name)).toEqual(["scores-task-work-role-policy"]);
    }
    const { environmentVariables } = inputsOf(resources, "V3Function", "scores-task-work");
    const { functionName } = inputsOf(resources, "V3Function", "scores-task-work-score");
    const links = Object.values(environmentVariables as Record<string, string>).filter((value) =>
      value.includes(`"${functionName}"`),
    );
    expect(links.map((text) => JSON.parse(text))).toEqual([
      {
        kind: "function",
        part: "scores-task-work-score",
        function: functionName,
        account: ACCOUNT,
        region: REGION,
        bare: "true",
      },
    ]);
  });
});

describe("what is refused", () => {
  const problemsOf = async (options: ImageOptions, clean?: ProgramOptions) => {
    const cloud = () => alicloud({ region: REGION, account: ACCOUNT, contactGroups: [] });
    const { problems } = await synthesize(() => scores(cloud(), options, clean && { clean }));
    return problems;
  };

  test("graphics processors that the service does not have", async () => {
    const gpu = { type: "a100", memory: 1.5 * 2 ** 30 };
    expect(await problemsOf({ ...GPU, gpu })).toEqual([
      {
        path: "scores-task-work-score.program.image.gpu.type",
        message: "outside what Function Compute has",
        given: "a100",
        allowed: "fc.gpu.tesla.1, fc.gpu.ampere.1, fc.gpu.ada.1, g1",
      },
      {
        path: "scores-task-work-score.program.image.gpu.memory",
        message: "outside what Function Compute has",
        given: "1.5 GB",
        allowed: "a multiple of 1 GB",
      },
    ]);
    expect(await problemsOf(GPU)).toEqual([]);
  });

  test("a program's machine as a function's is", async () => {
    expect(await problemsOf({}, { timeout: "25 hours" })).toMatchObject([{ path: "scores-task-work-clean.timeout" }]);
  });
});

describe("a call of a program", () => {
  const fc = new FakeFc();
  let functionEndpoint: string;
  beforeAll(async () => {
    functionEndpoint = await fc.server.start();
  });
  afterAll(() => fc.close());

  const calling = (answer: (payload: unknown) => string) => {
    fc.functions.set("score", {
      handler: async (event) => Buffer.from(answer(JSON.parse(event.toString()))),
      timeout: 60,
    });
    const place = { account: "1", region: REGION, functionEndpoint };
    return port(
      { kind: "function", part: "score", function: "score", bare: "true", ...place },
      {
        signal: new AbortController().signal,
        clock: systemClock,
        log: { debug() {}, info() {}, warn() {}, error() {} },
        files: home,
        credentials: () => KEYS,
      },
    );
  };

  test("gives the bare payload and gets the bare answer", async () => {
    const program = calling((payload) => JSON.stringify({ got: payload }));
    expect(await program.invoke({ pixels: [1] })).toEqual({ got: { pixels: [1] } });
    expect(await program.invoke(undefined)).toEqual({ got: null });
    expect(await calling(() => "").invoke(1)).toBeNull();
  });

  test("that fails says so in the program's own words", async () => {
    const program = calling(() => {
      throw Object.assign(new Error("there are no rows"), { name: "ValueError", stack: "clean.py, line 3" });
    });
    await expect(program.invoke([])).rejects.toMatchObject({
      kind: "failed",
      message: "the program failed: ValueError: there are no rows",
      stack: expect.stringContaining("clean.py, line 3"),
    });
  });

  test("that takes too long is timed out, and one that answers no JSON has failed", async () => {
    const slow = calling(() => {
      throw new Error("Function timed out after 60 seconds (maxMemoryUsage: 40MB)");
    });
    await expect(slow.invoke(1)).rejects.toMatchObject({ kind: "timed-out" });
    await expect(calling(() => "<html>").invoke(1)).rejects.toMatchObject({
      kind: "failed",
      message: "the program answered no JSON: <html>",
    });
  });

  test("comes from a handler as a function of its code, with the link that is deployed", async () => {
    calling((payload) => JSON.stringify({ sum: (payload as { pixels: number[] }).pixels.length, by: 1 }));
    const link = "$code.score";
    const address = { kind: "function", part: "score", function: "score", bare: "true", account: "1", region: REGION };
    const place = { place: { region: REGION, account: "1" }, logLevel: "error", tools: {}, sources: {} } as const;
    const deployment = {
      handler,
      code: {},
      settings: {},
      ports: { [link]: () => import("../../../lib/clouds/alicloud/runtime/function.ts") },
    } as unknown as Deployment;
    const variables = writeEnvironment({ ...place, links: { [link]: { ...address, functionEndpoint } } });
    const run = start(deployment, { variables, clock: systemClock, write: () => {} });
    const call = { millrace: "call", id: "c-1", payload: { pixels: [1, 2] }, time: "2026-01-01T00:00:00.000Z" };
    const context = { requestId: "r-1", function: { timeout: 60 }, credentials: KEYS };
    const answer = await run(Buffer.from(JSON.stringify(call)), context);
    expect(JSON.parse(Buffer.from(answer).toString())).toEqual({ sum: 2, by: 1 });
  });
});
