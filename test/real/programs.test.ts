import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { startLocal } from "../../lib/testing/index.ts";

const program = new URL("../local/programs/python-stack.ts", import.meta.url);
const project = fileURLToPath(new URL("../..", import.meta.url));

test("a handler calls a Python function with the libraries it requires", async () => {
  await using cloud = await startLocal({ program, project });
  const run = async (id: string, payload: unknown) => {
    await cloud.tasks.submit("scores", payload, { id });
    return cloud.tasks.wait("scores", id);
  };
  expect(await run("good", { pixels: [1, 2, 3] })).toMatchObject({ status: "succeeded" });
  expect((await cloud.tasks.audit("scores", "good"))?.result).toMatchObject({ sum: 6 });
  const failed = await run("empty", { pixels: [] });
  expect(failed.attempts[0]?.error).toMatchObject({ message: "the program failed: ValueError: there are no pixels" });
  expect(failed.attempts[0]?.error?.stack).toContain("score.py");
});
