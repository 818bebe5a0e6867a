import type { WorkflowPlan } from "../../../parts/plan.ts";
import type { Problem } from "../../../shared/problem.ts";
import { type Block, type Mapping, type MapStep, type Step, stepsOf } from "../../../shared/workflow/definition.ts";
import { untilNextLook } from "../../../shared/workflow/looks.ts";
import { LARGEST_OUTPUT, MOST_STATE } from "../env.ts";
import { hasReferenceInList } from "./flow-data.ts";

/** https://www.alibabacloud.com/help/en/serverless-workflow/latest/limits */
const MOST_EVENTS = 5000;
const MOST_BRANCHES = 50;
const WEEK = 7 * 86_400;

/** Events of a state, as the history of an execution shows them: a task is scheduled, submitted and answered too. */
const STATE = 2;
const TASK = 7;
/** A call, and the choice that reads its answer. */
const CALL = TASK + STATE;

/** What fails is tried again: up to here no map has executions of its own. */
const PLANNED_EVENTS = 3000;
/** As few events as make it worth to have one: it costs a call and waits for others. */
const WORTH = 500;
/** Of a flow that does a part of a map's items: half of what it may have. */
const CHUNK_EVENTS = MOST_EVENTS / 2;
/** What such a flow does around its items: hands them on, and tells of their end. */
const AROUND_ITEMS = CALL + 5 * STATE;
/** Executions of one map at once: to stop one takes half a second. https://www.alibabacloud.com/help/en/serverless-workflow/latest/limits */
const MOST_CHUNKS_AT_ONCE = 25;
/** Iterations at once in one execution. https://www.alibabacloud.com/help/en/serverless-workflow/latest/inline-mode */
export const MOST_AT_ONCE = 40;
/** Where a map does not say it: as many instances as an account has to begin with. https://www.alibabacloud.com/help/en/functioncompute/fc/product-overview/limits */
const DEFAULT_AT_ONCE = 100;

/** How a map is done that one execution does not carry: in parts, each an execution of a flow of its own. */
export interface WideMap {
  /** Items of one execution, at most. */
  readonly size: number;
  /** Executions at once. */
  readonly chunks: number;
  /** Items at once in each of them. */
  readonly atOnce: number;
}

/** What events are estimated by. */
interface Estimate {
  /** The longest time of a task's attempt, in seconds, by its name. */
  readonly taskTimeout: (task: string) => number;
  /** Maps whose items have executions of their own. */
  readonly wide: ReadonlySet<string>;
}

/**
 * The maps of a workflow that have executions of their own, by their names: as few as make a run fit into the events of
 * an execution. None, where nothing makes it fit.
 *
 * @param taskTimeout the longest time of a task's attempt, in seconds, by its name
 */
export function wideMaps(definition: Block, taskTimeout: (task: string) => number): ReadonlyMap<string, WideMap> {
  const wide = chosenMaps(definition, taskTimeout);
  const maps = stepsOf(definition).filter((step): step is MapStep => step.type === "map" && wide.has(step.name));
  return new Map(maps.map((step) => [step.name, wideMap(step, { taskTimeout, wide })] as const));
}

function chosenMaps(definition: Block, taskTimeout: Estimate["taskTimeout"]): ReadonlySet<string> {
  const maps = stepsOf(definition).filter((step): step is MapStep => step.type === "map");
  const eventsWith = (wide: ReadonlySet<string>) => runEvents(definition, { taskTimeout, wide });
  let wide: ReadonlySet<string> = new Set();
  for (let events = eventsWith(wide); events > PLANNED_EVENTS; events = eventsWith(wide)) {
    const next = maps
      .filter((step) => !wide.has(step.name) && itemsOf(step, { taskTimeout, wide }) >= 1)
      .map(({ name }) => new Set([...wide, name]))
      .map((more) => ({ more, left: eventsWith(more) }))
      .filter(({ left }) => events > MOST_EVENTS || events - left >= WORTH);
    // The first that is enough, from the outside in; else that which saves most.
    const [best] = [
      ...next.filter(({ left }) => left <= PLANNED_EVENTS),
      ...next.sort((one, other) => one.left - other.left),
    ];
    if (!best) return wide;
    wide = best.more;
  }
  return wide;
}

function wideMap(step: MapStep, estimate: Estimate): WideMap {
  const together = step.concurrency ?? DEFAULT_AT_ONCE;
  const chunks = Math.min(MOST_CHUNKS_AT_ONCE, Math.ceil(together / MOST_AT_ONCE));
  const atOnce = Math.min(MOST_AT_ONCE, Math.floor(together / chunks));
  // What that many items say of their failures still fits into a state.
  return { size: Math.max(1, Math.min(MOST_AT_ONCE, itemsOf(step, estimate))), chunks, atOnce };
}

/** Items of a map that fit into an execution; 0, where a single one does not. */
function itemsOf({ item }: MapStep, estimate: Estimate): number {
  const one = eventsOf(item, estimate) + STATE;
  if (one + AROUND_ITEMS > MOST_EVENTS) return 0;
  return Math.max(1, Math.floor((CHUNK_EVENTS - AROUND_ITEMS) / one));
}

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
  const maps = wideMaps(definition, taskTimeout);
  const estimate: Estimate = { taskTimeout, wide: new Set(maps.keys()) };
  const events = runEvents(definition, estimate);
  const whole: readonly Problem[] =
    events <= MOST_EVENTS
      ? []
      : [
          {
            path: `${name}.steps`,
            message:
              "a run would have more events than CloudFlow allows, though the items of its maps have executions of their own: lower atMost of its repeats, wait less, or have a task do the work of many steps",
            given: `about ${events} events, most of them in ${largest(definition, estimate)}`,
            allowed: `${MOST_EVENTS}`,
          },
        ];
  return [...whole, ...stepsOf(definition).flatMap((step) => checkStep(step, name))];
}

const runEvents = (definition: Block, estimate: Estimate): number => Math.ceil(eventsOf(definition, estimate)) + STATE;

function checkStep(step: Step, workflow: string): readonly Problem[] {
  const path = `${workflow}.steps.${step.name}`;
  const bytes = Buffer.byteLength(JSON.stringify(step));
  const items = step.type === "map" ? step.atMost : 0;
  const collected = step.type === "map" && step.collects ? step.atMost : 0;
  const branches = step.type === "parallel" ? Object.keys(step.branches).length : 0;
  const timeout = "timeout" in step ? (step.timeout ?? 0) : 0;
  const rules: readonly (Problem & { readonly isKept: boolean })[] = [
    {
      path,
      isKept: isComposite(step) || bytes <= MOST_STATE / 2,
      message: "what a step is given is too large for CloudFlow: put it into a bucket and name its key",
      given: `${bytes} bytes of its own`,
      allowed: `at most ${MOST_STATE} with what the run adds`,
    },
    {
      path: `${path}.atMost`,
      isKept: items * LEAST_BYTES <= MOST_STATE,
      message: "a list of so many items is too large for CloudFlow",
      given: `${items} items, at least ${items * LEAST_BYTES} bytes`,
      allowed: `at most ${MOST_STATE} bytes, which ${Math.floor(MOST_STATE / LEAST_BYTES)} items with hardly anything in them take`,
    },
    {
      path: `${path}.atMost`,
      isKept: collected * LEAST_BYTES <= LARGEST_OUTPUT || items * LEAST_BYTES > MOST_STATE,
      message: "the list of so many outputs is too large for CloudFlow: use forEach, which counts",
      given: `${collected} outputs, at least ${collected * LEAST_BYTES} bytes`,
      allowed: `at most ${LARGEST_OUTPUT} bytes, which ${Math.floor(LARGEST_OUTPUT / LEAST_BYTES)} outputs with hardly anything in them take`,
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

/** Of an item or an output in a list: `{}` and its comma. */
const LEAST_BYTES = 3;

const isComposite = ({ type }: Step): boolean =>
  type === "parallel" || type === "map" || type === "choice" || type === "repeat";

const eventsOf = (block: Block, estimate: Estimate): number =>
  block.steps.reduce((sum, step) => sum + stepEvents(step, estimate), STATE + valueEvents(block.output));

/** Where the language cannot build a value, a function is called. */
const valueEvents = (mapping: Mapping): number => (hasReferenceInList(mapping) ? CALL : 0);

function stepEvents(step: Step, estimate: Estimate): number {
  const { taskTimeout, wide } = estimate;
  const inside = (block: Block) => eventsOf(block, estimate);
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
      if (wide.has(step.name)) return CALL + STATE + tries;
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
function largest(block: Block, estimate: Estimate): string {
  const [first] = [...block.steps].sort((one, other) => stepEvents(other, estimate) - stepEvents(one, estimate));
  return first ? `"${first.name}"` : "its output";
}
