import { readdirSync, readFileSync } from "node:fs";
import { killGroup } from "./instance.ts";
import type { Journal } from "./journal.ts";

/**
 * The process groups this host has started, journaled so that a host that starts after a kill can end those of its
 * predecessor. A process is told from a later one of the same number by the time it was started, as /proc knows it;
 * where there is no /proc, processes still end by themselves when their channel closes.
 */
export class Leftovers {
  readonly #journal: Journal;
  readonly #scratch: string;

  constructor(journal: Journal, scratch: string) {
    this.#journal = journal;
    this.#scratch = scratch;
    journal.define(
      "CREATE TABLE IF NOT EXISTS process (pid INTEGER PRIMARY KEY, started TEXT NOT NULL, function TEXT NOT NULL)",
    );
  }

  add(pid: number, name: string): void {
    this.#journal
      .sql("INSERT OR REPLACE INTO process (pid, started, function) VALUES (?, ?, ?)")
      .run(pid, startOf(pid) ?? "", name);
  }

  /** A row that a full disk keeps does no harm: its process is gone, and no other has its start time. */
  delete(pid: number): void {
    try {
      this.#journal.sql("DELETE FROM process WHERE pid = ?").run(pid);
    } catch {}
  }

  kill(): void {
    const rows = this.#journal.sql("SELECT pid, started FROM process").all() as unknown as {
      readonly pid: number;
      readonly started: string;
    }[];
    for (const { pid, started } of rows) if (this.#isOurs(pid, started)) killGroup(pid);
    this.#journal.sql("DELETE FROM process").run();
  }

  /** The leader itself, or, where that died already, a member of its group that works in our scratch folder. */
  #isOurs(pid: number, started: string): boolean {
    const now = startOf(pid);
    if (now !== undefined) return started !== "" && now === started;
    return groupOf(pid).some((member) => environmentHas(member, this.#scratch));
  }
}

/** The boot and the tick at which a process was started. https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html */
function startOf(pid: number): string | undefined {
  const ticks = statOf(pid)?.[19];
  return ticks === undefined ? undefined : `${bootId()}:${ticks}`;
}

function groupOf(leader: number): readonly number[] {
  try {
    return readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .filter((pid) => statOf(pid)?.[2] === String(leader));
  } catch {
    return [];
  }
}

/** The fields after the program's name, which may itself hold blanks and brackets: state, parent, group… */
function statOf(pid: number): readonly string[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    return text.slice(text.lastIndexOf(")") + 2).split(" ");
  } catch {
    return undefined;
  }
}

function bootId(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch {
    return "";
  }
}

function environmentHas(pid: number, path: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/environ`, "utf8").includes(path);
  } catch {
    return false;
  }
}
