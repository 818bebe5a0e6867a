import { afterEach, describe, expect, it } from "vitest";
import { checkFlow } from "../../../lib/clouds/alicloud/deploy/flow-check.ts";
import type { WideMap } from "../../../lib/clouds/alicloud/deploy/flow-estimate.ts";
import { BATCH_ACTIONS, BATCH_KEEPER_ACTIONS } from "../../../lib/clouds/alicloud/deploy/workflow.ts";
import { block, type Ref, reference } from "../../../lib/parts/flow.ts";
import type { FunctionPart } from "../../../lib/parts/part.ts";
import type { ChunkEnd } from "../../../lib/runtime/workflows/links.ts";
import type { StepCall } from "../../../lib/runtime/workflows/step-call.ts";
import { stepsOf } from "../../../lib/shared/workflow/definition.ts";
import { DEFINITIONS, type DefinitionCase } from "../../workflows/definitions.ts";
import { flowsOf, type WideOptions, wideWorld } from "./wide-world.ts";

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

async function world(...[one, options]: Parameters<typeof wideWorld>) {
  const made = await wideWorld(one, options);
  closing.push(made.close);
  return made;
}

/** Every map of a definition in executions of so few items. */
const everyMap = ({ definition }: DefinitionCase, wide: WideMap): WideOptions["maps"] =>
  new Map(
    stepsOf(definition)
      .filter(({ type }) => type === "map")
      .map(({ name }) => [name, wide] as const),
  );

const withMaps = DEFINITIONS.filter((one) => everyMap(one, { size: 1, chunks: 1, atOnce: 1 }).size > 0);

describe.each([
  ["two items, two at once", { size: 2, chunks: 2, atOnce: 1 }],
  ["one item, one at once", { size: 1, chunks: 1, atOnce: 1 }],
])("definitions whose maps have executions of %s", (_, wide) => {
  it.each(withMaps.map((one) => [one.name, one] as const))("%s", async (_, one) => {
    const maps = everyMap(one, wide);
    expect(flowsOf(one, { maps }).flatMap(checkFlow)).toEqual([]);
    const { runs, fnf, calls } = await world(one, { maps });
    await runs.start("run-1", one.input);
    await fnf.over();
    const { run, output } = (await runs.get("run-1"))!;
    if ("output" in one.expected)
      expect({ run, output }).toMatchObject({ run: { status: "succeeded" }, output: one.expected.output });
    else expect(run).toMatchObject({ status: "failed", error: one.expected.error });
    if ("output" in one.expected) expect(output).toEqual(one.expected.output);
    if (!("output" in one.expected)) return;
    const counted = Object.keys(one.calls ?? {}).map((name) => [name, calls.get(name) ?? 0]);
    expect(Object.fromEntries(counted)).toEqual(one.calls ?? {});
  });
});

const items = reference<readonly { readonly value: number }[]>("input", ["items"]);
const part = (name: string) =>
  ({ kind: "function", name }) as unknown as FunctionPart<unknown, { readonly value: number }>;
const doubling = (options: object = {}) =>
  block((flow) =>
    flow.map("each", items, (inner, { value }) => inner.function("one", part("double"), { value }), {
      atMost: 100,
      ...options,
    }),
  );
const numbered = (count: number) => Array.from({ length: count }, (_, index) => ({ value: index + 1 }));
const doubled = (count: number) => numbered(count).map(({ value }) => ({ value: value * 2 }));
const by = (size: number, chunks: number): WideOptions["maps"] => new Map([["each", { size, chunks, atOnce: 40 }]]);
const pause = (milliseconds = 5) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const verbOf = ({ input }: StepCall) => (input as { readonly verb?: string }).verb;

describe("a map whose items have executions of their own", () => {
  it("has no more of them at once than it says, whatever is told twice", async () => {
    let [most, now] = [0, 0];
    const { runs, fnf, calls, state } = await world(
      { definition: doubling(), input: {} },
      {
        maps: by(3, 2),
        before: async (name, call) => {
          if (name === "double") {
            now += 1;
            most = Math.max(most, now);
            await pause(50);
            now -= 1;
          }
          if (name !== "$batch" || verbOf(call) !== "ended") return;
          const end = call.input as ChunkEnd & { readonly batch: string; readonly chunk: number };
          await state.batches.ended(end.batch, end.chunk, end);
          await state.batches.ended(end.batch, end.chunk, { items: [] });
        },
      },
    );
    await runs.start("r", { items: numbered(20) });
    await fnf.over();
    expect((await runs.get("r"))!.output).toEqual(doubled(20));
    expect(calls.get("double")).toBe(20);
    expect(fnf.executions).toHaveLength(1 + 7);
    expect(most).toBe(6);
  });

  it("comes to the same wherever a function of ours is killed, and does no item twice", async () => {
    for (let [kill, count] = [1, 1]; count >= kill; kill += 1) {
      count = 0;
      const { runs, fnf, calls, tablestore, close } = await wideWorld(
        { definition: doubling(), input: {} },
        { maps: by(2, 1) },
      );
      const killed = () => {
        count += 1;
        return count === kill;
      };
      tablestore.server.forbids = killed;
      // The first two start the run itself.
      let started = 0;
      fnf.server.forbids = () => {
        started += 1;
        return started > 2 && killed();
      };
      await runs.start("s", { items: numbered(4) });
      await fnf.over();
      [tablestore.server.forbids, fnf.server.forbids] = [() => false, () => false];
      expect({ kill, output: (await runs.get("s"))!.output }).toEqual({ kill, output: doubled(4) });
      expect(calls.get("double")).toBe(4);
      await close();
    }
  });

  it("is stopped with its run: what runs, and what would have come", async () => {
    let release = () => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    let waiting = 0;
    const { runs, fnf, calls } = await world(
      { definition: doubling(), input: {} },
      {
        maps: by(2, 3),
        before: async (name) => {
          if (name !== "double") return;
          waiting += 1;
          await gate;
        },
      },
    );
    await runs.start("r", { items: numbered(40) });
    await runs.start("r--x", { items: numbered(2) });
    while (waiting < 8) await pause();
    expect(await runs.stop("r")).toMatchObject({ status: "stopped" });
    const ofRun = (run: string) =>
      fnf.executions.filter(({ Name }) => new RegExp(`^${run}--[0-9a-f]{12}-\\d+$`).test(Name));
    expect(ofRun("r").map(({ Status }) => Status)).toEqual(["Stopped", "Stopped", "Stopped"]);
    release();
    await fnf.over();
    expect((await runs.get("r--x"))!.output).toEqual(doubled(2));
    expect(calls.get("double")).toBe(8);
    expect(ofRun("r")).toHaveLength(3);
  });

  it("fails with its first item that failed, and stops the others", async () => {
    const definition = block((flow) =>
      flow.forEach(
        "each",
        items,
        (inner, { value }) =>
          void inner.function(
            "one",
            part("fails"),
            { kind: "refused", message: "no", value, when: [3] },
            { attempts: 1 },
          ),
        { atMost: 100, catch: (_inner, error) => ({ succeeded: 0, failed: 0, kind: error.kind }) as never },
      ),
    );
    const { runs, fnf, calls } = await world({ definition, input: {} }, { maps: by(2, 2) });
    await runs.start("r", { items: numbered(60) });
    await fnf.over();
    expect((await runs.get("r"))!.output).toEqual({ succeeded: 0, failed: 0, kind: "refused" });
    expect(calls.get("fails")).toBeLessThan(20);
    expect(fnf.executions.filter(({ Status }) => Status === "Running")).toEqual([]);
  });

  it("is gone on with by the keeper where nobody else does", async () => {
    let isDead = false;
    const { runs, fnf, keeper } = await world(
      { definition: doubling(), input: {} },
      {
        maps: by(2, 1),
        before: (name, call) => {
          if (isDead && name === "$batch" && verbOf(call) === "ended") throw new Error("killed");
        },
      },
    );
    fnf.server.forbids = ({ headers, body }) =>
      headers["x-acs-action"] === "StartExecution" && /--[0-9a-f]{12}-1&/.test(body.toString("utf8"));
    await runs.start("r", { items: numbered(4) });
    while (fnf.executions.filter(({ Status }) => Status === "Failed").length < 1) {
      await pause();
    }
    // The first two items are told of; nobody could start the other two.
    fnf.server.forbids = () => false;
    expect(await keeper.lookAfterBatches()).toBe(1);
    await fnf.over();
    expect((await runs.get("r"))!.output).toEqual(doubled(4));

    isDead = true;
    await runs.start("s", { items: numbered(4) });
    while (fnf.executions.filter(({ Status }) => Status === "Failed").length < 2) {
      await pause();
    }
    expect(await keeper.lookAfterBatches()).toBe(1);
    await fnf.over();
    expect((await runs.get("s"))!.run).toMatchObject({ status: "failed", error: { kind: "unavailable" } });
    expect(await keeper.lookAfterBatches()).toBe(0);
  });

  it("that takes too long is ended with its run, and forgotten in the end", async () => {
    const gate = new Promise<void>(() => {});
    const { runs, fnf, keeper, skip, rows } = await world(
      { definition: doubling(), input: {} },
      { maps: by(2, 1), timeout: 60, before: (name) => (name === "double" ? gate : undefined) },
    );
    await runs.start("r", { items: numbered(4) });
    while (fnf.executions.length < 2) await pause();
    skip(61);
    expect(await keeper.stopLate()).toBe(1);
    expect(fnf.executions.map(({ Status }) => Status)).toEqual(["Stopped", "Stopped"]);
    expect((await runs.get("r"))!.run).toMatchObject({ status: "failed", error: { kind: "timed-out" } });
    expect(await keeper.lookAfterBatches()).toBe(1);
    expect((await rows.query("$batches")).rows).toHaveLength(1);
    // A run that failed may be retried for two weeks.
    skip(86_401);
    expect(await keeper.lookAfterBatches()).toBe(0);
    expect((await rows.query("$batches")).rows).toHaveLength(1);
    skip(13 * 86_400);
    expect(await keeper.lookAfterBatches()).toBe(0);
    expect((await rows.query("$batches")).rows).toEqual([]);
  });

  it("has fewer items in an execution where they are large, and refuses what it cannot carry", async () => {
    const around = "x".repeat(30_000);
    const text = (bytes: number) => ({ text: "y".repeat(bytes) });
    const definition = block((flow) => {
      const known = reference<string>("input", ["around"]);
      return flow.forEach("each", items, (inner, item) => void inner.function("one", part("echo"), { known, item }), {
        atMost: 100,
      });
    });
    const { runs, fnf } = await world({ definition, input: {} }, { maps: by(100, 1) });
    await runs.start("r", { around, items: Array.from({ length: 10 }, () => text(3400)) });
    await fnf.over();
    expect((await runs.get("r"))!.output).toEqual({ succeeded: 10, failed: 0 });
    expect(fnf.executions).toHaveLength(3);

    const large = await world({ definition: doubling(), input: {} }, { maps: by(100, 1) });
    await large.runs.start("r", { items: [text(64_000)] });
    await large.fnf.over();
    expect((await large.runs.get("r"))!.run).toMatchObject({ status: "failed", error: { kind: "refused" } });

    const outputs = block((flow) =>
      flow.map("each", items, (inner, item) => ({
        item,
        twice: inner.function("one", part("echo"), item as Ref<unknown>),
      })),
    );
    const wide = await world({ definition: outputs, input: {} }, { maps: by(4, 1) });
    await wide.runs.start("r", { items: Array.from({ length: 10 }, () => text(3000)) });
    await wide.fnf.over();
    expect((await wide.runs.get("r"))!.run).toMatchObject({
      status: "failed",
      error: { kind: "refused", message: expect.stringContaining("at most 49152") },
    });
  });

  /** Fails for an item as long as it is weak. */
  const weakWorld = (weak: Set<number>, tolerated: number, maps: WideOptions["maps"]) =>
    wideWorld(
      { definition: doubling({ tolerated }), input: {} },
      {
        maps,
        before: (name, { input }) => {
          const { value } = (input ?? {}) as { readonly value?: number };
          if (name === "double" && weak.has(value!)) throw new Error(`${value} is weak`);
        },
      },
    );

  it("is gone on with in a run that is retried: only items that did not succeed are done again", async () => {
    const weak = new Set([3]);
    const { runs, fnf, begun, close } = await weakWorld(weak, 0, by(2, 1));
    closing.push(close);
    await runs.start("r", { items: numbered(6) });
    await fnf.over();
    const failed = (await runs.get("r"))!;
    expect(failed.run).toMatchObject({ status: "failed", error: { kind: "unavailable" } });
    expect(failed.steps).toMatchObject([
      { path: "each", status: "succeeded", items: { total: 6, succeeded: 3, failed: 1 } },
      { path: "each[2]", status: "failed", error: { message: "3 is weak" } },
    ]);
    const item = (numbers: readonly number[]) => numbers.map((number) => `each[${number}]/one`);
    begun.length = 0;
    await runs.retry("r");
    await fnf.over();
    // What is weak fails before it begins.
    expect(begun).toEqual([]);
    weak.clear();
    begun.length = 0;
    await runs.retry("r");
    await fnf.over();
    expect((await runs.get("r"))!.output).toEqual(doubled(6));
    expect(begun).toEqual(item([2, 4, 5]));
    expect((await runs.get("r"))!.steps).toMatchObject([
      { path: "each", items: { total: 6, succeeded: 6, failed: 0 } },
    ]);
  });

  it("that was done in a run that failed later is not done again, though its rows are forgotten", async () => {
    const weak = new Set([12]);
    const definition = block((flow) => {
      const all = flow.map("each", items, (inner, { value }) => inner.function("one", part("double"), { value }), {
        atMost: 100,
      });
      flow.function("two", part("double"), { value: 12 }, { attempts: 1 });
      return all;
    });
    const { runs, fnf, calls, keeper, skip } = await world(
      { definition, input: {} },
      {
        maps: by(2, 2),
        before: (_, { step }) => {
          if (step === "two" && weak.size > 0) throw new Error("not yet");
        },
      },
    );
    await runs.start("r", { items: numbered(5) });
    await fnf.over();
    expect((await runs.get("r"))!.run.status).toBe("failed");
    skip(86_401);
    await keeper.lookAfterBatches();
    weak.clear();
    await runs.retry("r");
    await fnf.over();
    expect(await keeper.lookAfterBatches()).toBe(0);
    const { output, steps } = (await runs.get("r"))!;
    expect(output).toEqual(doubled(5));
    expect(calls.get("double")).toBe(6);
    expect(steps[0]).toMatchObject({ path: "each", items: { total: 5, succeeded: 5, failed: 0 } });
  });

  it("goes on in a retried run wherever a function of ours is killed, with what succeeded before", async () => {
    for (let [kill, count] = [1, 1]; count >= kill; kill += 1) {
      count = 0;
      const weak = new Set([3]);
      const { runs, fnf, begun, tablestore, close } = await weakWorld(weak, 0, by(2, 2));
      await runs.start("s", { items: numbered(8) });
      await fnf.over();
      weak.clear();
      const killed = () => {
        count += 1;
        return count === kill;
      };
      begun.length = 0;
      await runs.retry("s");
      tablestore.server.forbids = killed;
      fnf.server.forbids = killed;
      await fnf.over();
      [tablestore.server.forbids, fnf.server.forbids] = [() => false, () => false];
      expect({ kill, output: (await runs.get("s"))!.output }).toEqual({ kill, output: doubled(8) });
      expect(begun.filter((step) => /^each\[[013]\]/.test(step))).toEqual([]);
      await close();
    }
  });

  it("fails where its items would be done by what was deployed since it began", async () => {
    const { runs, fnf, calls, state } = await world({ definition: doubling(), input: {} }, { maps: by(2, 1) });
    const { begin } = state.batches;
    state.batches.begin = (start, ...rest) => begin.call(state.batches, { ...start, shape: "another" }, ...rest);
    await runs.start("r", { items: numbered(4) });
    await fnf.over();
    expect((await runs.get("r"))!.run).toMatchObject({ status: "failed", error: { kind: "conflict" } });
    expect(calls.get("double")).toBeUndefined();
  });

  it("is done by the verbs that its functions are granted, and by no others", async () => {
    const { runs, fnf, tablestore, keeper, skip } = await world(
      { definition: doubling({ atMost: 10 }), input: {} },
      {
        maps: by(2, 2),
        before: async (name, { step }) => {
          if (name !== "double") return;
          if (step.startsWith("each[1]")) throw new Error("never");
          if (!step.startsWith("each[0]")) await pause(100);
        },
      },
    );
    const asked = () =>
      new Set([
        ...fnf.server.requests.map(({ headers }) => `fnf:${headers["x-acs-action"]}`),
        ...tablestore.server.requests.map(({ path }) => `ots:${path.slice(1)}`),
      ]);
    await runs.start("r", { items: numbered(8) });
    await fnf.over();
    expect([...asked()].sort()).toEqual([...BATCH_ACTIONS].sort());
    skip(14 * 86_401);
    await keeper.lookAfterBatches();
    expect([...asked()].sort()).toEqual([...BATCH_KEEPER_ACTIONS].sort());
  });
});
