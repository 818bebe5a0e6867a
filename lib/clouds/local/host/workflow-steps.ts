import type { Clock } from "../../../runtime/clock.ts";
import type { StepEntry, StepJournal } from "../../../runtime/workflows/journal.ts";
import { Suspended } from "../../../runtime/workflows/world.ts";
import type { EntryOf, WorkflowStore } from "./workflow-store.ts";

/** Before the next try after the journal refused a write, in milliseconds: the disk may be full, and make room. */
const PAUSE = 1000;

export interface StepWriterOptions {
  readonly store: Pick<WorkflowStore, "write">;
  readonly clock: Clock;
  /** Told of runs whose steps were written. */
  readonly onWrite: (runs: ReadonlySet<number>) => void;
  readonly onError: (error: unknown) => void;
}

/** Writes what became of steps: all that comes in one turn of the event loop in one transaction. */
export class StepWriter {
  readonly #options: StepWriterOptions;
  /** By run and path: a later entry takes the place of one that is not written yet. */
  #waiting = new Map<string, EntryOf>();
  #told: (() => void)[] = [];
  #isArmed = false;
  #isClosed = false;

  constructor(options: StepWriterOptions) {
    this.#options = options;
  }

  /** Whether everything is written. */
  get isQuiet(): boolean {
    return this.#waiting.size === 0;
  }

  note(of: EntryOf): void {
    if (this.#isClosed) return;
    this.#waiting.set(`${of.run}/${of.entry.path}`, of);
    this.#arm();
  }

  /** Resolves once it is written, and not at all once the writer is closed. */
  write(of: EntryOf): Promise<void> {
    if (this.#isClosed) return Promise.reject(new Suspended());
    this.note(of);
    return new Promise((resolve) => this.#told.push(resolve));
  }

  /** Writes what waits, at once. */
  flush(): void {
    if (this.#waiting.size === 0) return;
    const { store, onWrite } = this.#options;
    store.write(this.#waiting.values());
    const runs = new Set([...this.#waiting.values()].map(({ run }) => run));
    const told = this.#told;
    this.#waiting = new Map();
    this.#told = [];
    for (const tell of told) tell();
    onWrite(runs);
  }

  /** Writes what waits, and nothing more. */
  close(): void {
    this.#try();
    this.#isClosed = true;
  }

  #arm(): void {
    if (this.#isArmed) return;
    this.#isArmed = true;
    setImmediate(() => {
      this.#isArmed = false;
      if (!this.#isClosed) this.#try();
    });
  }

  #try(): void {
    try {
      this.flush();
    } catch (error) {
      const { clock, onError } = this.#options;
      onError(error);
      clock.at(clock.now() + PAUSE, () => this.#arm());
    }
  }
}

/** The steps of one run that is under way. */
export class RunJournal implements StepJournal {
  readonly #run: number;
  readonly #writer: StepWriter;
  readonly #entries: Map<string, StepEntry>;
  #numbers: number;

  constructor(run: number, entries: readonly StepEntry[], writer: StepWriter) {
    this.#run = run;
    this.#writer = writer;
    this.#entries = new Map(entries.map((entry) => [entry.path, entry]));
    this.#numbers = entries.reduce((most, { number }) => Math.max(most, number), 0);
  }

  get entries(): readonly StepEntry[] {
    return [...this.#entries.values()];
  }

  read(path: string): StepEntry | undefined {
    return this.#entries.get(path);
  }

  note(entry: StepEntry): void {
    this.#entries.set(entry.path, entry);
    this.#writer.note({ run: this.#run, entry });
  }

  write(entry: StepEntry): Promise<void> {
    this.#entries.set(entry.path, entry);
    return this.#writer.write({ run: this.#run, entry });
  }

  number(): number {
    this.#numbers += 1;
    return this.#numbers;
  }
}
