import type { WorkflowPlan } from "../../../parts/plan.ts";
import type { Problem } from "../../../shared/problem.ts";
import { type Block, type Mapping, type Step, stepsOf } from "../../../shared/workflow/definition.ts";
import { untilNextLook } from "../../../shared/workflow/looks.ts";
import { hasReferenceInList } from "./flow-data.ts";

/** https://www.alibabacloud.com/help/en/serverless-workflow/latest/limits */
const MOST_EVENTS = 5000;
const MOST_BYTES = 64 * 1024;
const MOST_BRANCHES = 50;
const WEEK = 7 * 86_400;

/** Events of a state, as the history of an execution shows them: a task is scheduled, submitted and answered too. */
const STATE = 2;
const TASK = 7;
/** A call, and the choice that reads its answer. */
const CALL = TASK + STATE;

/**
 * What the service would end in the middle of a run: more events than an execution may have, or more bytes than a
 * state may hand on. Both are estimated for a run in which nothing fails.
 *
 * @param taskTimeout the longest time of a task's attempt, in seconds, by its name
 */
export function checkBounds(
  { name, definition }: WorkflowPlan,
  taskTimeout: (task: string) => number,
): readonly Problem[] {
  const events = Math.ceil(eventsOf(definition, taskTimeout)) + STATE;
  const whole: readonly Problem[] =
    events <= MOST_EVENTS
      ? []
      : [
          {
            path: `${name}.steps`,
            message:
              "a run would have more events than CloudFlow allows: lower atMost of its maps and repeats, wait less, or have a task do the work of many items",
            given: `about ${events} events, most of them in ${largest(definition, taskTimeout)}`,
            allowed: `${MOST_EVENTS}`,
          },
        ];
  return [...whole, ...stepsOf(definition).flatMap((step) => checkStep(step, name))];
}

function checkStep(step: Step, workflow: string): readonly Problem[] {
  const path = `${workflow}.steps.${step.name}`;
  const bytes = Buffer.byteLength(JSON.stringify(step));
  const listed = step.type === "map" && step.collects ? step.atMost * ITEM_BYTES : 0;
  const branches = step.type === "parallel" ? Object.keys(step.branches).length : 0;
  const timeout = "timeout" in step ? (step.timeout ?? 0) : 0;
  const rules: readonly (Problem & { readonly isKept: boolean })[] = [
    {
      path,
      isKept: isComposite(step) || bytes <= MOST_BYTES / 2,
      message: "what a step is given is too large for CloudFlow: put it into a bucket and name its key",
      given: `${bytes} bytes of its own`,
      allowed: `at most ${MOST_BYTES} with what the run adds`,
    },
    {
      path: `${path}.atMost`,
      isKept: listed <= MOST_BYTES,
      message: "the list of so many outputs is too large for CloudFlow: use forEach, which counts",
      given: `at least ${listed} bytes`,
      allowed: `at most ${MOST_BYTES}, which ${Math.floor(MOST_BYTES / ITEM_BYTES)} items with hardly any output take`,
    },
    {
      path,
      isKept: branches <= MOST_BRANCHES,
      message: "CloudFlow takes fewer branches: use a map",
      given: branches,
      allowed: `at most ${MOST_BRANCHES}`,
    },
    {
      path: `${path}.timeout`,
      isKept: timeout <= WEEK,
      message: "CloudFlow waits at most a week for a step",
      given: `${timeout} seconds`,
      allowed: `at most ${WEEK}`,
    },
  ];
  return rules.filter(({ isKept }) => !isKept).map(({ isKept: _, ...problem }) => problem);
}

/** `{"status":"succeeded","output":{}}` and its comma. */
const ITEM_BYTES = 36;

const isComposite = ({ type }: Step): boolean =>
  type === "parallel" || type === "map" || type === "choice" || type === "repeat";

const eventsOf = (block: Block, taskTimeout: (task: string) => number): number =>
  block.steps.reduce((sum, step) => sum + stepEvents(step, taskTimeout), STATE + valueEvents(block.output));

/** Where the language cannot build a value, a function is called. */
const valueEvents = (mapping: Mapping): number => (hasReferenceInList(mapping) ? CALL : 0);

function stepEvents(step: Step, taskTimeout: (task: string) => number): number {
  const inside = (block: Block) => eventsOf(block, taskTimeout);
  const tries = "attempts" in step && step.attempts > 1 ? 2 * STATE : 0;
  switch (step.type) {
    case "function":
      return CALL + tries;
    case "callback":
      return CALL + valueEvents(step.input) + tries;
    case "task":
      return CALL + 2 * STATE + looks(taskTimeout(step.task)) * (CALL + 2 * STATE) + valueEvents(step.input) + tries;
    case "parallel":
      return Object.values(step.branches).reduce((sum, block) => sum + inside(block), 3 * STATE) + tries;
    case "map":
      return 2 * CALL + 2 * STATE + step.atMost * (inside(step.item) + STATE) + tries;
    case "choice":
      return STATE + Math.max(inside(step.otherwise), ...step.options.map(({ block }) => inside(block)));
    case "repeat":
      return 2 * STATE + step.atMost * (inside(step.block) + CALL + 3 * STATE + waits(step.every)) + tries;
    case "wait":
      return typeof step.seconds === "number" ? waits(step.seconds) : 2 * (CALL + STATE) + STATE;
    case "succeed":
    case "fail":
      return 2 * STATE;
  }
}

const waits = (seconds: number): number =>
  seconds <= 3600 ? Math.ceil(seconds / 300) * STATE : (Math.ceil(seconds / 300) + 1) * (CALL + 2 * STATE);

/** How often a run that takes that long is looked at. */
function looks(seconds: number): number {
  let count = 0;
  let passed = 0;
  for (; passed < seconds && untilNextLook(count) < 300; count += 1) passed += untilNextLook(count);
  return count + Math.max(0, Math.ceil((seconds - passed) / 300));
}

/** The step that has most of the events. */
function largest(block: Block, taskTimeout: (task: string) => number): string {
  const [first] = [...block.steps].sort((one, other) => stepEvents(other, taskTimeout) - stepEvents(one, taskTimeout));
  return first ? `"${first.name}"` : "its output";
}
