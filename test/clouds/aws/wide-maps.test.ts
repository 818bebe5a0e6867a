import { describe, expect, test } from "vitest";
import { block, reference } from "../../../lib/parts/flow.ts";
import type { FunctionPart } from "../../../lib/parts/part.ts";
import type { Block } from "../../../lib/shared/workflow/definition.ts";
import { FUNCTIONS, WIDE_DEFINITIONS } from "../../workflows/definitions.ts";
import { compiled, execute, statesIn, validate } from "./asl.ts";

/** Somebody else's interpreter does the items in its own process: how many at once is the service's own matter. */
describe.each(WIDE_DEFINITIONS.filter(({ name }) => !name.includes("ten-thousand")))(
  "$name",
  ({ definition, input, expected, calls }) => {
    test("is a distributed map, and comes to what is expected", async () => {
      const machine = compiled(definition);
      expect(validate(machine).errorsText("\n")).toBe("");
      expect(mapIn(definition)).toMatchObject({ ItemProcessor: { ProcessorConfig: DISTRIBUTED } });
      const ended = await execute(machine, input, { functions: FUNCTIONS });
      if ("output" in expected) expect(ended.outcome).toEqual(expected);
      else expect(ended.outcome).toMatchObject(expected);
      for (const [name, times] of Object.entries(calls ?? {})) expect([name, ended.calls[name]]).toEqual([name, times]);
    }, 60_000);
  },
);

const DISTRIBUTED = { Mode: "DISTRIBUTED", ExecutionType: "STANDARD" };

/** The map of a compiled workflow. */
const mapIn = (definition: Block) =>
  statesIn(compiled(definition)).find(([, { Type }]) => Type === "Map")![1] as {
    readonly MaxConcurrency?: number;
    readonly ItemSelector: object;
  };

describe("a map of more than 40 items", () => {
  const one = { kind: "function", name: "double" } as unknown as FunctionPart<unknown, { readonly value: number }>;
  const map = (bounds: object) =>
    mapIn(
      block((flow) =>
        flow.map(
          "each",
          reference<readonly { readonly value: number }[]>("input"),
          (inner, item) => inner.function("one", one, item),
          { atMost: 41, ...bounds },
        ),
      ),
    );

  test("has the concurrency that it asks for, and else the service's own", () => {
    expect(map({ concurrency: 7 }).MaxConcurrency).toBe(7);
    expect(map({}).MaxConcurrency).toBeUndefined();
  });

  // What a state of the service tolerates ends as no output of ours: items that fail succeed, with what they failed with.
  test("counts failures itself, and groups no items", () => {
    for (const bounds of [{}, { tolerated: 5 }]) {
      expect(Object.keys(map(bounds))).not.toEqual(
        expect.arrayContaining([expect.stringMatching(/^(ToleratedFailure|ItemBatcher|ItemReader|ResultWriter)/)]),
      );
    }
  });

  test("hands each item its run and its number: its execution knows nothing else", () => {
    expect(JSON.stringify(map({}).ItemSelector)).toMatch(/"run\.\$":"\$\.run".*\$\$\.Map\.Item\.Index/);
  });
});
