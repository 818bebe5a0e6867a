import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { checkFlow } from "../../../lib/clouds/alicloud/deploy/flow-check.ts";
import { type FlowWorld, flowDefinition } from "../../../lib/clouds/alicloud/deploy/flow-definition.ts";
import { checkBounds, wideMaps } from "../../../lib/clouds/alicloud/deploy/flow-estimate.ts";
import { type FlowDefinition, type FlowState, flowText } from "../../../lib/clouds/alicloud/deploy/flow-states.ts";
import { block, type Flow, is, type Ref, reference } from "../../../lib/parts/flow.ts";
import type { FunctionPart, Queue, TaskPart } from "../../../lib/parts/part.ts";

const WORLD: FlowWorld = {
  name: "flow",
  function: (part) => ({ arn: `acs:fc:cn-hangzhou:1:functions/${part}`, timeout: 60 }),
  next: { arn: "acs:fc:cn-hangzhou:1:functions/next", timeout: 60 },
  task: (part) => ({ arn: `acs:fc:cn-hangzhou:1:functions/task-${part}`, timeout: 60 }),
  ask: (_, part) => ({ arn: `acs:fc:cn-hangzhou:1:functions/ask-${part}`, timeout: 60 }),
};
const resize = { kind: "function", name: "resize" } as unknown as FunctionPart<unknown, { readonly n: number }>;
const encode = { kind: "task", name: "encode" } as unknown as TaskPart;
const questions = { kind: "queue", name: "questions" } as unknown as Queue;
const input = <T>(...at: readonly string[]): Ref<T> => reference("input", at);

const compiled = (write: (flow: Flow) => unknown): FlowDefinition => flowDefinition(block(write), WORLD);
const state = ({ States }: { readonly States: readonly FlowState[] }, name: string): FlowState =>
  States.find(({ Name }) => Name === name)!;

describe("what a flow looks like", () => {
  it("has the shape of the vendor's samples: states in a list, a call's parameters, what is read of its answer", () => {
    const flow = compiled((flow) => flow.function("Split", resize, { job: input<string>("job") }, { attempts: 1 }));
    expect(flow).toMatchObject({ Type: "StateMachine", Name: "flow", SpecVersion: "v1", StartAt: "Split" });
    expect(Array.isArray(flow.States)).toBe(true);
    expect(flow.States[0]).toEqual({
      Type: "Task",
      Name: "Split",
      Action: "FC:InvokeFunction",
      TaskMode: "RequestComplete",
      Parameters: {
        resourceArn: "acs:fc:cn-hangzhou:1:functions/resize/LATEST",
        invocationType: "Sync",
        body: {
          millrace: "step",
          "run.$": "$Context.Execution.Input.run",
          "done.$": "$Context.Execution.Input.done",
          step: "Split",
          "retries.$": "$Context.Current.RetryCount",
          attempts: 1,
          most: 49_152,
          input: { "job.$": "$Context.Execution.Input.input.job" },
        },
      },
      OutputConstructor: { "s1.$": "$Output.Body" },
      Catch: [
        {
          Errors: ["FnF.TaskTimeout"],
          Description: "it took too long",
          OutputConstructor: {
            s1: { status: "failed", error: { kind: "timed-out", "message.$": "$Context.Current.Error.Detail" } },
          },
          Next: "failed-s1",
        },
        {
          Errors: ["FnF.ALL"],
          Description: "it did not answer",
          OutputConstructor: {
            s1: { status: "failed", error: { kind: "unavailable", "message.$": "$Context.Current.Error.Detail" } },
          },
          Next: "failed-s1",
        },
      ],
      Next: "Split-ok",
    });
  });

  it("tries a call again as the service does, with a description", () => {
    const flow = compiled((flow) =>
      flow.function(
        "one",
        resize,
        {},
        { attempts: 6, backoff: { first: "2 seconds", factor: 2, longest: "1 minute" } },
      ),
    );
    expect(state(flow, "one").Retry).toEqual([
      {
        Errors: ["FnF.ALL"],
        Description: "another attempt",
        MaxAttempts: 5,
        IntervalSeconds: 2,
        BackoffRate: 2,
        MaxBackoffSeconds: 60,
      },
    ]);
  });

  it("hands on what later steps read, and nothing else", () => {
    const flow = compiled((flow) => {
      const one = flow.function("one", resize, {});
      flow.function("two", resize, {});
      const three = flow.function("three", resize, {});
      return { sum: one.n, three };
    });
    expect(Object.keys(state(flow, "two").OutputConstructor!)).toEqual(["s1.$", "s2.$"]);
    expect(Object.keys(state(flow, "three").OutputConstructor!)).toEqual(["s1.$", "s3.$"]);
  });

  it("calls what takes long asynchronously, and tries it again itself", () => {
    const slow = { ...WORLD, function: () => ({ arn: "acs:fc:cn-hangzhou:1:functions/slow", timeout: 7200 }) };
    const flow = flowDefinition(
      block((flow) => flow.function("one", resize, {})),
      slow,
    );
    const { Retry, TaskMode, Parameters } = state(flow, "one");
    expect({ Retry, TaskMode, ...Parameters }).toMatchObject({
      Retry: undefined,
      TaskMode: "WaitForSystemCallback",
      invocationType: "Async",
      body: { attempts: 1, "attempt.$": "$Input.a2.output.attempt" },
    });
    expect(checkFlow(flow)).toEqual([]);
  });

  it("splits a wait that is longer than the service's longest, and has a very long one counted", () => {
    const short = compiled((flow) => flow.wait("pause", "11 minutes"));
    expect(short.States.filter(({ Type }) => Type === "Wait").map(({ Seconds }) => Seconds)).toEqual([300, 300, 60]);
    const long = compiled((flow) => flow.wait("pause", "1 day"));
    expect(long.States.filter(({ Type }) => Type === "Wait").map((wait) => wait["Seconds.$"])).toEqual([
      "$Input.w2.output.seconds",
    ]);
  });

  it("waits for an answer by the service's own token", () => {
    const flow = compiled((flow) =>
      flow.callback("approve", questions, { what: input<string>("name") }, { timeout: "2 days" }),
    );
    expect(state(flow, "approve")).toMatchObject({
      TaskMode: "WaitForCustomCallback",
      Timeout: "172800",
      Parameters: { body: { input: { "token.$": "$Context.Current.TaskToken", attempt: 1 } } },
    });
  });

  it("names each item of a map and each round of a repeat in the path of a step", () => {
    const flow = compiled((flow) =>
      flow.map("each", input<readonly { n: number }[]>("items"), (inner, item) => inner.function("one", resize, item), {
        concurrency: 100,
      }),
    );
    const { Processor, MaxConcuccency, ItemsPath } = state(flow, "each");
    expect({ MaxConcuccency, ItemsPath }).toEqual({ MaxConcuccency: 40, ItemsPath: "$Input.s1.output.items" });
    expect(state(Processor!, "one").Parameters).toMatchObject({
      body: { "step.$": 'format("each[{}]/one", $Input.i2.index)' },
    });
  });
});

describe("a flow as a text", () => {
  it.each(["1.1", "1.2"] as const)("is what it was, read as YAML %s", (version) => {
    const odd = "a: b # c\u2028d\u0085e\u007f\ufeff - 'x' \"y\" {z} \t\n 🎬 ä \\ %";
    const flow = compiled((flow) =>
      flow.function("one", resize, { odd, [odd]: [odd, "yes", "012", "1e3", "~", null] }),
    );
    expect(parse(flowText(flow), { version })).toEqual(JSON.parse(JSON.stringify(flow)));
  });
});

describe("what is wrong with a flow", () => {
  const good = compiled((flow) => {
    flow.wait("pause", "1 minute");
    const one = flow.function("one", resize, {}, { attempts: 2 });
    const { left } = flow.parallel("both", { left: (inner) => inner.function("in", resize, one) });
    return { left };
  });
  const broken = (name: string, change: object): FlowDefinition => ({
    ...good,
    States: good.States.map((state) => (state.Name === name ? { ...state, ...change } : state)),
  });
  const told = (flow: FlowDefinition) => checkFlow(flow).map(({ path, message }) => `${path}: ${message}`);

  it("is nothing, with one of ours", () => {
    expect(checkFlow(good)).toEqual([]);
  });

  it.each([
    [
      "a state that is not there",
      broken("pause", { Next: "nowhere" }),
      "flow.pause: it leads to a state that does not exist",
    ],
    ["a start that is not there", { ...good, StartAt: "nowhere" }, "flow.StartAt: there is no such state"],
    ["a state nothing leads to", broken("pause", { Next: "one-ok" }), "flow.one: nothing leads to this state"],
    [
      "a state twice",
      { ...good, States: [...good.States, good.States[0]!] },
      "flow.pause: there is a state of this name already",
    ],
    [
      "a choice without a default",
      broken("one-ok", { Default: undefined }),
      "flow.one-ok.Default: a state of type Choice needs it",
    ],
    ["a wait that is too long", broken("pause", { Seconds: 301 }), "flow.pause.Seconds: a wait takes so many seconds"],
    ["no next and no end", broken("pause", { End: true }), "flow.pause: a state says Next, or End: true, and not both"],
    [
      "a retry without a description",
      broken("one", { Retry: [{ Errors: ["FnF.ALL"], MaxAttempts: 1, IntervalSeconds: 1 }] }),
      "flow.one.Retry.Description: a rule needs it",
    ],
    [
      "a retry out of bounds",
      broken("one", { Retry: [{ Errors: ["FnF.ALL"], Description: "x", MaxAttempts: 0, IntervalSeconds: 90_000 }] }),
      "flow.one.Retry.MaxAttempts: a whole number is wanted",
    ],
    [
      "a field that no state hands on",
      broken("one", { Parameters: { body: { "x.$": "$Input.s9.output" } } }),
      "flow.one: it reads what no state before it hands on",
    ],
    [
      "a field that a branch cannot know",
      broken("one", { OutputConstructor: {} }),
      "flow.one-ok: it reads what no state before it hands on",
    ],
    [
      "a field the type has not",
      broken("pause", { ItemsPath: "$Input.x" }),
      "flow.pause.ItemsPath: a state of type Wait has no such field",
    ],
    [
      "an expression where it is not known",
      broken("one", { Parameters: { body: { "x.$": "$Output.Body" } } }),
      "flow.one: $Output is known in OutputConstructor only",
    ],
    [
      "a text where an expression is wanted",
      broken("one", { Parameters: { body: { "x.$": "text" } } }),
      "flow.one: what stands under a name that ends in .$ is an expression",
    ],
    [
      "an expression in a list",
      broken("one", { Parameters: { body: [{ "x.$": "$Context.Execution.Name" }] } }),
      "flow.one: no expression stands in a list",
    ],
    [
      "a root there is not",
      broken("one", { Parameters: { body: { "x.$": "$Context.Map.Item" } } }),
      "flow.one: an expression names what there is not",
    ],
    [
      "a token where nobody reports",
      broken("one", { Parameters: { body: { "x.$": "$Context.Current.TaskToken" } } }),
      "flow.one: a token is there for TaskMode WaitForCustomCallback only",
    ],
    ["a name the service does not take", { ...good, Name: "1 flow" }, "1 flow: no name of a flow"],
  ])("%s", (_, flow, message) => {
    expect(told(JSON.parse(JSON.stringify(flow)) as FlowDefinition).join("\n")).toContain(message);
  });
});

describe("what is refused before it is deployed, with the estimate", () => {
  const problems = (write: (flow: Flow) => unknown, taskTimeout = 3600) =>
    checkBounds(
      {
        kind: "workflow",
        name: "w",
        stem: "w",
        construct: "c",
        cloud: "alicloud",
        definition: block(write),
        timeout: 60,
      },
      () => taskTimeout,
    );
  const items = input<readonly { readonly n: number }[]>("items");
  const each = (atMost: number) => (flow: Flow) =>
    flow.forEach("each", items, (inner, item) => inner.function("one", resize, item), { atMost });

  it("more events than a run may have", () => {
    const rounds = (flow: Flow) =>
      flow.repeat<{ readonly n: number }>(
        "again",
        { from: { n: 1 }, until: ({ n }) => is(n, 2), atMost: 400 },
        (inner) => inner.function("one", resize, {}),
      );
    expect(problems(rounds)).toMatchObject([
      {
        path: "w.steps",
        given: expect.stringMatching(/^about 1\d{4} events, most of them in "again"$/),
        allowed: "5000",
      },
    ]);
    // A single item that is too much helps nobody.
    const each = (flow: Flow) => flow.forEach("each", items, (inner) => void rounds(inner), { atMost: 10 });
    expect(problems(each)).toMatchObject([{ path: "w.steps", given: expect.stringContaining('in "each"') }]);
    expect(problems((flow) => flow.wait("long", "30 days"))).toMatchObject([{ path: "w.steps" }]);
    expect(problems((flow) => flow.task("encode", encode, { id: "x", input: {} }), 86_400)).toEqual([]);
  });

  it("a list of outputs, or of items, that no state can hold", () => {
    const outputs = (atMost: number) => (flow: Flow) => flow.map("each", items, (_inner, item) => item, { atMost });
    expect(problems(outputs(10_000))).toEqual([]);
    expect(problems(outputs(20_000))).toMatchObject([
      {
        path: "w.steps.each.atMost",
        message: expect.stringContaining("outputs"),
        given: expect.stringContaining("20000"),
      },
    ]);
    expect(problems(each(20_000))).toEqual([]);
    expect(problems(each(30_000))).toMatchObject([
      { path: "w.steps.each.atMost", message: expect.stringContaining("items") },
    ]);
  });

  it("what a step is given, where it is large", () => {
    const large = "x".repeat(40_000);
    expect(problems((flow) => flow.function("one", resize, { large }))).toMatchObject([{ path: "w.steps.one" }]);
  });

  it("too many branches, and a timeout that is too long", () => {
    const branches = Object.fromEntries(Array.from({ length: 51 }, (_, index) => [`b${index}`, () => ({})]));
    expect(problems((flow) => flow.parallel("many", branches))).toMatchObject([{ path: "w.steps.many", given: 51 }]);
    expect(problems((flow) => flow.function("one", resize, {}, { timeout: "8 days" }))).toMatchObject([
      { path: "w.steps.one.timeout" },
    ]);
  });
});

describe("which maps have executions of their own", () => {
  type Items = readonly { readonly n: number; readonly parts: readonly { readonly n: number }[] }[];
  const items = input<Items>("items");
  const one = (inner: Flow, item: Ref<{ readonly n: number }>) => inner.function("one", resize, item);
  const wide = (write: (flow: Flow) => unknown) => Object.fromEntries(wideMaps(block(write), () => 3600));

  it("those that a run's events are too few for, with no more items than fit into half of them", () => {
    expect(wide((flow) => flow.forEach("each", items, one, { atMost: 100 }))).toEqual({});
    const { each } = wide((flow) => flow.forEach("each", items, one, { atMost: 1000 }));
    expect(each).toEqual({ size: 40, chunks: 3, atOnce: 33 });
    const waits = wide((flow) =>
      flow.forEach("each", items, (inner) => inner.wait("long", "4 hours"), { atMost: 500 }),
    );
    expect(waits.each!.size).toBeLessThan(5);
  });

  it("at once as many as the definition says", () => {
    const at = (concurrency: number) =>
      wide((flow) => flow.map("each", items, one, { atMost: 1000, concurrency })).each;
    expect(at(7)).toEqual({ size: 40, chunks: 1, atOnce: 7 });
    expect(at(100)).toEqual({ size: 40, chunks: 3, atOnce: 33 });
    expect(at(1000)).toEqual({ size: 40, chunks: 25, atOnce: 40 });
    expect(at(10_000)).toEqual({ size: 40, chunks: 25, atOnce: 40 });
  });

  it("of nested ones, as few as are enough", () => {
    const nested = (outer: number, inner: number) =>
      Object.keys(
        wide((flow) =>
          flow.forEach("outer", items, (each, item) => void each.forEach("inner", item.parts, one, { atMost: inner }), {
            atMost: outer,
          }),
        ),
      );
    expect(nested(20, 1000)).toEqual(["inner"]);
    expect(nested(1000, 5)).toEqual(["outer"]);
    expect(nested(1000, 1000)).toEqual(["outer", "inner"]);
  });
});
