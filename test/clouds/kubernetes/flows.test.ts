import { describe, expect, it } from "vitest";
import { checkFlow } from "../../../lib/clouds/kubernetes/deploy/flow-check.ts";
import { flowDefinition, LARGEST_OUTPUT } from "../../../lib/clouds/kubernetes/deploy/flow-definition.ts";
import { encoded } from "../../../lib/clouds/kubernetes/deploy/flow-expressions.ts";
import type { ArgoTemplate, ArgoWorkflowTemplate } from "../../../lib/clouds/kubernetes/deploy/flow-templates.ts";
import { readFlowCall, writtenAnswer } from "../../../lib/clouds/kubernetes/runtime/flow-step.ts";
import { block, type Flow, isAbove, reference } from "../../../lib/parts/flow.ts";
import type { FunctionPart } from "../../../lib/parts/part.ts";
import { systemClock } from "../../../lib/runtime/clock.ts";
import { DeployedFunction } from "../../../lib/runtime/deployed.ts";
import type { StepAnswer } from "../../../lib/runtime/workflows/step-call.ts";
import type { Block } from "../../../lib/shared/workflow/definition.ts";
import {
  DEFINITIONS,
  type DefinitionCase,
  FUNCTIONS,
  type FunctionName,
  largeList,
} from "../../workflows/definitions.ts";
import { type ArgoRun, type ArgoWorld, runArgo } from "./argo-interpreter.ts";
import { flowWorld } from "./flow-world.ts";

/** As text, since that is what the API server gets. */
const compiled = (definition: Block): ArgoWorkflowTemplate =>
  JSON.parse(JSON.stringify(flowDefinition(definition, flowWorld("flow")))) as ArgoWorkflowTemplate;

type Pod = ArgoWorld["pod"];

/** A function behind the real entry part. */
const deployed = (serve: (payload: never, attempt: number) => unknown) =>
  new DeployedFunction({
    deployment: {
      handler: (async ({ payload }: { payload: never }, { run }: { run: { attempt: number } }) =>
        serve(payload, run.attempt)) as never,
      ...{ code: {}, settings: {}, ports: {} },
    },
    environment: { place: {}, logLevel: "error", tools: {}, sources: {}, links: {} },
    world: (world) => world,
    clock: systemClock,
    write: () => {},
  });

/** The pods of a case: the process that would run in each, by the part it is of. */
const podsOf =
  (one: DefinitionCase, calls: Map<string, number>): Pod =>
  async (_template, variables) => {
    const part = variables.MILLRACE_PART!;
    if (part === "failed") throw new Error("as it should");
    const { call } = readFlowCall(variables);
    const answerBy = (name: FunctionName): Promise<StepAnswer> =>
      deployed((payload, attempt) => {
        calls.set(name, (calls.get(name) ?? 0) + 1);
        return FUNCTIONS[name](payload, attempt as never);
      }).step(call, { id: "pod", deadline: systemClock.now() + 60_000 });
    const [, kind, name] = /^(function|task|ask)-(.*)$/.exec(part)!;
    if (kind === "task") return writtenAnswer(await answerBy(one.tasks![name!]!));
    if (kind === "function") return writtenAnswer(await answerBy(name as FunctionName));
    const answer = one.answers![call.step]!;
    return writtenAnswer("output" in answer ? { status: "succeeded", ...answer } : { status: "failed", ...answer });
  };

interface Ended extends ArgoRun {
  readonly answer: unknown;
  readonly paused: readonly number[];
}

async function run(definition: Block, input: unknown, pod: Pod, knowsSkipped = true): Promise<Ended> {
  const paused: number[] = [];
  const parameters = { run: "run-1", input: encoded(input) };
  const world = { pod, pause: (seconds: number) => void paused.push(seconds), knowsSkipped };
  const ended = await runArgo(compiled(definition), parameters, world);
  const answer: unknown = JSON.parse(Buffer.from(ended.outputs.answer!, "base64").toString());
  return { ...ended, answer, paused };
}

describe.each([
  ["are there, and nil", true],
  ["are not there", false],
])(
  "definitions that everything that runs or compiles one agrees on, where outputs of what was left out %s",
  (_, knows) => {
    it.each(DEFINITIONS.map((one) => [one.name, one] as const))("%s", async (_, one) => {
      const calls = new Map<string, number>();
      expect(checkFlow(compiled(one.definition))).toEqual([]);
      const { phase, answer } = await run(one.definition, one.input, podsOf(one, calls), knows);
      const counted = Object.keys(one.calls ?? {}).map((name) => [name, calls.get(name) ?? 0]);
      expect(Object.fromEntries(counted)).toEqual(one.calls ?? {});
      expect(phase).toBe("output" in one.expected ? "Succeeded" : "Failed");
      if ("output" in one.expected) expect(answer).toMatchObject({ output: one.expected.output });
      else expect(answer).toMatchObject({ status: "failed", error: one.expected.error });
      if ("output" in one.expected) expect((answer as { output: unknown }).output).toEqual(one.expected.output);
    });
  },
);

const part = (name: string) => ({ kind: "function", name }) as unknown as FunctionPart<unknown, { value: number }>;
const echo = part("echo");

/** Pods that answer what the function makes of their input. */
const served =
  (serve: (payload: never, attempt: number) => unknown): Pod =>
  async (_template, variables) => {
    if (variables.MILLRACE_PART === "failed") throw new Error("as it should");
    const { call } = readFlowCall(variables);
    return writtenAnswer(await deployed(serve).step(call, { id: "pod", deadline: systemClock.now() + 60_000 }));
  };

describe("a pod", () => {
  const one = (options = {}) => block((flow: Flow) => flow.function("one", echo, { value: 1 }, options));

  it("that goes away without an answer is tried again, and then has failed", async () => {
    let pods = 0;
    const attempts = 3;
    const gone: Pod = async ({ name }) => {
      if (name !== "failed") pods += 1;
      throw new Error("evicted");
    };
    const { phase, answer } = await run(one({ attempts }), {}, gone);
    expect([phase, pods]).toEqual(["Failed", attempts]);
    expect(answer).toMatchObject({ error: { kind: "unavailable" } });
  });

  it("that ends without an answer has failed, and is caught as such", async () => {
    const { answer } = await run(one({ catch: (_: Flow, error: unknown) => ({ error }) }), {}, async () => undefined);
    expect(answer).toMatchObject({ status: "succeeded", output: { error: { kind: "unavailable" } } });
  });

  it("is told which attempt it is, and waits in between as the step says", async () => {
    const seen: number[] = [];
    const options = { attempts: 4, backoff: { first: "2 seconds", factor: 3, longest: "10 seconds" } };
    const definition = one(options);
    await run(
      definition,
      {},
      served((_, attempt) => {
        seen.push(attempt);
        throw new Error("no");
      }),
    );
    expect(seen).toEqual([1, 2, 3, 4]);
    const template = compiled(definition).spec.templates.find(({ name }) => name === "one")!;
    expect(template.retryStrategy).toEqual({
      limit: 3,
      retryPolicy: "Always",
      backoff: { duration: "2s", factor: 3, cap: "10s" },
    });
  });

  it("answers no more than a variable of the next one can hold", async () => {
    const { answer } = await run(
      one(),
      {},
      served(() => "x".repeat(LARGEST_OUTPUT)),
    );
    expect(answer).toMatchObject({ status: "failed", error: { kind: "refused" } });
    expect(encoded({ status: "succeeded", output: "x".repeat(LARGEST_OUTPUT) }).length).toBeLessThan(128 * 1024);
  });

  it("runs as its part does, and its own time is what Argo gives it, with some to come up", () => {
    const { spec } = compiled(one({ attempts: 1 }));
    const template = spec.templates.find(({ name }) => name === "one")!;
    expect(template).toMatchObject({
      serviceAccountName: "function-echo",
      automountServiceAccountToken: false,
      activeDeadlineSeconds: 360,
      metadata: { labels: { "app.kubernetes.io/component": "function-echo" } },
    });
    expect(JSON.parse(template.podSpecPatch!)).toEqual({
      enableServiceLinks: false,
      terminationGracePeriodSeconds: 30,
    });
    expect(template.retryStrategy).toBeUndefined();
    expect(spec).toMatchObject({ serviceAccountName: "flows", activeDeadlineSeconds: 3600 });
  });
});

describe("what is too large for a pod's variables", () => {
  const large = () => {
    const one = { name: "large", definition: largeList, input: {}, expected: { output: null } };
    return podsOf(one, new Map());
  };

  it("fails the step that answers it, with its size and what to do", async () => {
    const { answer } = await run(largeList, { count: 8000 }, large());
    expect(answer).toMatchObject({
      status: "failed",
      error: { kind: "refused", message: expect.stringMatching(/step "large" has \d+ bytes.* at most 65536/) },
    });
  });

  it("fails a map whose items come to it together", async () => {
    const definition = block((flow) =>
      flow.map("each", reference<readonly object[]>("input", ["items"]), (inner) => inner.function("one", echo, {})),
    );
    const items = Array.from({ length: 20 }, () => ({}));
    const { answer } = await run(
      definition,
      { items },
      served(() => "x".repeat(5000)),
    );
    expect(answer).toMatchObject({ error: { kind: "refused", message: expect.stringContaining("map each") } });
  });
});

describe("where it is", () => {
  it("a step knows its path by items and rounds", async () => {
    const paths: string[] = [];
    const definition = block((flow) =>
      flow.map("each", reference<readonly object[]>("input", ["items"]), (inner) => {
        const left = (branch: Flow) =>
          branch.repeat<{ value: number }>(
            "again",
            { from: { value: 0 }, until: (state) => isAbove(state.value, 9), atMost: 2, attempts: 1 },
            (round) => round.function("deep", echo, {}),
          );
        const sorry = (caught: Flow) => ({ left: caught.function("sorry", echo, {}) });
        return inner.parallel<{ left: { value: number } }>("both", { left }, { attempts: 1, catch: sorry });
      }),
    );
    const noted: Pod = (template, variables) => {
      paths.push(readFlowCall(variables).call.step);
      return served(() => ({ value: 0 }))(template, variables);
    };
    await run(definition, { items: [{}, {}] }, noted);
    const of = (index: number) => [
      `each[${index}]/both/again[0]/deep`,
      `each[${index}]/both/again[1]/deep`,
      `each[${index}]/both/sorry`,
    ];
    expect(paths.sort()).toEqual([...of(0), ...of(1)]);
  });
});

describe("a loop", () => {
  const counting = (atMost: number, until: number) =>
    block((flow) =>
      flow.repeat<{ value: number }>(
        "count",
        { from: { value: 0 }, until: (state) => isAbove(state.value, until - 1), atMost, every: "5 seconds" },
        (inner, state) => inner.function("one", part("next"), { value: state.value }),
      ),
    );
  const next = served(({ value }: { value: number }) => ({ value: value + 1 }));

  it.each([
    [1, 1],
    [7, 7],
    [10, 10],
    [11, 11],
    [250, 101],
    [250, 1],
    [100_000, 30],
  ])("of at most %i rounds ends after %i", async (atMost, until) => {
    const definition = counting(atMost, until);
    expect(checkFlow(compiled(definition))).toEqual([]);
    const { answer, paused, nodes } = await run(definition, {}, next);
    expect(answer).toMatchObject({ status: "succeeded", output: { value: until } });
    expect(paused).toEqual(Array.from({ length: until - 1 }, () => 5));
    expect(nodes).toBeLessThan(60 + until * 12);
  });

  it("of too many rounds fails after the last", async () => {
    const { answer } = await run(counting(23, 24), {}, next);
    expect(answer).toMatchObject({ status: "failed", error: { kind: "timed-out" } });
  });

  it("of attempts waits longer and longer", async () => {
    const definition = block((flow) =>
      flow.parallel(
        "all",
        { one: (inner) => inner.function("one", echo, {}, { attempts: 1 }) },
        { attempts: 5, backoff: { first: "1 second", factor: 2, longest: "5 seconds" } },
      ),
    );
    const { paused } = await run(
      definition,
      {},
      served(() => {
        throw new Error("no");
      }),
    );
    expect(paused).toEqual([1, 2, 4, 5]);
  });
});

describe("a map", () => {
  const each = (options = {}) =>
    block((flow) =>
      flow.map(
        "each",
        reference<readonly object[]>("input", ["items"]),
        (inner) => inner.function("one", echo, {}),
        options,
      ),
    );

  it("does no more items at once than it says", async () => {
    let [now, most] = [0, 0];
    const slow: Pod = async (template, variables) => {
      now += 1;
      most = Math.max(most, now);
      await new Promise((resolve) => setImmediate(resolve));
      now -= 1;
      return served(() => 1)(template, variables);
    };
    const items = Array.from({ length: 20 }, () => ({}));
    await run(each({ concurrency: 3 }), { items }, slow);
    expect(most).toBe(3);
  });

  it("that comes to more than a workflow carries is refused", async () => {
    const items = Array.from({ length: 3 }, () => ({}));
    const { answer } = await run(
      each(),
      { items },
      served(() => "x".repeat(LARGEST_OUTPUT / 2)),
    );
    expect(answer).toMatchObject({ status: "failed", error: { kind: "refused" } });
  });

  it("of a thousand items comes to all of them, in order", async () => {
    const items = Array.from({ length: 1000 }, (_, value) => ({ value }));
    const definition = block((flow) => {
      const given = reference<readonly { value: number }[]>("input", ["items"]);
      return flow.map("each", given, (_inner, item) => ({ is: item.value }), { atMost: 1000 });
    });
    const { answer } = await run(
      definition,
      { items },
      served(() => null),
    );
    expect((answer as { output: unknown }).output).toEqual(items.map(({ value }) => ({ is: value })));
  });
});

describe("a broken template is found", () => {
  const good = compiled(DEFINITIONS.find(({ name }) => name === "a-branch-in-a-parallel-in-a-map")!.definition);

  /** With one thing changed, as text. */
  const changed = (from: string | RegExp, to: string): ArgoWorkflowTemplate => {
    const text = JSON.stringify(good);
    const broken = text.replace(from, to);
    expect(broken).not.toBe(text);
    return JSON.parse(broken) as ArgoWorkflowTemplate;
  };
  const withTemplate = (change: (template: ArgoTemplate) => ArgoTemplate): ArgoWorkflowTemplate => ({
    ...good,
    spec: { ...good.spec, templates: good.spec.templates.map(change) },
  });

  it.each<[string, () => ArgoWorkflowTemplate, string]>([
    ["an entrypoint that is not there", () => changed('"entrypoint":"run"', '"entrypoint":"start"'), "entrypoint"],
    ["a template that is not there", () => changed('"template":"both-same"', '"template":"both-sane"'), "no template"],
    [
      "a parameter that nobody wants",
      () => changed('{"name":"at","value":""}', '{"name":"to","value":""}'),
      "to nobody",
    ],
    [
      "a parameter that is not handed over",
      () => changed('{"name":"at","value":""}', '{"name":"to","value":""}'),
      "does not hand over",
    ],
    [
      "an input that there is not",
      () => changed("inputs.parameters.items", "inputs.parameters.item"),
      "not known here",
    ],
    [
      "an input of a simple tag",
      () => changed("{{inputs.parameters.option}}", "{{inputs.parameters.choice}}"),
      "not known here",
    ],
    ["a step that there is not", () => changed(/steps\['branch-0'\]/, "steps['branch-7']"), "not known here"],
    ["an output that there is not", () => changed("?.parameters?.answer", "?.parameters?.result"), "not known here"],
    [
      "a parameter of the workflow",
      () => changed("{{workflow.parameters.run}}", "{{workflow.parameters.id}}"),
      "not known here",
    ],
    [
      "a variable of the workflow in an output",
      () => changed('"expression":"', '"expression":"workflow.parameters.run == '),
      "not known here",
    ],
    ["an item outside of a loop", () => changed('"withParam"', '"with"'), "{{item}} is not known"],
    [
      "a group without steps",
      () => withTemplate((one) => (one.name === "each" ? { ...one, steps: [[]] } : one)),
      "empty",
    ],
    ["a template of no kind", () => withTemplate(({ suspend: _, ...one }) => one), "is not one of"],
    ["two templates of one name", () => changed('"name":"pause","inputs"', '"name":"wait","inputs"'), "one name"],
    ["a template in itself", () => changed('"template":"both-same"', '"template":"both"'), "calls itself"],
    ["a name that is none", () => changed('"name":"branch-0"', '"name":"branch_0"'), "no name of a step"],
  ])("%s", (_, broken, message) => {
    expect(checkFlow(good)).toEqual([]);
    expect(checkFlow(broken()).join("\n")).toContain(message);
  });

  it("a template that is too large", () => {
    const large = {
      ...good,
      metadata: good.metadata,
      spec: { ...good.spec, templates: Array(200).fill(good.spec.templates).flat() },
    };
    expect(checkFlow(large).join("\n")).toContain("bytes");
  });
});
