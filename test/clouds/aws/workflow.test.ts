import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventsOf } from "../../../lib/clouds/aws/deploy/check-workflow.ts";
import { UNSCOPED } from "../../../lib/clouds/aws/deploy/permissions.ts";
import { aws } from "../../../lib/clouds/aws/index.ts";
import { code } from "../../../lib/parts/code.ts";
import type { Flow } from "../../../lib/parts/flow.ts";
import {
  answer,
  type Cloud,
  Construct,
  control,
  type FunctionPart,
  isAbove,
  type Queue,
  type Ref,
  start,
  type TaskPart,
} from "../../../lib/parts/index.ts";
import type { RegisteredResource } from "../../../lib/program/mocks.ts";
import { synthesize } from "../../../lib/testing/synthesize.ts";
import { statesIn, validate } from "./asl.ts";
import { ACCOUNT, arn, deploy, inputsOf, listOf, REGION } from "./stack.ts";

let home: string;
const before = process.cwd();
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "millrace-workflow-"));
  process.chdir(home);
});
afterAll(async () => {
  process.chdir(before);
  await rm(home, { recursive: true, force: true });
});

const echo = code<{ handler: (event: unknown, context: unknown) => Promise<unknown> }>(
  new URL("../alicloud/functions/echo.ts", import.meta.url),
);

interface Parts {
  readonly work: FunctionPart<unknown, { readonly items: readonly { readonly n: number }[] }>;
  readonly other: FunctionPart<unknown, unknown>;
  readonly make: TaskPart;
  readonly questions: Queue;
}

/** A workflow with a function of each kind around it. */
class Orders extends Construct {
  constructor(cloud: Cloud, steps: (flow: Flow, input: Ref<unknown>, parts: Parts) => void, seconds = 60) {
    super("Orders", "orders", { cloud });
    const handler = { handler: echo };
    const work = this.function("work", { ...handler, timeout: `${seconds} seconds` } as never) as never;
    const other = this.function("other", handler as never) as never;
    const make = this.task("make", handler as never);
    const questions = this.queue("questions");
    const flow = this.workflow("flow", {
      steps: (flow, input) => steps(flow, input as never, { work, other, make, questions }) as never,
      timeout: "2 hours",
    });
    this.function("starts", { ...handler, links: { flow: start(flow) } } as never);
    this.function("steers", { ...handler, links: { flow: control(flow) } } as never);
    this.function("answers", { ...handler, links: { flow: answer(flow) } } as never);
    this.build();
  }
}

interface Statement {
  readonly Action: readonly string[];
  readonly Resource: readonly string[];
  readonly Condition?: object;
}

const statementsOf = (resources: readonly RegisteredResource[], name: string): readonly Statement[] =>
  (JSON.parse(inputsOf(resources, "RolePolicy", name).policy as string) as { Statement: Statement[] }).Statement;
const allow = (Action: readonly string[], ...Resource: readonly string[]) => ({ Effect: "Allow", Action, Resource });
const nameOf = (resources: readonly RegisteredResource[], type: string, name: string): string =>
  inputsOf(resources, type, name).name as string;

describe("a workflow with everything", () => {
  let resources: readonly RegisteredResource[];
  beforeAll(async () => {
    resources = await deploy(
      (cloud) =>
        new Orders(cloud, (flow, _, { work, make, other, questions }) => {
          const { items } = flow.function("split", work, {});
          flow.map("each", items, (inner, item) => void inner.function("one", work, item), { atMost: 41 });
          flow.task("make", make, { id: flow.run, input: {} });
          flow.callback("ask", questions, {});
          flow.callback("call", other as never, {});
        }),
    );
  });

  const machine = () => nameOf(resources, "StateMachine", "orders-flow");
  const called = (name: string) => arn("lambda", `function:${nameOf(resources, "Function", name)}`);
  const table = () => arn("dynamodb", `table/${nameOf(resources, "Table", `aws-${REGION}-tasks`)}`);
  const rows = {
    Condition: { "ForAllValues:StringEquals": { "dynamodb:LeadingKeys": "workflow/orders-flow" } },
  };

  it("makes a state machine with a role and a log of its own, and a function for its task", () => {
    expect(listOf(resources).filter((name) => name.includes("orders-flow"))).toEqual([
      "BucketObjectv2 orders-flow-runs-orders-make-code",
      "Function orders-flow-runs-orders-make",
      "FunctionEventInvokeConfig orders-flow-runs-orders-make-async",
      "LogGroup orders-flow-logs",
      "LogGroup orders-flow-runs-orders-make-logs",
      "Role orders-flow-machine",
      "Role orders-flow-runs-orders-make-role",
      "RolePolicy orders-flow-machine-policy",
      "RolePolicy orders-flow-runs-orders-make-role-policy",
      "StateMachine orders-flow",
    ]);
    expect(inputsOf(resources, "StateMachine", "orders-flow")).toMatchObject({
      type: "STANDARD",
      roleArn: `arn:aws:iam::${ACCOUNT}:role/${nameOf(resources, "Role", "orders-flow-machine")}`,
      loggingConfiguration: {
        level: "ERROR",
        includeExecutionData: false,
        logDestination: expect.stringMatching(/:\*$/),
      },
    });
  });

  it("has a definition that the language allows, with the names of what was deployed", () => {
    const definition = JSON.parse(inputsOf(resources, "StateMachine", "orders-flow").definition as string) as {
      readonly TimeoutSeconds: number;
    };
    const { isValid, errorsText } = validate(definition);
    expect(errorsText("\n")).toBe("");
    expect(isValid).toBe(true);
    expect(definition.TimeoutSeconds).toBe(7200);
    const states = Object.fromEntries(statesIn(definition));
    expect(states.split).toMatchObject({ Parameters: { FunctionName: called("orders-work") }, TimeoutSeconds: 90 });
    expect(states.make).toMatchObject({ Parameters: { FunctionName: called("orders-flow-runs-orders-make") } });
    expect(states["ask: ask"]).toMatchObject({
      Parameters: { QueueUrl: expect.stringContaining(nameOf(resources, "Queue", "orders-questions")) },
    });
    expect(states["ask: answer"]).toMatchObject({
      Parameters: { TableName: nameOf(resources, "Table", `aws-${REGION}-tasks`) },
    });
    expect(states.each).toMatchObject({ ItemProcessor: { ProcessorConfig: { Mode: "DISTRIBUTED" } } });
  });

  it("may do what its states do, and nothing else", () => {
    expect(statementsOf(resources, "orders-flow-machine-policy")).toEqual([
      allow(
        ["lambda:InvokeFunction"],
        called("orders-work"),
        called("orders-other"),
        called("orders-flow-runs-orders-make"),
      ),
      allow(["sqs:SendMessage"], arn("sqs", nameOf(resources, "Queue", "orders-questions"))),
      { ...allow(["dynamodb:UpdateItem", "dynamodb:GetItem", "dynamodb:DeleteItem"], table()), ...rows },
      allow(["states:StartExecution"], arn("states", `stateMachine:${machine()}`)),
      allow(
        ["states:DescribeExecution", "states:StopExecution", "states:RedriveExecution"],
        arn("states", `execution:${machine()}:*`),
        arn("states", `execution:${machine()}/*`),
      ),
      allow(UNSCOPED.logDelivery, "*"),
    ]);
  });

  it("is started, steered and answered by whoever is linked to it, each with its own verbs", () => {
    const executions = arn("states", `execution:${machine()}:*`);
    const itself = arn("states", `stateMachine:${machine()}`);
    const linked = (name: string) =>
      statementsOf(resources, `${name}-role-policy`).filter(
        ({ Action }) => !Action.some((verb) => /^logs:/.test(verb)),
      );
    expect(linked("orders-starts")).toEqual([
      allow(["states:StartExecution"], itself),
      allow(["states:DescribeExecution"], executions),
    ]);
    expect(linked("orders-steers")).toEqual([
      allow(
        [
          "states:DescribeExecution",
          "states:GetExecutionHistory",
          "states:DescribeStateMachineForExecution",
          "states:StopExecution",
          "states:RedriveExecution",
        ],
        executions,
      ),
      allow(["states:ListExecutions"], itself),
    ]);
    expect(linked("orders-answers")).toEqual([
      allow(["states:DescribeExecution"], executions),
      { ...allow(["dynamodb:UpdateItem"], table()), ...rows },
      allow(["states:SendTaskSuccess", "states:SendTaskFailure"], itself),
    ]);
  });
});

/** One function, and nothing around it. */
class Plain extends Construct {
  constructor(cloud: Cloud) {
    super("Plain", "plain", { cloud });
    const work = this.function("work", { handler: echo } as never) as unknown as FunctionPart;
    this.workflow("flow", { steps: (flow) => flow.function("one", work as never, {} as never) as never });
    this.build();
  }
}

describe("a workflow of functions alone", () => {
  it("needs no table, no queue and no execution of its own", async () => {
    const resources = await deploy((cloud) => new Plain(cloud));
    const verbs = statementsOf(resources, "plain-flow-machine-policy").flatMap(({ Action }) => Action);
    expect(verbs.filter((verb) => !/^logs:/.test(verb))).toEqual(["lambda:InvokeFunction"]);
    expect(listOf(resources).filter((name) => name.startsWith("Table "))).toEqual([]);
  });
});

describe("what Step Functions cannot do is refused", () => {
  const refused = async (steps: ConstructorParameters<typeof Orders>[1]): Promise<string> => {
    const program = () => void new Orders(aws({ region: REGION, account: ACCOUNT, alarmEmails: [] }), steps);
    const { problems } = await synthesize(program);
    return problems.map(({ path, message, given }) => `${path}: ${message}, got ${given}`).join("\n");
  };

  it("a bound on the time of steps that are made of steps", async () => {
    const message = await refused((flow, _, { work, make }) => {
      const { items } = flow.function("split", work, {});
      flow.map("each", items, () => {}, { timeout: "1 minute" });
      flow.parallel("both", { one: () => {} }, { timeout: "1 minute" });
      flow.task("make", make, { id: "x", input: {} }, { timeout: "1 minute" });
    });
    for (const step of ["each", "both", "make"]) expect(message).toContain(`orders-flow.steps.${step}.timeout`);
  });

  it("more items than a state carries, and more events than an execution has", async () => {
    const message = await refused((flow, _, { work }) => {
      const { items } = flow.function("split", work, {});
      flow.map("each", items, () => {}, { atMost: 10_001 });
      flow.repeat<{ readonly n: number }>(
        "many",
        { from: { n: 0 }, until: (state) => isAbove(state.n, 1), atMost: 5000 },
        (inner) => inner.function("again", work as never, {}),
      );
    });
    expect(message).toContain("orders-flow.steps.each.atMost");
    expect(message).toMatch(/up to \d{5} events/);
  });
});

describe("the estimate of events", () => {
  it("counts calls, rounds and items", () => {
    const call = {
      type: "function",
      name: "a",
      function: "f",
      input: {},
      attempts: 1,
      backoff: { first: 1, factor: 1, longest: 1 },
    } as const;
    const one = eventsOf({ steps: [call], output: {} }, () => undefined);
    const map = {
      ...call,
      type: "map",
      name: "m",
      items: { $: "input" },
      item: { steps: [call], output: {} },
      tolerated: 0,
      collects: true,
    } as const;
    const inline = eventsOf({ steps: [{ ...map, atMost: 40 }], output: {} }, () => undefined);
    expect(inline).toBeGreaterThan(40 * one);
    expect(eventsOf({ steps: [{ ...map, atMost: 41 }], output: {} }, () => undefined)).toBeLessThan(30);
  });
});
