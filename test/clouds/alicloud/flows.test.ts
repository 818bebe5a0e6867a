import { describe, expect, it } from "vitest";
import { checkFlow } from "../../../lib/clouds/alicloud/deploy/flow-check.ts";
import { type FlowWorld, flowDefinition } from "../../../lib/clouds/alicloud/deploy/flow-definition.ts";
import type { FlowDefinition } from "../../../lib/clouds/alicloud/deploy/flow-states.ts";
import { toStepCall } from "../../../lib/clouds/alicloud/runtime/step.ts";
import { handler as next } from "../../../lib/handlers/flows/next.ts";
import { block, reference } from "../../../lib/parts/flow.ts";
import type { FunctionPart } from "../../../lib/parts/part.ts";
import { type Clock, systemClock } from "../../../lib/runtime/clock.ts";
import { DeployedFunction } from "../../../lib/runtime/deployed.ts";
import { toErrorRecord } from "../../../lib/runtime/errors.ts";
import type { Handler } from "../../../lib/runtime/handler.ts";
import type { Answer } from "../../../lib/runtime/workflows/run.ts";
import type { Block } from "../../../lib/shared/workflow/definition.ts";
import {
  DEFINITIONS,
  type DefinitionCase,
  FUNCTIONS,
  type FunctionName,
  largeList,
} from "../../workflows/definitions.ts";
import { FlowError, type FlowServices, runFlow } from "./fdl-interpreter.ts";

/** @param timeout of every function, in seconds: it decides how they are called */
const world = (timeout: number): FlowWorld => ({
  name: "flow",
  function: (part) => ({ arn: `acs:fc:r:1:functions/${part}`, timeout }),
  next: { arn: "acs:fc:r:1:functions/$next", timeout: 60 },
  task: (part) => ({ arn: `acs:fc:r:1:functions/$task-${part}`, timeout: 60 }),
  ask: (kind, part) => ({ arn: `acs:fc:r:1:functions/$ask-${kind}-${part}`, timeout: 60 }),
});

/** Time passes as the flow waits, and not otherwise worth speaking of. */
let skipped = 0;
const clock: Clock = {
  now: () => systemClock.now() + skipped,
  at: (time, run) => systemClock.at(time - skipped, run),
};

/** A function behind the real entry part, with what it is linked to. */
function deployed(handler: Handler<never>, links: Readonly<Record<string, object>> = {}) {
  return new DeployedFunction({
    deployment: {
      handler: handler as never,
      code: {},
      settings: {},
      ports: Object.fromEntries(
        Object.entries(links).map(([name, port]) => [name, async () => ({ port: () => port })]),
      ),
    },
    environment: {
      place: {},
      logLevel: "error",
      tools: {},
      sources: {},
      links: Object.fromEntries(Object.keys(links).map((name) => [name, { kind: "function", part: name }])),
    },
    world: (world) => world,
    clock,
    write: () => {},
  });
}

function servicesOf(one: DefinitionCase, calls: Map<string, number>): FlowServices {
  const functionNamed = (name: FunctionName) =>
    deployed((async ({ payload }: { payload: never }, { run }: { run: { attempt: number } }) => {
      calls.set(name, (calls.get(name) ?? 0) + 1);
      return FUNCTIONS[name](payload, run.attempt as never);
    }) as never);
  const answers = new Map<string, Answer>();
  return {
    invoke: async (arn, body) => {
      const name = arn.split("/").at(-1)!;
      const call = toStepCall(body)!;
      const platform = { id: "request", deadline: clock.now() + 60_000 };
      try {
        if (name === "$next") return await deployed(next as never).step(call, platform);
        if (name.startsWith("$task-")) {
          const { id, input } = call.input as { id: string; input: unknown };
          const behind = one.tasks![name.slice("$task-".length)]!;
          const answer = await functionNamed(behind).step({ ...call, input: { id, input } }, platform);
          return answer.status === "succeeded"
            ? { ...answer, output: { state: "succeeded", result: answer.output } }
            : { status: "succeeded", output: { state: "failed", error: answer.error } };
        }
        if (name.startsWith("$ask-")) {
          const { token } = call.input as { token: string };
          answers.set(token, one.answers![call.step]!);
          return { status: "succeeded", output: {} };
        }
        return await functionNamed(name as FunctionName).step(call, platform);
      } catch (error) {
        throw new FlowError("FC.HandledInvocationError", toErrorRecord(error).message);
      }
    },
    wait: (seconds) => {
      skipped += seconds * 1000;
    },
    reported: async (token) => {
      const answer = answers.get(token)!;
      return "output" in answer
        ? { status: "succeeded", output: answer.output }
        : { status: "failed", error: answer.error };
    },
  };
}

describe.each([
  ["called", 60],
  ["called asynchronously", 3600],
])("definitions that everything that runs or compiles one agrees on, with functions that are %s", (_, timeout) => {
  it.each(DEFINITIONS.map((one) => [one.name, one] as const))("%s", async (_, one) => {
    const calls = new Map<string, number>();
    // As text, since that is what the service gets.
    const flow = JSON.parse(JSON.stringify(flowDefinition(one.definition, world(timeout)))) as FlowDefinition;
    expect(checkFlow(flow)).toEqual([]);
    const end = await runFlow(
      flow,
      { name: "run-1", input: { run: "run-1", input: one.input } },
      servicesOf(one, calls),
    );
    const counted = Object.keys(one.calls ?? {}).map((name) => [name, calls.get(name) ?? 0]);
    expect(Object.fromEntries(counted)).toEqual(one.calls ?? {});
    if ("output" in one.expected) expect(end).toMatchObject({ status: "Succeeded" });
    else expect(end).toMatchObject({ status: "Failed", output: { error: one.expected.error } });
    if ("output" in one.expected) expect(end.output).toEqual({ output: one.expected.output });
  });
});

describe("what is too large for a state", () => {
  const refusal = async (definition: Block, input: object) => {
    const one = { name: "large", definition, input, expected: { output: null } };
    const flow = JSON.parse(JSON.stringify(flowDefinition(definition, world(60)))) as FlowDefinition;
    const end = await runFlow(flow, { name: "run-1", input: { run: "run-1", input } }, servicesOf(one, new Map()));
    return end.status === "Failed" ? end.output.error : end;
  };
  const tooLarge = (step: string) => ({
    kind: "refused",
    message: expect.stringMatching(new RegExp(`step "${step}" has \\d+ bytes, and a workflow carries at most 49152`)),
  });

  it("fails the step that answers it, with its size and what to do", async () => {
    expect(await refusal(largeList, { count: 5000 })).toEqual(tooLarge("large"));
  });

  it("fails a map whose items come to it together", async () => {
    const echo = { kind: "function", name: "echo" } as unknown as FunctionPart<unknown, object>;
    const definition = block((flow) =>
      flow.map("each", reference<readonly object[]>("input", ["items"]), (inner) =>
        inner.function("one", echo, reference<object>("input", ["text"])),
      ),
    );
    const input = { text: "x".repeat(3000), items: Array.from({ length: 20 }, () => ({})) };
    expect(await refusal(definition, input)).toEqual(tooLarge("each-collect"));
  });
});

it.each([
  ["called", 60],
  ["called asynchronously", 3600],
])("a function that hangs, %s, is tried again, and fails its step as what took too long", async (_, timeout) => {
  const echo = { kind: "function", name: "echo" } as unknown as FunctionPart<unknown, object>;
  const definition = block((flow) =>
    flow.function("hangs", echo, {}, { attempts: 2, timeout: "10 seconds", catch: (_caught, { kind }) => ({ kind }) }),
  );
  const flow = JSON.parse(JSON.stringify(flowDefinition(definition, world(timeout)))) as FlowDefinition;
  const services = servicesOf({ name: "hangs", definition, input: {}, expected: { output: null } }, new Map());
  let tried = 0;
  const invoke: FlowServices["invoke"] = async (arn, body, mode) => {
    if (!arn.endsWith("/echo")) return services.invoke(arn, body, mode);
    tried += 1;
    throw new FlowError("FnF.TaskTimeout", "no answer in 10 seconds");
  };
  const end = await runFlow(flow, { name: "run-1", input: { run: "run-1", input: {} } }, { ...services, invoke });
  expect({ tried, output: end.output }).toEqual({ tried: 2, output: { output: { kind: "timed-out" } } });
});
