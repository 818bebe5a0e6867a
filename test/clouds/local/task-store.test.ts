import { describe, expect, test } from "vitest";
import { SqliteTaskLogs } from "../../../lib/clouds/local/host/task-logs.ts";
import { SqliteTaskStore, TASK_QUERIES } from "../../../lib/clouds/local/host/task-store.ts";
import { ended } from "../../../lib/runtime/tasks/steps.ts";
import { filling, NOW, testTaskStore } from "../../ports/task-store-conformance.ts";
import { definition, tempJournal } from "../../runtime/tasks/world.ts";

function makeStore() {
  const journal = tempJournal();
  const store = new SqliteTaskStore(journal);
  return { journal, store, ...filling(store) };
}

testTaskStore(() => ({ store: new SqliteTaskStore(tempJournal()), advanceTo: async () => {} }));

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
