import { createRequire } from "node:module";
import { describe, expect, test } from "vitest";
import { stateMachine } from "../../../lib/clouds/aws/deploy/state-machine.ts";
import { attemptCall } from "../../../lib/runtime/tasks/attempt.ts";

type Validate = (definition: object) => { readonly isValid: boolean; errorsText(separator?: string): string };

// It brings no types of its own.
const validate = createRequire(import.meta.url)("asl-validator") as Validate;

const lambda = { platform: "lambda", worker: "w", keeper: "k", timeout: 60, grace: 5 } as const;
const fargate = {
  platform: "fargate",
  keeper: "k",
  timeout: 3600,
  grace: 30,
  cluster: "arn:aws:ecs:eu-central-1:111111111111:cluster/c",
  taskDefinition: "arn:aws:ecs:eu-central-1:111111111111:task-definition/t:1",
  container: "work",
  subnets: ["subnet-1", "subnet-2"],
  securityGroups: ["sg-1"],
} as const;

describe.each([lambda, fargate])("the state machine on $platform", (spec) => {
  test("is Amazon States Language", () => {
    const { isValid, errorsText } = validate(stateMachine(spec));
    expect(errorsText("\n")).toBe("");
    expect(isValid).toBe(true);
  });
});

test("a container that found no room is started again before that counts as an attempt", () => {
  const { States } = stateMachine(fargate) as { States: { Work: { Retry: { ErrorEquals: string[] }[] } } };
  const again = States.Work.Retry.flatMap(({ ErrorEquals }) => ErrorEquals);
  expect(again).toEqual(["AmazonECS.Unknown", "ECS.AmazonECSException", "ECS.InvalidParameterException"]);
});

describe("a container's variables", () => {
  /** https://docs.aws.amazon.com/step-functions/latest/apireference/API_SendTaskSuccess.html */
  const longestToken = "t".repeat(2048);
  const task = "t".repeat(60);

  test.each([
    ["quotes", '"', 511],
    ["characters of 4 bytes", "\u{1f3ac}", 255],
  ])("fit into the overrides of a Fargate task at their longest: %s", (_, character, length) => {
    const id = character.repeat(200);
    const start = { task, id, tenant: id, attempt: 999, attemptId: `${id}--a999`, deadline: 1_800_000_000_000 };
    const payload = character.repeat(length);
    // A longer one goes to the claims bucket.
    expect(Buffer.byteLength(JSON.stringify(payload))).toBeLessThanOrEqual(1024);
    expect(lengthOf({ ...start, payload })).toBeLessThanOrEqual(8192);
    const key = `tasks/${task}/${"h".repeat(24)}/payload-${"h".repeat(16)}-${"h".repeat(8)}.json`;
    const payloadReference = { bucket: "b".repeat(63), key, size: 2 ** 30, preview: "" };
    expect(lengthOf({ ...start, payload, payloadReference })).toBeLessThanOrEqual(8192);
  });

  /** Of the overrides with everything filled in. */
  const lengthOf = (start: Parameters<typeof attemptCall>[0]): number => {
    const values = [Buffer.from(JSON.stringify(attemptCall(start))).toString("base64"), longestToken, "300"];
    const [override] = overridesOf(stateMachine(fargate)).ContainerOverrides;
    const Environment = override.Environment.map(({ Name }, index) => ({ Name, Value: values[index] }));
    return JSON.stringify({ ContainerOverrides: [{ ...override, Environment }] }).length;
  };
});

interface Overrides {
  readonly ContainerOverrides: readonly [{ readonly Name: string; readonly Environment: readonly { Name: string }[] }];
}

const overridesOf = (machine: object): Overrides =>
  (machine as { States: { Work: { Parameters: { Overrides: Overrides } } } }).States.Work.Parameters.Overrides;
