import { expect, test } from "vitest";
import { joinedSystem } from "../../lib/client/joined.ts";
import { deployedStreams } from "../../lib/client/streams.ts";
import { deployedClient } from "../../lib/client/system.ts";
import type { Plan } from "../../lib/parts/plan.ts";
import { MillraceError } from "../../lib/runtime/errors.ts";
import type { DeployedSystem } from "../../lib/runtime/system.ts";
import type { WorkflowClient, WorkflowRun } from "../../lib/runtime/workflows/run.ts";

const plan = {
  ...{ version: 1, project: "p", stack: "dev", constructs: [] },
  clouds: [
    { name: "here", kind: "alicloud" },
    { name: "there", kind: "aws" },
    { name: "bare", kind: "kubernetes" },
  ],
  parts: [
    { kind: "workflow", name: "near", cloud: "here" },
    { kind: "workflow", name: "far", cloud: "there" },
  ],
} as unknown as Plan;

/** Knows callbacks that begin with the cloud's name, and answers with it. */
function workflowsOf(cloud: string, answered: string[]): WorkflowClient {
  const run = async (workflow: string) => ({ workflow, id: cloud }) as WorkflowRun;
  return {
    ...{ start: run, stop: run, retry: run },
    get: async () => undefined,
    list: async (workflow) => ({ runs: [await run(workflow)] }),
    async answer(callback) {
      if (!callback.startsWith(cloud)) throw new MillraceError("not-found", `${cloud} knows no ${callback}`);
      answered.push(`${cloud}: ${callback}`);
    },
  };
}

const open = (answered: string[], opened: string[], parts = plan) =>
  joinedSystem(parts, async ({ name }) => {
    opened.push(name);
    const workflows = name === "bare" ? {} : { workflows: workflowsOf(name, answered) };
    return { ...workflows, close: async () => {} } as DeployedSystem;
  });

const noStreams = deployedStreams({ plan, addresses: {} }, {});

test("each verb goes to the cloud that has the workflow, and no other is opened", async () => {
  const opened: string[] = [];
  const { workflows } = deployedClient({ plan, addresses: {} }, open([], opened), noStreams);
  expect(await workflows.start("far", {})).toMatchObject({ workflow: "far", id: "there" });
  expect(await workflows.list("far")).toMatchObject({ runs: [{ id: "there" }] });
  expect(opened).toEqual(["there"]);
  await expect(workflows.stop("nobody", "x")).rejects.toMatchObject({
    kind: "not-found",
    message: 'there is no workflow "nobody"; there are: "near", "far"',
  });
});

test("an answer goes to the cloud that knows its callback", async () => {
  const answered: string[] = [];
  const { workflows } = deployedClient({ plan, addresses: {} }, open(answered, []), noStreams);
  await workflows.answer("there/run/step", { output: 1 });
  expect(answered).toEqual(["there: there/run/step"]);
  await expect(workflows.answer("nobody/run/step", { output: 1 })).rejects.toMatchObject({ kind: "not-found" });
});

test("a cloud whose workflows nobody reaches says so", async () => {
  const bare = { ...plan, parts: [{ kind: "workflow", name: "own", cloud: "bare" }] } as unknown as Plan;
  const { workflows } = deployedClient({ plan: bare, addresses: {} }, open([], [], bare), noStreams);
  for (const verb of [
    workflows.start("own", {}),
    workflows.get("own", "x"),
    workflows.answer("own/x/y", { output: 1 }),
  ]) {
    await expect(verb).rejects.toMatchObject({
      kind: "refused",
      message: expect.stringContaining("cannot be reached"),
    });
  }
});
