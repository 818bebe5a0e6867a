import { describe, expect, test } from "vitest";
import { DEFINITIONS, FUNCTIONS } from "../../workflows/definitions.ts";
import { compiled, execute, statesIn, validate } from "./asl.ts";

describe.each(DEFINITIONS)("$name", ({ definition, input, expected, calls, tasks, answers }) => {
  test("is Amazon States Language", () => {
    const machine = compiled(definition);
    const { isValid, errorsText } = validate(machine);
    expect(errorsText("\n")).toBe("");
    expect(isValid).toBe(true);
    const names = statesIn(machine).map(([name]) => name);
    expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
    expect(names.filter((name) => name.length > 80)).toEqual([]);
  });

  test("comes to what is expected", async () => {
    const ended = await execute(compiled(definition), input, {
      functions: FUNCTIONS,
      ...(tasks && { tasks }),
      ...(answers && { answers }),
    });
    if ("output" in expected) expect(ended.outcome).toEqual(expected);
    else expect(ended.outcome).toMatchObject(expected);
    for (const [name, times] of Object.entries(calls ?? {}))
      expect([name, ended.calls[name] ?? 0]).toEqual([name, times]);
  });
});
