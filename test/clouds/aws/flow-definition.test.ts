import { describe, expect, test } from "vitest";
import { FINAL } from "../../../lib/clouds/aws/deploy/flow-errors.ts";
import { failureOf } from "../../../lib/clouds/aws/runtime/flow-history.ts";
import { block, is, isAbove, reference } from "../../../lib/parts/flow.ts";
import type { FunctionPart, Queue, TaskPart } from "../../../lib/parts/part.ts";
import { isRetryable } from "../../../lib/runtime/errors.ts";
import type { Block } from "../../../lib/shared/workflow/definition.ts";
import { DEFINITIONS, FUNCTIONS, largeList } from "../../workflows/definitions.ts";
import { compiled, ENTERED, type Ended, execute, type Surroundings, statesIn, validate } from "./asl.ts";

describe.each(DEFINITIONS)("$name", ({ definition, input, expected, calls, tasks, answers }) => {
  test("is Amazon States Language", () => {
    const machine = compiled(definition);
    const { isValid, errorsText } = validate(machine);
    expect(errorsText("\n")).toBe("");
    expect(isValid).toBe(true);
    const names = statesIn(machine).map(([name]) => name);
    expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
    expect(names.filter((name) => name.length > 80)).toEqual([]);
  });

  test("comes to what is expected", async () => {
    const ended = await execute(compiled(definition), input, {
      functions: FUNCTIONS,
      ...(tasks && { tasks }),
      ...(answers && { answers }),
    });
    if ("output" in expected) expect(ended.outcome).toEqual(expected);
    else expect(ended.outcome).toMatchObject(expected);
    for (const [name, times] of Object.entries(calls ?? {}))
      expect([name, ended.calls[name] ?? 0]).toEqual([name, times]);
  });
});

const part = <Result>(name: keyof typeof FUNCTIONS) =>
  ({ kind: "function", name }) as unknown as FunctionPart<unknown, Result>;
const run = async (definition: Block, input: unknown, more: Partial<Surroundings> = {}): Promise<Ended> => {
  const machine = compiled(definition);
  expect(validate(machine).errorsText("\n")).toBe("");
  return execute(machine, input, { functions: FUNCTIONS, ...more });
};

describe("what only this language needs", () => {
  const backoff = { first: "1 second", longest: "1 second" } as const;

  test("a repeat is tried again as a whole, and ends the run from inside", async () => {
    const definition = block((flow) => {
      flow.repeat<{ readonly value: number }>(
        "grow",
        { from: { value: 1 }, until: (state) => isAbove(state.value, 99), atMost: 2, attempts: 2, backoff },
        (inner, state) => inner.function("double", part<{ readonly value: number }>("double"), state),
      );
    });
    expect(await run(definition, {})).toMatchObject({
      outcome: { error: { kind: "timed-out" } },
      calls: { double: 4 },
    });
    const ending = block((flow) => {
      flow.repeat<object>(
        "once",
        { from: {}, until: () => is(reference<boolean>("input"), true), atMost: 2, attempts: 2 },
        (inner) => inner.succeed("done", { early: true }),
      );
      flow.function("after", part("double"), { value: 1 });
    });
    expect(await run(ending, {})).toEqual({ outcome: { output: { early: true } }, calls: {} });
  });

  test("more items that fail than may are tried again with the whole map", async () => {
    const definition = block((flow) =>
      flow.map(
        "each",
        reference<readonly { readonly value: number }[]>("input"),
        (inner, item) =>
          inner.function(
            "fails",
            part("fails"),
            { kind: "failed", message: "m", value: item.value, when: [1, 2] },
            { attempts: 1 },
          ),
        { tolerated: 1, attempts: 2, backoff },
      ),
    );
    const input = [{ value: 1 }, { value: 2 }, { value: 3 }];
    expect(await run(definition, input)).toEqual({
      outcome: { error: { kind: "failed", message: "m" } },
      calls: { fails: 6 },
    });
  });

  test("lists of all kinds are made where the service fills in", async () => {
    const definition = block(() => {
      const [a, none] = [reference<number>("input", ["a"]), reference<number>("input", ["none"])];
      return { mixed: [a, "$.a", { a }, [none, [a]], { lit: [] }], plain: [{ a }, 1], empty: [] };
    });
    const mixed = [1, "$.a", { a: 1 }, [null, [1]], { lit: [] }];
    expect((await run(definition, { a: 1 })).outcome).toEqual({ output: { mixed, plain: [{ a: 1 }, 1], empty: [] } });
  });

  test("a task's run that fails is tried again as often as the step says", async () => {
    const work = { kind: "task", name: "work" } as unknown as TaskPart;
    const definition = block((flow) => flow.task("make", work, { id: "x", input: {} }, { attempts: 3, backoff }));
    const functions = {
      flaky: (_: unknown, attempt: number) => FUNCTIONS.flaky({ until: 3 }, attempt),
      broken: () => FUNCTIONS.fails({ kind: "refused", message: "no" }),
    };
    const again = await run(definition, {}, { functions, tasks: { work: "flaky" } });
    expect(again).toEqual({ outcome: { output: { attempt: 3 } }, calls: { flaky: 3 } });
    const broken = await run(definition, {}, { functions, tasks: { work: "broken" } });
    expect(broken).toEqual({ outcome: { error: { kind: "refused", message: "no" } }, calls: { broken: 1 } });
  });

  test("what a step waits for is forgotten in the end, whether anybody answers or not", async () => {
    const questions = { kind: "queue", name: "questions" } as unknown as Queue;
    const requests: Record<string, Record<string, { readonly N?: string }>>[] = [];
    const definition = block((flow) => flow.callback("ask", questions, {}));
    await run(
      definition,
      {},
      { answers: { ask: { output: 1 } }, onWait: (request) => requests.push(request as never) },
    );
    expect(requests[0]).toMatchObject({ UpdateExpression: expect.stringContaining("#ttl = :until") });
    const until = Number(requests[0]!.ExpressionAttributeValues![":until"]!.N) * 1000;
    expect(new Date(until).toISOString()).toBe("2029-01-01T00:00:00.000Z");
    // The longest run, and as long as its execution is known.
    expect(until - Date.parse(ENTERED)).toBeGreaterThan((366 + 90) * 86_400_000);
  });

  test("what is too large for a state fails the step that answers it, or the run, with what to do", async () => {
    const { outcome } = await run(largeList, { count: 20_000 });
    expect(outcome).toMatchObject({
      error: { kind: "refused", message: expect.stringMatching(/step "large" has \d+ bytes.* at most 196608/) },
    });
    // Of what several steps answered together the service itself tells.
    expect(failureOf("States.DataLimitExceeded", "The state/task returned a result with a size exceeding")).toEqual({
      kind: "refused",
      message: expect.stringContaining("put what is large into a bucket"),
    });
  });

  test("kinds that no other attempt changes are those of the core", () => {
    for (const kind of [
      "bad-input",
      "failed",
      "timed-out",
      "stopped",
      "expired",
      "interrupted",
      "not-found",
      "conflict",
      "refused",
      "unavailable",
    ] as const) {
      expect([kind, FINAL.includes(kind)]).toEqual([kind, !isRetryable({ kind, message: "" })]);
    }
  });
});
