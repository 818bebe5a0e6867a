import type { LinkAddress } from "../../../runtime/deployment.ts";
import type { StepAnswer } from "../../../runtime/workflows/step-call.ts";
import type { KubernetesWorld } from "./account.ts";
import { rowsOf } from "./flow-rows.ts";

/** What a step that waits for others remembers of itself: a pod that is moved goes on with the same question. */
export interface FlowTurns {
  /** How often what the step waited for has come to an end. @param id of the step: `<run>/<path>` */
  turns(id: string): Promise<number>;
  keepTurns(id: string, turns: number): Promise<void>;
  answer(callback: string): Promise<StepAnswer | undefined>;
}

/** What an answer to a step names: an answer to one attempt is none to the next. @param turns that are over */
export const callbackOf = (id: string, turns: number): string => (turns > 0 ? `${id}~${turns + 1}` : id);

export function port(address: LinkAddress, world: KubernetesWorld): FlowTurns {
  const rows = rowsOf(address, world);
  return {
    turns: (id) => rows.turns(...partsOf(id)),
    keepTurns: (id, turns) => rows.keepTurns(...partsOf(id), turns),
    answer: (callback) => rows.answer(...partsOf(callback)),
  };
}

/** The run, and what is within it. */
function partsOf(id: string): readonly [run: string, rest: string] {
  const slash = id.indexOf("/");
  return [id.slice(0, slash), id.slice(slash + 1)];
}
