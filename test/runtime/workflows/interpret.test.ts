import { describe, expect, test } from "vitest";
import { block, type Flow, type Ref, reference } from "../../../lib/parts/flow.ts";
import type { FunctionPart } from "../../../lib/parts/part.ts";
import { MillraceError } from "../../../lib/runtime/errors.ts";
import { Suspended } from "../../../lib/runtime/workflows/world.ts";
import { checkDefinition } from "../../../lib/shared/workflow/check.ts";
import type { Block } from "../../../lib/shared/workflow/definition.ts";
import { DEFINITIONS, FUNCTIONS, WIDE_DEFINITIONS } from "../../workflows/definitions.ts";
import { MemoryJournal, outcomeOf, TestWorld } from "./world.ts";

const part = (name: string) => ({ kind: "function", name }) as unknown as FunctionPart<unknown, { value: number }>;
const input = reference<{ items: { value: number }[]; value: number }>("input");

describe("the suite of definitions", () => {
  test("names are unique, and every definition is one that no cloud refuses", () => {
    const all = [...DEFINITIONS, ...WIDE_DEFINITIONS];
    expect(new Set(all.map(({ name }) => name)).size).toBe(all.length);
    expect(all.flatMap(({ name, definition }) => checkDefinition(name, definition))).toEqual([]);
  });

  test.for([...DEFINITIONS, ...WIDE_DEFINITIONS])("$name", async (one) => {
    const world = new TestWorld(one);
    const outcome = await outcomeOf({ id: "run-1", definition: one.definition, input: one.input }, world);
    expect(outcome).toMatchObject(one.expected);
    if ("output" in one.expected) expect(outcome).toEqual(one.expected);
    for (const [name, count] of Object.entries(one.calls ?? {}))
      expect([name, world.calls[name] ?? 0]).toEqual([name, count]);
  });

  test.for(DEFINITIONS)("$name, killed at each of its writes", async (one) => {
    const run = { id: "run-1", definition: one.definition, input: one.input };
    const whole = new MemoryJournal();
    await outcomeOf(run, new TestWorld(one, whole));
    for (let kill = 1; kill <= whole.writes; kill += 1) {
      const stop = new AbortController();
      const cut = new MemoryJournal(new Map(), (count) => {
        if (count < kill) return;
        stop.abort(new Suspended());
        throw new Suspended();
      });
      await expect(outcomeOf(run, new TestWorld(one, cut), stop.signal)).rejects.toBeInstanceOf(Suspended);
      const before = finishedOf(cut.stored);
      const world = new TestWorld(one, new MemoryJournal(cut.stored));
      const outcome = await outcomeOf(run, world);
      expect(outcome).toMatchObject(one.expected);
      if ("output" in one.expected) expect(outcome).toEqual(one.expected);
      // Parallels that are tried again begin their steps anew: those paths are not the same steps.
      if (one.name !== "a-parallel-is-tried-again-as-a-whole") {
        expect(world.begun.filter((step) => before.has(step.split("#")[0]!))).toEqual([]);
      }
    }
  });
});

/** Paths of steps that are over. */
function finishedOf(stored: ReadonlyMap<string, string>): ReadonlySet<string> {
  const over = [...stored].filter(([, text]) => ["succeeded", "caught", "failed"].includes(JSON.parse(text).status));
  return new Set(over.map(([path]) => path));
}

const failingUntil = (calls: number) => {
  let count = 0;
  return () => {
    count += 1;
    if (count <= calls) throw new MillraceError("unavailable", `call ${count}`);
    return { value: count };
  };
};

describe("a run that is retried", () => {
  const mapped = block((flow) => {
    const first = flow.function("first", part("double"), { value: 1 });
    return flow.map("each", input.items, (inner, item) => {
      inner.function("before", part("double"), item);
      return inner.function("weak", part("weak"), { value: item.value, first: first.value }, { attempts: 1 });
    });
  });

  test("does the failed steps again, and none that has succeeded", async () => {
    const stored = new Map<string, string>();
    const functions = { ...FUNCTIONS, weak: failingUntil(1) };
    const run = { id: "r", definition: mapped, input: { items: [{ value: 1 }, { value: 2 }, { value: 3 }] } };
    const failed = await outcomeOf(run, new TestWorld({}, new MemoryJournal(stored), functions));
    expect(failed).toEqual({ error: { kind: "unavailable", message: "call 1" } });

    const again = new TestWorld({}, new MemoryJournal(stored), functions);
    expect(await outcomeOf(run, again), "not retried: it has failed").toEqual(failed);
    expect(again.begun).toEqual([]);

    const retried = new TestWorld({}, new MemoryJournal(stored), functions);
    const outcome = await outcomeOf({ ...run, retries: 1 }, retried);
    expect(outcome).toMatchObject({ output: [{}, {}, {}] });
    expect(retried.begun).toContain("each[0]/weak#1");
    expect(retried.begun).not.toContain("first#1");
    expect(retried.begun).not.toContain("each[0]/before#1");
    const entry = JSON.parse(stored.get("each[0]/weak")!);
    expect(entry).toMatchObject({ attempts: 2, tries: 1, status: "succeeded" });
  });

  test("has all its attempts once more", async () => {
    const definition = block((flow) => flow.function("weak", part("weak"), {}, { attempts: 2 }));
    const stored = new Map<string, string>();
    const functions = { weak: failingUntil(3) };
    for (const [retries, expected] of [
      [0, { error: { kind: "unavailable", message: "call 2" } }],
      [1, { output: { value: 4 } }],
    ] as const) {
      const world = new TestWorld({}, new MemoryJournal(stored), functions);
      expect(await outcomeOf({ id: "r", definition, input: {}, retries }, world)).toEqual(expected);
    }
    expect(JSON.parse(stored.get("weak")!)).toMatchObject({ attempts: 4, tries: 2 });
  });

  test("that was stopped goes on where it was", async () => {
    const stop = new AbortController();
    const stored = new Map<string, string>();
    const functions = {
      ...FUNCTIONS,
      waits: async () => {
        stop.abort(new MillraceError("stopped", "by hand"));
        throw stop.signal.reason;
      },
    };
    const definition = block((flow) => {
      flow.function("first", part("double"), { value: 1 });
      return flow.function("second", part("waits"), {});
    });
    const run = { id: "r", definition, input: {} };
    const stopped = await outcomeOf(run, new TestWorld({}, new MemoryJournal(stored), functions), stop.signal);
    expect(stopped).toEqual({ error: { kind: "stopped", message: "by hand" } });
    expect(JSON.parse(stored.get("second")!)).toMatchObject({ status: "stopped", error: { kind: "stopped" } });
    const world = new TestWorld({}, new MemoryJournal(stored), { ...functions, waits: () => ({ value: 5 }) });
    expect(await outcomeOf({ ...run, retries: 1 }, world)).toEqual({ output: { value: 5 } });
    expect(world.begun).toEqual(["second#1"]);
  });
});

describe("what is at once", () => {
  test("a map keeps to its concurrency", async () => {
    let [now, most] = [0, 0];
    const functions = {
      busy: async () => {
        now += 1;
        most = Math.max(most, now);
        await new Promise(setImmediate);
        now -= 1;
        return { value: 1 };
      },
    };
    const definition = block((flow) =>
      flow.map("each", input.items, (inner, item) => inner.function("busy", part("busy"), item), { concurrency: 3 }),
    );
    const items = Array.from({ length: 10 }, (_, value) => ({ value }));
    await outcomeOf({ id: "r", definition, input: { items } }, new TestWorld({}, new MemoryJournal(), functions));
    expect(most).toBe(3);
  });

  test("a branch that fails stops the one beside it, which is told why", async () => {
    const journal = new MemoryJournal();
    const definition = block((flow) =>
      flow.parallel("both", {
        slow: (inner) => void inner.wait("long", "100 days"),
        bad: (inner) => {
          inner.wait("short", "1 second");
          return inner.fail("bad", "refused", "no");
        },
      }),
    );
    const world = new TestWorld({}, journal);
    expect(await outcomeOf({ id: "r", definition, input: {} }, world)).toEqual({
      error: { kind: "refused", message: "no" },
    });
    expect(journal.read("both/long")).toMatchObject({ status: "stopped", error: { kind: "refused" } });
    expect(world.clock.now()).toBe(Date.parse("2026-01-01T00:00:01Z"));
  });

  test("a stop ends everything, and no step is begun any more", async () => {
    const stop = new AbortController();
    const definition = block((flow) => {
      flow.map("each", input.items, (inner) => inner.wait("long", "1 hour"), { concurrency: 2 });
      flow.function("after", part("double"), { value: 1 });
    });
    const world = new TestWorld();
    const outcome = outcomeOf({ id: "r", definition, input: { items: [{}, {}, {}] } }, world, stop.signal);
    stop.abort(new MillraceError("stopped", "enough"));
    expect(await outcome).toEqual({ error: { kind: "stopped", message: "enough" } });
    expect(world.journal.read("each[2]/long")).toBeUndefined();
    expect(world.begun).toEqual([]);
  });
});

describe("time", () => {
  test("a wait that was cut short keeps its time", async () => {
    const stored = new Map<string, string>();
    const definition = block((flow) => flow.wait("long", "1 hour"));
    const first = new TestWorld({}, new MemoryJournal(stored));
    const stop = new AbortController();
    first.clock.at(first.clock.now() + 1_800_000, () => stop.abort(new Suspended()));
    const run = { id: "r", definition, input: {} };
    await expect(outcomeOf(run, first, stop.signal)).rejects.toBeInstanceOf(Suspended);
    const second = new TestWorld({}, new MemoryJournal(stored));
    const began = second.clock.now();
    expect(await outcomeOf(run, second)).toEqual({ output: {} });
    // The second world's time begins where the first one's did: its wait ends at the time that was written down.
    expect(second.clock.now() - began).toBe(3_600_000);
    expect(JSON.parse(stored.get("long")!).started).toBe(began);
  });

  test("a step that takes longer than its time has timed out", async () => {
    const definition = block((flow) =>
      flow.callback(
        "ask",
        part("nobody"),
        {},
        { timeout: "1 minute", catch: (_inner, error) => ({ kind: error.kind }) },
      ),
    );
    const world = new TestWorld();
    expect(await outcomeOf({ id: "r", definition, input: {} }, world)).toEqual({ output: { kind: "timed-out" } });
    expect(world.asked).toEqual(["r/ask"]);
  });

  test("a callback that times out asks again at its next attempt", async () => {
    const definition = block((flow) => flow.callback("ask", part("nobody"), {}, { timeout: "1 minute", attempts: 3 }));
    const world = new TestWorld();
    expect(await outcomeOf({ id: "r", definition, input: {} }, world)).toMatchObject({ error: { kind: "timed-out" } });
    expect(world.asked).toEqual(["r/ask", "r/ask", "r/ask"]);
  });
});

describe("size", () => {
  test("64 levels deep", async () => {
    const nest = (flow: Flow, depth: number): Ref<unknown> =>
      depth === 0
        ? flow.function("bottom", part("double"), { value: input.value })
        : flow.parallel(`level${depth}`, { in: (inner) => nest(inner, depth - 1) });
    const definition: Block = block((flow) => nest(flow, 64));
    let expected: unknown = { value: 2 };
    for (let depth = 0; depth < 64; depth += 1) expected = { in: expected };
    const outcome = await outcomeOf({ id: "r", definition, input: { value: 1 } }, new TestWorld());
    expect(outcome).toEqual({ output: expected });
  });

  test("the work of 10,000 items is ten times that of 1,000", async () => {
    const definition = block((flow) =>
      flow.map("each", input.items, (inner, item) => inner.function("double", part("double"), item), {
        atMost: 10_000,
      }),
    );
    const workOf = async (count: number) => {
      const journal = new MemoryJournal();
      const items = Array.from({ length: count }, (_, value) => ({ value }));
      const outcome = await outcomeOf({ id: "r", definition, input: { items } }, new TestWorld({}, journal));
      expect(outcome).toEqual({ output: items.map(({ value }) => ({ value: value * 2 })) });
      return { writes: journal.writes, entries: journal.stored.size };
    };
    expect(await workOf(1_000)).toEqual({ writes: 1_001, entries: 1_001 });
    expect(await workOf(10_000)).toEqual({ writes: 10_001, entries: 10_001 });
  });
});
