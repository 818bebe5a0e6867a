import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { evaluate } from "../../lib/program/evaluate.ts";
import { startLocal } from "../../lib/testing/index.ts";

const program = fileURLToPath(new URL("./programs/two-clouds-stack.ts", import.meta.url));
const project = fileURLToPath(new URL("../..", import.meta.url));

test("a program on three clouds runs on this computer: its buckets are all in one place, and nobody asks for keys", async () => {
  await using cloud = await startLocal({ program, project });
  await cloud.buckets.bucket("near-files").put("cat.txt", "meow");
  for (const task of ["regions", "clouds"]) {
    const { id } = await cloud.tasks.submit(task, { key: "cat.txt" });
    expect(await cloud.tasks.wait(task, id)).toMatchObject({ status: "succeeded", resultPreview: '["from","to"]' });
  }
  expect(Buffer.from(await cloud.buckets.bucket("far-files").get("cat.txt")).toString()).toBe("meow");
  expect(await cloud.buckets.bucket("near-files").head("cat.txt")).toBeUndefined();
  expect(
    cloud
      .usedVerbs("clouds-task-work")
      .map(({ part, action }) => `${action} ${part}`)
      .sort(),
  ).toEqual(["bucket.read middle-files", "bucket.remove middle-files", "bucket.write far-files"]);
});

test("its plan is read without any account, and its output has all of them", async () => {
  const { plan, problems, outputs } = await evaluate({ folder: project, program });
  expect(problems).toEqual([]);
  expect(plan.clouds.map(({ name }) => name)).toEqual(["alicloud-cn-hangzhou", "alicloud-cn-beijing", "aws-us-east-1"]);
  expect(plan.parts.find(({ name }) => name === "clouds-task-work")).toMatchObject({
    links: {
      from: { part: "middle-files" },
      to: { part: "far-files", cloud: "aws-us-east-1", keys: "keys-first" },
      "$keys.keys-first": { part: "keys-first" },
    },
  });
  const { addresses } = outputs.millrace as { readonly addresses: Readonly<Record<string, unknown>> };
  expect(Object.keys(addresses).sort()).toEqual(plan.parts.map(({ name }) => name).sort());
});
