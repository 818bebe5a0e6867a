import { expect, test } from "vitest";
import { joinedSystem } from "../../lib/client/joined.ts";
import type { CloudPlan, PartKind, Plan } from "../../lib/parts/plan.ts";
import type { DeployedSystem } from "../../lib/runtime/system.ts";
import type { TaskLogLine } from "../../lib/runtime/tasks/task.ts";

const clouds: readonly CloudPlan[] = [
  { name: "alicloud-cn-hangzhou", kind: "alicloud", region: "cn-hangzhou" },
  { name: "aws-us-east-1", kind: "aws", region: "us-east-1" },
];
const part = (kind: PartKind, name: string, cloud: string) =>
  ({ kind, name, cloud }) as unknown as Plan["parts"][number];
const plan: Plan = {
  version: 1,
  project: "p",
  stack: "s",
  clouds,
  constructs: [],
  parts: [
    part("task", "near", clouds[0]!.name),
    part("task", "far", clouds[1]!.name),
    part("bucket", "files", clouds[1]!.name),
  ],
};

/** What was asked of which cloud. */
function recorded() {
  const asked: string[] = [];
  const open = async ({ name: cloud }: CloudPlan): Promise<DeployedSystem> => {
    asked.push(`open ${cloud}`);
    const answer = (verb: string) => async (name: string) => void asked.push(`${verb} ${name} on ${cloud}`);
    const tasks = Object.fromEntries(
      ["submit", "get", "list", "stop", "retry", "audit", "wait"].map((verb) => [verb, answer(verb)]),
    );
    async function* logs(task: string) {
      asked.push(`logs ${task} on ${cloud}`);
      yield { message: cloud } as TaskLogLine;
    }
    const system = {
      tasks: { ...tasks, logs },
      bucket: answer("bucket"),
      queue: answer("queue"),
      close: answer("close"),
    };
    return system as unknown as DeployedSystem;
  };
  return { asked, system: joinedSystem(plan, open) };
}

test("every verb goes to the cloud of its task, which is opened once, and only if it is asked", async () => {
  const { asked, system } = recorded();
  await system.tasks.submit("far", {});
  await system.tasks.stop("far", "a");
  await system.bucket("files");
  const lines = [];
  for await (const line of system.tasks.logs("far", "a")) lines.push(line.message);
  expect(lines).toEqual(["aws-us-east-1"]);
  expect(asked).toEqual([
    "open aws-us-east-1",
    ...["submit far", "stop far", "bucket files", "logs far"].map((what) => `${what} on aws-us-east-1`),
  ]);
  await system.tasks.get("near", "a");
  expect(asked.slice(-2)).toEqual(["open alicloud-cn-hangzhou", "get near on alicloud-cn-hangzhou"]);
  await system.close();
  expect(asked.filter((what) => what.startsWith("close"))).toHaveLength(2);
});

test("what is on no cloud is not found, by its kind", async () => {
  const { asked, system } = recorded();
  await expect(system.tasks.get("files", "a")).rejects.toMatchObject({
    kind: "not-found",
    message: 'there is no task "files"; there are: "near", "far"',
  });
  await expect(system.queue("near")).rejects.toThrow('there is no queue "near"; there are: none');
  expect(asked).toEqual([]);
});
