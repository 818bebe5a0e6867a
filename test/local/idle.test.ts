import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { runs, scene } from "./scene.ts";

const program = fileURLToPath(new URL("./programs/reading.ts", import.meta.url));

test("idle waits for runs whose folders take a while to clear away", async () => {
  const cloud = await scene().start({ program });
  for (let paper = 0; paper < 100; paper += 1)
    await cloud.buckets.bucket("archive-papers").put(`paper ${paper}`, `${paper}`);
  for (const id of ["first", "second", "third"]) await cloud.tasks.submit("reading", null, { id });
  await cloud.idle();
  expect((await runs(cloud, "reading")).map(({ status }) => status)).toEqual(["succeeded", "succeeded", "succeeded"]);
});
