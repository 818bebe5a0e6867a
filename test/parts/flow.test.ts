import { describe, expect, test } from "vitest";
import {
  block,
  both,
  either,
  type Flow,
  type Given,
  is,
  isAbove,
  isBelow,
  not,
  type Ref,
  reference,
} from "../../lib/parts/flow.ts";
import type { FunctionPart, Queue, TaskPart } from "../../lib/parts/part.ts";
import { checkDefinition } from "../../lib/shared/workflow/check.ts";
import type { Step } from "../../lib/shared/workflow/definition.ts";

interface Order {
  readonly id: string;
  readonly amount: number;
  readonly note?: string;
  readonly lines: readonly { readonly sku: string; readonly count: number }[];
  readonly address: { readonly city: string };
}

const part = (kind: string, name: string) => ({ kind, name });
const pack = part("function", "pack") as unknown as FunctionPart<{ sku: string; count: number }, { boxes: number }>;
const ship = part("task", "ship") as unknown as TaskPart;
const desk = part("queue", "desk") as unknown as Queue;
const order = reference<Order>("input");

/** One step as it is written down. */
const stepOf = (write: (flow: Flow) => unknown): Step => block(write).steps[0]!;
const tries = { attempts: 3, backoff: { first: 1, factor: 2, longest: 300 } };

describe("what is written down", () => {
  test("a function's call: references by where they come from, the rest as it is", () => {
    const written = block((flow) => {
      const { boxes } = flow.function("pack", pack, { sku: order.address.city, count: 3 });
      return { boxes, run: flow.run, whole: order };
    });
    expect(written).toEqual({
      steps: [
        {
          ...{ type: "function", name: "pack", function: "pack", ...tries },
          input: { sku: { $: "input", at: ["address", "city"] }, count: 3 },
        },
      ],
      output: { boxes: { $: "step:pack", at: ["boxes"] }, run: { $: "run" }, whole: { $: "input" } },
    });
  });

  test("a map: its item, its bounds", () => {
    const step = stepOf((flow) =>
      flow.map("each", order.lines, (inner, line) => inner.function("pack", pack, line), {
        concurrency: 4,
        tolerated: 1,
      }),
    );
    expect(step).toMatchObject({
      ...{
        type: "map",
        items: { $: "input", at: ["lines"] },
        concurrency: 4,
        tolerated: 1,
        atMost: 40,
        collects: true,
      },
      attempts: 1,
      item: { steps: [{ input: { $: "item:each" } }], output: { $: "step:pack" } },
    });
    expect(stepOf((flow) => flow.forEach("each", order.lines, () => {}))).toMatchObject({
      collects: false,
      item: { steps: [], output: {} },
    });
  });

  test("a step's tries: seconds, and its catch with the error it is for", () => {
    const step = stepOf((flow) =>
      flow.function(
        "pack",
        pack,
        { sku: "x", count: 1 },
        {
          attempts: 5,
          backoff: { first: "2 seconds", factor: 3, longest: "1 minute" },
          timeout: "1.5 minutes",
          catches: ["timed-out"],
          catch: (inner, error) => {
            inner.wait("rest", "1 hour");
            return { boxes: 0, why: error.message };
          },
        },
      ),
    );
    expect(step).toMatchObject({
      attempts: 5,
      backoff: { first: 2, factor: 3, longest: 60 },
      timeout: 90,
      catch: {
        kinds: ["timed-out"],
        block: {
          steps: [{ type: "wait", seconds: 3600 }],
          output: { boxes: 0, why: { $: "error:pack", at: ["message"] } },
        },
      },
    });
  });

  test("conditions", () => {
    const left = { $: "input", at: ["amount"] };
    expect(both(isAbove(order.amount, 1), not(either(isBelow(order.amount, 5), is(order.id, "x"))))).toEqual({
      op: "and",
      of: [
        { op: "above", left, right: 1 },
        {
          op: "not",
          of: {
            op: "or",
            of: [
              { op: "below", left, right: 5 },
              { op: "equals", left: { $: "input", at: ["id"] }, right: "x" },
            ],
          },
        },
      ],
    });
  });

  test("a repeat knows what its last round came to", () => {
    const step = stepOf((flow) =>
      flow.repeat<{ readonly done: boolean }>(
        "poll",
        { from: { done: false }, until: (state) => is(state.done, true), atMost: 9, every: "30 seconds" },
        (_inner, state) => ({ done: state.done }),
      ),
    );
    expect(step).toMatchObject({
      ...{ type: "repeat", from: { done: false }, atMost: 9, every: 30 },
      until: { op: "equals", left: { $: "state:poll", at: ["done"] }, right: true },
      block: { output: { done: { $: "state:poll", at: ["done"] } } },
    });
  });

  test("tasks, callbacks, waits, and the two ends", () => {
    const { steps } = block((flow) => {
      flow.task("ship", ship, { id: order.id, input: { to: order.address } });
      flow.callback("sign", desk, { order: order.id }, { timeout: "1 day" });
      flow.wait("given", order.amount);
      flow.choice("end", [{ if: is(order.id, "x"), do: (inner) => inner.succeed("done", { early: true }) }]);
      flow.fail("no", "refused", order.id);
    });
    expect(steps).toMatchObject([
      { type: "task", task: "ship", id: { $: "input", at: ["id"] }, input: { to: { $: "input", at: ["address"] } } },
      { type: "callback", ask: { kind: "queue", name: "desk" }, attempts: 1, timeout: 86_400 },
      { type: "wait", seconds: { $: "input", at: ["amount"] } },
      { type: "choice", options: [{ block: { steps: [{ type: "succeed", output: { early: true } }] } }] },
      { type: "fail", kind: "refused", message: { $: "input", at: ["id"] } },
    ]);
  });

  test.for([
    ["nothing in a list", [undefined], "got nothing"],
    ["a function", { call: () => 1 }, "got a function"],
    ["a date", { at: new Date(0) }, "got a Date"],
    ["bytes", { bytes: Buffer.from("x") }, "got a Buffer"],
    ["no number", { count: Number.NaN }, "got NaN"],
    ["what would be taken for a reference", { $: "input" }, 'no field "$"'],
  ] as const)("%s is no input", ([, input, message]) => {
    const given = input as unknown as Given<{ sku: string; count: number }>;
    expect(() => block((flow) => flow.function("pack", pack, given))).toThrow(message);
  });

  test("a field that is left out is not there", () => {
    const step = stepOf((flow) => flow.callback("ask", desk, { given: 1, left: undefined }));
    expect(step).toMatchObject({ input: { given: 1 } });
    expect(Object.keys((step as { input: object }).input)).toEqual(["given"]);
  });
});

describe("types, checked by the compiler", () => {
  const line = { sku: "a", count: 1 };
  test("what a function is not made for", () => {
    block((flow) => {
      // @ts-expect-error it counts in numbers
      flow.function("a", pack, { sku: "a", count: "1" });
      // @ts-expect-error the count is missing
      flow.function("b", pack, { sku: "a" });
      // @ts-expect-error a text is no number, now or later
      flow.function("c", pack, { sku: "a", count: order.id });
      // @ts-expect-error an order has no such field
      flow.function("d", pack, { sku: order.skus, count: 1 });
      const packed = flow.function("e", pack, line);
      // @ts-expect-error its result has boxes and nothing else
      return packed.crates;
    });
  });

  test("what cannot be decided or gone through", () => {
    block((flow) => {
      // @ts-expect-error a text is neither above nor below
      isAbove(order.id, 1);
      // @ts-expect-error a number is not the same as a text
      is(order.amount, "10");
      // @ts-expect-error an address is no list
      flow.map("a", order.address, () => ({}));
      // @ts-expect-error a line has no such field
      flow.map("b", order.lines, (_inner, item) => ({ x: item.colour }));
      // @ts-expect-error that is no kind of an error
      flow.fail("c", "broken", "no");
    });
  });

  test("what takes the place of a step's output has its shape", () => {
    block((flow) => {
      // @ts-expect-error boxes are a number
      flow.function("a", pack, line, { catch: () => ({ boxes: "none" }) });
      const both = flow.parallel("b", { left: () => ({ one: 1 }), right: (inner) => inner.function("r", pack, line) });
      const boxes: Ref<number> = both.right.boxes;
      // @ts-expect-error that branch has no boxes
      const none = both.left.boxes;
      return [boxes, none];
    });
  });
});

describe("what no cloud can do", () => {
  const problemsOf = (write: (flow: Flow) => unknown) =>
    checkDefinition("w", block(write)).map(({ path, message }) => `${path}: ${message}`);
  const any = { sku: "a", count: 1 };

  test("names: odd ones, and one for two steps", () => {
    expect(
      problemsOf((flow) => {
        flow.function("1st", pack, any);
        flow.function("twice", pack, any);
        flow.parallel("both", { "a b": (inner) => void inner.function("twice", pack, any) });
      }),
    ).toEqual([
      "w.steps.1st: a step's name is no such name",
      "w.steps.both: a branch's name is no such name",
      "w.steps.both.branches.a b.twice: there is a step of this name already; names are unique in a workflow",
    ]);
  });

  test("references out of a block that another step is in", () => {
    const problems = problemsOf((flow) => {
      let leaked: Ref<unknown> | undefined;
      flow.map("each", order.lines, (inner, item) => {
        leaked = item;
        return inner.function("pack", pack, item);
      });
      return { leaked, inside: reference("step:pack"), later: reference("step:last") };
    });
    expect(problems).toHaveLength(3);
    expect(problems[0]).toMatch(/^w\.steps\.output\.leaked: it is not known here/);
  });

  test("a step that comes later, and an error outside of its catch", () => {
    const problems = problemsOf((flow) => {
      flow.callback("first", desk, { later: reference("step:second"), error: reference("error:first") });
      flow.function("second", pack, any);
    });
    expect(problems).toHaveLength(2);
  });

  test("what comes after an end, and an end beside others", () => {
    expect(
      problemsOf((flow) => {
        flow.map("each", order.lines, (inner) => inner.succeed("early"));
        flow.fail("no", "failed", "x");
        flow.function("never", pack, any);
      }),
    ).toEqual([
      "w.steps.each.item.early: succeed ends the whole run, and cannot while others are at work: not inside map and parallel",
      "w.steps.no: nothing after fail is ever done: it is the last step of its block",
    ]);
  });

  test("bounds, and blocks of nothing", () => {
    const problems = problemsOf((flow) => {
      flow.function("a", pack, any, { attempts: 0, timeout: "0.5 seconds", backoff: { factor: 0.5 } });
      flow.map("b", order.lines, () => ({}), { atMost: 0, tolerated: -1, concurrency: 0.5 });
      flow.parallel("c", {});
      flow.choice("d", []);
      flow.choice("e", [{ if: both(), do: () => ({}) }]);
      flow.wait("f", "0.5 seconds");
    });
    expect(problems.map((problem) => problem.split(":")[0])).toEqual([
      "w.steps.a.attempts",
      "w.steps.a.timeout",
      "w.steps.a.backoff.factor",
      "w.steps.b.atMost",
      "w.steps.b.tolerated",
      "w.steps.b.concurrency",
      "w.steps.c",
      "w.steps.d",
      "w.steps.e.options[0].if",
      "w.steps.f.seconds",
    ]);
  });

  test("fields that workflow services take for something else", () => {
    expect(problemsOf((flow) => flow.callback("ask", desk, { "x.$": 1, $where: 2, fine$: 3 }))).toHaveLength(2);
  });
});
