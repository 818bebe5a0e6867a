import type { Inputs, Rules } from "./service.ts";

/**
 * What CloudFlow refuses of a flow's definition: fields by their exact names, and the states they lead to.
 *
 * @see https://www.alibabacloud.com/help/en/serverless-workflow/latest/process-definition-introduction
 */
export function checkFlowDefinition(flow: Rules, definition: Inputs): void {
  flow
    .names("", ["Type", "Name", "SpecVersion", "StartAt", "States"])
    .oneOf("Type", ["StateMachine"])
    .oneOf("SpecVersion", ["v1"])
    .matches("Name", NAME);
  checkStates(flow, definition);
}

const NAME = /^[A-Za-z_][A-Za-z0-9_-]{0,127}$/;
const COMMON = "Type Name Description Next End InputConstructor OutputConstructor".split(" ");
const TRIED = "Retry Catch".split(" ");
/** Each type's fields besides those that all have. */
const FIELDS: Readonly<Record<string, readonly string[]>> = {
  Task: ["Action", "TaskMode", "Parameters", "Timeout", "Timeout.$", ...TRIED],
  Pass: [],
  Wait: ["Seconds", "Seconds.$"],
  Choice: ["Branches", "Default"],
  Parallel: ["Branches", ...TRIED],
  Map: ["ItemsPath", "Processor", "MaxConcuccency", ...TRIED],
  Succeed: [],
  Fail: ["Code", "Detail"],
};

/** The states of a flow, of a branch, or of what a map does for each item. */
function checkStates(scope: Rules, { StartAt, States }: Inputs): void {
  const states = Array.isArray(States) ? (States as readonly Inputs[]) : [];
  const names = states.map(({ Name }) => Name);
  const leads = (rules: Rules, field: string) => {
    if (rules.has(field)) rules.oneOf(field, names);
  };
  if (states.length === 0) scope.refuse("States", States, "a list of states, not a map");
  if (new Set(names).size < names.length) scope.refuse("States", names, "names that are each there once");
  if (!names.includes(StartAt)) scope.refuse("StartAt", StartAt, "the name of a state");
  scope.each("States", (state, { Type, Next, End, Branches }) => {
    const fields = FIELDS[String(Type)];
    state.oneOf("Type", Object.keys(FIELDS)).matches("Name", NAME);
    if (!fields) return;
    state.names("", [...COMMON, ...fields]);
    leads(state, "Next");
    leads(state, "Default");
    if (!["Choice", "Succeed", "Fail"].includes(String(Type)) && (Next === undefined) === (End === undefined)) {
      state.refuse("Next", Next, "either Next or End");
    }
    state
      .range("Seconds", 1, 300, "seconds")
      .oneOf("TaskMode", ["RequestComplete", "WaitForSystemCallback", "WaitForCustomCallback"])
      .matches("Timeout", /^\d{1,6}$/, "seconds, as a text")
      .each("Retry", (retry) => {
        retry
          .must("Description", "a text: it is required", (text: string) => text !== "")
          .range("MaxAttempts", 0, 100)
          .range("IntervalSeconds", 1, 86_400, "seconds")
          .range("MaxBackoffSeconds", 1, 86_400, "seconds");
        if (!retry.has("Description")) retry.refuse("Description", null, "a text: it is required");
      })
      .each("Catch", (caught) => {
        leads(caught, "Next");
        if (!caught.has("Description")) caught.refuse("Description", null, "a text: it is required");
      });
    if (Type === "Task") checkTask(state);
    if (Type === "Choice") {
      state.each("Branches", (branch) => {
        leads(branch, "Next");
        if (!branch.has("Condition")) branch.refuse("Condition", null, "an expression");
      });
      if (!state.has("Default")) state.refuse("Default", null, "the name of a state: it is required");
    }
    if (Type === "Parallel") {
      state.must("Branches", "1 to 50", (all: readonly unknown[]) => all.length >= 1 && all.length <= 50);
      for (const [index, branch] of ((Branches ?? []) as readonly Inputs[]).entries()) {
        state.inside(`Branches[${index}]`, branch, checkStates);
      }
    }
    if (Type === "Map") {
      state.matches("ItemsPath", /^\$/, "an expression").range("MaxConcuccency", 1, 40);
      state.inside("Processor", (state.value("Processor") ?? {}) as Inputs, checkStates);
    }
  });
}

function checkTask(state: Rules): void {
  state.matches("Action", /^[A-Za-z]+:[A-Za-z]+$/, "<Service>:<Api>");
  if (state.value("Action") !== "FC:InvokeFunction") return;
  state
    .names("Parameters", ["resourceArn", "invocationType", "body", "body.$"])
    .oneOf("Parameters.invocationType", ["Sync", "Async"])
    .matches(
      "Parameters.resourceArn",
      /^acs:fc:[a-z0-9-]+:\d+:functions\/[A-Za-z_][A-Za-z0-9_-]{0,63}\/[A-Za-z0-9_-]+$/,
      "acs:fc:<region>:<account>:functions/<name>/<qualifier>",
    );
}
