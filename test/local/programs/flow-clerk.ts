import type {
  Context,
  FunctionInvoked,
  WorkflowAnswerer,
  WorkflowController,
  WorkflowStarter,
} from "../../../lib/runtime/index.ts";

/** A verb of a link to a workflow, and what it is given. */
export interface Errand {
  readonly verb: "start" | "get" | "list" | "stop" | "retry" | "answer";
  readonly args: readonly unknown[];
}

interface Links {
  readonly orders: WorkflowStarter & WorkflowController & WorkflowAnswerer;
}

/** Runs an errand at the workflow it is linked to. */
export async function handler({ payload: { verb, args } }: FunctionInvoked<Errand>, { links }: Context<Links>) {
  const verbs = links.orders as unknown as Readonly<Record<string, (...args: readonly unknown[]) => Promise<unknown>>>;
  return { answer: await verbs[verb]!(...args) };
}
