import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { isOver, type WorkflowClient, type WorkflowHistory } from "../../lib/runtime/workflows/run.ts";
import type { Scene } from "./scene.ts";

/** A program with a workflow, and one of its steps. */
export const FLOWS = fileURLToPath(new URL("./programs/flows-stack.ts", import.meta.url));
export const FLOW = "orders-flow";

/** A run of it, with its steps. */
export const historyOf = async (workflows: WorkflowClient, id: string): Promise<WorkflowHistory> =>
  (await workflows.get(FLOW, id))!;

/** Waits until the run is over. */
export async function ended(workflows: WorkflowClient, id: string): Promise<WorkflowHistory> {
  await expect
    .poll(async () => isOver((await historyOf(workflows, id)).run.status), { timeout: 20_000, interval: 50 })
    .toBe(true);
  return historyOf(workflows, id);
}

/** Steps that the functions say they have done, by the id of each call: one that was done twice is there twice. */
export const done = (stage: Scene): readonly string[] => stage.notes().map(({ event }) => event);
