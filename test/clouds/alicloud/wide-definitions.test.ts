import { afterEach, describe, expect, it } from "vitest";
import { checkFlow } from "../../../lib/clouds/alicloud/deploy/flow-check.ts";
import { wideMaps } from "../../../lib/clouds/alicloud/deploy/flow-estimate.ts";
import { stepsOf } from "../../../lib/shared/workflow/definition.ts";
import { outcomeOf, TestWorld } from "../../runtime/workflows/world.ts";
import { WIDE_DEFINITIONS } from "../../workflows/definitions.ts";
import { Generator, INPUT } from "./random-definitions.ts";
import { flowsOf, wideWorld } from "./wide-world.ts";

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

describe("definitions with maps as wide as that", () => {
  it.each(WIDE_DEFINITIONS.map((one) => [one.name, one] as const))(
    "%s",
    async (_, one) => {
      const maps = wideMaps(one.definition, () => 0);
      expect([...maps.keys()]).toEqual(["each"]);
      expect(flowsOf(one, { maps }).flatMap(checkFlow)).toEqual([]);
      const { runs, fnf, calls, close } = await wideWorld(one, { maps });
      closing.push(close);
      await runs.start("run-1", one.input);
      await fnf.over();
      const { run, output } = (await runs.get("run-1"))!;
      const counted = Object.keys(one.calls ?? {}).map((name) => [name, calls.get(name) ?? 0]);
      expect(Object.fromEntries(counted)).toEqual(one.calls ?? {});
      if ("output" in one.expected) expect({ ...run, output }).toMatchObject({ status: "succeeded" });
      if ("output" in one.expected) expect(output).toEqual(one.expected.output);
      else expect(run).toMatchObject({ status: "failed", error: one.expected.error });
    },
    180_000,
  );
});

/** Of definitions at random, with every map in executions of its own. */
const SEEDS = 60;

it("definitions at random come to the same as on this computer, by the same calls", async () => {
  let wide = 0;
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const definition = new Generator(seed).block(["input", "run"], 3);
    const maps = stepsOf(definition).filter(({ type }) => type === "map");
    if (maps.length === 0) continue;
    wide += 1;
    const local = new TestWorld();
    const wanted = await outcomeOf({ id: "r", definition, input: INPUT }, local);
    const shape = { size: 1 + (seed % 2), chunks: 1 + (seed % 3), atOnce: 40 };
    const { runs, fnf, begun, close } = await wideWorld(
      { definition, input: INPUT },
      { maps: new Map(maps.map(({ name }) => [name, shape] as const)) },
    );
    await runs.start("r", INPUT);
    await fnf.over();
    const { run, output } = (await runs.get("r"))!;
    const outcome = run.status === "succeeded" ? { output } : { error: run.error };
    expect({ seed, outcome }).toEqual({ seed, outcome: wanted });
    if ("output" in wanted && !/"(fails|flaky)"/.test(JSON.stringify(definition))) {
      const called = local.begun.map((call) => call.split("#")[0]);
      expect({ seed, begun: [...begun].sort() }).toEqual({ seed, begun: called.sort() });
    }
    await close();
  }
  expect(wide).toBeGreaterThan(SEEDS / 5);
});
