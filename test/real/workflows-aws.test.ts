import { CreateTableCommand, DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { CreateQueueCommand, ReceiveMessageCommand, SQSClient } from "@aws-sdk/client-sqs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { flowDefinition } from "../../lib/clouds/aws/deploy/flow-definition.ts";
import { start } from "../../lib/clouds/aws/runtime/entry.ts";
import { port, type StatesFlow } from "../../lib/clouds/aws/runtime/workflow.ts";
import { handler as taskHandler, type WorkflowTask } from "../../lib/handlers/flows/task.ts";
import { block, is, isAbove, reference } from "../../lib/parts/flow.ts";
import type { FunctionPart, Queue } from "../../lib/parts/part.ts";
import { systemClock } from "../../lib/runtime/clock.ts";
import { isOver, type WorkflowFilter, type WorkflowHistory } from "../../lib/runtime/workflows/run.ts";
import { writeEnvironment } from "../../lib/shared/environment.ts";
import type { Block } from "../../lib/shared/workflow/definition.ts";
import { DEFINITIONS, FUNCTIONS, type FunctionName, TASK } from "../workflows/definitions.ts";
import { Workshop } from "./aws/workshop.ts";
import { type MotoServer, startMoto } from "./servers/moto.ts";

const silent = { debug() {}, info() {}, warn() {}, error() {} };

let moto: MotoServer;
let workshop: Workshop;
let sqs: SQSClient;
let queue: string;
beforeAll(async () => {
  moto = await startMoto();
  workshop = await Workshop.open(moto, "workflows");
  for (const [name, work] of Object.entries(FUNCTIONS)) workshop.functions.set(name, lambda(work as never));
  const settings = { endpoint: moto.url, region: moto.region, credentials: moto.credentials };
  sqs = new SQSClient(settings);
  queue = (await sqs.send(new CreateQueueCommand({ QueueName: "questions" }))).QueueUrl!;
  const keys = [
    { AttributeName: "pk", KeyType: "HASH" },
    { AttributeName: "sk", KeyType: "RANGE" },
  ] as const;
  await new DynamoDBClient(settings).send(
    new CreateTableCommand({
      TableName: "tasks",
      BillingMode: "PAY_PER_REQUEST",
      KeySchema: [...keys],
      AttributeDefinitions: keys.map(({ AttributeName }) => ({ AttributeName, AttributeType: "S" })),
    }),
  );
});
afterAll(async () => {
  await workshop?.close();
  await moto?.stop();
});

/** A function as Lambda loads it: called through the real entry. */
function lambda(work: (input: unknown, attempt: number) => unknown) {
  const place = { region: "us-east-1", account: "1" };
  const variables = writeEnvironment({ place, logLevel: "error", tools: {}, sources: {}, links: {} });
  const handler = async (
    event: { readonly payload: unknown },
    { run }: { readonly run: { readonly attempt: number } },
  ) => work(event.payload, run.attempt);
  const call = start(
    { handler: handler as never, code: {}, settings: {}, ports: {} },
    { variables, clock: systemClock, write: () => {} },
  );
  return (payload: unknown) => call(payload, { awsRequestId: "r", getRemainingTimeInMillis: () => 60_000 });
}

/** The function of a task's steps, whose runs end at once. */
function taskOf(work: (input: never, attempt: number) => unknown) {
  const runs = new Map<string, object>();
  const task = {
    get: async (id: string) => runs.get(id),
    submit: async (id: string, input: unknown) => {
      const run = { id, status: "succeeded", result: work({ id, input } as never, 1) };
      runs.set(id, run);
      return run;
    },
    audit: async (id: string) => runs.get(id),
  } as unknown as WorkflowTask;
  return lambda((payload) => taskHandler({ payload } as never, { links: { task } } as never));
}

interface DeployOptions {
  readonly tasks?: Readonly<Record<string, FunctionName>> | undefined;
  readonly timeout?: number;
}

let made = 0;
/** A workflow that is deployed. */
async function deployed(definition: Block, { tasks = {}, timeout = 60 }: DeployOptions = {}): Promise<StatesFlow> {
  made += 1;
  const name = `flow-${made}`;
  for (const [task, work] of Object.entries(tasks))
    workshop.functions.set(`${name}-${task}`, taskOf(FUNCTIONS[work] as never));
  const machine = await workshop.machine(
    name,
    flowDefinition(
      { definition, timeout },
      {
        functions: Object.fromEntries([...workshop.functions.keys()].map((one) => [one, one])),
        timeouts: {},
        tasks: { [TASK]: `${name}-${TASK}` },
        queues: { questions: queue },
        table: "tasks",
        partition: `workflow/${name}`,
      },
    ),
  );
  const endpoints = { statesEndpoint: moto.url, tableEndpoint: moto.url };
  return port(
    {
      kind: "workflow",
      part: name,
      machine,
      region: moto.region,
      table: "tasks",
      partition: `workflow/${name}`,
      ...endpoints,
    },
    {
      signal: new AbortController().signal,
      clock: systemClock,
      log: silent,
      files: "/nowhere",
      credentials: async () => moto.credentials,
    },
  );
}

async function over(flow: StatesFlow, id: string): Promise<WorkflowHistory> {
  for (;;) {
    const history = await flow.get(id);
    if (history && isOver(history.run.status)) return history;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** The stand-in loses the cause of what it is told by token. */
const wordless = (value: unknown): unknown =>
  JSON.parse(JSON.stringify(value ?? null, (name, inner) => (name === "message" || name === "why" ? null : inner)));

/** In the stand-in a token that has failed once fails at once in the next attempt, too. */
const STALE = ["retry-then-success", "retry-inside-an-item"];

describe("definitions, executed by moto", () => {
  test.concurrent.each(DEFINITIONS.filter(({ name }) => !STALE.includes(name)))(
    "$name",
    async ({ definition, input, expected, tasks, answers = {} }) => {
      const flow = await deployed(definition, { tasks });
      await flow.start("run-1", input);
      for (const [step, answer] of Object.entries(answers)) await flow.answer(`run-1/${step}`, answer);
      const { run, output } = await over(flow, "run-1");
      if ("output" in expected) expect(wordless({ error: run.error, output })).toEqual(wordless(expected));
      else expect(run).toMatchObject({ status: "failed", error: { kind: expected.error.kind } });
    },
  );
});

const part = <Result>(name: FunctionName) => ({ kind: "function", name }) as unknown as FunctionPart<unknown, Result>;
const questions = { kind: "queue", name: "questions" } as unknown as Queue;
const asks = (): Block =>
  block((flow) => flow.callback("approve", questions, { what: reference<string>("input", ["name"]) }));
const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

describe("a distributed map, executed by moto", () => {
  const items = (count: number) => Array.from({ length: count }, (_, value) => ({ value }));
  const given = () => reference<readonly { readonly value: number }[]>("input");

  test("has its outputs in the items' order", async () => {
    const flow = await deployed(
      block((flow) =>
        flow.map(
          "each",
          given(),
          (inner, item) => inner.function("one", part<{ readonly value: number }>("double"), item),
          { atMost: 100, concurrency: 7 },
        ),
      ),
    );
    await flow.start("wide", items(60));
    const { output } = await over(flow, "wide");
    expect(output).toEqual(items(60).map(({ value }) => ({ value: value * 2 })));
  });

  test("counts the items that fail, and fails with one more than it tolerates", async () => {
    const failing = (tolerated: number) =>
      block((flow) =>
        flow.forEach(
          "each",
          given(),
          (inner, { value }) =>
            void inner.function("one", part("fails"), { kind: "refused", message: "no", value, when: [3, 50] }),
          { atMost: 100, tolerated },
        ),
      );
    const tolerant = await deployed(failing(2));
    await tolerant.start("wide", items(60));
    expect((await over(tolerant, "wide")).output).toEqual({ succeeded: 58, failed: 2 });
    const strict = await deployed(failing(1));
    await strict.start("wide", items(60));
    expect((await over(strict, "wide")).run).toMatchObject({ status: "failed", error: { kind: "refused" } });
  });
});

test("a function that hangs is tried again, and fails its step as what took too long", async () => {
  let tried = 0;
  workshop.functions.set("hangs", async () => {
    tried += 1;
    await pause(4000);
  });
  const hangs = { kind: "function", name: "hangs" } as unknown as FunctionPart<unknown, object>;
  const backoff = { first: "1 second", longest: "1 second" } as const;
  const flow = await deployed(
    block((flow) =>
      flow.function(
        "hangs",
        hangs,
        {},
        { attempts: 2, backoff, timeout: "1 second", catch: (_caught, { kind }) => ({ kind }) },
      ),
    ),
  );
  await flow.start("stuck", {});
  expect((await over(flow, "stuck")).output).toEqual({ kind: "timed-out" });
  expect(tried).toBe(2);
});

describe("runs of a workflow, by its port", () => {
  test("a run is started once, whatever is asked again, and keeps its id when it is over", async () => {
    const flow = await deployed(block((flow) => flow.function("one", part("double"), { value: 2 })));
    const first = await flow.start("a-1", { n: 1 });
    expect(first).toMatchObject({ id: "a-1", status: "running", inputPreview: '{"n":1}' });
    expect(first.deduplicated).toBeUndefined();
    expect(await flow.start("a-1", { n: 2 })).toMatchObject({ inputPreview: '{"n":1}', deduplicated: true });
    const { run, input, output, steps } = await over(flow, "a-1");
    expect({ run, input, output }).toMatchObject({
      run: { status: "succeeded", outputPreview: '{"value":4}', ended: expect.any(String) },
      input: { n: 1 },
      output: { value: 4 },
    });
    expect(steps).toMatchObject([{ path: "one", step: "one", status: "succeeded", attempts: 1 }]);
    expect(await flow.start("a-1", {})).toMatchObject({ status: "succeeded", deduplicated: true });
    await expect(flow.start("no id", {})).rejects.toMatchObject({ kind: "bad-input" });
    await expect(flow.start("large", "x".repeat(300_000))).rejects.toMatchObject({ kind: "refused" });
    await expect(flow.retry("a-1")).rejects.toMatchObject({ kind: "conflict" });
    expect(await flow.get("unknown")).toBeUndefined();
    for (const verb of ["stop", "retry"] as const) {
      await expect(flow[verb]("unknown")).rejects.toMatchObject({ kind: "not-found" });
    }
  });

  test("steps are told by their paths, with items and rounds, and with the attempts they took", async () => {
    const flow = await deployed(
      block((flow) => {
        flow.map("each", reference<readonly { readonly value: number }[]>("input"), (inner, item) =>
          inner.repeat<{ readonly value: number }>(
            "grow",
            { from: item, until: (state) => isAbove(state.value, 3), atMost: 3 },
            (round, state) => round.function("double", part<{ readonly value: number }>("double"), state),
          ),
        );
        const backoff = { first: "1 second", longest: "1 second" } as const;
        flow.function("flaky", part("flaky"), { until: 9 }, { attempts: 2, backoff });
      }),
    );
    await flow.start("paths", [{ value: 1 }, { value: 2 }]);
    const { run, steps } = await over(flow, "paths");
    expect(run).toMatchObject({ status: "failed", error: { kind: "unavailable" } });
    expect(steps.map(({ path, status, attempts }) => ({ path, status, attempts }))).toEqual(
      expect.arrayContaining([
        { path: "each", status: "succeeded", attempts: 1 },
        { path: "each[0]/grow[0]/double", status: "succeeded", attempts: 1 },
        { path: "each[0]/grow[1]/double", status: "succeeded", attempts: 1 },
        { path: "each[1]/grow[0]/double", status: "succeeded", attempts: 1 },
        { path: "flaky", status: "failed", attempts: 2 },
      ]),
    );
    expect(steps).toHaveLength(5);
    const told = workshop.calls.flatMap(({ name, payload }) => {
      const { run, attempt } = payload as { readonly run: string; readonly attempt: number };
      return name === "flaky" && run === "paths" ? [attempt] : [];
    });
    expect(told).toEqual([1, 2]);
  });

  test("a list has the newest first, by status and prefix, page by page", async () => {
    const flow = await deployed(
      block(
        (flow) =>
          void flow.choice(
            "which",
            [{ if: is(reference<boolean>("input"), true), do: (inner) => inner.fail("no", "refused", "no") }],
            () => ({}),
          ),
      ),
    );
    for (const [id, input] of [
      ["a-1", false],
      ["b-1", true],
      ["a-2", false],
    ] as const) {
      await flow.start(id, input);
      await over(flow, id);
    }
    const ids = async (filter?: WorkflowFilter) => (await flow.list(filter)).runs.map(({ id }) => id);
    expect(await ids()).toEqual(["a-2", "b-1", "a-1"]);
    expect(await ids({ prefix: "a-" })).toEqual(["a-2", "a-1"]);
    expect(await ids({ status: "failed" })).toEqual(["b-1"]);
    expect(await ids({ status: ["failed", "stopped"] })).toEqual(["b-1"]);
    expect(await ids({ before: "2020-01-01T00:00:00Z" })).toEqual([]);
    const page = await flow.list({ limit: 2 });
    expect(page.runs).toHaveLength(2);
    expect(await ids({ limit: 2, cursor: page.next! })).toEqual(["a-1"]);
    expect((await flow.list({ status: "failed" })).runs[0]).toMatchObject({
      error: { kind: "refused", message: "no" },
    });
  });

  test("a run that is stopped is stopped, and one that takes too long has failed", async () => {
    const flow = await deployed(block((flow) => flow.wait("pause", "60 seconds")));
    await flow.start("stopped", {});
    await pause(500);
    expect(await flow.stop("stopped")).toMatchObject({ status: "stopped" });
    expect(await flow.stop("stopped")).toMatchObject({ status: "stopped" });
    expect((await flow.get("stopped"))?.steps).toMatchObject([{ path: "pause", status: "stopped" }]);
    const short = await deployed(
      block((flow) => flow.wait("pause", "60 seconds")),
      { timeout: 1 },
    );
    await short.start("late", {});
    expect((await over(short, "late")).run).toMatchObject({ status: "failed", error: { kind: "timed-out" } });
  });
});

describe("callbacks", () => {
  /** The message that asks. */
  async function asked(name: string): Promise<{ readonly callback: string; readonly input: unknown }> {
    for (;;) {
      const { Messages = [] } = await sqs.send(
        new ReceiveMessageCommand({ QueueUrl: queue, WaitTimeSeconds: 1, MaxNumberOfMessages: 10 }),
      );
      for (const { Body } of Messages) {
        const message = JSON.parse(Body!) as { readonly callback: string; readonly input: { readonly what: string } };
        if (message.input.what === name) return message;
      }
    }
  }

  test("a step waits until the one who is asked answers; a second answer is ignored", async () => {
    const flow = await deployed(asks());
    await flow.start("waits", { name: "one" });
    const { callback } = await asked("one");
    const waiting = (await flow.get("waits"))!;
    expect(waiting.run.status).toBe("running");
    expect(waiting.steps).toMatchObject([{ path: "approve", status: "waiting", callback }]);
    await flow.answer(callback, { output: { ok: true } });
    await flow.answer(callback, { output: { ok: false } });
    expect(await over(flow, "waits")).toMatchObject({ output: { ok: true }, steps: [{ status: "succeeded" }] });
    await flow.answer(callback, { error: { kind: "refused", message: "too late" } });
  });

  test("an answer that comes before anybody waits counts, and the first of several", async () => {
    const flow = await deployed(
      block((flow) => {
        flow.wait("first", "1 second");
        return flow.callback("approve", questions, { what: "two" });
      }),
    );
    await flow.start("early", {});
    await flow.answer("early/approve", { output: 1 });
    await flow.answer("early/approve", { output: 2 });
    expect((await over(flow, "early")).output).toBe(1);
  });

  test("an error that is answered fails the step; who answers nobody is told so", async () => {
    const flow = await deployed(asks());
    await flow.start("refused", { name: "three" });
    const { callback } = await asked("three");
    await flow.answer(callback, { error: { kind: "refused", message: "not today" } });
    expect((await over(flow, "refused")).run).toMatchObject({ status: "failed", error: { kind: "refused" } });
    for (const nobody of ["unknown/approve", "nothing", ""]) {
      await expect(flow.answer(nobody, { output: {} })).rejects.toMatchObject({ kind: "not-found" });
    }
  });
});
