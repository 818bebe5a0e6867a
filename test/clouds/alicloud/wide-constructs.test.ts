import { describe, expect, it } from "vitest";
import { checkFlow } from "../../../lib/clouds/alicloud/deploy/flow-check.ts";
import type { FlowDefinition } from "../../../lib/clouds/alicloud/deploy/flow-states.ts";
import { BATCH_ACTIONS, BATCH_KEEPER_ACTIONS, KEEPER_ACTIONS } from "../../../lib/clouds/alicloud/deploy/workflow.ts";
import { code, LargeObjectTransfer, MapReduceFlow } from "../../../lib/index.ts";
import type { RegisteredResource } from "../../../lib/program/mocks.ts";
import { deploy, inputsOf, ofType, policiesOf } from "./stack.ts";

const example = code<typeof import("../../../examples/map-reduce-flow/sessions.ts")>(
  new URL("../../../examples/map-reduce-flow/sessions.ts", import.meta.url),
);

const flowsOf = (resources: readonly RegisteredResource[]) =>
  ofType(resources, "Flow").map(({ inputs }) => JSON.parse(String(inputs.definition)) as FlowDefinition);

const verbsOf = (resources: readonly RegisteredResource[], name: string) =>
  policiesOf(resources)
    [name]!.Statement.flatMap(({ Action }) => Action)
    .filter((verb) => /^(fnf|ots):/.test(verb))
    .sort();

describe("constructs whose maps are as wide as a thousand items", () => {
  it("MapReduceFlow: its mappers, its reducers and what scans for borders have executions of their own", async () => {
    const resources = await deploy((cloud) => {
      new MapReduceFlow("sessions", {
        cloud,
        format: { csv: {} },
        mapper: example,
        reducer: example,
        concurrency: 200,
      });
    });
    expect(ofType(resources, "Flow").map(({ name }) => name)).toEqual([
      "sessions-flow",
      "sessions-flow-scans-items",
      "sessions-flow-maps-items",
      "sessions-flow-reduces-items",
    ]);
    const flows = flowsOf(resources);
    expect(flows.flatMap(checkFlow)).toEqual([]);
    const begins = flows[0]!.States.filter(({ TaskMode }) => TaskMode === "WaitForCustomCallback");
    expect(begins.map(({ Name, Parameters }) => [Name, (Parameters!.body as { input: object }).input])).toEqual(
      ["scans", "maps", "reduces"].map((map) => [
        map,
        expect.objectContaining({
          verb: "begin",
          flow: inputsOf(resources, "Flow", `sessions-flow-${map}-items`).name,
          of: flows[0]!.Name,
          chunks: 5,
        }),
      ]),
    );
    expect(verbsOf(resources, "sessions-flow-batch")).toEqual([...BATCH_ACTIONS].sort());
    expect(verbsOf(resources, "sessions-flow-keep")).toEqual(
      [...new Set([...KEEPER_ACTIONS, ...BATCH_KEEPER_ACTIONS])].sort(),
    );
  });

  it("LargeObjectTransfer: only with more workers than an execution carries", async () => {
    const resources = await deploy((cloud) => {
      new LargeObjectTransfer("move", { cloud });
      new LargeObjectTransfer("wide", { cloud, workers: 1000 });
    });
    expect(ofType(resources, "Flow").map(({ name }) => name)).toEqual([
      "move-flow",
      "wide-flow",
      "wide-flow-groups-items",
    ]);
    expect(flowsOf(resources).flatMap(checkFlow)).toEqual([]);
    expect(verbsOf(resources, "move-flow-keep")).toEqual([...KEEPER_ACTIONS].sort());
    expect(verbsOf(resources, "wide-flow-batch")).toEqual([...BATCH_ACTIONS].sort());
  });
});
