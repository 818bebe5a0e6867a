import { expect, it } from "vitest";
import { onFirstUse } from "../../lib/runtime/first-use.ts";

it("loads at the first use, once, also for several at once", async () => {
  let loads = 0;
  const use = onFirstUse(async () => {
    loads += 1;
    return { loads };
  });
  expect(loads).toBe(0);
  const [one, other] = await Promise.all([use(), use()]);
  expect(one).toBe(other);
  expect(await use()).toEqual({ loads: 1 });
});

it("a load that failed is tried again", async () => {
  const outcomes = [new Error("the network is away"), "there"];
  const use = onFirstUse(async () => {
    const outcome = outcomes.shift();
    if (outcome instanceof Error) throw outcome;
    return outcome;
  });
  await expect(use()).rejects.toThrow("the network is away");
  expect(await use()).toBe("there");
});
