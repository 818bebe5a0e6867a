import type { Duration } from "../shared/duration.ts";
import type { Problem } from "../shared/problem.ts";
import { checkDefinition } from "../shared/workflow/check.ts";
import { DEFAULTS } from "./defaults.ts";
import { block, type Flow, type Given, type Ref, reference } from "./flow.ts";
import type { PartNames } from "./part.ts";
import type { WorkflowPlan } from "./plan.ts";
import type { Units } from "./units.ts";

/** What a workflow does, and how long a run of it may take. */
export interface WorkflowSpec<Input = unknown, Output = unknown> {
  /** Writes the steps down; what it returns is the run's output. It runs once, when the program is evaluated. */
  readonly steps: (flow: Flow, input: Ref<Input>) => Given<Output> | void;
  /** Longest time of one run. @default "1 day" */
  readonly timeout?: Duration;
}

/** @param problems takes what cannot work in it on any cloud */
export function workflowPlan<Input, Output>(
  names: PartNames,
  spec: WorkflowSpec<Input, Output>,
  units: Units,
  problems: Problem[],
): WorkflowPlan {
  const { steps, timeout } = spec;
  units.options(spec, OPTIONS);
  const definition = block((flow) => steps(flow, reference("input")));
  problems.push(...checkDefinition(names.name, definition));
  return {
    kind: "workflow",
    ...names,
    definition,
    timeout: units.seconds("timeout", timeout, DEFAULTS.workflowTimeout),
  };
}

const OPTIONS = { steps: true, timeout: true } satisfies Readonly<Record<keyof WorkflowSpec, true>>;
