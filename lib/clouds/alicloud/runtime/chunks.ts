import { createHash } from "node:crypto";
import { toErrorRecord } from "../../../runtime/errors.ts";
import { RUN_ID } from "../../../runtime/workflows/run.ts";
import type { Execution, Flows } from "./flows.ts";

/** Names of executions begin with a letter or `_`; ids of runs with a letter or a digit. */
export const executionName = (run: string): string => (/^\d/.test(run) ? `_${run}` : run);

/** The name of a run's execution. No id begins with `_`. @param round 1, and one more for each retry */
export const roundName = (run: string, round: number): string =>
  round === 1 ? executionName(run) : `__${round}_${run}`;

/** How the names of executions begin that go on with a run. */
export const RETRIED = "__";

/** The run of an execution, and how often it had been begun. */
export function runIn(name: string): { readonly run: string; readonly round: number } {
  const [, round, run] = /^__(\d+)_(.+)$/.exec(name) ?? [];
  return run === undefined ? { run: name.replace(/^_/, ""), round: 1 } : { run, round: Number(round) };
}

/** The name of the execution that does some items of a run's batch. */
export const chunkName = (run: string, batch: string, chunk: number): string =>
  `${executionName(run)}--${createHash("sha256").update(batch).digest("hex").slice(0, 12)}-${chunk}`;

/** Whether an execution is one of a run's batches. */
const isOf = (run: string, name: string): boolean => {
  const prefix = `${executionName(run)}--`;
  return name.startsWith(prefix) && /^[0-9a-f]{12}-\d+$/.test(name.slice(prefix.length));
};

/** Stops the executions that do items of a run. */
export async function stopChunks(flows: readonly Flows[], run: string): Promise<void> {
  if (!RUN_ID.test(run)) return;
  for (const flow of flows) {
    for (let next: string | undefined = ""; next !== undefined; ) {
      const prefix = `${executionName(run)}--`;
      const page = await flow.list({ status: "Running", prefix, limit: 99, ...(next && { next }) });
      const names = page.executions.map(({ Name }) => Name).filter((name) => isOf(run, name));
      await stopQuietly(flow, names);
      next = page.next;
    }
  }
}

/** Stops executions; one that is over, or was never there, is no error. */
export async function stopQuietly(flows: Flows, names: readonly string[]): Promise<void> {
  for (const name of names) {
    try {
      await flows.stop(name, "stopped", "nobody waits for its items any more");
    } catch (error) {
      const { kind } = toErrorRecord(error);
      if (kind !== "failed" && kind !== "not-found") throw error;
    }
  }
}

export const isUnderWay = ({ Status }: Execution): boolean => Status === "Starting" || Status === "Running";
