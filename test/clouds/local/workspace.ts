import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { StatementSync } from "node:sqlite";
import { afterEach } from "vitest";
import { Journal } from "../../../lib/clouds/local/host/journal.ts";

/** A journal that remembers its statements, so that a test can ask how SQLite would run them. */
export class WatchedJournal extends Journal {
  readonly #texts = new Set<string>();

  override sql(text: string): StatementSync {
    this.#texts.add(text);
    return super.sql(text);
  }

  /** Steps that read a whole table or sort, for every statement used so far. https://www.sqlite.org/eqp.html */
  slowSteps(): readonly string[] {
    return [...this.#texts].flatMap((text) =>
      super
        .sql(`EXPLAIN QUERY PLAN ${text}`)
        .all()
        .map(({ detail }) => String(detail))
        .filter((detail) => /^SCAN (?!CONSTANT)|TEMP B-TREE/.test(detail))
        .map((detail) => `${detail}: ${text}`),
    );
  }
}

/** Folders and journals that are gone after each test. */
export function workspace() {
  const journals: Journal[] = [];
  const folders: string[] = [];
  afterEach(() => {
    for (const journal of journals.splice(0)) journal.close();
    for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
  });
  const folder = (): string => {
    folders.push(mkdtempSync(join(tmpdir(), "millrace-local-")));
    return folders.at(-1)!;
  };
  return {
    folder,
    journal(path: string = folder()): WatchedJournal {
      const journal = new WatchedJournal(path);
      journals.push(journal);
      return journal;
    },
    /** As if the process had ended: another one can have the folder. */
    close(journal: Journal): void {
      journals.splice(journals.indexOf(journal), 1);
      journal.close();
    },
  };
}
