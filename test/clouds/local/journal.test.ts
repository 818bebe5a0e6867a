import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { workspace } from "./workspace.ts";

const { folder, journal: open } = workspace();

const table = () => {
  const journal = open();
  journal.define("CREATE TABLE notes (text TEXT) STRICT");
  const add = (text: string) => journal.sql("INSERT INTO notes VALUES (?)").run(text);
  const all = () =>
    journal
      .sql("SELECT text FROM notes")
      .all()
      .map(({ text }) => text);
  return { journal, add, all };
};

describe("a transaction", () => {
  it("is all or nothing", () => {
    const { journal, add, all } = table();
    expect(journal.transaction(() => add("kept") && "answer")).toBe("answer");
    const work = () => {
      add("lost");
      throw new Error("no");
    };
    expect(() => journal.transaction(work)).toThrow("no");
    expect(all()).toEqual(["kept"]);
  });

  it("undoes a nested one alone when somebody catches its error", () => {
    const { journal, add, all } = table();
    const nested = () => {
      add("lost");
      throw new Error("no");
    };
    journal.transaction(() => {
      add("before");
      expect(() => journal.transaction(nested)).toThrow("no");
      journal.transaction(() => add("nested"));
      add("after");
    });
    expect(all()).toEqual(["before", "nested", "after"]);
  });
});

describe("a folder", () => {
  it("is refused to a second journal, in words", () => {
    const path = folder();
    open(path);
    expect(() => open(path)).toThrow(`${path} is in use by another millrace process; stop that one first`);
  });

  it("is refused to a second process, and free again when the first is killed", async () => {
    const path = folder();
    const module = new URL("../../../lib/clouds/local/host/journal.ts", import.meta.url).href;
    const script = `const { Journal } = await import(${JSON.stringify(module)});
      globalThis.journal = new Journal(${JSON.stringify(path)}); console.log("open"); setInterval(() => {}, 1000);`;
    const first = spawn(process.execPath, ["--input-type=module", "-e", script]);
    await once(first.stdout, "data");
    expect(() => open(path)).toThrow("in use by another millrace process");
    const second = spawnSync(process.execPath, ["--input-type=module", "-e", script], {
      encoding: "utf8",
      timeout: 10_000,
    });
    expect(second.status).not.toBe(0);
    expect(second.stderr).toContain("in use by another millrace process");
    first.kill("SIGKILL");
    await once(first, "exit");
    open(path);
  });

  it("that cannot be locked for another reason says so, and not that it is in use", () => {
    const path = folder();
    mkdirSync(join(path, "lock.db"));
    expect(() => open(path)).toThrow("unable to open database file");
  });
});
