import type { TaskLogLine } from "./task.ts";

/** A line before it has its place in the run's log. */
export type NewLogLine = Omit<TaskLogLine, "sequence">;

/** Where the log lines of runs lie. */
export interface TaskLogs {
  /** Milliseconds until a line that was written can be read, at most. @default none */
  readonly delay?: number;
  append(task: string, id: string, lines: readonly NewLogLine[]): Promise<void>;
  /**
   * Lines after that sequence, in order.
   *
   * @param options `since`: no line is older, milliseconds since 1970; for places that search by time
   */
  read(
    task: string,
    id: string,
    options: { readonly after: number; readonly limit: number; readonly since?: number },
  ): Promise<readonly TaskLogLine[]>;
  /** Calls back when there are more lines, where the place can tell; the answer takes the call back. */
  watch(task: string, id: string, listener: () => void): () => void;
  remove(task: string, id: string): Promise<void>;
}
