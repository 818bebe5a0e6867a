import { toDuration } from "../../shared/duration.ts";
import { type Condition, isReference, type Reference, type Step } from "../../shared/workflow/definition.ts";
import { count } from "./text.ts";

/** `input.amount`, `list.items`. */
export function referenceInWords({ $, at = [] }: Reference): string {
  const [origin = "", name] = $.split(":");
  const first = name === undefined ? origin : origin === "step" ? name : `${name}'s ${origin}`;
  return [first, ...at].join(".");
}

/** `input.amount above 10 and not input.paid is true`. */
export function conditionInWords(condition: Condition): string {
  switch (condition.op) {
    case "equals":
      return `${referenceInWords(condition.left)} is ${JSON.stringify(condition.right)}`;
    case "above":
    case "below":
      return `${referenceInWords(condition.left)} ${condition.op} ${condition.right}`;
    case "not":
      return `not ${nested(condition.of)}`;
    default:
      return condition.of.map(nested).join(` ${condition.op} `);
  }
}

const nested = (condition: Condition): string =>
  condition.op === "and" || condition.op === "or" ? `(${conditionInWords(condition)})` : conditionInWords(condition);

/** What a step does: `map of list.items`, `calls orders-work, 3 attempts`. */
export function stepInWords(step: Step): string {
  const attempts = "attempts" in step && step.attempts > 1 ? `, ${count(step.attempts, "attempt")}` : "";
  return `${deedOf(step)}${attempts}`;
}

function deedOf(step: Step): string {
  switch (step.type) {
    case "function":
      return `calls ${step.function}`;
    case "task":
      return `runs ${step.task}`;
    case "parallel":
      return "all at once";
    case "map":
      return `for each of ${referenceInWords(step.items)}`;
    case "choice":
      return "the first that holds";
    case "repeat":
      return `again until ${conditionInWords(step.until)}, at most ${count(step.atMost, "time")}`;
    case "wait":
      return `waits ${isReference(step.seconds) ? `${referenceInWords(step.seconds)} seconds` : toDuration(step.seconds)}`;
    case "callback":
      return `asks ${step.ask.name}`;
    case "succeed":
      return "ends the run";
    case "fail":
      return `fails: ${step.kind}`;
  }
}
