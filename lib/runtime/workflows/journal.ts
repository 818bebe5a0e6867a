import type { ErrorRecord } from "../errors.ts";
import type { StepRecord, StepStatus } from "./run.ts";

/** What is written down of a step, as plain JSON: enough to go on from it. Times are milliseconds since 1970. */
export interface StepEntry {
  /** As in {@link StepRecord}. */
  readonly path: string;
  readonly step: string;
  /** Counts the steps of a run in the order they began. */
  readonly number: number;
  readonly status: StepStatus;
  readonly started: number;
  readonly ended?: number | undefined;
  /** All that were made. */
  readonly attempts: number;
  /** Those since the run began, or was last retried. */
  readonly tries: number;
  /** When the attempt began that is under way. */
  readonly since: number;
  /** How often the run had been retried. What failed before the last time is done again. */
  readonly retries: number;
  /** The attempts of the steps around it, as one text: in another attempt of theirs this is another step. */
  readonly round: string;
  /** The attempt of this step that what is inside belongs to. */
  readonly turn: number;
  /** When it goes on. */
  readonly due?: number | undefined;
  /** How often it went on: of a repeat. */
  readonly rounds?: number | undefined;
  readonly error?: ErrorRecord | undefined;
  readonly output?: unknown;
  /** The attempts are used up, and its `catch` is under way. */
  readonly isCatching?: boolean | undefined;
  /** Somebody outside was asked, and answers by this address. */
  readonly callback?: string | undefined;
  /** The run ends with its output. */
  readonly endsRun?: boolean | undefined;
  readonly items?: StepRecord["items"] | undefined;
}

/** The steps of one run, as far as they have been done. */
export interface StepJournal {
  read(path: string): StepEntry | undefined;
  /** Writes an entry in place of the path's last one, some time soon: what is lost of it is done again. */
  note(entry: StepEntry): void;
  /** As {@link note}; resolves when it cannot be lost any more. */
  write(entry: StepEntry): Promise<void>;
  /** The next step's number. */
  number(): number;
}

/** The first characters of a value as JSON. */
export const preview = (value: unknown): string => (JSON.stringify(value) ?? "null").slice(0, 1024);

/** An entry as everybody sees it. */
export function recordOf(entry: StepEntry): StepRecord {
  const { path, step, status, started, ended, attempts, error, output, callback, items } = entry;
  return {
    ...{ path, step, status, attempts },
    started: new Date(started).toISOString(),
    ...(ended !== undefined && { ended: new Date(ended).toISOString() }),
    ...(error && { error }),
    ...(output !== undefined && { outputPreview: preview(output) }),
    ...(callback !== undefined && status === "waiting" && { callback }),
    ...(items && { items }),
  };
}

/** Steps in the order they began, without those that belong to an earlier attempt of a step around them. */
export function historyOf(entries: readonly StepEntry[]): readonly StepRecord[] {
  const byPath = new Map(entries.map((entry) => [entry.path, entry]));
  const known = new Map<string, boolean>();
  const isCurrent = (entry: StepEntry): boolean => {
    const before = known.get(entry.path);
    if (before !== undefined) return before;
    const around = byPath.get(pathAround(entry.path));
    const rounds = around ? [`${around.round}.${around.turn}`, `${around.round}.catch${around.attempts}`] : [""];
    const answer = rounds.includes(entry.round) && (!around || isCurrent(around));
    known.set(entry.path, answer);
    return answer;
  };
  return entries
    .filter(isCurrent)
    .sort((one, other) => one.number - other.number)
    .map(recordOf);
}

/** Of the step that a step is inside of: `each[3]/encode` is inside `each`. */
const pathAround = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf("/"))).replace(/\[\d+\]$/, "");
