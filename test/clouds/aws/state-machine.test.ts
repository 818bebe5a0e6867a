import { createRequire } from "node:module";
import { describe, expect, test } from "vitest";
import { stateMachine } from "../../../lib/clouds/aws/deploy/state-machine.ts";

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
