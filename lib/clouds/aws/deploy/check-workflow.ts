import type { FunctionPlan, PartPlan, WorkflowPlan } from "../../../parts/plan.ts";
import type { Problem } from "../../../shared/problem.ts";
import { type Block, blocksOf, type Step, stepsOf } from "../../../shared/workflow/definition.ts";
import { INLINE_ITEMS } from "./flow-map.ts";
import { isContained } from "./sidecar.ts";

type Find = (name: string) => PartPlan | undefined;

/** Of one execution. https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html */
const MOST_EVENTS = 25_000;
/** The list and what its items came to lie in a state of 256 KiB: that is 26 bytes for each. */
const MOST_ITEMS = 10_000;

/** What Step Functions cannot do of a workflow. */
export const checkWorkflow = (plan: WorkflowPlan, find: Find): readonly Problem[] => [
  ...stepsOf(plan.definition).flatMap((step) => checkStep(plan, step, find)),
  ...checkEvents(plan, find),
];

function checkStep({ name }: WorkflowPlan, step: Step, find: Find): readonly Problem[] {
  const path = `${name}.steps.${step.name}`;
  switch (step.type) {
    case "function":
      return checkCalled(`${path}.function`, find(step.function), find);
    case "callback":
      return step.ask.kind === "function" ? checkCalled(`${path}.ask`, find(step.ask.name), find) : [];
    case "task":
      return checkTimeout(path, step.timeout, "a run has the longest time that its task gives it: set that");
    case "parallel":
    case "repeat":
      return checkTimeout(path, step.timeout, "Step Functions bounds calls and whole runs: bound the steps inside");
    case "map":
      return [
        ...checkTimeout(path, step.timeout, "Step Functions bounds calls and whole runs: bound the steps inside"),
        ...checkItems(path, step.atMost),
      ];
    default:
      return [];
  }
}

const checkTimeout = (path: string, given: number | undefined, message: string): readonly Problem[] =>
  given === undefined ? [] : [{ path: `${path}.timeout`, message, given: `${given} seconds` }];

const checkItems = (path: string, atMost: number): readonly Problem[] =>
  atMost <= MOST_ITEMS
    ? []
    : [
        {
          path: `${path}.atMost`,
          message: "Step Functions carries 256 KiB from step to step, the list and all outputs: do so many in a task",
          given: atMost,
          allowed: `at most ${MOST_ITEMS}`,
        },
      ];

/** Only what Lambda runs, in our entry, understands a step. */
function checkCalled(path: string, plan: PartPlan | undefined, find: Find): readonly Problem[] {
  if (plan?.kind !== "function") return [];
  if (plan.program) {
    return [{ path, message: "a program is called by a function's handler, not by a workflow", given: plan.name }];
  }
  if (!isInContainer(plan, find)) return [];
  return [
    {
      path,
      message: "it takes longer than the 15 minutes that Lambda allows: make the step one of its task",
      given: plan.name,
      allowed: `flow.task(…, ${plan.role!.task}, …)`,
    },
  ];
}

function isInContainer({ role }: FunctionPlan, find: Find): boolean {
  const task = role?.duty === "worker" ? find(role.task) : undefined;
  return task?.kind === "task" && isContained(task, find);
}

/** Each item of a wide map is an execution of its own. */
function checkEvents({ name, definition }: WorkflowPlan, find: Find): readonly Problem[] {
  const whole = [
    [name, definition] as const,
    ...stepsOf(definition).flatMap((step) =>
      step.type === "map" && isWide(step) ? [[`${name}.steps.${step.name}`, step.item] as const] : [],
    ),
  ];
  return whole.flatMap(([path, block]) => {
    const events = eventsOf(block, find);
    if (events <= MOST_EVENTS) return [];
    return [
      {
        path,
        message:
          "one execution of Step Functions has 25,000 events: repeat or map less, or do a part of it in a task or in a map of more than 40 items",
        given: `up to ${events} events`,
        allowed: `at most ${MOST_EVENTS}`,
      },
    ];
  });
}

const isWide = ({ atMost }: { readonly atMost: number }): boolean => atMost > INLINE_ITEMS;

/** A state that is entered and left; one that a choice looks ahead for. */
const STATE = 2;
/** A call: entered, scheduled, started, over, left. */
const CALL = 5;

/**
 * The events of a block when nothing is tried again, at most: the longest way through its choices, every round and every
 * item.
 */
export function eventsOf({ steps }: Block, find: Find): number {
  const own = steps.reduce((sum, step) => sum + eventsOfStep(step, find), 0);
  return own + 2 * STATE;
}

function eventsOfStep(step: Step, find: Find): number {
  const inside = blocksOf(step).map(([path, block]) => [path, eventsOf(block, find)] as const);
  const caught = inside.find(([path]) => path === "catch.block")?.[1] ?? 0;
  const blocks = inside.filter(([path]) => path !== "catch.block").map(([, events]) => events);
  const sum = blocks.reduce((total, events) => total + events, 0);
  switch (step.type) {
    case "function":
      return CALL + caught;
    case "task":
      return CALL + STATE + looksAt(find(step.task)) * (CALL + 2 * STATE) + caught;
    case "parallel":
      return 2 * STATE + sum + caught;
    case "map":
      return 4 * STATE + (isWide(step) ? STATE : step.atMost * (STATE + sum)) + caught;
    case "choice":
      return STATE + Math.max(...blocks);
    case "repeat":
      return 2 * STATE + step.atMost * (sum + STATE + (step.every > 0 ? STATE : 0)) + caught;
    case "callback":
      return 2 * STATE + 3 * CALL + caught;
    case "wait":
    case "succeed":
    case "fail":
      return 2 * STATE;
  }
}

/** Less and less often, as `handlers/flows/looks.ts` says: after some minutes every five. */
const looksAt = (plan: PartPlan | undefined): number =>
  plan?.kind === "task" ? 7 + Math.ceil((plan.timeout * plan.attempts) / 300) : 7;
