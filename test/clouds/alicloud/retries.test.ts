import { expect, it } from "vitest";
import { stepsOf } from "../../../lib/shared/workflow/definition.ts";
import { DEFINITIONS, type DefinitionCase } from "../../workflows/definitions.ts";
import { wideWorld } from "./wide-world.ts";

/** What is called besides the functions of the user's. */
const isOurs = (name: string): boolean => name.startsWith("$");

/** Without those whose functions fail by themselves, and one whose attempts alone are more than an execution takes. */
const isPlain = ({ name, definition, expected, tasks }: DefinitionCase): boolean =>
  "output" in expected &&
  !tasks &&
  name !== "deep" &&
  !stepsOf(definition).some((step) => step.type === "function" && ["flaky", "fails"].includes(step.function));

it.each(DEFINITIONS.filter(isPlain).map((one) => [one.name, one] as const))(
  "%s: wherever a run fails, it is gone on with, and what succeeded is not done again",
  async (_, one) => {
    for (let [broken, calls] = [1, 1]; calls >= broken; broken += 1) {
      calls = 0;
      let isBroken = true;
      let lost: string | undefined;
      const { runs, fnf, begun, close } = await wideWorld(one, {
        maps: new Map(),
        before: (name, { step }) => {
          if (!isBroken || isOurs(name)) return;
          if (lost === undefined) calls += 1;
          if (calls < broken) return;
          // However often it is tried.
          lost ??= step;
          if (lost === step) throw new Error("the function is gone");
        },
      });
      await runs.start("r", one.input);
      await fnf.over();
      const failed = (await runs.get("r"))!.run.status === "failed";
      isBroken = false;
      if (failed && lost !== undefined) {
        const done = new Set(begun.splice(0));
        await runs.retry("r");
        await fnf.over();
        const { run, output } = (await runs.get("r"))!;
        expect({ broken, status: run.status, output }).toEqual({
          broken,
          status: "succeeded",
          output: (one.expected as { output: unknown }).output,
        });
        expect({ broken, again: begun.filter((step) => done.has(step)) }).toEqual({ broken, again: [] });
      }
      await close();
    }
  },
);
