import { expect, it } from "vitest";
import { checkFlow } from "../../../lib/clouds/alicloud/deploy/flow-check.ts";
import { type FlowWorld, flowDefinition } from "../../../lib/clouds/alicloud/deploy/flow-definition.ts";
import { toStepCall } from "../../../lib/clouds/alicloud/runtime/step.ts";
import { handler as next } from "../../../lib/handlers/flows/next.ts";
import { systemClock } from "../../../lib/runtime/clock.ts";
import { toErrorRecord } from "../../../lib/runtime/errors.ts";
import { type StepAnswer, type StepCall, stepFailed, stepSucceeded } from "../../../lib/runtime/workflows/step-call.ts";
import { checkDefinition } from "../../../lib/shared/workflow/check.ts";
import type {
  Block,
  Condition,
  Mapping,
  Origin,
  Reference,
  Step,
  Tries,
} from "../../../lib/shared/workflow/definition.ts";
import { outcomeOf, TestWorld } from "../../runtime/workflows/world.ts";
import { FUNCTIONS, type FunctionName, type StepFunction } from "../../workflows/definitions.ts";
import { FlowError, runFlow } from "./fdl-interpreter.ts";

/** Definitions at random: what runs here and what it is compiled to come to the same, by the same calls. */
const SEEDS = 120;
const INPUT = {
  items: [{ value: 1 }, { value: 2 }, { value: 3 }],
  one: [{ value: 9 }],
  none: [],
  value: 7,
  text: "$Input.x",
};

/** https://en.wikipedia.org/wiki/Xorshift */
function randomOf(seed: number): (most: number) => number {
  let state = seed * 2_654_435_761 + 1;
  return (most) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return Math.abs(state) % most;
  };
}

class Generator {
  readonly #random: (most: number) => number;
  readonly #error: { readonly kind: string; readonly message: string };
  #names = 0;
  /** Of what is done at once, one part alone: nobody can say which of two fails first. */
  #mayFail = true;

  constructor(seed: number) {
    this.#random = randomOf(seed);
    this.#error = this.#one([
      { kind: "refused", message: "never" },
      { kind: "failed", message: "not now" },
    ]);
  }

  block(known: readonly Origin[], depth: number): Block {
    const steps: Step[] = [];
    const seen = [...known];
    for (let count = 1 + this.#random(3); count > 0; count -= 1) {
      const step = this.#step(seen, depth);
      steps.push(step);
      if (step.type !== "wait") seen.push(`step:${step.name}`);
    }
    return { steps, output: { value: this.#reference(seen), rest: this.#mapping(seen, 2) } };
  }

  #step(known: readonly Origin[], depth: number): Step {
    this.#names += 1;
    const name = `s${this.#names}`;
    const inside = (more: readonly Origin[] = []) => this.block([...known, ...more], depth - 1);
    const leaf = this.#random(10) < (depth > 0 ? 5 : 10);
    if (leaf) return this.#leaf(name, known, depth);
    // A repeat that is not through fails.
    switch (this.#random(this.#mayFail ? 4 : 3)) {
      case 0: {
        const branches = { left: inside(), "right-side": this.#safely(inside) };
        return { type: "parallel", name, branches, ...this.#tries(name, known, depth) };
      }
      case 1:
        return this.#map(name, known, depth);
      case 2: {
        const options = [{ if: this.#condition(known, 2), block: inside() }];
        return { type: "choice", name, options, otherwise: inside() };
      }
      default:
        return {
          type: "repeat",
          name,
          from: this.#mapping(known, 1),
          block: inside([`state:${name}`]),
          until: this.#condition([...known, `state:${name}`], 1),
          atMost: 1 + this.#random(2),
          every: this.#random(2) * 400,
          ...this.#tries(name, known, depth),
        };
    }
  }

  #map(name: string, known: readonly Origin[], depth: number): Step {
    const tolerated = this.#random(3) === 0 ? 3 : 0;
    const list = this.#one(["items", "one", "none"]);
    const item = () => this.block([...known, `item:${name}`], depth - 1);
    return {
      type: "map",
      name,
      items: { $: "input", at: [list] },
      item: tolerated > 0 || list === "one" ? item() : this.#safely(item),
      atMost: 40,
      tolerated,
      collects: this.#random(3) > 0,
      ...this.#tries(name, known, depth),
    };
  }

  #safely<Made>(make: () => Made): Made {
    const before = this.#mayFail;
    this.#mayFail = false;
    const made = make();
    this.#mayFail = before;
    return made;
  }

  #leaf(name: string, known: readonly Origin[], depth: number): Step {
    const kind = this.#random(12);
    if (kind === 0) return { type: "wait", name, seconds: this.#random(700) };
    const tries = this.#tries(name, known, depth);
    const call = (part: FunctionName, input: Mapping): Step => ({
      type: "function",
      name,
      function: part,
      input,
      ...tries,
    });
    if (kind === 1 && this.#mayFail) return call("fails", { ...this.#error });
    if (kind === 2 && this.#mayFail) return call("flaky", { until: 1 + this.#random(3) });
    return call("echo", this.#mapping(known, 2));
  }

  #tries(name: string, known: readonly Origin[], depth: number): Tries {
    const catches = depth > 0 && this.#random(3) === 0;
    const kinds = this.#random(3) === 0 ? { kinds: ["refused"] } : {};
    return {
      attempts: 1 + this.#random(3),
      backoff: { first: 1, factor: 2, longest: 10 },
      ...(catches && { catch: { ...kinds, block: this.block([...known, `error:${name}`], depth - 1) } }),
    };
  }

  #condition(known: readonly Origin[], depth: number): Condition {
    const left = this.#reference(known);
    switch (depth > 0 ? this.#random(5) : this.#random(2)) {
      case 0:
        return { op: "equals", left, right: this.#one(["x", 'a "quoted" one', 7, 1, true]) };
      case 1:
        return { op: this.#one(["above", "below"]), left, right: 2 };
      case 2:
        return { op: "not", of: this.#condition(known, depth - 1) };
      default:
        return {
          op: this.#one(["and", "or"]),
          of: [this.#condition(known, depth - 1), this.#condition(known, depth - 1)],
        };
    }
  }

  #mapping(known: readonly Origin[], depth: number): Mapping {
    switch (this.#random(depth > 0 ? 6 : 3)) {
      case 0:
        return this.#one<Mapping>([null, 1, "$Input.s1", "", true, {}, []]);
      case 1:
      case 2:
        return this.#reference(known);
      case 3:
        return [this.#mapping(known, depth - 1), this.#mapping(known, depth - 1)];
      default:
        return { value: this.#mapping(known, depth - 1), "odd name": this.#mapping(known, depth - 1) };
    }
  }

  #reference(known: readonly Origin[]): Reference {
    const $ = this.#one(known);
    const at = this.#one<readonly string[]>([[], ["value"], ["rest", "value"], ["nothing", "here"]]);
    return at.length === 0 ? { $ } : { $, at };
  }

  #one<Value>(values: readonly Value[]): Value {
    return values[this.#random(values.length)]!;
  }
}

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
