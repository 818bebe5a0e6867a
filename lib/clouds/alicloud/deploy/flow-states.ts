/**
 * Flow Definition Language as plain JSON, which is YAML too.
 * https://www.alibabacloud.com/help/en/serverless-workflow/latest/process-definition-introduction
 */
export interface FlowDefinition {
  readonly Type: "StateMachine";
  /** The flow's own name. */
  readonly Name: string;
  readonly SpecVersion: "v1";
  readonly StartAt: string;
  readonly States: readonly FlowState[];
}

/** States of one scope: a flow, a branch, or what a map does for each item. */
export interface FlowScope {
  readonly StartAt: string;
  readonly States: readonly FlowState[];
}

/** What a state hands on: a field whose name ends in `.$` holds an expression, every other one a literal. */
export type Constructor = Readonly<Record<string, unknown>>;

export interface FlowRetry {
  readonly Errors: readonly string[];
  readonly Description: string;
  /** Without the first try. */
  readonly MaxAttempts: number;
  readonly IntervalSeconds: number;
  readonly BackoffRate?: number;
  readonly MaxBackoffSeconds?: number;
}

export interface FlowCatch {
  readonly Errors: readonly string[];
  readonly Description: string;
  readonly OutputConstructor: Constructor;
  readonly Next: string;
}

/** One state. What it may hold depends on its type; `checkFlow` says what is wrong with one. */
export interface FlowState {
  readonly Type: "Task" | "Pass" | "Wait" | "Choice" | "Parallel" | "Map" | "Succeed" | "Fail";
  readonly Name: string;
  readonly Next?: string;
  readonly End?: true;
  readonly OutputConstructor?: Constructor;
  readonly Action?: string;
  readonly TaskMode?: "RequestComplete" | "WaitForSystemCallback" | "WaitForCustomCallback";
  readonly Parameters?: Constructor;
  /** Seconds, as a text. */
  readonly Timeout?: string;
  readonly Retry?: readonly FlowRetry[];
  readonly Catch?: readonly FlowCatch[];
  readonly Seconds?: number;
  readonly "Seconds.$"?: string;
  readonly Branches?: readonly { readonly Condition: string; readonly Next: string }[] | readonly FlowScope[];
  readonly Default?: string;
  readonly ItemsPath?: string;
  readonly Processor?: FlowScope;
  /** Spelled as the vendor's field tables spell it. https://www.alibabacloud.com/help/en/serverless-workflow/latest/inline-mode */
  readonly MaxConcuccency?: number;
  readonly Code?: string;
  readonly Detail?: string;
}

/** The expressions of a value: what stands under a name that ends in `.$`. */
export function expressionsIn(value: unknown): readonly string[] {
  if (Array.isArray(value)) return value.flatMap(expressionsIn);
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]) =>
    name.endsWith(".$") ? [String(inner)] : expressionsIn(inner),
  );
}

/** The fields of a state's input that expressions read. */
export const fieldsIn = (expressions: readonly string[]): readonly string[] =>
  expressions.flatMap((text) => [...text.matchAll(/\$Input\.([A-Za-z_]\w*)/g)].map(([, name]) => name!));

/** The same states with other parameters of their tasks. */
export function withParameters<Scope extends FlowScope>(
  scope: Scope,
  change: (parameters: Constructor) => Constructor,
): Scope {
  const changed = scope.States.map(
    ({ Branches, ...state }): FlowState => ({
      ...state,
      ...(state.Parameters && { Parameters: change(state.Parameters) }),
      ...(state.Processor && { Processor: withParameters(state.Processor, change) }),
      ...(Branches && {
        Branches: Branches.map((branch) =>
          "States" in branch ? withParameters(branch, change) : branch,
        ) as NonNullable<FlowState["Branches"]>,
      }),
    }),
  );
  return { ...scope, States: changed };
}

/** A flow as the service reads it: JSON, with the characters escaped that are line breaks or not printable in YAML alone. */
export const flowText = (flow: FlowDefinition): string =>
  JSON.stringify(flow).replace(
    /[\u007f-\u009f\u2028\u2029\ufeff\ufffe\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
