import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { unzipSync } from "fflate";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { aws } from "../../../lib/clouds/aws/index.ts";
import { port } from "../../../lib/clouds/aws/runtime/function.ts";
import { type Cloud, Construct, image } from "../../../lib/parts/index.ts";
import type { RegisteredResource } from "../../../lib/program/mocks.ts";
import { systemClock } from "../../../lib/runtime/clock.ts";
import { synthesize } from "../../../lib/testing/synthesize.ts";
import { REFERENCE, scores } from "../programs.ts";
import { ACCOUNT, deploy, inputsOf, listOf, ofType, REGION } from "./stack.ts";

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

describe("programs of a handler's code", () => {
  let resources: readonly RegisteredResource[];
  beforeAll(async () => {
    resources = await deploy((cloud) =>
      scores(
        cloud,
        { command: ["serve"], port: 8000, memory: "4 GB", cpu: 1, timeout: "5 minutes" },
        { timeout: "10 minutes", clean: { timeout: "30 seconds", concurrency: 3 } },
      ),
    );
  });

  test("an image runs beside the worker, which is on Fargate for it however short its runs are", () => {
    const definition = inputsOf(resources, "TaskDefinition", "scores-task-work");
    // 0.5 CPU and 512 MB of the worker, 1 CPU and 4 GB of the image.
    expect(definition).toMatchObject({ cpu: "2048", memory: "5120", requiresCompatibilities: ["FARGATE"] });
    const [worker, sidecar, ...others] = JSON.parse(definition.containerDefinitions);
    expect(others).toEqual([]);
    expect(worker).toMatchObject({ name: "worker", essential: true });
    expect(sidecar).toEqual({
      name: "scores-task-work-score",
      image: REFERENCE,
      essential: false,
      restartPolicy: { enabled: true, restartAttemptPeriod: 60 },
      cpu: 1024,
      memory: 4096,
      command: ["serve"],
      environment: [{ name: "PORT", value: "8000" }],
      logConfiguration: {
        logDriver: "awslogs",
        options: { ...worker.logConfiguration.options, "awslogs-stream-prefix": "program" },
      },
    });
    const links = worker.environment.map(({ value }: { value: string }) => value);
    expect(links).toContain(
      JSON.stringify({
        kind: "function",
        part: "scores-task-work-score",
        url: "http://127.0.0.1:8000",
        timeout: "300",
      }),
    );
  });

  test("everybody who speaks of the task knows where it runs", () => {
    expect(inputsOf(resources, "StateMachine", "scores-task").definition).toContain("ecs:runTask.waitForTaskToken");
    expect(listOf(resources)).not.toContain("Function scores-task-work");
    expect(listOf(resources)).not.toContain("Function scores-task-work-score");
    expect(inputsOf(resources, "LogGroup", "scores-task-work-logs").name).toMatch(/^\/aws\/ecs\//);
    const { environment } = inputsOf(resources, "Function", "scores-task-dispatch");
    const [address] = Object.values(environment.variables as Record<string, string>).filter((value) =>
      value.includes('"kind":"task"'),
    );
    expect(JSON.parse(address!)).toMatchObject({ platform: "fargate", logs: expect.stringMatching(/^\/aws\/ecs\//) });
  });

  test("a Python function is a function of its own, which may log and nothing else", async () => {
    const made = inputsOf(resources, "Function", "scores-task-work-clean");
    expect(made).toMatchObject({
      runtime: "python3.13",
      handler: "millrace_handler.handler",
      timeout: 30,
      reservedConcurrentExecutions: 3,
    });
    const { key, source } = inputsOf(resources, "BucketObjectv2", "scores-task-work-clean-code");
    expect(made.s3Key).toBe(key);
    const { path } = source as { readonly path: Promise<string> };
    expect(Object.keys(unzipSync(await readFile(await path)))).toEqual(["folder/clean.py", "millrace_handler.py"]);
    const policy = inputsOf(resources, "RolePolicy", "scores-task-work-clean-role-policy").policy;
    expect(JSON.parse(policy).Statement.flatMap(({ Action }: { Action: string[] }) => Action)).toEqual([
      "logs:CreateLogStream",
      "logs:PutLogEvents",
    ]);
  });

  test("the caller may call the one, and needs nobody's leave for the other", () => {
    const callable = ofType(resources, "RolePolicy").flatMap(({ name, inputs }) =>
      JSON.parse(inputs.policy as string)
        .Statement.filter(({ Resource }: { Resource: string[] }) =>
          Resource.some((one) => one.includes("scores-task-work-clean") || one.includes("scores-task-work-score")),
        )
        .map(({ Action }: { Action: string[] }) => `${name}: ${Action}`),
    );
    expect(callable.filter((line) => !line.includes("logs:"))).toEqual([
      "scores-task-work-role-policy: lambda:InvokeFunction",
    ]);
  });
});

describe("what is refused", () => {
  const problemsOf = async (declare: (cloud: Cloud) => unknown) =>
    (await synthesize(() => declare(aws({ region: REGION, account: ACCOUNT, alarmEmails: [] })))).problems;

  class Calling extends Construct {
    constructor(cloud: Cloud) {
      super("Calling", "calling", { cloud });
      const handler = { file: join(import.meta.dirname, "../../local/programs/scores.ts") };
      this.function("one", { handler, code: { score: image(REFERENCE) } } as never);
      this.build();
    }
  }

  test("an image beside a function, and a graphics processor", async () => {
    expect(await problemsOf((cloud) => new Calling(cloud))).toEqual([
      {
        path: "calling-one-score.program.image",
        message: "an image runs beside a task's handler, on Fargate, and calling-one is no task: make it one",
      },
    ]);
    const gpu = { type: "a10", memory: 2 ** 30 };
    expect(await problemsOf((cloud) => scores(cloud, { gpu }))).toMatchObject([
      { path: "scores-task-work-score.program.image.gpu", message: expect.stringContaining("no graphics processors") },
    ]);
  });

  test("more than a Fargate task has together, and calls that nobody counts", async () => {
    expect(await problemsOf((cloud) => scores(cloud, { cpu: 16, memory: "120 GB", concurrency: 2 }))).toEqual([
      {
        path: "scores-task-work-score.concurrency",
        message: "it runs beside its caller, which calls it as often as it likes: bound the caller",
        given: 2,
      },
      {
        path: "scores-task-work.cpu",
        message: "with the images beside it more than a task of Fargate has",
        given: 16.5,
        allowed: "at most 16 together",
      },
      {
        path: "scores-task-work.memory",
        message: "with the images beside it more than a task of Fargate has",
        given: "121 GB",
        allowed: "at most 120 GB together",
      },
    ]);
  });
});

describe("a call of a Python function", () => {
  let answer: { readonly status?: string; readonly body: string };
  const bodies: string[] = [];
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk) => {
      body += chunk;
    });
    request.on("end", () => {
      bodies.push(body);
      if (answer.status) response.setHeader("x-amz-function-error", answer.status);
      response.end(answer.body);
    });
  });
  beforeAll(() => new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve)));
  afterAll(() => void server.close());

  const program = () =>
    port(
      {
        kind: "function",
        part: "clean",
        function: "clean",
        bare: "true",
        region: REGION,
        endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      },
      {
        signal: new AbortController().signal,
        clock: systemClock,
        log: { debug() {}, info() {}, warn() {}, error() {} },
        files: home,
        credentials: async () => ({ accessKeyId: "a", secretAccessKey: "s" }),
      },
    );

  test("gives the bare payload; what fails says so in its own words", async () => {
    answer = { body: '["a"]' };
    expect(await program().invoke([" a "])).toEqual(["a"]);
    expect(bodies).toEqual(['[" a "]']);
    const error = { errorType: "ValueError", errorMessage: "there are no rows", stackTrace: ["clean.py, line 3"] };
    answer = { status: "Unhandled", body: JSON.stringify(error) };
    await expect(program().invoke([])).rejects.toMatchObject({
      kind: "failed",
      message: "the program failed: ValueError: there are no rows",
      stack: expect.stringContaining("clean.py, line 3"),
    });
    answer = {
      status: "Unhandled",
      body: JSON.stringify({ errorType: "Sandbox.Timedout", errorMessage: "Task timed out after 30.00 seconds" }),
    };
    await expect(program().invoke([])).rejects.toMatchObject({ kind: "timed-out" });
  });
});
