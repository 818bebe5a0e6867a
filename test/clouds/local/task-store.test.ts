import { describe, expect, test } from "vitest";
import { SqliteTaskLogs } from "../../../lib/clouds/local/host/task-logs.ts";
import { SqliteTaskStore, TASK_QUERIES } from "../../../lib/clouds/local/host/task-store.ts";
import type { TaskRow } from "../../../lib/runtime/tasks/row.ts";
import { ended, event, renewed, submitted } from "../../../lib/runtime/tasks/steps.ts";
import { definition, tempJournal } from "../../runtime/tasks/world.ts";

const NOW = 1_000_000;

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
  by: "client",
  ...given,
});

function makeStore() {
  const journal = tempJournal();
  const store = new SqliteTaskStore(journal);
  let sequence = 0;
  return {
    journal,
    store,
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

describe("rows", () => {
  test("come back as they were, every field", async () => {
    const { store, insert } = makeStore();
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
    const { store, insert } = makeStore();
    const first = await insert("a", {}, "first");
    const second = submitted(request("a"), { info: { size: 1, preview: "x" }, text: "second" }, 99, NOW);
    expect(await store.insert(second.row, second)).toEqual(first);
    expect(await store.body("work", "a", "payload")).toBe("first");
    expect(await store.events("work", "a")).toHaveLength(1);
  });

  test("update and remove want the version they were made from", async () => {
    const { store, insert } = makeStore();
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
    const { store, insert, claim } = makeStore();
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
    const { store, insert, claim } = makeStore();
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
    const { store, insert, claim } = makeStore();
    for (const id of ["a", "b", "c"]) await insert(id);
    await claim({ concurrency: 2 });
    const row = (await store.get("work", "a"))!;
    await store.update(row, { ...row, status: "stopping" });
    expect(await claim({ concurrency: 2, now: NOW + 1_000_000 })).toEqual([]);
  });
});

describe("due", () => {
  test("expiry, lapsed leases, deliveries, retention, in their order; and when the next is", async () => {
    const { store, insert, claim } = makeStore();
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
    expect(await due(NOW + 60_000)).toEqual(["owing", "expiring", "running", "over"]);
    expect((await store.due(NOW + 60_000, 2)).length).toBe(2);
  });

  test("unsettled pages through what holds a slot or owes a delivery, each once", async () => {
    const { store, insert, claim } = makeStore();
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
    expect(seen).toEqual(Array.from({ length: 20 }, (_, number) => `run-${String(number).padStart(2, "0")}`));
  });
});

describe("list", () => {
  test("filters and pages, and a cursor stays good while rows change", async () => {
    const { store, insert, claim } = makeStore();
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
    const { store, insert } = makeStore();
    for (const id of ["a%b", "aXb", "a_b", "中文-1", "中-2"]) await insert(id);
    const ids = async (prefix: string) => (await store.list("work", { prefix })).rows.map(({ id }) => id);
    expect(await ids("a%")).toEqual(["a%b"]);
    expect(await ids("a_")).toEqual(["a_b"]);
    expect(await ids("中")).toEqual(["中-2", "中文-1"]);
  });
});

describe("with 100,000 waiting runs", () => {
  const plan = (journal: ReturnType<typeof tempJournal>, sql: string) =>
    journal
      .sql(`EXPLAIN QUERY PLAN ${sql}`)
      .all(...Array.from(sql.matchAll(/\?/g), () => 0))
      .map(({ detail }) => String(detail))
      .join("; ");

  test("what every submit and finish asks is answered from an index, without sorting", () => {
    const { journal } = makeStore();
    const expected = {
      promote: "task_runs_delayed (due<?)",
      held: "COVERING INDEX task_runs_held (task=?)",
      next: "task_runs_ready (task=?)",
      due: "task_runs_wake (wake>? AND wake<?)",
      nextWake: "COVERING INDEX task_runs_wake",
      nextStart: "COVERING INDEX task_runs_delayed",
    } as const;
    for (const [name, sql] of Object.entries(TASK_QUERIES)) {
      const text = plan(journal, sql);
      expect(text, name).toContain(expected[name as keyof typeof expected]);
      expect(text, name).not.toContain("TEMP B-TREE");
    }
  });

  test("lists walk an index in order", () => {
    const { journal } = makeStore();
    const text = plan(
      journal,
      `SELECT * FROM task_runs WHERE task = ? AND status = ? AND (sequence, id) < (?, ?)
        ORDER BY sequence DESC, id DESC LIMIT ?`,
    );
    expect(text).toContain("task_runs_status (task=? AND status=?");
    expect(text).not.toContain("TEMP B-TREE");
  });

  test("a claim reads only the rows it takes", async () => {
    const { journal, store, insert, claim } = makeStore();
    await insert("seed");
    journal.transaction(() => {
      const columns =
        "task, version, status, lane, priority, submitted, updated, round, attempt, tries, interruptions, outcomes, reruns, progress, payload";
      const filler = (extra: string, values: string, count: number, label: string) =>
        journal.define(`
          WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < ${count})
          INSERT INTO task_runs (${columns}, id, sequence, due, ready${extra})
          SELECT ${columns}, '${label}-' || n, 1000 + n, ${values} FROM task_runs, number WHERE id = 'seed'`);
      filler("", `${NOW}, 1`, 100_000, "ready");
      // Delayed ones of higher priority stand before them in no index.
      filler("", `${NOW} + 1000000 + n, 0`, 20_000, "delayed");
    });
    journal.define("UPDATE task_runs SET priority = 5 WHERE ready = 0");
    expect(await claim({ concurrency: 3 })).toEqual(["seed", "ready-1", "ready-2"]);
    const row = (await store.get("work", "seed"))!;
    await store.update(row, ended(row, definition(), "succeeded", undefined, "platform", NOW).row);
    expect(await claim({ concurrency: 3 })).toEqual(["ready-3"]);
    expect(await store.nextDue()).toBe(NOW + 1000);
    const { rows, next } = await store.list("work", { status: "running" });
    expect([rows.length, next]).toEqual([3, undefined]);
  });
});

describe("logs", () => {
  const line = (message: string) => ({ time: "2026-01-01T00:00:00.000Z", attempt: 1, level: "info", message }) as const;

  test("are numbered within the run and read on from any line", async () => {
    const logs = new SqliteTaskLogs(tempJournal());
    let news = 0;
    const unwatch = logs.watch("work", "a", () => {
      news += 1;
    });
    await logs.append("work", "a", [line("one"), { ...line("two"), fields: { n: 1 } }]);
    await logs.append("work", "b", [line("other")]);
    await logs.append("work", "a", []);
    unwatch();
    await logs.append("work", "a", [line("three")]);
    expect(news).toBe(1);
    expect(await logs.read("work", "a", { after: 1, limit: 10 })).toEqual([
      { ...line("two"), sequence: 2, fields: { n: 1 } },
      { ...line("three"), sequence: 3 },
    ]);
    expect(await logs.read("work", "a", { after: 0, limit: 1 })).toMatchObject([{ message: "one" }]);
    await logs.remove("work", "a");
    expect(await logs.read("work", "a", { after: 0, limit: 10 })).toEqual([]);
    expect(await logs.read("work", "b", { after: 0, limit: 10 })).toHaveLength(1);
  });

  test("end with a line that says they are full", async () => {
    const logs = new SqliteTaskLogs(tempJournal());
    const many = Array.from({ length: 60_000 }, () => line("again"));
    await logs.append("work", "a", many);
    await logs.append("work", "a", many);
    await logs.append("work", "a", many);
    const last = await logs.read("work", "a", { after: 99_998, limit: 10 });
    expect(last.map(({ message }) => message)).toEqual([
      "again",
      "the log is full: a run may log 100000 lines, the following ones are dropped",
    ]);
  });
});
