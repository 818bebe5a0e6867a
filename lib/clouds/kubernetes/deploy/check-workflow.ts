import type { FunctionPlan, PartPlan, WorkflowPlan } from "../../../parts/plan.ts";
import type { Problem } from "../../../shared/problem.ts";
import { type Step, stepsOf } from "../../../shared/workflow/definition.ts";
import { checkFlow } from "./flow-check.ts";
import { type FlowPod, flowDefinition, LARGEST_OUTPUT } from "./flow-definition.ts";

type Find = (name: string) => PartPlan | undefined;

/** What Argo cannot do of a workflow, and what its compiled form would not be taken for. */
export const checkWorkflow = (plan: WorkflowPlan, find: Find): readonly Problem[] => {
  const problems = stepsOf(plan.definition).flatMap((step) => checkStep(`${plan.name}.steps.${step.name}`, step, find));
  return problems.length > 0 ? problems : checkCompiled(plan);
};

function checkStep(path: string, step: Step, find: Find): readonly Problem[] {
  switch (step.type) {
    case "function":
      return checkCalled(`${path}.function`, find(step.function));
    case "map":
      return [...checkTimeout(path, step.timeout), ...checkItems(path, step.atMost)];
    case "parallel":
    case "repeat":
      return checkTimeout(path, step.timeout);
    default:
      return [];
  }
}

const checkTimeout = (path: string, given: number | undefined): readonly Problem[] =>
  given === undefined
    ? []
    : [
        {
          path: `${path}.timeout`,
          message: "Argo bounds pods and whole runs: bound the steps inside",
          given: `${given} seconds`,
        },
      ];

/** Of an item in a list: `{}` and its comma. */
const LEAST_BYTES = 3;

const checkItems = (path: string, items: number): readonly Problem[] =>
  items * LEAST_BYTES <= LARGEST_OUTPUT
    ? []
    : [
        {
          path: `${path}.atMost`,
          message: "a list of so many items is larger than a workflow of Argo carries",
          given: `${items} items, at least ${items * LEAST_BYTES} bytes`,
          allowed: `at most ${LARGEST_OUTPUT} bytes, which ${Math.floor(LARGEST_OUTPUT / LEAST_BYTES)} items with hardly anything in them take`,
        },
      ];

/** Steps are pods of their own, beside those that serve the function's other calls. */
function checkCalled(path: string, plan: PartPlan | undefined): readonly Problem[] {
  if (plan?.kind !== "function") return [];
  return [...checkProgram(path, plan), ...checkConcurrency(path, plan), ...checkTexts(path, plan)];
}

const checkProgram = (path: string, { name, program }: FunctionPlan): readonly Problem[] =>
  program === undefined
    ? []
    : [{ path, message: `"${name}" is a container beside a function: call that function, which calls it` }];

const checkConcurrency = (path: string, { name, concurrency }: FunctionPlan): readonly Problem[] =>
  concurrency === undefined
    ? []
    : [
        {
          path,
          message: `steps have pods of their own, which nobody counts: bound the map's concurrency in place of "${name}"'s`,
          given: concurrency,
        },
      ];

const checkTexts = (path: string, { name, environment }: FunctionPlan): readonly Problem[] =>
  Object.entries(environment)
    .filter(([, value]) => value.includes("{{"))
    .map(([variable]) => ({
      path,
      message: `Argo takes {{ in the environment of "${name}" for one of its own expressions: ${variable}`,
    }));

/** Bytes of a pod as JSON, beside what a workflow adds to it: what is known before anything is built. */
const POD_BYTES = 4096;

function checkCompiled(plan: WorkflowPlan): readonly Problem[] {
  const template = flowDefinition(plan.definition, {
    ...{ name: "checked", labels: {}, executor: "executor", timeout: plan.timeout, kept: 0 },
    ...{ function: () => STAND_IN, task: () => STAND_IN, ask: () => STAND_IN, failed: STAND_IN },
  });
  return checkFlow(template).map((message) => ({ path: `${plan.name}.steps`, message: `for Argo: ${message}` }));
}

const STAND_IN: FlowPod = {
  labels: {},
  spec: {
    serviceAccountName: "stand-in",
    containers: [{ image: "node", command: ["node"], env: [{ name: "ROOM", value: "-".repeat(POD_BYTES) }] }],
  },
};
