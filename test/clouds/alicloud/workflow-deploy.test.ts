import { describe, expect, it } from "vitest";
import { checkFlow } from "../../../lib/clouds/alicloud/deploy/flow-check.ts";
import type { FlowDefinition } from "../../../lib/clouds/alicloud/deploy/flow-states.ts";
import { type Cloud, Construct, code } from "../../../lib/parts/index.ts";
import { answer, control, start } from "../../../lib/parts/link.ts";
import { readEnvironment } from "../../../lib/shared/environment.ts";
import { ACCOUNT, deploy, inputsOf, listOf, ofType, policiesOf, REGION } from "./stack.ts";

const echo = code<{ handler: (event: unknown, context: unknown) => Promise<unknown> }>(
  new URL("./functions/echo.ts", import.meta.url),
);

class Approvals extends Construct {
  constructor(cloud: Cloud) {
    super("Approvals", "approvals", { cloud });
    const questions = this.queue("questions", {});
    const check = this.function("check", { handler: echo } as never);
    const encode = this.task("encode", { handler: echo, timeout: "10 minutes" } as never);
    const flow = this.workflow<{ readonly name: string }>("flow", {
      timeout: "2 hours",
      steps: (flow, input) => {
        flow.function("check", check as never, { name: input.name } as never);
        flow.task("encode", encode, { id: input.name, input: { name: input.name } });
        return flow.callback("approve", questions, { name: input.name });
      },
    });
    this.function("door", {
      handler: echo,
      links: { starts: start(flow), controls: control(flow), answers: answer(flow) },
    } as never);
    this.monitor("alarms", { alarms: [{ part: flow, metric: "failures", above: 0 }] });
    this.build();
  }
}

describe("a workflow on CloudFlow", () => {
  it("has alarms on its failed executions", async () => {
    const resources = await deploy((cloud) => void new Approvals(cloud));
    const [alarm] = ofType(resources, "Alarm");
    const [flow] = ofType(resources, "Flow");
    expect(alarm?.inputs).toMatchObject({ project: "acs_fnf", metric: "ExecutionsFailed" });
    expect(JSON.parse(alarm?.inputs.metricDimensions as string)).toEqual([
      { userId: ACCOUNT, region: REGION, flowName: flow?.inputs.name },
    ]);
  });

  it("is a flow, a role that may call its functions alone, and what of ours it needs", async () => {
    const resources = await deploy((cloud) => void new Approvals(cloud));
    expect(listOf(resources.filter(({ name }) => name.startsWith("approvals-flow")))).toMatchInlineSnapshot(`
      [
        "BucketObject approvals-flow-ask-1-code",
        "BucketObject approvals-flow-keep-code",
        "BucketObject approvals-flow-next-code",
        "BucketObject approvals-flow-task-1-code",
        "Flow approvals-flow",
        "Policy approvals-flow-ask-1-role-policy",
        "Policy approvals-flow-keep-role-policy",
        "Policy approvals-flow-next-role-policy",
        "Policy approvals-flow-role-policy",
        "Policy approvals-flow-task-1-role-policy",
        "Role approvals-flow-ask-1-role",
        "Role approvals-flow-keep-role",
        "Role approvals-flow-next-role",
        "Role approvals-flow-role",
        "Role approvals-flow-task-1-role",
        "RolePolicyAttachment approvals-flow-ask-1-role-policy-attachment",
        "RolePolicyAttachment approvals-flow-keep-role-policy-attachment",
        "RolePolicyAttachment approvals-flow-next-role-policy-attachment",
        "RolePolicyAttachment approvals-flow-role-policy-attachment",
        "RolePolicyAttachment approvals-flow-task-1-role-policy-attachment",
        "Table approvals-flow-callbacks",
        "V3AsyncInvokeConfig approvals-flow-ask-1-async",
        "V3AsyncInvokeConfig approvals-flow-keep-async",
        "V3AsyncInvokeConfig approvals-flow-next-async",
        "V3AsyncInvokeConfig approvals-flow-task-1-async",
        "V3Function approvals-flow-ask-1",
        "V3Function approvals-flow-keep",
        "V3Function approvals-flow-next",
        "V3Function approvals-flow-task-1",
        "V3Trigger approvals-flow-keep-on-approvals-flow-keep-4b3id7",
      ]
    `);
    const { name, type, definition, roleArn } = inputsOf(resources, "Flow", "approvals-flow");
    const flow = JSON.parse(definition) as FlowDefinition;
    expect({ type, roleArn }).toEqual({ type: "FDL", roleArn: expect.stringContaining(":role/") });
    expect(flow.Name).toBe(name);
    expect(checkFlow(flow)).toEqual([]);
    const called = [...definition.matchAll(/"resourceArn":"([^"]+)\/LATEST"/g)].map(([, arn]: string[]) => arn);
    const policy = JSON.parse(inputsOf(resources, "Policy", "approvals-flow-role-policy").policyDocument);
    expect(policy.Statement).toEqual([
      { Effect: "Allow", Action: ["fc:InvokeFunction"], Resource: expect.arrayContaining(called) },
    ]);
    const names = ofType(resources, "V3Function").map(
      ({ inputs }) => `acs:fc:${REGION}:${ACCOUNT}:functions/${inputs.functionName}`,
    );
    expect(names).toEqual(expect.arrayContaining(policy.Statement[0].Resource));
    expect(policy.Statement[0].Resource).toHaveLength(new Set(called).size);
  });

  it("is linked with what its verbs need", async () => {
    const resources = await deploy((cloud) => void new Approvals(cloud));
    const { Statement } = policiesOf(resources)["approvals-door"]!;
    expect(
      Statement.flatMap(({ Action }) => Action)
        .filter((verb) => /fnf|ots/.test(verb))
        .sort(),
    ).toEqual([
      "fnf:DescribeExecution",
      "fnf:GetExecutionHistory",
      "fnf:ListExecutions",
      "fnf:ReportTaskSucceeded",
      "fnf:StartExecution",
      "fnf:StopExecution",
      "ots:GetRange",
      "ots:GetRow",
      "ots:PutRow",
    ]);
    const { links } = readEnvironment(inputsOf(resources, "V3Function", "approvals-door").environmentVariables);
    expect(links.starts).toMatchObject({
      kind: "workflow",
      part: "approvals-flow",
      flow: inputsOf(resources, "Flow", "approvals-flow").name,
      timeout: "7200",
      steps: "check,encode,approve",
    });
  });

  it("is refused before anything is made, with the estimate, where it is too large", async () => {
    class Large extends Construct {
      constructor(cloud: Cloud) {
        super("Large", "large", { cloud });
        const one = this.function("one", { handler: echo } as never);
        this.workflow("flow", {
          steps: (flow) => {
            const until = () => ({ op: "equals", left: { $: "input", at: ["done"] }, right: true }) as const;
            flow.repeat("again", { from: {}, until, atMost: 400 }, (inner) =>
              inner.function("do", one as never, {} as never),
            );
          },
        });
        this.build();
      }
    }
    await deploy((cloud) => {
      expect(() => new Large(cloud)).toThrow(/large-flow\.steps.*more events.*about 1\d{4} events/s);
    });
  });

  it("is refused with more steps than its functions have names for", async () => {
    class Long extends Construct {
      constructor(cloud: Cloud) {
        super("Long", "long", { cloud });
        const one = this.function("one", { handler: echo } as never);
        this.workflow("flow", {
          steps: (flow) => {
            for (let step = 0; step < 60; step += 1)
              flow.function(`${"s".repeat(60)}${step}`, one as never, {} as never);
          },
        });
        this.build();
      }
    }
    await deploy((cloud) => {
      expect(() => new Long(cloud)).toThrow(/long-flow\.steps.*names of all steps.*4096 bytes/s);
    });
  });

  class Wide extends Construct {
    constructor(cloud: Cloud) {
      super("Wide", "wide", { cloud });
      const one = this.function("one", { handler: echo } as never);
      const flow = this.workflow<{ readonly items: readonly { readonly n: number }[] }>("flow", {
        steps: (flow, input) =>
          flow.forEach("each", input.items, (inner, item) => inner.function("do", one as never, item as never), {
            atMost: 1000,
          }),
      });
      this.function("door", { handler: echo, links: { controls: control(flow) } } as never);
      this.build();
    }
  }

  it("has a flow of its own for a map that is wider than an execution carries", async () => {
    const resources = await deploy((cloud) => void new Wide(cloud));
    expect(listOf(resources.filter(({ name }) => name.startsWith("wide-flow")))).toEqual([
      "BucketObject wide-flow-batch-code",
      "BucketObject wide-flow-keep-code",
      "Flow wide-flow",
      "Flow wide-flow-each-items",
      "Policy wide-flow-batch-role-policy",
      "Policy wide-flow-keep-role-policy",
      "Policy wide-flow-role-policy",
      "Role wide-flow-batch-role",
      "Role wide-flow-keep-role",
      "Role wide-flow-role",
      "RolePolicyAttachment wide-flow-batch-role-policy-attachment",
      "RolePolicyAttachment wide-flow-keep-role-policy-attachment",
      "RolePolicyAttachment wide-flow-role-policy-attachment",
      "Table wide-flow-callbacks",
      "V3AsyncInvokeConfig wide-flow-batch-async",
      "V3AsyncInvokeConfig wide-flow-keep-async",
      "V3Function wide-flow-batch",
      "V3Function wide-flow-keep",
      "V3Trigger wide-flow-keep-on-wide-flow-keep-4m0sfp",
    ]);
    const chunk = inputsOf(resources, "Flow", "wide-flow-each-items");
    const flow = JSON.parse(chunk.definition) as FlowDefinition;
    expect(flow.Name).toBe(chunk.name);
    expect(checkFlow(flow)).toEqual([]);
    expect(chunk.roleArn).toBe(inputsOf(resources, "Flow", "wide-flow").roleArn);
    const { Statement } = JSON.parse(inputsOf(resources, "Policy", "wide-flow-role-policy").policyDocument);
    const called = ["wide-flow", "wide-flow-each-items"].flatMap((name) =>
      [...inputsOf(resources, "Flow", name).definition.matchAll(/"resourceArn":"([^"]+)\/LATEST"/g)].map(
        ([, arn]) => arn,
      ),
    );
    expect(Statement).toEqual([
      { Effect: "Allow", Action: ["fc:InvokeFunction"], Resource: expect.arrayContaining(called) },
    ]);
    expect(Statement[0].Resource).toHaveLength(new Set(called).size);
    // Who stops a run stops those of its items too.
    const { links } = readEnvironment(inputsOf(resources, "V3Function", "wide-door").environmentVariables);
    expect(links.controls).toMatchObject({ flow: inputsOf(resources, "Flow", "wide-flow").name, chunks: chunk.name });
  });
});
