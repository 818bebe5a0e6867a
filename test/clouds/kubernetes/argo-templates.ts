import type { FlowTemplates } from "../../../lib/clouds/kubernetes/runtime/flow-steps.ts";

/**
 * The steps of the workflow that `argo-status.json` is the status of: what Argo's own controller (4, August 2026) wrote of
 * a run that failed at its gate, with pods whose ends were played. Of each node there is what we look at.
 */
export const STATUS_TEMPLATES: FlowTemplates = {
  "split-it": ["split_it", "function"],
  each: ["each", "map"],
  twice: ["twice", "function"],
  both: ["both", "parallel"],
  tries: ["tries", "function"],
  rest: ["rest", "wait"],
  broken: ["broken", "function"],
  noted: ["noted", "function"],
  asked: ["asked", "callback"],
  gate: ["gate", "function"],
  big: ["big", "choice"],
  never: ["never", "function"],
  small: ["small", "function"],
};
