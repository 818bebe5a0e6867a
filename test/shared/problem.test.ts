import { expect, test } from "vitest";
import { formatProblem, ProblemsError, refuse } from "../../lib/shared/problem.ts";

const PROBLEM = { path: "videos.timeout", message: "too long", given: "2 days", allowed: "at most 1 day" };

test("a problem says where, what was given and what is allowed", () => {
  expect(formatProblem(PROBLEM)).toBe('videos.timeout: too long (given "2 days"; allowed: at most 1 day)');
});

test("facts that are not there are left out", () => {
  expect(formatProblem({ path: "a", message: "b" })).toBe("a: b");
  expect(formatProblem({ path: "a", message: "b", given: false })).toBe("a: b (given false)");
  expect(formatProblem({ path: "a", message: "b", given: 0 })).toBe("a: b (given 0)");
});

test("all problems come in one error", () => {
  const problems = [PROBLEM, { path: "videos.sizes", message: "name one" }];
  expect(() => refuse(problems)).toThrow(ProblemsError);
  expect(new ProblemsError(problems).message).toBe(
    '2 problems\n  videos.timeout: too long (given "2 days"; allowed: at most 1 day)\n  videos.sizes: name one',
  );
  expect(new ProblemsError([PROBLEM]).message).toMatch(/^1 problem\n/);
  expect(new ProblemsError(problems).problems).toEqual(problems);
});

test("no problem, no error", () => {
  expect(() => refuse([])).not.toThrow();
});
