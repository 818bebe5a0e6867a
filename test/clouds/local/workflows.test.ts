import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { Journal } from "../../../lib/clouds/local/host/journal.ts";
import { VirtualClock } from "../../../lib/clouds/local/host/virtual-clock.ts";
import { type Asked, Workflows, type WorkflowsOptions } from "../../../lib/clouds/local/host/workflows.ts";
import { block, type Flow, reference } from "../../../lib/parts/flow.ts";
import type { FunctionPart, Queue } from "../../../lib/parts/part.ts";
import type { Plan } from "../../../lib/parts/plan.ts";
import { MillraceError } from "../../../lib/runtime/errors.ts";
import type { Task, TaskAudit } from "../../../lib/runtime/tasks/task.ts";
import type { Answer, StepRecord, WorkflowHistory, WorkflowRun } from "../../../lib/runtime/workflows/run.ts";
import { isOver } from "../../../lib/runtime/workflows/run.ts";
import type { Block } from "../../../lib/shared/workflow/definition.ts";
import { DEFINITIONS, FUNCTIONS, type FunctionName } from "../../workflows/definitions.ts";

interface Stage {
  readonly journal: Journal;
  readonly answers?: Readonly<Record<string, Answer>>;
  readonly step?: (name: string, payload: unknown, attempt: number, signal: AbortSignal, say: Say) => unknown;
}

/** How a function says how far it is. */
type Say = (progress: NonNullable<StepRecord["progress"]>) => void;

const call = (name: string, payload: unknown, attempt: number): unknown =>
  (FUNCTIONS[name as FunctionName] as (input: unknown, attempt: number) => unknown)(payload, attempt);

/** The workflows of a local cloud, without its processes: functions are those of the suite unless told otherwise. */
function stageOf({ journal, answers = {}, step = call }: Stage) {
  const clock = new VirtualClock();
  const quiet = () => {};
  const tasks = memoryTasks();
  const calls: string[] = [];
  const asked: Asked[] = [];
  const changes: WorkflowRun[] = [];
  const workflows: Workflows = new Workflows({
    journal,
    clock,
    random: () => 0.5,
    functions: {
      async step(name, payload, { id, attempt, signal, onProgress: say = quiet }) {
        calls.push(`${id}#${attempt}`);
        return JSON.parse(JSON.stringify((await step(name, payload, attempt, signal, say)) ?? null));
      },
    },
    tasks: () => tasks,
    ask(_to, question) {
      asked.push(question);
      const answer = answers[question.callback.split("/").at(-1)!];
      if (answer) setImmediate(() => void workflows.answer(question.callback, answer));
    },
    onChange: (run) => changes.push(run),
    log: { debug: quiet, info: quiet, warn: quiet, error: quiet },
  });
  onTestFinished(() => workflows.suspend());
  return { workflows, clock, calls, asked, changes };
}

/** Runs of a task that echo what they are given, at once. */
function memoryTasks(): ReturnType<WorkflowsOptions["tasks"]> {
  const echoed = new Map<string, unknown>();
  const taskOf = (id: string) => ({ id, status: "succeeded" }) as Task;
  const never = async (): Promise<never> => {
    throw new MillraceError("refused", "no such verb here");
  };
  return {
    get: async (_task, id) => (echoed.has(id) ? taskOf(id) : undefined),
    async submit(_task, input, { id = "" } = {}) {
      echoed.set(id, { id, input });
      return taskOf(id);
    },
    wait: async (_task, id) => taskOf(id),
    audit: async (_task, id) => ({ task: taskOf(id), payload: null, result: echoed.get(id), events: [] }) as TaskAudit,
    retry: never,
    stop: never,
  };
}

const planOf = (definitions: Readonly<Record<string, Block>>, timeout = 100_000): Plan => ({
  ...{ version: 1, project: "p", stack: "dev", clouds: [{ name: "local", kind: "local" }], constructs: [] },
  parts: Object.entries(definitions).map(([name, definition]) => ({
    ...{ kind: "workflow", name, stem: name, construct: "c", cloud: "local", definition, timeout },
  })),
});

function openJournal(): Journal {
  const folder = mkdtempSync(join(tmpdir(), "millrace-workflows-"));
  const journal = new Journal(folder);
  onTestFinished(() => {
    journal.close();
    rmSync(folder, { recursive: true });
  });
  return journal;
}

/** Lets a second pass again and again until the run is over. */
async function ended(
  { workflows, clock }: Pick<ReturnType<typeof stageOf>, "workflows" | "clock">,
  workflow: string,
  id: string,
): Promise<WorkflowHistory> {
  const look = async () => {
    await clock.advance("1 second");
    return (await workflows.get(workflow, id))!;
  };
  await expect.poll(async () => isOver((await look()).run.status), { interval: 5 }).toBe(true);
  return look();
}

const part = (name: string) => ({ kind: "function", name }) as unknown as FunctionPart<unknown, unknown>;
const desk = { kind: "queue", name: "desk" } as unknown as Queue;
const asking = block((flow) => flow.callback("ask", desk, { input: reference("input") }));

describe("the suite of definitions", () => {
  test.for(DEFINITIONS)("$name", async ({ definition, input, expected, calls = {}, answers = {} }) => {
    const named: string[] = [];
    const { workflows, clock } = stageOf({
      journal: openJournal(),
      answers,
      step: (name, payload, attempt) => {
        named.push(name);
        return call(name, payload, attempt);
      },
    });
    workflows.define(planOf({ flow: definition }));
    await workflows.start("flow", input, { id: "one" });
    const { run, output } = await ended({ workflows, clock }, "flow", "one");
    if ("output" in expected) expect({ status: run.status, output }).toEqual({ status: "succeeded", ...expected });
    else expect(run).toMatchObject({ status: "failed", ...expected });
    for (const [name, count] of Object.entries(calls)) {
      if (name !== "echo") expect([name, named.filter((one) => one === name).length]).toEqual([name, count]);
    }
  });
});

describe("a run", () => {
  test("has an id of its kind; a second one of the same is the first", async () => {
    const { workflows, asked } = stageOf({ journal: openJournal() });
    workflows.define(planOf({ flow: asking }));
    await expect(workflows.start("flow", 1, { id: "a/b" })).rejects.toMatchObject({ kind: "bad-input" });
    await expect(workflows.start("nobody", 1)).rejects.toMatchObject({ kind: "not-found" });
    await workflows.start("flow", { first: true }, { id: "one" });
    expect(await workflows.start("flow", { second: true }, { id: "one" })).toMatchObject({
      deduplicated: true,
      inputPreview: '{"first":true}',
    });
    await expect.poll(() => asked).toEqual([{ callback: "flow/one/ask", input: { input: { first: true } } }]);
    const { id } = await workflows.start("flow", 1);
    expect(id).toMatch(/^[a-z0-9][a-z0-9-]{0,63}$/);
  });

  test("goes on when its workflow is back, by the definition it began with", async () => {
    const { workflows, calls, clock } = stageOf({ journal: openJournal() });
    const twoSteps = block((flow) => {
      flow.callback("ask", desk, {});
      return flow.function("last", part("double"), { value: 4 });
    });
    workflows.define(planOf({ flow: twoSteps }));
    await workflows.start("flow", 1, { id: "one" });
    await expect.poll(async () => (await workflows.get("flow", "one"))?.steps[0]?.status).toBe("waiting");
    workflows.define(planOf({ other: asking }));
    await expect(workflows.get("flow", "one")).rejects.toMatchObject({ kind: "not-found" });
    await expect(workflows.answer("flow/one/ask", { output: 1 })).rejects.toMatchObject({ kind: "not-found" });
    workflows.define(planOf({ flow: asking }));
    await workflows.answer("flow/one/ask", { output: 1 });
    expect((await ended({ workflows, clock }, "flow", "one")).output).toEqual({ value: 8 });
    expect(calls).toEqual(["one/last#1"]);
  });

  test("that was being stopped when the host ended is stopped by the next one", async () => {
    const journal = openJournal();
    const first = stageOf({ journal });
    first.workflows.define(planOf({ flow: asking }));
    await first.workflows.start("flow", 1, { id: "one" });
    const stopping = first.workflows.stop("flow", "one");
    first.workflows.suspend();
    expect(await stopping).toMatchObject({ status: "stopping" });
    const second = stageOf({ journal });
    second.workflows.define(planOf({ flow: asking }));
    expect((await ended(second, "flow", "one")).run).toMatchObject({ status: "stopped" });
  });

  test("ends the function it calls before it is stopped, and before it is out of its time", async () => {
    const aborted: unknown[] = [];
    const step = (_name: string, _payload: unknown, _attempt: number, signal: AbortSignal) =>
      new Promise((_resolve, reject) =>
        signal.addEventListener("abort", () => {
          aborted.push(signal.reason);
          reject(signal.reason);
        }),
      );
    const { workflows, clock } = stageOf({ journal: openJournal(), step });
    const calling = block((flow: Flow) => flow.function("call", part("echo"), {}, { attempts: 5 }));
    workflows.define(planOf({ flow: calling }, 60));
    await workflows.start("flow", 1, { id: "late" });
    expect((await ended({ workflows, clock }, "flow", "late")).run).toMatchObject({
      status: "failed",
      error: { kind: "timed-out" },
    });
    expect(aborted).toMatchObject([{ kind: "timed-out" }]);
  });

  test("has what its functions say of how far they are, while they are at work", async () => {
    let open = () => {};
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    const { workflows, clock } = stageOf({
      journal: openJournal(),
      step: async (_name, _payload, _attempt, _signal, say) => {
        await null;
        say({ fraction: 0.5, message: "half of it" });
        await gate;
      },
    });
    workflows.define(planOf({ flow: block((flow) => void flow.function("copy", part("copy"), {})) }));
    await workflows.start("flow", 1, { id: "one" });
    const step = async () => (await workflows.get("flow", "one"))?.steps[0];
    await expect.poll(step).toMatchObject({ status: "running", progress: { fraction: 0.5, message: "half of it" } });
    open();
    const { steps } = await ended({ workflows, clock }, "flow", "one");
    expect(steps[0]).toMatchObject({ status: "succeeded" });
    expect(steps[0]).not.toHaveProperty("progress");
  });

  test("pages, newest first", async () => {
    const { workflows, clock } = stageOf({ journal: openJournal() });
    workflows.define(planOf({ flow: block(() => ({})) }));
    for (let run = 0; run < 5; run += 1) await workflows.start("flow", run, { id: `r${run}` });
    await ended({ workflows, clock }, "flow", "r4");
    const first = await workflows.list("flow", { limit: 2 });
    const second = await workflows.list("flow", { limit: 2, cursor: first.next! });
    const third = await workflows.list("flow", { limit: 2, cursor: second.next! });
    expect([first, second, third].map(({ runs }) => runs.map(({ id }) => id))).toEqual([
      ["r4", "r3"],
      ["r2", "r1"],
      ["r0"],
    ]);
    expect(third.next).toBeUndefined();
    await expect(workflows.list("flow", { cursor: "x" })).rejects.toMatchObject({ kind: "bad-input" });
  });

  test("tells of every change, its end last", async () => {
    const { workflows, changes, clock } = stageOf({ journal: openJournal() });
    workflows.define(planOf({ flow: block((flow) => flow.function("one", part("double"), { value: 1 })) }));
    await workflows.start("flow", 1, { id: "one" });
    await ended({ workflows, clock }, "flow", "one");
    expect(changes[0]).toMatchObject({ id: "one", status: "running" });
    expect(changes.at(-1)).toMatchObject({ id: "one", status: "succeeded" });
  });
});
