import { expect, it } from "vitest";
import { checkFlow } from "../../../lib/clouds/alicloud/deploy/flow-check.ts";
import { type FlowWorld, flowDefinition } from "../../../lib/clouds/alicloud/deploy/flow-definition.ts";
import { toStepCall } from "../../../lib/clouds/alicloud/runtime/step.ts";
import { handler as next } from "../../../lib/handlers/flows/next.ts";
import { systemClock } from "../../../lib/runtime/clock.ts";
import { toErrorRecord } from "../../../lib/runtime/errors.ts";
import { type StepAnswer, type StepCall, stepFailed, stepSucceeded } from "../../../lib/runtime/workflows/step-call.ts";
import { checkDefinition } from "../../../lib/shared/workflow/check.ts";
import type { Block } from "../../../lib/shared/workflow/definition.ts";
import { outcomeOf, TestWorld } from "../../runtime/workflows/world.ts";
import { FUNCTIONS, type FunctionName, type StepFunction } from "../../workflows/definitions.ts";
import { FlowError, runFlow } from "./fdl-interpreter.ts";
import { Generator, INPUT } from "./random-definitions.ts";

/** Definitions at random: what runs here and what it is compiled to come to the same, by the same calls. */
const SEEDS = 120;

const world = (timeout: number): FlowWorld => ({
  name: "flow",
  function: (part) => ({ arn: part, timeout }),
  ...{
    next: { arn: "$next", timeout: 60 },
    task: () => ({ arn: "", timeout: 1 }),
    ask: () => ({ arn: "", timeout: 1 }),
  },
});

async function answerOf(call: StepCall, work: () => unknown): Promise<StepAnswer> {
  try {
    return stepSucceeded(call, JSON.stringify((await work()) ?? null));
  } catch (error) {
    return stepFailed(call, error);
  }
}

async function onFlow(definition: Block, timeout: number) {
  let skipped = 0;
  const begun: string[] = [];
  const clock = { ...systemClock, now: () => systemClock.now() + skipped };
  const flow = JSON.parse(JSON.stringify(flowDefinition(definition, world(timeout)))) as ReturnType<
    typeof flowDefinition
  >;
  expect(checkFlow(flow)).toEqual([]);
  const end = await runFlow(
    flow,
    { name: "r", input: { run: "r", input: INPUT } },
    {
      wait: (seconds) => {
        skipped += seconds * 1000;
      },
      reported: () => Promise.reject(new Error("nobody waits")),
      invoke: async (arn, body) => {
        const call = toStepCall(body)!;
        if (arn !== "$next") begun.push(`${call.step}#${call.attempt}`);
        const work = () =>
          arn === "$next"
            ? next({ type: "function.invoked", id: "i", payload: call.input as never, time: "" }, { clock } as never)
            : (FUNCTIONS[arn as FunctionName] as StepFunction)(call.input as never, call.attempt);
        try {
          return await answerOf(call, work);
        } catch (error) {
          throw new FlowError("FC.HandledInvocationError", toErrorRecord(error).message);
        }
      },
    },
  );
  const outcome = end.status === "Succeeded" ? { output: end.output.output } : { error: end.output.error };
  return { outcome, begun };
}

it("comes to the same on this computer and on CloudFlow, by the same calls", async () => {
  let [failed, caught] = [0, 0];
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const definition = new Generator(seed).block(["input", "run"], 3);
    expect(checkDefinition("w", definition)).toEqual([]);
    const local = new TestWorld();
    const wanted = await outcomeOf({ id: "r", definition, input: INPUT }, local);
    for (const timeout of [60, 3600]) {
      const { outcome, begun } = await onFlow(definition, timeout);
      expect({ seed, timeout, outcome }).toEqual({ seed, timeout, outcome: wanted });
      // What is beside a failure comes to its end here, and is stopped there.
      const missing = local.begun.filter((call) => !begun.includes(call));
      expect({ seed, missing }).toEqual({ seed, missing: [] });
      if (!local.begun.some((call) => call.endsWith("#2")) && "output" in wanted && !hasFailure(definition)) {
        expect({ seed, begun: [...begun].sort() }).toEqual({ seed, begun: [...local.begun].sort() });
        caught += 1;
      }
    }
    failed += "error" in wanted ? 1 : 0;
  }
  // Both ways are tried.
  expect(failed).toBeGreaterThan(SEEDS / 20);
  expect(caught).toBeGreaterThan(SEEDS / 20);
});

const hasFailure = (definition: Block): boolean => /"(fails|flaky)"/.test(JSON.stringify(definition));
