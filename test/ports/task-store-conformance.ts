import { describe, expect, test } from "vitest";
import type { TaskRow } from "../../lib/runtime/tasks/row.ts";
import { ended, event, renewed, submitted } from "../../lib/runtime/tasks/steps.ts";
import type { TaskStore } from "../../lib/runtime/tasks/store.ts";
import { definition } from "../runtime/tasks/world.ts";

/** When everything in the suite happens. */
export const NOW = 1_000_000;

/** What a submit asks for. */
const request = (id: string, given: Partial<TaskRow> = {}) => ({
  task: "work",
  id,
  tenant: undefined,
  lane: "default",
  priority: 0,
  tags: {},
  deadline: undefined,
  due: NOW,
  expires: undefined,
  cause: undefined,
  by: "client",
  ...given,
});

export interface TaskStoreSubject {
  /** Empty, for the tasks `work` and `other`. */
  readonly store: TaskStore;
  /** Moves the time the store goes by; it begins at {@link NOW}. */
  advanceTo(time: number): Promise<void>;
}

/** A store and short words to fill it. */
export function filling(store: TaskStore) {
  let sequence = 0;
  return {
    async insert(id: string, given: Partial<TaskRow> = {}, text = "1") {
      sequence += 1;
      const step = submitted(request(id, given), { info: { size: text.length, preview: text }, text }, sequence, NOW);
      await store.insert(step.row, step);
      return step.row;
    },
    claim: async (options: { concurrency?: number; limit?: number; now?: number } = {}) =>
      (await store.claim("work", { limit: 100, now: NOW, lease: 1000, ...options })).map(({ id }) => id),
  };
}

/** What a task service may rely on, whatever remembers its runs. Called within a test's own file, once. */
export function testTaskStore(make: () => TaskStoreSubject | Promise<TaskStoreSubject>): void {
  const fresh = async () => {
    const subject = await make();
    return { ...subject, ...filling(subject.store) };
  };

  describe("rows", () => {
    test("come back as they were, every field", async () => {
      const { store, insert } = await fresh();
      const plain = await insert("plain");
      expect(await store.get("work", "plain")).toEqual(plain);
      const full = await insert("full 中🎬'\"", {
        tenant: "red",
        lane: "slow",
        priority: -3,
        tags: { a: "1", "b.c\"'": "" },
        deadline: 5,
        expires: NOW + 7,
      });
      const to: TaskRow = {
        ...full,
        status: "failed",
        keep: NOW + 9,
        error: { kind: "failed", message: "no" },
        attempts: [{ number: 1, started: 1, ended: 2, error: { kind: "failed", message: "no", stack: "at" } }],
        deliveries: [{ outcome: 1, destination: { kind: "queue", name: "q" }, tries: 0, at: 4, key: "k" }],
        claims: ["a", "b"],
        result: { size: 3, preview: "abc", claim: "key" },
        progress: 0.25,
        progressMessage: "quarter",
        started: 1,
        ended: 2,
        reruns: 3,
        outcomes: 1,
      };
      expect(await store.update(full, to)).toEqual({ ...to, version: 2 });
      expect(await store.get("work", "full 中🎬'\"")).toEqual({ ...to, version: 2 });
    });

    test("insert answers the row that is there, and changes nothing", async () => {
      const { store, insert } = await fresh();
      const first = await insert("a", {}, "first");
      const second = submitted(request("a"), { info: { size: 1, preview: "x" }, text: "second" }, 99, NOW);
      expect(await store.insert(second.row, second)).toEqual(first);
      expect(await store.body("work", "a", "payload")).toBe("first");
      expect(await store.events("work", "a")).toHaveLength(1);
    });

    test("update and remove want the version they were made from", async () => {
      const { store, insert } = await fresh();
      const row = await insert("a");
      expect(await store.update(row, { ...row, reruns: 1 }, { bodies: { result: "r" } })).toMatchObject({ version: 2 });
      const late = { event: event("stopped", "client", NOW), bodies: { result: "late" } };
      expect(await store.update(row, { ...row, reruns: 2 }, late)).toBe(undefined);
      expect(await store.body("work", "a", "result")).toBe("r");
      expect(await store.events("work", "a")).toHaveLength(1);
      expect(await store.remove(row)).toBe(false);
      expect(await store.remove({ ...row, version: 2 })).toBe(true);
      expect(await store.get("work", "a")).toBe(undefined);
      expect(await store.events("work", "a")).toEqual([]);
    });

    test("progress is the current attempt's alone and costs no version", async () => {
      const { store, insert, claim } = await fresh();
      await insert("a");
      expect(await store.progress({ task: "work", id: "a", attempt: 0 }, 0.5, "no")).toBe(false);
      await claim();
      expect(await store.progress({ task: "work", id: "a", attempt: 1 }, 0.5, "half")).toBe(true);
      expect(await store.progress({ task: "work", id: "a", attempt: 2 }, 0.9, "no")).toBe(false);
      const row = (await store.get("work", "a"))!;
      expect(row).toMatchObject({ version: 2, progress: 0.5, progressMessage: "half" });
      // A change made from a row read before the progress does not undo it.
      await store.progress({ task: "work", id: "a", attempt: 1 }, 0.7, "more");
      await store.update(row, renewed(row, NOW, 5000).row);
      expect(await store.get("work", "a")).toMatchObject({ version: 3, progress: 0.7, progressMessage: "more" });
    });
  });

  describe("claim", () => {
    test("takes by priority, due time and order of submits, never more than are free", async () => {
      const { store, insert, claim } = await fresh();
      await insert("c", { due: NOW - 1 });
      await insert("b1", { due: NOW - 5 });
      await insert("b2", { due: NOW - 5 });
      await insert("a", { priority: 1 });
      await insert("later", { priority: 9, due: NOW + 1 });
      await insert("expired", { priority: 9, expires: NOW });
      await insert("other", { task: "other", priority: 9 });
      expect(await claim({ concurrency: 3 })).toEqual(["a", "b1", "b2"]);
      expect(await claim({ concurrency: 3 })).toEqual([]);
      expect(await claim({ concurrency: 1 })).toEqual([]);
      const row = (await store.get("work", "a"))!;
      expect(row).toMatchObject({ status: "running", attempt: 1, tries: 1, lease: NOW + 1000, started: NOW });
      await store.update(row, ended(row, definition(), "succeeded", undefined, "platform", NOW).row);
      expect(await claim({ concurrency: 3, now: NOW + 1 })).toEqual(["later"]);
      expect(await claim({ limit: 1 })).toEqual(["c"]);
    });

    test("a lapsed lease and a run that is stopping still hold their slots", async () => {
      const { store, insert, claim } = await fresh();
      for (const id of ["a", "b", "c"]) await insert(id);
      await claim({ concurrency: 2 });
      const row = (await store.get("work", "a"))!;
      await store.update(row, { ...row, status: "stopping" });
      expect(await claim({ concurrency: 2, now: NOW + 1_000_000 })).toEqual([]);
    });
  });

  describe("due", () => {
    test("expiry, lapsed leases, deliveries, retention, in their order; and when the next is", async () => {
      const { store, insert, claim, advanceTo } = await fresh();
      expect(await store.nextDue()).toBe(undefined);
      await insert("running");
      await claim();
      await insert("delayed", { due: NOW + 300 });
      expect(await store.nextDue()).toBe(NOW + 300);
      await insert("expiring", { expires: NOW + 200 });
      const owing = await insert("owing");
      const { row } = ended(owing, definition({ retention: 60 }), "failed", undefined, "platform", NOW);
      await store.update(owing, { ...row, deliveries: row.deliveries.map((one) => ({ ...one, at: NOW + 100 })) });
      const over = await insert("over");
      await store.update(
        over,
        ended(over, definition({ retention: 60, onFailure: [] }), "failed", undefined, "x", NOW).row,
      );
      const due = async (now: number) => (await store.due(now, 10)).map(({ id }) => id);
      expect(await store.nextDue()).toBe(NOW + 100);
      expect(await due(NOW + 99)).toEqual([]);
      expect(await due(NOW + 1000)).toEqual(["owing", "expiring", "running"]);
      expect((await store.due(NOW + 60_000, 2)).length).toBe(2);
      expect(await store.get("work", "over")).toBeDefined();
      await advanceTo(NOW + 60_000);
      const isGone = (await store.get("work", "over")) === undefined;
      expect(await due(NOW + 60_000)).toEqual(["owing", "expiring", "running", ...(isGone ? [] : ["over"])]);
    });

    test("unsettled pages through what holds a slot or owes a delivery, each once", async () => {
      const { store, insert, claim } = await fresh();
      for (let number = 0; number < 25; number += 1) await insert(`run-${String(number).padStart(2, "0")}`);
      await claim({ limit: 20 });
      for (const id of ["run-03", "run-07"]) {
        const row = (await store.get("work", id))!;
        await store.update(row, ended(row, definition(), "failed", undefined, "platform", NOW).row);
      }
      const row = (await store.get("work", "run-04"))!;
      const { deliveries } = ended(row, definition(), "failed", undefined, "platform", NOW).row;
      await store.update(row, { ...row, deliveries });
      const seen: string[] = [];
      let after: string | undefined;
      do {
        const page = await store.unsettled({ ...(after !== undefined && { after }), limit: 7 });
        seen.push(...page.rows.map(({ id }) => id));
        after = page.next;
      } while (after !== undefined);
      expect(seen.sort()).toEqual(Array.from({ length: 20 }, (_, number) => `run-${String(number).padStart(2, "0")}`));
    });
  });

  describe("list", () => {
    test("filters and pages, and a cursor stays good while rows change", async () => {
      const { store, insert, claim } = await fresh();
      for (let number = 0; number < 30; number += 1) {
        await insert(`${number % 2 ? "odd" : "even"}-${number}`, {
          tenant: number % 3 ? "red" : "blue",
          tags: { third: String(number % 3), "a.b": "x" },
        });
      }
      const ids = async (filter: Parameters<typeof store.list>[1]) =>
        (await store.list("work", filter)).rows.map(({ id }) => id);
      expect((await ids({ limit: 3 }))[0]).toBe("odd-29");
      expect((await ids({ order: "oldest", limit: 2 }))[1]).toBe("odd-1");
      expect(await ids({ prefix: "odd-1", order: "oldest" })).toEqual([
        "odd-1",
        "odd-11",
        "odd-13",
        "odd-15",
        "odd-17",
        "odd-19",
      ]);
      expect(await ids({ tenant: "blue" })).toHaveLength(10);
      expect(await ids({ tags: { third: "1", "a.b": "x" } })).toHaveLength(10);
      expect(await ids({ tags: { third: "1", "a.b": "y" } })).toEqual([]);
      expect(await ids({ after: new Date(NOW + 1).toISOString() })).toEqual([]);
      expect(await ids({ before: new Date(NOW + 1).toISOString() })).toHaveLength(30);
      await claim({ limit: 10 });
      expect(await ids({ status: "running" })).toHaveLength(10);
      expect(await ids({ status: ["running", "queued", "running"] })).toEqual(await ids({}));

      const seen: string[] = [];
      let cursor: string | undefined;
      do {
        const page = await store.list("work", { status: ["queued", "running"], limit: 7, ...(cursor && { cursor }) });
        seen.push(...page.rows.map(({ id }) => id));
        cursor = page.next;
        await claim({ limit: 5 });
        await insert(`new-${seen.length}`);
      } while (cursor);
      expect(new Set(seen).size).toBe(seen.length);
      expect(seen).toHaveLength(30);
      for (const bad of ["nonsense", "", Buffer.from("[1]").toString("base64url")]) {
        await expect(store.list("work", { cursor: bad })).rejects.toMatchObject({ kind: "refused" });
      }
    });

    test("a prefix is a text, not a pattern", async () => {
      const { store, insert } = await fresh();
      for (const id of ["a%b", "aXb", "a_b", "中文-1", "中-2"]) await insert(id);
      const ids = async (prefix: string) => (await store.list("work", { prefix })).rows.map(({ id }) => id);
      expect(await ids("a%")).toEqual(["a%b"]);
      expect(await ids("a_")).toEqual(["a_b"]);
      expect(await ids("中")).toEqual(["中-2", "中文-1"]);
    });
  });
}
