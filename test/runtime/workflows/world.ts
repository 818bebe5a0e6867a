import type { Clock } from "../../../lib/runtime/clock.ts";
import { isRetryable, MillraceError, toErrorRecord } from "../../../lib/runtime/errors.ts";
import type { RunStart } from "../../../lib/runtime/workflows/interpret.ts";
import { interpret } from "../../../lib/runtime/workflows/interpret.ts";
import type { StepEntry, StepJournal } from "../../../lib/runtime/workflows/journal.ts";
import type { Answer } from "../../../lib/runtime/workflows/run.ts";
import { Suspended, type WorkflowWorld } from "../../../lib/runtime/workflows/world.ts";
import { type DefinitionCase, FUNCTIONS, type FunctionName, type StepFunction } from "../../workflows/definitions.ts";

/** Time that jumps to the next alarm as soon as nothing else is left to do. */
export class JumpingClock implements Clock {
  readonly #alarms = new Map<object, { readonly time: number; readonly callback: () => void }>();
  #now = Date.parse("2026-01-01T00:00:00Z");
  #isArmed = false;

  now(): number {
    return this.#now;
  }

  at(time: number, callback: () => void): () => void {
    const key = {};
    this.#alarms.set(key, { time, callback });
    this.#arm();
    return () => void this.#alarms.delete(key);
  }

  #arm(): void {
    if (this.#isArmed || this.#alarms.size === 0) return;
    this.#isArmed = true;
    setImmediate(() => {
      this.#isArmed = false;
      const [next] = [...this.#alarms].sort(([, one], [, other]) => one.time - other.time);
      if (next) {
        this.#alarms.delete(next[0]);
        this.#now = Math.max(this.#now, next[1].time);
        next[1].callback();
      }
      this.#arm();
    });
  }
}

/** Entries that outlive the process: what is noted becomes one with the next write. */
export class MemoryJournal implements StepJournal {
  readonly stored: Map<string, string>;
  readonly #current = new Map<string, StepEntry>();
  readonly #noted = new Map<string, StepEntry>();
  readonly #onWrite: (count: number) => void;
  #writes = 0;
  #numbers: number;

  /** @param onWrite called before each write; what it throws is what happens in place of it */
  constructor(stored = new Map<string, string>(), onWrite: (count: number) => void = () => {}) {
    this.stored = stored;
    this.#onWrite = onWrite;
    for (const [path, text] of stored) this.#current.set(path, JSON.parse(text) as StepEntry);
    this.#numbers = stored.size;
  }

  get writes(): number {
    return this.#writes;
  }

  read(path: string): StepEntry | undefined {
    return this.#current.get(path);
  }

  note(entry: StepEntry): void {
    this.#current.set(entry.path, entry);
    this.#noted.set(entry.path, entry);
  }

  async write(entry: StepEntry): Promise<void> {
    this.#writes += 1;
    this.#onWrite(this.#writes);
    this.note(entry);
    for (const [path, noted] of this.#noted) this.stored.set(path, JSON.stringify(noted));
    this.#noted.clear();
  }

  number(): number {
    this.#numbers += 1;
    return this.#numbers;
  }
}

/** A place whose functions are those of the suite, and where somebody answers whatever is asked. */
export class TestWorld implements WorkflowWorld {
  readonly clock = new JumpingClock();
  readonly journal: StepJournal;
  readonly random = () => 1;
  readonly concurrency = 20;
  /** By function. */
  readonly calls: Partial<Record<string, number>> = {};
  /** The steps that were begun, by path, attempt by attempt. */
  readonly begun: string[] = [];
  readonly asked: string[] = [];
  readonly functions: Readonly<Record<string, StepFunction>>;
  readonly #tasks: Readonly<Record<string, FunctionName>>;
  readonly #answers: Readonly<Record<string, Answer>>;

  constructor(
    { tasks = {}, answers = {} }: Pick<DefinitionCase, "tasks" | "answers"> = {},
    journal: StepJournal = new MemoryJournal(),
    functions: Readonly<Record<string, StepFunction>> = FUNCTIONS,
  ) {
    this.journal = journal;
    this.functions = functions;
    this.#tasks = tasks;
    this.#answers = answers;
  }

  async invoke({ function: name, path, input, attempt }: Parameters<WorkflowWorld["invoke"]>[0]): Promise<unknown> {
    this.calls[name] = (this.calls[name] ?? 0) + 1;
    this.begun.push(`${path}#${attempt}`);
    const result = await (this.functions[name] as (input: unknown, attempt: number) => unknown)(input, attempt);
    return JSON.parse(JSON.stringify(result ?? null));
  }

  perform({ task, id, input, path }: Parameters<WorkflowWorld["perform"]>[0]): Promise<unknown> {
    return this.invoke({ path, function: this.#tasks[task]!, input: { id, input }, attempt: 1 });
  }

  async ask({ callback }: Parameters<WorkflowWorld["ask"]>[0]): Promise<void> {
    this.asked.push(callback);
  }

  callback(path: string): string {
    return `r/${path}`;
  }

  async answer(path: string, signal: AbortSignal): Promise<Answer> {
    const answer = this.#answers[path.split("/").at(-1)!];
    if (answer) return answer;
    return new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  }
}

/** How a run ends, in words that can be compared. */
export async function outcomeOf(
  run: RunStart,
  world: WorkflowWorld,
  signal: AbortSignal = new AbortController().signal,
): Promise<{ readonly output: unknown } | { readonly error: { readonly kind: string; readonly message: string } }> {
  try {
    return { output: await interpret(run, world, signal) };
  } catch (error) {
    if (error instanceof Suspended) throw error;
    const { kind, message } = toErrorRecord(error);
    return { error: { kind, message } };
  }
}

/** An error that a retry can help. */
export const passing = (message: string): MillraceError => {
  const error = new MillraceError("unavailable", message);
  if (!isRetryable(error)) throw new Error("the kind that is tried again is another one now");
  return error;
};
