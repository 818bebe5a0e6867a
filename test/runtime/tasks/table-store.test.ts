import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Tables } from "../../../lib/clouds/local/host/tables.ts";
import { VirtualClock } from "../../../lib/clouds/local/host/virtual-clock.ts";
import type { TableReader, TableWriter } from "../../../lib/runtime/ports.ts";
import type { TaskRow } from "../../../lib/runtime/tasks/row.ts";
import {
  concluded,
  ended,
  event,
  resubmitted,
  retried,
  stopAsked,
  submitted,
} from "../../../lib/runtime/tasks/steps.ts";
import { freeNumbers } from "../../../lib/runtime/tasks/table/slots.ts";
import { TableTaskStore } from "../../../lib/runtime/tasks/table-store.ts";
import { tablePlan } from "../../clouds/local/plans.ts";
import { filling, NOW, testTaskStore } from "../../ports/task-store-conformance.ts";
import { seeded } from "./simulation.ts";
import { definition, makeWorld, tempJournal } from "./world.ts";

type Table = TableReader & TableWriter;
type Verb = keyof Table;

/** Stores on one table, each with calls that are counted and may be held up. */
function makeTable() {
  const clock = new VirtualClock(NOW);
  const journal = tempJournal();
  const tables = new Tables({ journal, clock });
  tables.define(tablePlan("tasks"));
  const table: Table = { ...tables.reader("tasks"), ...tables.writer("tasks") };
  const counts: Record<Verb, number> = { get: 0, query: 0, put: 0, remove: 0 };
  let largest = 0;
  let seed = 0;
  const makeStore = (before: (verb: Verb, args: readonly unknown[]) => Promise<void> = async () => {}) => {
    const counted = <V extends Verb>(verb: V) =>
      (async (...args: readonly never[]) => {
        counts[verb] += 1;
        if (verb === "put") largest = Math.max(largest, Buffer.byteLength(JSON.stringify(args[2])));
        await before(verb, args);
        return (table[verb] as (...all: readonly never[]) => Promise<unknown>)(...args);
      }) as Table[V];
    seed += 1;
    return new TableTaskStore({
      table: { get: counted("get"), query: counted("query"), put: counted("put"), remove: counted("remove") },
      tasks: ["work", "other"],
      clock,
      random: seeded(seed),
    });
  };
  return {
    clock,
    table,
    makeStore,
    counts,
    /** Calls made by the work, by verb. */
    async counting(work: () => Promise<unknown>) {
      const before = { ...counts };
      await work();
      return Object.fromEntries((Object.keys(counts) as Verb[]).map((verb) => [verb, counts[verb] - before[verb]]));
    },
    /** Bytes of the largest row put so far. */
    largest: () => largest,
    rows: () =>
      journal
        .sql("SELECT partition, sort FROM table_rows WHERE expires IS NULL OR expires > ? ORDER BY partition, sort")
        .all(clock.now())
        .map(({ partition, sort }) => `${partition} ${sort}`),
  };
}

testTaskStore(() => {
  const { makeStore, clock } = makeTable();
  return { store: makeStore(), advanceTo: (time) => clock.advanceTo(time) };
});

const claimed = async (store: TableTaskStore, concurrency: number, limit = 100) =>
  store.claim("work", { concurrency, limit, now: NOW, lease: 60_000 });

describe("what users pay for", () => {
  test("the calls of a run with a cap, from submit to its end", async () => {
    const { makeStore, counting, rows, clock } = makeTable();
    const store = makeStore();
    const { insert } = filling(store);
    await insert("first");
    await claimed(store, 5);

    expect(await counting(() => insert("a"))).toEqual({ get: 0, query: 0, put: 3, remove: 0 });
    expect(await counting(() => claimed(store, 5))).toEqual({ get: 1, query: 5, put: 2, remove: 1 });
    const finish = async () => {
      const row = (await store.get("work", "a"))!;
      const done = definition({ retention: 60, onSuccess: [] });
      await store.update(row, concluded(row, done, { result: 1 }, undefined, NOW, Math.random).row);
    };
    expect(await counting(finish)).toEqual({ get: 1, query: 0, put: 2, remove: 2 });
    // A claim when nobody waits, or no slot is free.
    expect(await counting(() => claimed(store, 5))).toEqual({ get: 0, query: 5, put: 0, remove: 0 });
    expect(await counting(() => claimed(store, 1))).toEqual({ get: 0, query: 1, put: 0, remove: 0 });
    expect(await counting(() => store.claim("work", { limit: 9, now: NOW, lease: 1 }))).toMatchObject({ query: 4 });
    // Forgetting costs nothing.
    await clock.advance("61 seconds");
    const left = rows().filter((row) => !row.includes("other"));
    expect(left.map((row) => row.split(/[ /]/)[0]).sort()).toEqual(["list", "run", "slots"]);
  });

  test("a service's run, with all it asks besides", async () => {
    const { makeStore, counting, clock } = makeTable();
    const world = makeWorld({
      wrapStore: () => makeStore(),
      clock,
      tasks: [definition({ concurrency: 5, onSuccess: [] })],
    });
    await world.settle();
    const calls = await counting(async () => {
      await world.service.submit("work", { object: "a.mp4" }, { id: "a" });
      await world.settle();
    });
    // `finish` reads the run once for itself.
    const end = await counting(() => world.finish("a", { result: 1 }));
    expect(calls).toMatchObject({ put: 5, remove: 1, get: 1 });
    expect(end).toMatchObject({ put: 2, remove: 2, get: 2 });
  });

  test("runs that are not due yet, or have expired, are not read one by one by every claim", async () => {
    const { makeStore, counting } = makeTable();
    const store = makeStore();
    const { insert, claim } = filling(store);
    for (let number = 0; number < 300; number += 1) {
      await insert(`later-${number}`, { priority: 9, due: NOW + 1000 + number });
    }
    for (let number = 0; number < 50; number += 1) await insert(`gone-${number}`, { priority: 5, expires: NOW });
    await insert("low", { priority: -5 });
    let ids: string[] = [];
    const calls = await counting(async () => {
      ids = await claim({ concurrency: 1 });
    });
    expect(ids).toEqual(["low"]);
    // Four shards, each with one page for each priority and a few for those that expired.
    expect(calls.query).toBeLessThan(30);
    expect(calls.get).toBe(1);
    expect(await store.nextDue()).toBe(NOW);
    await claim({ now: NOW + 999 });
    expect((await counting(() => store.nextDue())).query).toBeLessThan(40);
  });

  test("a list by status reads the runs it answers, however many others there are", async () => {
    const { makeStore, counting } = makeTable();
    const store = makeStore();
    const { insert, claim } = filling(store);
    for (let number = 0; number < 60; number += 1) await insert(`run-${number}`);
    await claim();
    for (let number = 0; number < 60; number += 1) {
      const row = (await store.get("work", `run-${number}`))!;
      const status = number % 20 === 0 ? "failed" : "succeeded";
      await store.update(row, ended(row, definition(), status, undefined, "platform", NOW).row);
    }
    await insert("waiting");
    expect(await counting(() => store.list("work", { status: "failed" }))).toMatchObject({ get: 3, query: 4 });
    expect(await counting(() => store.list("work", { status: ["queued", "running"] }))).toMatchObject({ get: 1 });
    expect((await store.list("work", { limit: 1000 })).rows).toHaveLength(61);
  });
});

describe("the cap", () => {
  test("holds however many claim at once, and none of the free slots is left", async () => {
    const { makeStore } = makeTable();
    const stores = Array.from({ length: 6 }, () => makeStore());
    const { insert } = filling(stores[0]!);
    for (let number = 0; number < 40; number += 1) await insert(`run-${number}`);
    const rows = (await Promise.all(stores.map((store) => claimed(store, 7)))).flat();
    expect(rows.length).toBeLessThanOrEqual(7);
    rows.push(...(await claimed(stores[1]!, 7)));
    expect(new Set(rows.map(({ id }) => id)).size).toBe(7);
    expect(rows).toHaveLength(7);
    expect(await claimed(stores[2]!, 7)).toEqual([]);
  });

  test("a process that is paused between slot and run, until others have given the slot away, starts nothing", async () => {
    const { makeStore, clock } = makeTable();
    let wake = () => {};
    let isPaused = false;
    const paused = makeStore(async (verb, [partition]) => {
      if (verb !== "put" || !String(partition).startsWith("run/") || !isPaused) return;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    });
    const other = makeStore();
    const { insert } = filling(other);
    await insert("a");
    isPaused = true;
    const late = claimed(paused, 1);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(await claimed(other, 1)).toEqual([]);
    await clock.advance("2 minutes");
    await insert("b", { priority: 1 });
    const rows = await other.claim("work", { concurrency: 1, limit: 9, now: clock.now(), lease: 60_000 });
    expect(rows.map(({ id }) => id)).toEqual(["b"]);
    wake();
    expect(await late).toEqual([]);
    const { rows: running } = await other.list("work", { status: "running" });
    expect(running.map(({ id }) => id)).toEqual(["b"]);
    expect(await other.get("work", "a")).toMatchObject({ status: "queued" });
  });

  test("a slot that was taken in vain goes to whoever waits by then", async () => {
    const { makeStore } = makeTable();
    let go = () => {};
    let isSlow = true;
    const slow = makeStore(async (verb, [partition]) => {
      if (verb !== "put" || !String(partition).startsWith("run/") || !isSlow) return;
      isSlow = false;
      await new Promise<void>((resolve) => {
        go = resolve;
      });
    });
    const other = makeStore();
    const { insert } = filling(other);
    const row = await insert("a");
    const late = claimed(slow, 1);
    await new Promise((resolve) => setTimeout(resolve, 20));
    await other.update(row, ended(row, definition(), "stopped", undefined, "client", NOW).row);
    await insert("b");
    expect(await claimed(other, 1)).toEqual([]);
    go();
    expect((await late).map(({ id }) => id)).toEqual(["b"]);
  });

  test("that is lowered, raised or new counts all that run", async () => {
    const { makeStore } = makeTable();
    const store = makeStore();
    const { insert, claim } = filling(store);
    for (let number = 0; number < 12; number += 1) await insert(`run-${number}`);
    expect(await claim({ limit: 2 })).toHaveLength(2);
    const capped = makeStore();
    expect(await claimed(capped, 2)).toHaveLength(0);
    expect(await claimed(capped, 5)).toHaveLength(3);
    expect(await claimed(capped, 2)).toHaveLength(0);
    expect(await claimed(capped, 6)).toHaveLength(1);
    for (const { id } of (await store.list("work", { status: "running" })).rows.slice(0, 4)) {
      const row = (await store.get("work", id))!;
      await store.update(row, ended(row, definition(), "failed", undefined, "platform", NOW).row);
    }
    expect(await claimed(capped, 2)).toHaveLength(0);
    expect(await claimed(capped, 3)).toHaveLength(1);
  });

  test("old looks never let anybody take too many, whatever the cap was before", () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant("look" as const) }),
      fc.record({ do: fc.constant("take" as const), look: fc.nat(), slot: fc.nat() }),
      fc.record({ do: fc.constant("end" as const), slot: fc.nat() }),
    );
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 6 }),
        fc.uniqueArray(fc.integer({ min: 0, max: 9 })),
        fc.nat({ max: 3 }),
        fc.array(step, { maxLength: 60 }),
        (cap, first, before, steps) => {
          const taken = new Set(first);
          let uncapped = before;
          const looks: number[][] = [freeNumbers(taken, uncapped, cap)];
          let fewest = taken.size + uncapped;
          for (const one of steps) {
            if (one.do === "look") looks.push(freeNumbers(taken, uncapped, cap));
            if (one.do === "take") {
              const look = looks[one.look % looks.length]!;
              const slot = look[one.slot % look.length];
              if (slot !== undefined) taken.add(slot);
            }
            if (one.do === "end") {
              const slot = [...taken][one.slot % (taken.size + 1)];
              if (slot === undefined) uncapped = Math.max(0, uncapped - 1);
              else taken.delete(slot);
            }
            // Never more than the cap; while it was lowered and more still run, never more than there were.
            const total = taken.size + uncapped;
            expect(total).toBeLessThanOrEqual(Math.max(cap, fewest));
            fewest = Math.min(fewest, total);
          }
        },
      ),
      { numRuns: 2000, seed: 7 },
    );
  });

  test("a slot whose owner's end could not free it is free again at the next claim", async () => {
    const { makeStore } = makeTable();
    let isBroken = false;
    const store = makeStore(async (verb, [partition]) => {
      if (isBroken && verb === "remove" && String(partition).startsWith("slots/")) throw new Error("no answer");
    });
    const { insert } = filling(store);
    await insert("a");
    await insert("b");
    const [row] = await claimed(store, 1);
    isBroken = true;
    await store.update(row!, ended(row!, definition(), "failed", undefined, "platform", NOW).row);
    isBroken = false;
    expect((await claimed(store, 1)).map(({ id }) => id)).toEqual(["b"]);
  });
});

describe("a client that asks again by itself when it gets no answer", () => {
  test("is refused by its own first try, and knows it", async () => {
    const { makeStore, table } = makeTable();
    const store = makeStore(async (verb, args) => {
      // The first try arrives, the second is the one that is answered.
      if (verb === "put") await table.put(...(args as Parameters<Table["put"]>));
    });
    const { insert } = filling(store);
    await insert("a");
    expect(await store.events("work", "a")).toHaveLength(1);
    const [row] = await claimed(store, 1);
    expect(row).toMatchObject({ id: "a", status: "running" });
    expect(await claimed(makeStore(), 1)).toEqual([]);
    expect(await store.progress({ task: "work", id: "a", attempt: 1 }, 0.5, undefined)).toBe(true);
    const step = ended(row!, definition(), "failed", undefined, "platform", NOW);
    const over = await store.update(row!, step.row, step);
    expect(over).toMatchObject({ status: "failed", version: 3 });
    expect((await store.events("work", "a")).map(({ type }) => type)).toEqual(["submitted", "started", "failed"]);
    expect(await store.remove(over!)).toBe(true);
  });

  test("removes nothing that somebody else has built upon meanwhile", async () => {
    const { makeStore, table } = makeTable();
    const other = makeStore();
    const { insert } = filling(other);
    const row = await insert("a", { due: NOW + 5 });
    const store = makeStore(async (verb, args) => {
      const [partition, sort] = args as string[];
      if (verb !== "put" || !partition?.startsWith("run/") || sort !== "run") return;
      await table.put(...(args as Parameters<Table["put"]>));
      const current = (await other.get("work", "a"))!;
      await other.update(current, { ...current, reruns: 1 });
    });
    const bodies = { result: "x".repeat(9000) };
    expect(await store.update(row, { ...row, due: NOW }, { bodies })).toBe(undefined);
    expect(await other.get("work", "a")).toMatchObject({ due: NOW, reruns: 1 });
    expect(await other.body("work", "a", "result")).toHaveLength(9000);
    expect((await claimed(other, 1)).map(({ id }) => id)).toEqual(["a"]);
  });
});

describe("sizes", () => {
  test("no row is larger than any table takes, whatever is stored", async () => {
    const { makeStore, largest } = makeTable();
    const store = makeStore();
    const { insert } = filling(store);
    const text = JSON.stringify(`${'中"🎬'.repeat(200_000)}`);
    await insert("a", {}, text.slice(0, 10));
    let row = (await store.get("work", "a"))!;
    row = (await store.update(row, row, { bodies: { payload: text, result: text, "envelope-1": "{}" } }))!;
    expect(await store.body("work", "a", "payload")).toBe(text);
    expect(await store.body("work", "a", "envelope-1")).toBe("{}");
    for (let attempt = 1; attempt <= 50; attempt += 1) {
      const error = { kind: "failed", message: "m".repeat(4096), stack: "中".repeat(8192) } as const;
      const attempts = [...row.attempts, { number: attempt, started: 1, ended: 2, error }];
      row = (await store.update(
        row,
        { ...row, attempts, error },
        { event: event("retrying", "x", NOW, error.message) },
      ))!;
    }
    expect(largest()).toBeLessThan(360_000);
    const stored = (await store.get("work", "a"))!;
    expect(stored.attempts).toHaveLength(50);
    expect(stored.attempts[0]!.error).toEqual({ kind: "failed", message: "m".repeat(200) });
    expect(stored.attempts.at(-1)!.error?.stack).toHaveLength(8192);
    expect(await store.events("work", "a")).toHaveLength(51);
    const tags = { large: "x".repeat(400_000) };
    await expect(insert("b", { tags })).rejects.toMatchObject({ kind: "refused" });
    expect(await store.get("work", "b")).toBe(undefined);
  });

  test("a long history stays in order, whoever writes it", async () => {
    const { makeStore } = makeTable();
    const stores = [makeStore(), makeStore()];
    await filling(stores[0]!).insert("a");
    for (let number = 0; number < 300; number += 2) {
      await Promise.all(
        stores.map((store, index) =>
          store.appendEvent("work", "a", event("deduplicated", "client", NOW, `${number + index} ${"x".repeat(100)}`)),
        ),
      );
    }
    const numbers = (await stores[1]!.events("work", "a")).slice(1).map(({ message }) => Number.parseInt(message!, 10));
    expect(numbers).toHaveLength(300);
    expect(new Set(numbers).size).toBe(300);
    expect(numbers.map((number) => Math.floor(number / 2))).toEqual(numbers.map((_, index) => Math.floor(index / 2)));
  });
});

describe("retention", () => {
  test("a run that has more than its row is told of, and removed with all of it", async () => {
    const { makeStore, rows, clock } = makeTable();
    const store = makeStore();
    const task = definition({ retention: 60, onFailure: [] });
    const end = async (id: string, change: Partial<TaskRow>, text?: string) => {
      const row = await filling(store).insert(id);
      const over = ended({ ...row, ...change }, task, "failed", undefined, "platform", NOW).row;
      await store.update(row, over, text === undefined ? {} : { bodies: { result: text } });
    };
    await end("large", {}, "x".repeat(10_000));
    await end("claims", { claims: ["key"] });
    await end("small", {}, "x");
    expect((await store.due(NOW + 59_999, 10)).length).toBe(0);
    await clock.advanceTo(NOW + 60_000);
    const due = await store.due(NOW + 60_000, 10);
    expect(due.map(({ id }) => id).sort()).toEqual(["claims", "large"]);
    expect(await store.get("work", "small")).toBe(undefined);
    for (const row of due) {
      expect(await store.remove(row)).toBe(true);
      expect(await store.remove(row)).toBe(false);
    }
    expect(await store.due(NOW + 60_000, 10)).toEqual([]);
    expect(rows().map((one) => one.replace(/\/.* /, " "))).toEqual(["run run", "run run"]);
    await clock.advance("25 hours");
    expect(rows()).toEqual([]);
  });

  test("an id that was forgotten is new", async () => {
    const { makeStore } = makeTable();
    const store = makeStore();
    const { insert, claim } = filling(store);
    await insert("a", {}, "x".repeat(10_000));
    expect(await store.remove((await store.get("work", "a"))!)).toBe(true);
    expect(await store.get("work", "a")).toBe(undefined);
    expect(await claim()).toEqual([]);
    await insert("a", {}, "second");
    expect(await store.body("work", "a", "payload")).toBe("second");
    expect(await claim()).toEqual(["a"]);
  });
});

describe("runs that change their place", () => {
  test("a retried run is listed once and where it was, a new round where it is now", async () => {
    const { makeStore } = makeTable();
    const store = makeStore();
    const { insert } = filling(store);
    const task = definition({ onFailure: [] });
    for (const id of ["a", "b", "c"]) {
      const row = await insert(id);
      await store.update(row, ended(row, task, "failed", undefined, "platform", NOW).row);
    }
    const ids = async (filter = {}) => (await store.list("work", filter)).rows.map(({ id }) => id);
    let row = (await store.get("work", "a"))!;
    row = (await store.update(row, retried(row, task, "client", NOW).row))!;
    expect(await ids()).toEqual(["c", "b", "a"]);
    expect(await ids({ status: "failed" })).toEqual(["c", "b"]);
    expect(await ids({ status: "queued" })).toEqual(["a"]);
    await store.update(row, ended(row, task, "failed", undefined, "platform", NOW).row);
    expect(await ids({ order: "oldest", limit: 2 })).toEqual(["a", "b"]);
    row = (await store.get("work", "b"))!;
    const request = { ...row, by: "client", tags: { round: "2" } };
    const step = resubmitted(row, request, { info: row.payload, text: "1" }, 99, NOW + 1);
    await store.update(row, step.row, step);
    expect(await ids()).toEqual(["b", "c", "a"]);
    expect(await ids({ tags: { round: "2" } })).toEqual(["b"]);
  });

  test("a stop has the run looked at when its grace is over, not when its lease would have been", async () => {
    const { makeStore } = makeTable();
    const store = makeStore();
    await filling(store).insert("a");
    const [row] = await store.claim("work", { concurrency: 1, limit: 1, now: NOW, lease: 300_000 });
    await store.update(row!, stopAsked(row!, definition({ grace: 10 }), "client", NOW)!.row);
    expect(await store.nextDue()).toBe(NOW + 40_000);
    expect(await store.due(NOW + 40_000, 9)).toHaveLength(1);
  });

  test("the payload of a submit that came second is nobody's", async () => {
    const { makeStore } = makeTable();
    const stores = Array.from({ length: 8 }, () => makeStore());
    await Promise.all(
      stores.map((store, number) => {
        const text = JSON.stringify(String(number).repeat(9000));
        const info = { size: text.length, preview: text.slice(0, 1024) };
        const request = { task: "work", id: "a", tenant: undefined, lane: "default", priority: 0, tags: {} };
        const times = { deadline: undefined, due: NOW, expires: undefined, cause: undefined, by: "client" };
        const step = submitted({ ...request, ...times }, { info, text }, number, NOW);
        return store.insert(step.row, step);
      }),
    );
    const row = (await stores[0]!.get("work", "a"))!;
    const text = (await stores[0]!.body("work", "a", "payload"))!;
    expect([text.length, text.slice(0, 1024)]).toEqual([row.payload.size, row.payload.preview]);
  });
});
