import { tmpdir } from "node:os";
import { afterEach, describe, expect, it } from "vitest";
import { openAlicloud } from "../../../lib/clouds/alicloud/client.ts";
import { type FlowWorld, flowDefinition } from "../../../lib/clouds/alicloud/deploy/flow-definition.ts";
import { RAM_ACTIONS } from "../../../lib/clouds/alicloud/deploy/permissions.ts";
import type { AlicloudWorld } from "../../../lib/clouds/alicloud/runtime/account.ts";
import { callbacksOf } from "../../../lib/clouds/alicloud/runtime/callbacks.ts";
import { start as startFunction } from "../../../lib/clouds/alicloud/runtime/entry.ts";
import { port as keeperPort } from "../../../lib/clouds/alicloud/runtime/flow-keeper.ts";
import { doStep, toStepCall } from "../../../lib/clouds/alicloud/runtime/step.ts";
import { port as workflowPort } from "../../../lib/clouds/alicloud/runtime/workflow.ts";
import { handler as ask } from "../../../lib/handlers/flows/ask.ts";
import { handler as next } from "../../../lib/handlers/flows/next.ts";
import { handler as task } from "../../../lib/handlers/flows/task.ts";
import { block, type Flow, type Ref, reference } from "../../../lib/parts/flow.ts";
import type { FunctionPart, Queue, TaskPart } from "../../../lib/parts/part.ts";
import type { Action } from "../../../lib/parts/plan.ts";
import { systemClock } from "../../../lib/runtime/clock.ts";
import { DeployedFunction } from "../../../lib/runtime/deployed.ts";
import type { LinkAddress } from "../../../lib/runtime/deployment.ts";
import { MillraceError, toErrorRecord } from "../../../lib/runtime/errors.ts";
import type { Handler, Log } from "../../../lib/runtime/handler.ts";
import type { Task } from "../../../lib/runtime/tasks/task.ts";
import type { WorkflowTask } from "../../../lib/runtime/workflows/links.ts";
import { writeEnvironment } from "../../../lib/shared/environment.ts";
import { FakeFnf } from "./fakes/fnf.ts";
import { KEYS } from "./fakes/server.ts";
import { FakeTablestore } from "./fakes/tablestore.ts";
import { FlowError } from "./fdl-interpreter.ts";

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };
const world: AlicloudWorld = {
  signal: new AbortController().signal,
  clock: systemClock,
  log: silent,
  files: tmpdir(),
  credentials: () => KEYS,
};
const FLOW: FlowWorld = {
  name: "flow",
  function: (part) => ({ arn: part, timeout: 60 }),
  next: { arn: "$next", timeout: 60 },
  task: () => ({ arn: "$task", timeout: 60 }),
  ask: () => ({ arn: "$ask", timeout: 60 }),
};
const double = { kind: "function", name: "double" } as unknown as FunctionPart<unknown, { readonly value: number }>;
const work = { kind: "task", name: "work" } as unknown as TaskPart;
const questions = { kind: "queue", name: "questions" } as unknown as Queue;
const input = <T>(...at: readonly string[]): Ref<T> => reference("input", at);

function deployed(handler: unknown, links: Readonly<Record<string, object>> = {}) {
  const ports = Object.entries(links).map(([name, port]) => [name, async () => ({ port: () => port })] as const);
  const linked = Object.keys(links).map((name) => [name, { kind: "function", part: name }] as const);
  return new DeployedFunction({
    deployment: { handler: handler as never, code: {}, settings: {}, ports: Object.fromEntries(ports) },
    environment: { place: {}, logLevel: "error", tools: {}, sources: {}, links: Object.fromEntries(linked) },
    world: (plain) => plain,
    clock: systemClock,
    write: () => {},
  });
}

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

/** A flow on the fakes, with the real handlers and ports around it. */
async function system(write: (flow: Flow) => unknown, { task: runs }: { readonly task?: WorkflowTask } = {}) {
  const tablestore = new FakeTablestore();
  const asked: { readonly callback: string; readonly input: unknown }[] = [];
  const sent = { queue: "questions", send: async (body: string) => String(asked.push(JSON.parse(body))) };
  /** What `double` was called with, and what it takes at most. */
  const doubled = { values: [] as number[], most: 100 };
  const doubles: Handler<{ readonly payload: { readonly value: number } }> = async ({ payload: { value } }) => {
    doubled.values.push(value);
    if (value > doubled.most) throw new MillraceError("bad-input", "too large");
    return { value: value * 2 };
  };
  const definition = JSON.parse(JSON.stringify(flowDefinition(block(write), FLOW)));
  const fnf = new FakeFnf(definition, {
    wait: () => {},
    invoke: async (arn, body) => {
      const call = toStepCall(body)!;
      const platform = { id: "request", deadline: systemClock.now() + 60_000 };
      const functions = {
        $next: () => deployed(next),
        $task: () => deployed(task, { task: runs! }),
        $ask: () => deployed(ask, { asked: sent, callbacks }),
        double: () => deployed(doubles),
      };
      try {
        return await doStep(body, call, () => functions[arn as keyof typeof functions]().step(call, platform));
      } catch (error) {
        throw new FlowError("FC.HandledInvocationError", toErrorRecord(error).message);
      }
    },
  });
  const [flowEndpoint, tableEndpoint] = await Promise.all([fnf.server.start(), tablestore.server.start()]);
  closing.push(
    () => fnf.server.close(),
    () => tablestore.server.close(),
  );
  const address: LinkAddress = {
    ...{ kind: "workflow", part: "w", flow: "flow", region: "cn-hangzhou", timeout: "3600", steps: "one,two,ask" },
    ...{ table: "callbacks", instance: "i", flowEndpoint, tableEndpoint },
  };
  const callbacks = await callbacksOf(address, world);
  return { fnf, asked, address, doubled, runs: workflowPort(address, world), callbacks };
}

const question = async (asked: readonly unknown[], count = 1): Promise<void> => {
  while (asked.length < count) await new Promise((resolve) => setTimeout(resolve, 5));
};

describe("runs of a workflow on CloudFlow", () => {
  const twice = (flow: Flow) => {
    const one = flow.function("one", double, { value: input<number>("value") });
    return flow.function("two", double, one);
  };

  it("are started by an id, once, and told with their steps", async () => {
    const { runs, fnf } = await system(twice);
    expect(await runs.start("1-a", { value: 3 })).toMatchObject({
      workflow: "w",
      id: "1-a",
      inputPreview: '{"value":3}',
    });
    await fnf.over();
    expect(fnf.executions.map(({ Name }) => Name)).toEqual(["_1-a"]);
    expect(await runs.start("1-a", { value: 4 })).toMatchObject({ status: "succeeded", deduplicated: true });
    const { steps, ...history } = (await runs.get("1-a"))!;
    expect(history).toMatchObject({
      run: { id: "1-a", status: "succeeded", outputPreview: '{"value":12}' },
      input: { value: 3 },
      output: { value: 12 },
    });
    expect(steps).toMatchObject([
      { path: "one", step: "one", status: "succeeded", attempts: 1 },
      { path: "two", step: "two", status: "succeeded", attempts: 1 },
    ]);
    expect(await runs.get("nobody")).toBeUndefined();
  });

  it("started twice at once are one, whichever the service answers", async () => {
    const { runs, fnf, asked } = await system((flow) => flow.callback("ask", questions, {}));
    const both = await Promise.all([runs.start("same", 1), runs.start("same", 2)]);
    expect(both.map(({ id }) => id)).toEqual(["same", "same"]);
    expect(fnf.executions).toHaveLength(1);
    await question(asked);
  });

  it("fail with the error of the step that failed", async () => {
    const { runs, fnf } = await system(twice);
    await runs.start("large", { value: 60 });
    await fnf.over();
    expect((await runs.get("large"))!.run).toMatchObject({
      status: "failed",
      error: { kind: "bad-input", message: "too large" },
    });
  });

  it("are listed, newest first, page by page", async () => {
    const { runs, fnf } = await system(twice);
    for (const id of ["a-1", "a-2", "b-1", "2-1"]) await runs.start(id, { value: id === "a-2" ? 60 : 1 });
    await fnf.over();
    const ids = async (filter: Parameters<typeof runs.list>[0]) => (await runs.list(filter)).runs.map(({ id }) => id);
    expect(await ids({})).toEqual(["2-1", "b-1", "a-2", "a-1"]);
    expect(await ids({ prefix: "a-" })).toEqual(["a-2", "a-1"]);
    expect(await ids({ prefix: "2" })).toEqual(["2-1"]);
    expect(await ids({ status: "failed" })).toEqual(["a-2"]);
    expect(await ids({ status: ["failed", "succeeded"] })).toHaveLength(4);
    const first = await runs.list({ limit: 3 });
    expect(first.runs).toHaveLength(3);
    expect((await runs.list({ limit: 3, cursor: first.next! })).runs.map(({ id }) => id)).toEqual(["a-1"]);
  });

  it("are stopped once; one that is over is answered as it is", async () => {
    const { runs, asked } = await system((flow) => flow.callback("ask", questions, {}));
    await runs.start("r", {});
    await question(asked);
    expect(await runs.stop("r")).toMatchObject({ status: "stopped" });
    expect(await runs.stop("r")).toMatchObject({ status: "stopped" });
    await expect(runs.stop("nobody")).rejects.toMatchObject({ kind: "not-found" });
  });

  it("are gone on with by another execution: what succeeded is not called again, however often", async () => {
    const { runs, fnf, doubled } = await system(twice);
    await runs.start("1-bad", { value: 60 });
    await runs.start("good", { value: 1 });
    await fnf.over();
    await expect(runs.retry("good")).rejects.toMatchObject({ kind: "conflict" });
    await expect(runs.retry("nobody")).rejects.toMatchObject({ kind: "not-found" });
    const { started } = (await runs.get("1-bad"))!.run;
    doubled.values.length = 0;
    expect(await runs.retry("1-bad")).toMatchObject({ id: "1-bad", status: "running", started });
    await fnf.over();
    expect((await runs.get("1-bad"))!.run).toMatchObject({ status: "failed", error: { kind: "bad-input" } });
    doubled.most = 1000;
    await runs.retry("1-bad");
    await expect(runs.retry("1-bad")).rejects.toMatchObject({ kind: "conflict" });
    await fnf.over();
    expect(doubled.values).toEqual([120, 120]);
    expect(await runs.get("1-bad")).toMatchObject({
      run: { id: "1-bad", status: "succeeded", started },
      input: { value: 60 },
      output: { value: 240 },
      steps: [{ path: "one" }, { path: "two" }],
    });
    expect(fnf.executions.map(({ Name }) => Name)).toEqual(["__3_1-bad", "__2_1-bad", "good", "_1-bad"]);
    expect(await runs.start("1-bad", {})).toMatchObject({ status: "succeeded", deduplicated: true });
    await expect(runs.retry("1-bad")).rejects.toMatchObject({ kind: "conflict" });
  });

  it("are one run each in lists, however often they were begun", async () => {
    const { runs, fnf, doubled } = await system(twice);
    await runs.start("a-1", { value: 60 });
    await runs.start("a-2", { value: 70 });
    await runs.start("b-1", { value: 1 });
    await fnf.over();
    doubled.most = 1000;
    await runs.retry("a-1");
    await fnf.over();
    const listed = async (filter: Parameters<typeof runs.list>[0]) =>
      (await runs.list(filter)).runs.map(({ id, status }) => `${id} ${status}`);
    expect(await listed({})).toEqual(["b-1 succeeded", "a-2 failed", "a-1 succeeded"]);
    expect(await listed({ prefix: "a-" })).toEqual(["a-2 failed", "a-1 succeeded"]);
    expect(await listed({ status: "succeeded" })).toEqual(["b-1 succeeded", "a-1 succeeded"]);
    expect(await listed({ status: "failed" })).toEqual(["a-2 failed"]);
  });

  it("carry so much of what they had done, and do the rest again", async () => {
    const { runs, fnf } = await system((flow) =>
      flow.map(
        "each-of-all-the-items-of-a-list",
        input<readonly { value: number }[]>("items"),
        (inner, item) => inner.function("one", double, item),
        { atMost: 2000 },
      ),
    );
    const items = Array.from({ length: 500 }, (_, index) => ({ value: index === 499 ? 500 : index % 100 }));
    await runs.start("r", { items });
    await fnf.over();
    expect((await runs.retry("r")).status).toBe("running");
    await fnf.over();
    const [again] = fnf.executions;
    expect(again!.Name).toBe("__2_r");
    expect(Buffer.byteLength(again!.Input)).toBeLessThanOrEqual(64 * 1024);
    const done = Object.keys((JSON.parse(again!.Input) as { done: object }).done).length;
    expect(done).toBeGreaterThan(300);
    expect(done).toBeLessThan(499);
  });

  it("that were stopped are gone on with, and stopped again", async () => {
    const { runs, asked, fnf, doubled } = await system((flow) => {
      const one = flow.function("one", double, { value: 1 });
      return { one, answer: flow.callback("ask", questions, {}) };
    });
    await runs.start("r", {});
    await question(asked);
    await runs.stop("r");
    expect(await runs.retry("r")).toMatchObject({ status: "running" });
    await question(asked, 2);
    expect(await runs.stop("r")).toMatchObject({ status: "stopped" });
    await runs.answer("r/ask", { output: "early" });
    await runs.retry("r");
    await fnf.over();
    expect((await runs.get("r"))!.output).toEqual({ one: { value: 2 }, answer: "early" });
    expect(doubled.values).toEqual([1]);
    // What was answered before is asked no more.
    expect(asked).toHaveLength(2);
  });

  it("refuse ids and inputs that the service does not take", async () => {
    const { runs } = await system(twice);
    await expect(runs.start("a/b", {})).rejects.toMatchObject({ kind: "bad-input" });
    await expect(runs.start("a", "x".repeat(70_000))).rejects.toMatchObject({ kind: "refused" });
  });

  it("that take too long are ended by the keeper, as a failure", async () => {
    const { runs, address, asked, fnf } = await system((flow) => flow.callback("ask", questions, {}));
    await runs.start("slow", {});
    await question(asked);
    expect(await keeperPort(address, world).stopLate()).toBe(0);
    fnf.server.advance(3601);
    const later = { ...world, clock: { ...systemClock, now: () => systemClock.now() + 3_601_000 } };
    expect(await keeperPort(address, later).stopLate()).toBe(1);
    expect((await runs.get("slow"))!.run).toMatchObject({ status: "failed", error: { kind: "timed-out" } });
  });

  it("are asked for by the verbs that a link grants, and by no others", async () => {
    const { runs, fnf, asked, address } = await system((flow) => flow.callback("ask", questions, {}));
    const askedBy = async (work: () => Promise<unknown>): Promise<readonly string[]> => {
      const before = fnf.server.requests.length;
      await work();
      const actions = fnf.server.requests.slice(before).map(({ headers }) => `fnf:${headers["x-acs-action"]}`);
      return [...new Set(actions)].sort();
    };
    const granted = (...actions: readonly Action[]) =>
      [...new Set<string>(actions.flatMap((action) => RAM_ACTIONS[action]))].filter((verb) => /^fnf/.test(verb)).sort();
    expect(
      await askedBy(async () => {
        await runs.start("r", {});
        await question(asked);
      }),
    ).toEqual(granted("workflow.start"));
    const looked = await askedBy(async () => {
      await runs.list();
      await runs.get("r");
    });
    expect(looked).toEqual(granted("workflow.read"));
    expect(await askedBy(() => runs.answer("r/ask", { output: 1 }))).toEqual(granted("workflow.answer"));
    await runs.start("s", {});
    const controlled = await askedBy(async () => {
      await runs.stop("s");
      await runs.retry("s");
      await runs.stop("s");
    });
    expect(controlled.filter((verb) => !looked.includes(verb))).toEqual(granted("workflow.control"));
    expect(address.table).toBe("callbacks");
  });

  it("are reached from outside by the client, callbacks without naming the workflow", async () => {
    const { address, asked, fnf } = await system((flow) => flow.callback("ask", questions, {}));
    const { workflows, close } = openAlicloud({ addresses: { w: address }, credentials: () => KEYS });
    const { id } = await workflows!.start("w", { a: 1 });
    await question(asked);
    await workflows!.answer(`${id}/ask`, { output: { ok: true } });
    await fnf.over();
    expect(await workflows!.get("w", id)).toMatchObject({ run: { status: "succeeded" }, output: { ok: true } });
    await expect(workflows!.answer("nobody/ask", { output: 1 })).rejects.toMatchObject({ kind: "not-found" });
    await expect(workflows!.start("x", {})).rejects.toMatchObject({ kind: "not-found" });
    await close();
  });

  it("tell what the service refuses", async () => {
    const { runs, fnf } = await system(twice);
    fnf.server.forbids = () => true;
    await expect(runs.start("a", {})).rejects.toMatchObject({ kind: "refused" });
  });
});

describe("a function that a flow calls", () => {
  const handle = startFunction(
    {
      handler: (async (_: unknown, { run }: { readonly run: { readonly attempt: number } }) => {
        throw new MillraceError("unavailable", `attempt ${run.attempt}`);
      }) as never,
      ...{ code: {}, settings: {}, ports: {} },
    },
    {
      variables: writeEnvironment({
        ...{ place: { region: "cn-hangzhou", account: "1" }, logLevel: "error", tools: {}, sources: {}, links: {} },
      }),
      clock: systemClock,
      write: () => {},
    },
  );
  const called = async (retries: number) => {
    const call = { millrace: "step", run: "r", step: "one", retries, attempts: 3, input: {} };
    const context = { requestId: "q", function: { timeout: 60 }, credentials: KEYS };
    return JSON.parse(
      Buffer.from(await handle(Buffer.from(JSON.stringify(call)), context)).toString("utf8"),
    ) as unknown;
  };

  it("fails where the flow is to call it again, and answers at the last attempt", async () => {
    await expect(called(0)).rejects.toThrow("millrace:unavailable: attempt 1");
    expect(await called(2)).toEqual({ status: "failed", error: { kind: "unavailable", message: "attempt 3" } });
  });
});

describe("a step that waits for an answer", () => {
  const asks = (flow: Flow) =>
    flow.callback<{ readonly ok: boolean }>("ask", questions, { what: input<string>("what") });

  it("goes on with it", async () => {
    const { runs, asked, fnf } = await system(asks);
    await runs.start("r", { what: "x" });
    await question(asked);
    expect(asked).toEqual([{ callback: "r/ask", input: { what: "x" } }]);
    await runs.answer("r/ask", { output: { ok: true } });
    await runs.answer("r/ask", { output: { ok: false } });
    await fnf.over();
    expect((await runs.get("r"))!.output).toEqual({ ok: true });
  });

  it("finds the answer that came before it, and takes the first of two", async () => {
    const { runs, fnf } = await system(asks);
    await runs.answer("early/ask", { output: { ok: true } });
    await runs.answer("early/ask", { error: { kind: "refused", message: "no" } });
    await runs.start("early", { what: "x" });
    await fnf.over();
    expect((await runs.get("early"))!.output).toEqual({ ok: true });
  });

  it("fails with an error as its answer", async () => {
    const { runs, asked, fnf } = await system(asks);
    await runs.start("r", {});
    await question(asked);
    await runs.answer("r/ask", { error: { kind: "refused", message: "not today" } });
    await fnf.over();
    expect((await runs.get("r"))!.run.error).toEqual({ kind: "refused", message: "not today" });
  });

  it("is asked anew where its answer failed a run that is retried", async () => {
    const { runs, asked, fnf } = await system(asks);
    await runs.start("r", {});
    await question(asked);
    await runs.answer("r/ask", { error: { kind: "refused", message: "not today" } });
    await fnf.over();
    await runs.retry("r");
    await question(asked, 2);
    await runs.answer("r/ask", { output: { ok: true } });
    await fnf.over();
    expect((await runs.get("r"))!.output).toEqual({ ok: true });
  });

  it("asks for each item by its own name, and again by another at the next attempt", async () => {
    const { runs, asked, fnf } = await system((flow) =>
      flow.map("each", input<readonly { n: number }[]>("items"), (inner, item) =>
        inner.callback("ask", questions, item, { attempts: 2, backoff: { first: "1 second" } }),
      ),
    );
    await runs.start("r", { items: [{ n: 1 }, { n: 2 }] });
    await question(asked, 2);
    expect(asked.map(({ callback }) => callback).sort()).toEqual(["r/each[0]/ask", "r/each[1]/ask"]);
    await runs.answer("r/each[0]/ask", { output: 1 });
    await runs.answer("r/each[1]/ask", { error: { kind: "failed", message: "once more" } });
    await question(asked, 3);
    expect(asked[2]).toMatchObject({ callback: "r/each[1]/ask~2" });
    await runs.answer("r/each[1]/ask~2", { output: 2 });
    await fnf.over();
    expect((await runs.get("r"))!.output).toEqual([1, 2]);
  });
});

describe("a step that is a task", () => {
  /** A task whose runs end at the so many-th look. */
  function tasks(ends: readonly Partial<Task>[]) {
    const calls: string[] = [];
    const known = new Map<string, Task>();
    let looks = 0;
    const run = (id: string, status: Task["status"]): Task => ({ id, status }) as Task;
    const port: WorkflowTask = {
      submit: async (id) => {
        calls.push(`submit ${id}`);
        known.set(id, run(id, "running"));
        return known.get(id)!;
      },
      get: async (id) => {
        const now = known.get(id);
        if (now?.status === "running" && ends[looks]) known.set(id, { ...now, ...ends[looks] });
        if (now) looks += 1;
        return known.get(id);
      },
      retry: async (id) => {
        calls.push(`retry ${id}`);
        known.set(id, run(id, "running"));
        return known.get(id)!;
      },
      audit: async (id) => ({ task: known.get(id)!, payload: {}, result: { done: id }, events: [] }),
    };
    return { port, calls, known, run };
  }

  it("is submitted, looked at until it is over, and answers its whole result", async () => {
    const { port, calls } = tasks([{}, {}, { status: "succeeded" }]);
    const { runs, fnf } = await system((flow) => flow.task("one", work, { id: input<string>("name"), input: {} }), {
      task: port,
    });
    await runs.start("r", { name: "t-1" });
    await fnf.over();
    expect((await runs.get("r"))!.output).toEqual({ done: "t-1" });
    expect(calls).toEqual(["submit t-1"]);
  });

  it("is tried again as the same run", async () => {
    const { port, calls } = tasks([
      { status: "failed", error: { kind: "failed", message: "x" } },
      {},
      { status: "succeeded" },
    ]);
    const { runs, fnf } = await system((flow) => flow.task("one", work, { id: "t", input: {} }, { attempts: 2 }), {
      task: port,
    });
    await runs.start("r", {});
    await fnf.over();
    expect((await runs.get("r"))!.output).toEqual({ done: "t" });
    expect(calls).toEqual(["submit t", "retry t"]);
  });

  it("is tried again with the run of the workflow, unless it succeeded", async () => {
    const { port, calls } = tasks([
      { status: "failed", error: { kind: "failed", message: "x" } },
      {},
      { status: "succeeded" },
    ]);
    const { runs, fnf } = await system((flow) => flow.task("one", work, { id: "t", input: {} }, { attempts: 1 }), {
      task: port,
    });
    await runs.start("r", {});
    await fnf.over();
    expect((await runs.get("r"))!.run.status).toBe("failed");
    await runs.retry("r");
    await fnf.over();
    expect((await runs.get("r"))!.output).toEqual({ done: "t" });
    expect(calls).toEqual(["submit t", "retry t"]);
  });

  it("waits for a run that is known, and does not do it again", async () => {
    const { port, calls, known, run } = tasks([]);
    known.set("t", run("t", "succeeded"));
    const { runs, fnf } = await system((flow) => flow.task("one", work, { id: "t", input: {} }), { task: port });
    await runs.start("r", {});
    await fnf.over();
    expect((await runs.get("r"))!.output).toEqual({ done: "t" });
    expect(calls).toEqual([]);
  });
});
