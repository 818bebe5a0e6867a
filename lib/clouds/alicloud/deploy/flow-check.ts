import type { Problem } from "../../../shared/problem.ts";
import { exitsOf } from "./flow-scope.ts";
import {
  type Constructor,
  expressionsIn,
  type FlowDefinition,
  type FlowScope,
  type FlowState,
  fieldsIn,
} from "./flow-states.ts";

/**
 * What the service would refuse in a flow, or find out about in the middle of an execution only: fields that are
 * missing or out of their bounds, states that do not exist or are never come to, fields of the input that no state
 * before has handed on.
 *
 * @see https://www.alibabacloud.com/help/en/serverless-workflow/latest/process-definition-introduction
 */
export function checkFlow(flow: FlowDefinition): readonly Problem[] {
  const { Name, Type, SpecVersion } = flow;
  return [
    ...unless(FLOW_NAME.test(Name), Name, { message: "no name of a flow", given: Name, allowed: String(FLOW_NAME) }),
    ...unless(Type === "StateMachine", `${Name}.Type`, {
      message: "no such type",
      given: Type,
      allowed: "StateMachine",
    }),
    ...unless(SpecVersion === "v1", `${Name}.SpecVersion`, {
      message: "no such version",
      given: SpecVersion,
      allowed: "v1",
    }),
    // What an execution is started with is not known here: it is read by way of `$Context`.
    ...checkScope(flow, Name, new Set()),
  ];
}

/** https://www.alibabacloud.com/help/en/serverless-workflow/latest/limits */
const FLOW_NAME = /^[A-Za-z_][A-Za-z0-9_-]{0,127}$/;
const DAY = 86_400;
const WEEK = 7 * DAY;

type Wrong = Omit<Problem, "path">;
const unless = (isRight: boolean, path: string, wrong: Wrong): readonly Problem[] =>
  isRight ? [] : [{ path, ...wrong }];

/** @param given fields of the scope's input; nothing, where they are not known */
function checkScope(
  { StartAt, States }: FlowScope,
  path: string,
  given: ReadonlySet<string> | undefined,
): readonly Problem[] {
  const names = new Set(States.map(({ Name }) => Name));
  const twice = States.filter(({ Name }, index) => States.findIndex((one) => one.Name === Name) < index);
  const missing = States.flatMap((state) =>
    exitsOf(state)
      .filter((next) => !names.has(next))
      .map((next) => ({
        path: `${path}.${state.Name}`,
        message: "it leads to a state that does not exist",
        given: next,
      })),
  );
  if (!names.has(StartAt) || missing.length > 0) {
    return [
      ...unless(names.has(StartAt), `${path}.StartAt`, { message: "there is no such state", given: StartAt }),
      ...missing,
    ];
  }
  const known = knownIn(States, StartAt, given);
  return [
    ...twice.map(({ Name }) => ({ path: `${path}.${Name}`, message: "there is a state of this name already" })),
    ...States.flatMap((state) => {
      const where = `${path}.${state.Name}`;
      const fields = known.get(state.Name);
      return fields === undefined
        ? [{ path: where, message: "nothing leads to this state" }]
        : [...checkState(state, where), ...checkReads(state, where, fields), ...checkInside(state, where, fields)];
    }),
  ];
}

/** Every field there may be. */
const ANY = "any";
type Fields = ReadonlySet<string> | typeof ANY;

/** The fields of each state's input, whichever way the execution came to it; nothing for one it never comes to. */
function knownIn(
  states: readonly FlowState[],
  start: string,
  given: ReadonlySet<string> | undefined,
): ReadonlyMap<string, Fields> {
  const byName = new Map(states.map((state) => [state.Name, state] as const));
  const known = new Map<string, Fields>([[start, given ?? ANY]]);
  const open = [start];
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    const state = byName.get(name)!;
    for (const [next, fields] of handed(state, known.get(name)!)) {
      const before = known.get(next);
      const now = before === undefined ? fields : both(before, fields);
      if (before !== undefined && (before === now || (before !== ANY && now !== ANY && before.size === now.size)))
        continue;
      known.set(next, now);
      open.push(next);
    }
  }
  return known;
}

const both = (one: Fields, other: Fields): Fields =>
  one === ANY ? other : other === ANY ? one : new Set([...one].filter((field) => other.has(field)));

function handed(state: FlowState, input: Fields): readonly (readonly [next: string, Fields])[] {
  const output = state.Type === "Choice" ? input : state.OutputConstructor ? fieldsOf(state.OutputConstructor) : ANY;
  const caught = (state.Catch ?? []).map((rule) => [rule.Next, fieldsOf(rule.OutputConstructor)] as const);
  const others = exitsOf({ ...state, Catch: [] }).map((next) => [next, output] as const);
  return [...others, ...caught];
}

const fieldsOf = (fields: Constructor): Fields => new Set(Object.keys(fields).map((name) => name.replace(/\.\$$/, "")));

function checkReads(state: FlowState, path: string, known: Fields): readonly Problem[] {
  if (known === ANY) return [];
  const unknown = fieldsIn(ownExpressions(state)).filter((field) => !known.has(field));
  return [...new Set(unknown)].map((field) => ({
    path,
    message: "it reads what no state before it hands on",
    given: `$Input.${field}`,
    allowed: [...known].map((one) => `$Input.${one}`).join(", ") || "nothing",
  }));
}

/** Those of the state itself, without the scopes inside it. */
function ownExpressions({ Branches = [], Processor: _, ...state }: FlowState): readonly string[] {
  const conditions = Branches.flatMap((branch) => ("Condition" in branch ? [branch.Condition] : []));
  return [...expressionsIn(state), ...conditions, ...(state.ItemsPath === undefined ? [] : [state.ItemsPath])];
}

function checkInside(state: FlowState, path: string, known: Fields): readonly Problem[] {
  const { Branches = [], Processor } = state;
  const fields = known === ANY ? undefined : known;
  return [
    ...Branches.flatMap((branch, index) =>
      "States" in branch ? checkScope(branch, `${path}.Branches[${index}]`, fields) : [],
    ),
    ...(Processor ? checkScope(Processor, `${path}.Processor`, undefined) : []),
  ];
}

/** What every state may have. */
const COMMON = ["Type", "Name", "Description", "InputConstructor", "OutputConstructor"];
const FIELDS: Readonly<
  Record<FlowState["Type"], { readonly has: readonly string[]; readonly needs: readonly string[] }>
> = {
  Task: {
    has: ["Next", "End", "Action", "TaskMode", "Parameters", "Timeout", "Timeout.$", "Retry", "Catch"],
    needs: ["Action", "Parameters"],
  },
  Pass: { has: ["Next", "End"], needs: [] },
  Wait: { has: ["Next", "End", "Seconds", "Seconds.$"], needs: [] },
  Choice: { has: ["Branches", "Default"], needs: ["Branches", "Default"] },
  Parallel: { has: ["Next", "End", "Branches", "Retry", "Catch"], needs: ["Branches"] },
  Map: {
    has: ["Next", "End", "ItemsPath", "Processor", "MaxConcuccency", "Retry", "Catch"],
    needs: ["ItemsPath", "Processor"],
  },
  Succeed: { has: ["Next", "End"], needs: [] },
  Fail: { has: ["End", "Code", "Detail"], needs: ["Detail"] },
};

function checkState(state: FlowState, path: string): readonly Problem[] {
  const { has, needs } = FIELDS[state.Type] ?? { has: [], needs: [] };
  const fields = Object.keys(state);
  const ends = (state.Next === undefined ? 0 : 1) + (state.End ? 1 : 0);
  return [
    ...unless(state.Type in FIELDS, path, {
      message: "no such type",
      given: state.Type,
      allowed: Object.keys(FIELDS).join(", "),
    }),
    ...unless(/^.{1,128}$/u.test(state.Name), path, {
      message: "a name has 1 to 128 characters",
      given: state.Name.length,
    }),
    ...fields
      .filter((field) => state.Type in FIELDS && !has.includes(field) && !COMMON.includes(field))
      .map((field) => ({ path: `${path}.${field}`, message: `a state of type ${state.Type} has no such field` })),
    ...needs
      .filter((field) => !fields.includes(field))
      .map((field) => ({ path: `${path}.${field}`, message: `a state of type ${state.Type} needs it` })),
    ...unless(state.Type === "Choice" || state.Type === "Fail" || ends === 1, path, {
      message: "a state says Next, or End: true, and not both",
    }),
    ...checkBounds(state, path),
    ...checkRules(state, path),
    ...checkExpressions(state, path),
  ];
}

function checkBounds(state: FlowState, path: string): readonly Problem[] {
  const { Type, Seconds, Timeout, Branches, MaxConcuccency } = state;
  const isDynamic = state["Seconds.$"] !== undefined;
  const seconds = Number(Timeout ?? 0);
  return [
    ...unless(Type !== "Wait" || isDynamic || isWhole(Seconds, 1, 300), `${path}.Seconds`, {
      message: "a wait takes so many seconds",
      given: Seconds,
      allowed: "1 to 300",
    }),
    ...unless(Timeout === undefined || (/^\d+$/.test(Timeout) && seconds <= WEEK), `${path}.Timeout`, {
      message: "a timeout is a text with whole seconds",
      given: Timeout,
      allowed: `"0" to "${WEEK}"`,
    }),
    ...unless(Branches === undefined || isWhole(Branches.length, 1, 50), `${path}.Branches`, {
      message: "so many branches are taken",
      given: Branches?.length,
      allowed: "1 to 50",
    }),
    ...unless(MaxConcuccency === undefined || isWhole(MaxConcuccency, 1, 40), `${path}.MaxConcuccency`, {
      message: "so many items are done at once",
      given: MaxConcuccency,
      allowed: "1 to 40",
    }),
  ];
}

const isWhole = (value: unknown, least: number, most: number): boolean =>
  Number.isInteger(value) && (value as number) >= least && (value as number) <= most;

function checkRules({ Retry = [], Catch = [] }: FlowState, path: string): readonly Problem[] {
  const described = [
    ...Retry.map((rule) => ["Retry", rule] as const),
    ...Catch.map((rule) => ["Catch", rule] as const),
  ];
  return [
    ...described.flatMap(([field, { Errors, Description }]) => [
      ...unless(Description !== "" && Description !== undefined, `${path}.${field}.Description`, {
        message: "a rule needs it",
      }),
      ...unless(Errors.length > 0, `${path}.${field}.Errors`, { message: "a rule names an error", allowed: "FnF.ALL" }),
    ]),
    ...Retry.flatMap(({ MaxAttempts, IntervalSeconds, MaxBackoffSeconds }) => [
      ...unless(isWhole(MaxAttempts, 1, 1000), `${path}.Retry.MaxAttempts`, {
        message: "a whole number is wanted",
        given: MaxAttempts,
        allowed: "1 or more",
      }),
      ...[IntervalSeconds, MaxBackoffSeconds ?? 1].flatMap((seconds) =>
        unless(isWhole(seconds, 1, DAY), `${path}.Retry`, {
          message: "so many seconds are waited",
          given: seconds,
          allowed: `1 to ${DAY}`,
        }),
      ),
    ]),
  ];
}

const ROOTS =
  /^\$(Input|Output|Context\.Execution\.(Name|Input|RoleArn)|Context\.Current\.(Name|Input|TaskToken|RetryCount|Error\.(Code|Detail)))(\.|$)/;

function checkExpressions(state: FlowState, path: string): readonly Problem[] {
  const { OutputConstructor, Catch: _catch, ...before } = state;
  const early = ownExpressions(before).filter((text) => /\$Output\b/.test(text));
  const unknown = ownExpressions(state)
    .flatMap((text) => withoutTexts(text).match(/\$[\w.]*/g) ?? [])
    .filter((root) => !ROOTS.test(root));
  const deaf = ownExpressions(state).filter((text) => !/[$(]/.test(text));
  return [
    ...early.map((given) => ({ path, message: "$Output is known in OutputConstructor only", given })),
    ...unknown.map((given) => ({
      path,
      message: "an expression names what there is not",
      given,
      allowed: "$Input, $Output, $Context",
    })),
    ...deaf.map((given) => ({ path, message: "what stands under a name that ends in .$ is an expression", given })),
    ...inLists(state)
      .filter(() => state.Type !== "Parallel")
      .map((given) => ({ path, message: "no expression stands in a list", given })),
    ...unless(
      state.TaskMode === "WaitForCustomCallback" || !ownExpressions(state).some((text) => text.includes("TaskToken")),
      path,
      { message: "a token is there for TaskMode WaitForCustomCallback only" },
    ),
  ];
}

const withoutTexts = (expression: string): string => expression.replace(/"[^"]*"/g, '""');

/** Names of expressions in the lists of a state's own constructors. */
const inLists = ({ Parameters, OutputConstructor }: FlowState): readonly string[] =>
  [Parameters, OutputConstructor].flatMap((part) => namesInLists(part, false));

function namesInLists(value: unknown, isListed: boolean): readonly string[] {
  if (Array.isArray(value)) return value.flatMap((inner) => namesInLists(inner, true));
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]) =>
    name.endsWith(".$") ? (isListed ? [name] : []) : namesInLists(inner, isListed),
  );
}
