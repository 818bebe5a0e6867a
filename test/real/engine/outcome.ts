import type { EngineEvent } from "@pulumi/pulumi/automation/index.js";

/** One step of the engine. */
export interface Step {
  /** `create`, `same`, `update`, `replace`, `create-replacement`, `delete-replaced`, `delete`, `discard`, … */
  readonly op: string;
  readonly urn: string;
  readonly type: string;
  readonly name: string;
}

/** What came of a verb. */
export interface Outcome {
  readonly steps: readonly Step[];
  /** What the CLI says is wrong, if it failed. */
  readonly error?: string;
}

/** Runs a verb and gathers the steps the engine says it takes. */
export async function outcomeOf(
  run: (onEvent: (event: EngineEvent) => void, onOutput: (text: string) => void) => Promise<unknown>,
): Promise<Outcome> {
  const steps: Step[] = [];
  let text = "";
  const onEvent = ({ resourcePreEvent }: EngineEvent) => {
    if (resourcePreEvent) steps.push(stepOf(resourcePreEvent.metadata));
  };
  try {
    await run(onEvent, (output) => {
      text += output;
    });
    return { steps };
  } catch (error) {
    return { steps, error: diagnosticsIn(text) ?? (error as Error).message };
  }
}

/** The part of what the CLI wrote that says what is wrong. */
const diagnosticsIn = (text: string): string | undefined =>
  /^Diagnostics:\n(.*?)(?=^(Outputs|Resources|Duration|Policies):|(?![\s\S]))/ms.exec(text)?.[1];

const stepOf = ({ op, urn }: { op: string; urn: string }): Step => {
  const [, , types, name] = urn.slice("urn:pulumi:".length).split("::") as [string, string, string, string];
  return { op, urn, type: types.split("$").at(-1)!, name };
};
