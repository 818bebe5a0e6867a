import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import type { Task } from "../../lib/runtime/tasks/task.ts";
import { startLocal } from "../../lib/testing/index.ts";
import type { Score } from "./programs/scores.ts";

const program = new URL("./programs/scores-stack.ts", import.meta.url);
const project = fileURLToPath(new URL("../..", import.meta.url));

test("a handler calls a program of its code, which stays for the next call", async () => {
  await using cloud = await startLocal({ program, project });
  expect(cloud.declared.parts.find(({ name }) => name === "scores-task-work-score")).toMatchObject({
    kind: "function",
    program: { image: { port: 9000, command: [] } },
    memory: 2 ** 30,
    links: {},
  });
  const run = async (pixels: readonly number[]): Promise<Task> => {
    const { id } = await cloud.tasks.submit("scores", { pixels });
    return cloud.tasks.wait("scores", id);
  };
  const first = await run([1, 2, 3]);
  const second = await run([4, 5]);
  expect([first, second]).toMatchObject([{ status: "succeeded" }, { status: "succeeded" }]);
  const [one, two] = (await Promise.all(
    [first, second].map(async ({ id }) => (await cloud.tasks.audit("scores", id))?.result),
  )) as [Score, Score];
  expect([one.sum, two.sum]).toEqual([6, 9]);
  expect(one.by).toBe(two.by);

  const failed = await run([]);
  expect(failed).toMatchObject({ status: "failed" });
  expect(failed.attempts[0]?.error?.message).toBe("the program failed: there are no pixels");

  const ended = await run([-1]);
  expect(ended.attempts[0]?.error?.message).toMatch(/ended with code 3|does not answer/);
  expect(await run([7])).toMatchObject({ status: "succeeded" });
});

test("an image without a command for this computer is refused in words that say what to do", async () => {
  await using cloud = await startLocal({ program, project });
  const { id } = await cloud.tasks.submit("unplaced", { pixels: [1] });
  const run = await cloud.tasks.wait("unplaced", id);
  expect(run.attempts[0]?.error?.message).toMatch(
    /registry\.example\.com\/score@sha256:0+ does not run here: name a command/,
  );
});
