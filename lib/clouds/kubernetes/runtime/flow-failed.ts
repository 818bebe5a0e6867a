import { readAnswer } from "./flow-steps.ts";
import { type Program, variable } from "./program.ts";

/** Says what a run failed with, in the words of `MILLRACE_ANSWER`, and fails: that is how Argo knows. */
export const handler: Program = async (world) => {
  const answer = readAnswer(variable(world, "MILLRACE_ANSWER"));
  const { kind, message } = answer?.status === "failed" ? answer.error : { kind: "failed", message: "unknown" };
  throw new Error(`the run failed: ${kind}: ${message}`);
};
