import { afterEach, describe, expect, it } from "vitest";
import { checkFlow } from "../../../lib/clouds/alicloud/deploy/flow-check.ts";
import { wideMaps } from "../../../lib/clouds/alicloud/deploy/flow-estimate.ts";
import { WIDE_DEFINITIONS } from "../../workflows/definitions.ts";
import { flowsOf, wideWorld } from "./wide-world.ts";

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

describe("definitions with maps as wide as that", () => {
  it.each(WIDE_DEFINITIONS.map((one) => [one.name, one] as const))("%s", async (_, one) => {
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
  });
});
