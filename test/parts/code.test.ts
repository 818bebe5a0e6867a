import { expect, test } from "vitest";
import { code, toCodePlan } from "../../lib/parts/code.ts";

test("a URL and an absolute path name a file", () => {
  expect(code(new URL("file:///app/resize.ts")).file).toBe("/app/resize.ts");
  expect(code("file:///app/resize.ts").file).toBe("/app/resize.ts");
  expect(code("/app/resize.ts").file).toBe("/app/resize.ts");
});

test("a URL's escapes are undone", () => {
  expect(code(new URL("./my file %2B.ts", "file:///app/")).file).toBe("/app/my file +.ts");
});

test.each(["./resize.ts", "resize.ts", "../resize.ts", ""])("%j is refused: relative to what?", (file) => {
  expect(() => code(file)).toThrow(
    `code: a file is given by URL or absolute path, such as new URL("./resize.ts", import.meta.url), got "${file}"`,
  );
});

test("a URL that is no file is refused", () => {
  expect(() => code(new URL("https://example.com/a.ts"))).toThrow(/file/i);
});

test("the plan tells code of ours from a user's file", () => {
  expect(toCodePlan("tasks/dispatch")).toEqual({ id: "tasks/dispatch" });
  expect(toCodePlan(code("/app/resize.ts"))).toEqual({ file: "/app/resize.ts" });
});
