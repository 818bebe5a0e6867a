import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  attemptId,
  checkId,
  PORTABLE_NAME,
  platformName,
  rerunId,
  splitRerun,
} from "../../../lib/runtime/tasks/ids.ts";

const FC = { max: 128, pattern: /^[A-Za-z_][A-Za-z0-9_-]*$/ };
const STEP_FUNCTIONS = { max: 80, pattern: /^[A-Za-z0-9_-]+$/ };

describe("platformName", () => {
  test.each([
    ["resize-cat-2024", PORTABLE_NAME, "resize-cat-2024"],
    ["Resize_Cat", FC, "Resize_Cat"],
    ["Resize_Cat", PORTABLE_NAME, /^resize-cat-[a-z0-9]{10}$/],
    ["中文", PORTABLE_NAME, /^run-[a-z0-9]{10}$/],
    ["2024/01/video.mp4", PORTABLE_NAME, /^video-mp4-[a-z0-9]{10}$/],
    ["x".repeat(200), STEP_FUNCTIONS, /^x{40}-[a-z0-9]{10}$/],
    ["ends-in-", PORTABLE_NAME, /^ends-in-[a-z0-9]{10}$/],
  ])("%s", (id, rule, name) => {
    expect(platformName(id, rule)).toMatch(typeof name === "string" ? new RegExp(`^${name}$`) : name);
  });

  test("any id gives a name by the rule, and two ids never the same one", () => {
    const id = fc.string({ minLength: 1, maxLength: 200, unit: "grapheme" });
    fc.assert(
      fc.property(id, id, fc.constantFrom(FC, STEP_FUNCTIONS, PORTABLE_NAME), (a, b, rule) => {
        const name = platformName(a, rule);
        expect(name.length).toBeLessThanOrEqual(rule.max);
        expect(name).toMatch(rule.pattern);
        if (a !== b) expect(platformName(b, rule)).not.toBe(name);
      }),
    );
  });

  test("an id cannot pose as another's hashed name; tenants do not share one", () => {
    const hashed = platformName("Mine!", PORTABLE_NAME);
    expect(platformName(hashed, PORTABLE_NAME)).not.toBe(hashed);
    expect(platformName("Mine!", PORTABLE_NAME, "red")).not.toBe(hashed);
  });
});

test("attempts of runs never share an id", () => {
  const ids = ["x", "x--a1", "x--r1", "x--r1--a1"];
  const all = ids.flatMap((id) => [1, 2, 11].map((attempt) => attemptId({ id, attempt })));
  expect(new Set(all).size).toBe(all.length);
  expect(attemptId({ id: "x", attempt: 3 })).toBe("x--a3");
});

test("reruns are numbered from their base", () => {
  expect(splitRerun("x--r12")).toEqual({ base: "x", number: 12 });
  expect(splitRerun("x--r0")).toEqual({ base: "x--r0", number: 0 });
  expect(splitRerun("--r1")).toEqual({ base: "--r1", number: 0 });
  expect(splitRerun("x\ny--r2")).toEqual({ base: "x\ny", number: 2 });
  expect(rerunId("x", 2)).toBe("x--r2");
  expect(() => checkId(rerunId("x".repeat(200), 7))).not.toThrow();
});
