import { describe, expect, it } from "vitest";
import { Tables } from "../../../lib/clouds/local/host/tables.ts";
import { VirtualClock } from "../../../lib/clouds/local/host/virtual-clock.ts";
import { tablePlan } from "./plans.ts";
import { workspace } from "./workspace.ts";

const space = workspace();

function local({ journal = space.journal(), clock = new VirtualClock() } = {}) {
  const tables = new Tables({ journal, clock });
  tables.define(tablePlan("state"));
  tables.define(tablePlan("other"));
  return { tables, journal, clock, table: { ...tables.reader("state"), ...tables.writer("state") } };
}

describe("tables", () => {
  it("are kept apart, and by name", async () => {
    const { tables, table } = local();
    await table.put("p", "s", 1);
    expect(await tables.reader("other").get("p", "s")).toBeUndefined();
    expect(() => tables.reader("states")).toThrow("no table states; there are: state, other");
    expect(() => tables.writer("states")).toThrow("no table states");
  });

  it("keep rows and versions over a restart", async () => {
    const path = space.folder();
    const first = local({ journal: space.journal(path) });
    const version = await first.table.put("p", "s", { a: 1 });
    space.close(first.journal);
    const { table } = local({ journal: space.journal(path) });
    expect(await table.get("p", "s")).toMatchObject({ value: { a: 1 }, version });
    expect(await table.put("p", "s", 2)).not.toBe(version);
  });

  it("collect expired rows when it is time, and not again at once", async () => {
    const { tables, table, clock, journal } = local();
    const count = () => journal.sql("SELECT count(*) AS count FROM table_rows").get()!.count;
    expect(tables.next()).toBeUndefined();
    const expires = clock.now() + 1000.5;
    await table.put("p", "a", 1, { expires });
    await table.put("p", "b", 1, { expires: expires + 1000 });
    await table.put("p", "c", 1);
    expect(tables.next()).toBe(expires);
    await clock.advance("1.5 seconds");
    tables.run(clock.now());
    expect(count()).toBe(2);
    expect(tables.next()).toBe(clock.now() + 60_000);
    await clock.advance("2 minutes");
    tables.run(clock.now());
    expect(count()).toBe(1);
    expect(tables.next()).toBeUndefined();
  });

  it("refuse what is no JSON", async () => {
    const { table } = local();
    await expect(table.put("p", "s", undefined)).rejects.toThrow("a row's value is JSON, got undefined");
  });

  it("find everything by index", async () => {
    const { tables, table, clock, journal } = local();
    await table.put("p", "a", 1, { expires: clock.now() + 1 });
    await table.query("p", { prefix: "a" });
    await table.remove("p", "a");
    tables.next();
    tables.run(clock.now());
    expect(journal.slowSteps().filter((step) => !step.includes("table_versions"))).toEqual([]);
  });
});
