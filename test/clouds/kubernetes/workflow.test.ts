import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as pulumi from "@pulumi/pulumi";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { checkFlow } from "../../../lib/clouds/kubernetes/deploy/flow-check.ts";
import type { ArgoTemplate, ArgoWorkflowTemplate } from "../../../lib/clouds/kubernetes/deploy/flow-templates.ts";
import { kubernetes } from "../../../lib/clouds/kubernetes/index.ts";
import { LargeObjectTransfer, MapReduceFlow } from "../../../lib/index.ts";
import { type Cloud, planOf, startEvaluation, stopEvaluation } from "../../../lib/parts/cloud.ts";
import { code } from "../../../lib/parts/code.ts";
import { type RegisteredResource, stubMocks } from "../../../lib/program/mocks.ts";
import { type everything, Orders } from "./orders.ts";
import { deploy, inputsOf, listOf, ofType, settingsOf } from "./stack.ts";

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

const templateOf = (resources: readonly RegisteredResource[], name: string): ArgoWorkflowTemplate =>
  inputsOf(resources, "WorkflowTemplate", name) as unknown as ArgoWorkflowTemplate;

const inTemplate = ({ spec }: ArgoWorkflowTemplate, name: string): ArgoTemplate =>
  spec.templates.find((template) => template.name === name)!;

const variables = (template: ArgoTemplate): Readonly<Record<string, string>> =>
  Object.fromEntries(
    (template.container!.env as { name: string; value: string }[]).map((one) => [one.name, one.value]),
  );

describe("a workflow", () => {
  let resources: readonly RegisteredResource[];
  let template: ArgoWorkflowTemplate;
  let addresses: Readonly<Record<string, Readonly<Record<string, string>>>>;
  beforeAll(async () => {
    resources = await deploy((cloud) => {
      new Orders(cloud, undefined, { alarms: true });
      cloud.output.apply((output) => {
        addresses = output.addresses;
      });
    });
    template = templateOf(resources, "orders-flow");
  }, 120_000);

  it("is a WorkflowTemplate, a table, a keeper, and somebody who tells Argo how pods end", () => {
    expect(listOf(resources).filter((one) => one.includes("orders-flow"))).toEqual([
      "BucketObjectv2 orders-flow-asks-orders-questions-code",
      "BucketObjectv2 orders-flow-does-orders-other-code",
      "BucketObjectv2 orders-flow-does-orders-work-code",
      "BucketObjectv2 orders-flow-keep-code",
      "BucketObjectv2 orders-flow-runs-orders-make-code",
      "Deployment orders-flow-keep",
      "Job orders-flow-setup",
      "NetworkPolicy orders-flow-keep-network",
      "NetworkPolicy orders-flow-network",
      "PodDisruptionBudget orders-flow-keep-budget",
      "Role orders-flow-executor-role",
      "Role orders-flow-keep-role",
      "RoleBinding orders-flow-executor-role-binding",
      "RoleBinding orders-flow-keep-role-binding",
      "Secret orders-flow-executor-token",
      "ServiceAccount orders-flow-asks-orders-questions-account",
      "ServiceAccount orders-flow-executor-account",
      "ServiceAccount orders-flow-keep-account",
      "ServiceAccount orders-flow-runs-orders-make-account",
      "WorkflowTemplate orders-flow",
    ]);
    expect(checkFlow(template)).toEqual([]);
    expect(template.spec).toMatchObject({ activeDeadlineSeconds: 7200, automountServiceAccountToken: false });
  });

  it("does a function's step in a pod of the function's account, with its code and its place", () => {
    const work = inTemplate(template, "plan-it");
    const account = inputsOf(resources, "ServiceAccount", "orders-work-account").metadata.name;
    expect(work).toMatchObject({
      serviceAccountName: account,
      automountServiceAccountToken: false,
      activeDeadlineSeconds: 390,
      retryStrategy: { limit: 2 },
      metadata: { labels: { "millrace/flow": template.metadata.name, "millrace/part": "orders-work" } },
    });
    const { MILLRACE_FLOW: table, MILLRACE_RUN: run } = variables(work);
    expect([table, run]).toEqual([addresses["orders-flow"]!.table, "{{workflow.parameters.run}}"]);
    const fetched = inputsOf(resources, "BucketObjectv2", "orders-flow-does-orders-work-code").key;
    expect(JSON.stringify(work.initContainers)).toContain(fetched);
    // It would be found by what counts the function's own pods.
    const { matchLabels } = inputsOf(resources, "Deployment", "orders-work").spec.selector;
    expect(work.metadata!.labels).not.toMatchObject(matchLabels);
  });

  it("asks queues and tasks by pods of its own, which know where those lie", () => {
    const made = variables(inTemplate(template, "made"));
    expect(made.MILLRACE_LINK_task).toContain(addresses["orders-make"]!.keeper);
    const asked = variables(inTemplate(template, "asked"));
    expect(asked.MILLRACE_LINK_asked).toContain(addresses["orders-questions"]!.subject);
    expect(asked.MILLRACE_LINK_turns).toContain(addresses["orders-flow"]!.table);
  });

  it("lets its pods tell the API server how they ended, and nothing else speak with it", () => {
    const [executor] = inputsOf(resources, "Role", "orders-flow-executor-role").rules;
    expect(executor).toEqual({
      apiGroups: ["argoproj.io"],
      resources: ["workflowtaskresults"],
      verbs: ["create", "patch"],
    });
    const account = inputsOf(resources, "ServiceAccount", "orders-flow-executor-account").metadata.name;
    expect(template.spec.executor).toEqual({ serviceAccountName: account });
    // By this name Argo looks for the token. https://argo-workflows.readthedocs.io/en/latest/service-accounts/
    expect(inputsOf(resources, "Secret", "orders-flow-executor-token")).toMatchObject({
      metadata: {
        name: `${account}.service-account-token`,
        annotations: { "kubernetes.io/service-account.name": account },
      },
      type: "kubernetes.io/service-account-token",
    });
    const policy = inputsOf(resources, "NetworkPolicy", "orders-flow-network").spec;
    expect(policy).toMatchObject({
      podSelector: { matchLabels: { "millrace/flow": template.metadata.name } },
      egress: [{ ports: [{ port: 443 }, { port: 6443 }] }],
    });
  });

  it("is made into Workflows by its keeper alone", () => {
    const [rule, ...more] = inputsOf(resources, "Role", "orders-flow-keep-role").rules;
    expect([rule, more]).toEqual([
      { apiGroups: ["argoproj.io"], resources: ["workflows"], verbs: ["create", "get", "list", "watch", "patch"] },
      [],
    ]);
    const makers = ofType(resources, "Role").filter(({ inputs }) => JSON.stringify(inputs).includes('"workflows"'));
    expect(makers.map(({ name }) => name)).toEqual(["orders-flow-keep-role"]);
    const { env } = inputsOf(resources, "Deployment", "orders-flow-keep").spec.template.spec.containers[0];
    const told = JSON.parse(env.find(({ name }: { name: string }) => name === "MILLRACE_KEEPER").value);
    expect(told).toMatchObject({
      template: template.metadata.name,
      templates: { "plan-it": ["plan_it", "function"], each: ["each", "map"], asked: ["asked", "callback"] },
    });
  });

  it("is started, steered and answered through its table and its keeper", () => {
    for (const name of ["orders-starts", "orders-steers", "orders-answers"]) {
      const { env } = inputsOf(resources, "Deployment", name).spec.template.spec.containers[0];
      const link = env.find(({ name }: { name: string }) => name === "MILLRACE_LINK_flow").value;
      expect(JSON.parse(link)).toEqual({ ...addresses["orders-flow"], part: "orders-flow" });
    }
  });

  it("has alarms by Argo's own count, where Prometheus is run by its operator", () => {
    const [group] = inputsOf(resources, "PrometheusRule", "orders-alarms").spec.groups;
    expect(group.rules[0].expr).toContain(
      `argo_workflows_workflowtemplate_triggered_total{name="${template.metadata.name}",phase=~"Failed|Error"}`,
    );
  });
});

/** A program that is read for its plan alone: nothing is built. */
async function declared(declare: (cloud: Cloud) => unknown) {
  await pulumi.runtime.setMocks(
    stubMocks(() => {}),
    "shop",
    "prod",
    false,
  );
  const { clouds, problems } = startEvaluation({ builds: false });
  try {
    declare(kubernetes(settingsOf()));
    await pulumi.runtime.disconnect();
    return { problems, parts: planOf(clouds).parts };
  } finally {
    stopEvaluation();
  }
}

describe("what Argo cannot do is refused", () => {
  const refused = async (...args: Tail<ConstructorParameters<typeof Orders>>): Promise<string> => {
    const { problems } = await declared((cloud) => new Orders(cloud, ...args));
    return problems.map(({ path, message }) => `${path}: ${message}`).join("\n");
  };

  it("a function whose concurrency would not be kept, and text that Argo reads as its own", async () => {
    expect(await refused(undefined, { work: { concurrency: 2 } })).toMatch(
      /^orders-flow\.steps\.plan_it\.function: steps have pods of their own.*$/,
    );
    const environment = { GREETING: "hello {{name}}" };
    expect(await refused(undefined, { work: { environment } })).toMatch(
      /^orders-flow\.steps\.plan_it\.function: Argo takes \{\{ in the environment.*GREETING$/,
    );
  });

  it("a time for what is made of steps", async () => {
    const steps: typeof everything = (flow, _, { other }) => {
      flow.parallel("both", { one: (inner) => inner.function("a", other, {}) }, { timeout: "1 minute" });
    };
    expect(await refused(steps)).toMatch(/^orders-flow\.steps\.both\.timeout: Argo bounds pods.*$/);
  });

  it("a list that cannot be handed on, by what its items have at least", async () => {
    const steps =
      (atMost: number): typeof everything =>
      (flow, input, { other }) => {
        flow.forEach("each", input as never, (inner) => void inner.function("a", other, {}), { atMost });
      };
    expect(await refused(steps(21_845))).toBe("");
    expect(await refused(steps(21_846))).toMatch(/^orders-flow\.steps\.each\.atMost: a list of so many items.*$/);
  });

  it("a workflow that is too large for etcd", async () => {
    const steps: typeof everything = (flow, _, { other }) => {
      for (let index = 0; index < 120; index += 1) flow.function(`step_${index}`, other, {});
    };
    expect(await refused(steps)).toMatch(/^orders-flow\.steps: for Argo: the template has \d+ bytes.*$/);
  });
});

type Tail<All extends readonly unknown[]> = All extends readonly [unknown, ...infer Rest] ? Rest : never;

it("large objects are transferred and data is reduced here, as everywhere", async () => {
  const counts = code<typeof import("../../../examples/map-reduce-flow/counts.ts")>(
    new URL("../../../examples/map-reduce-flow/counts.ts", import.meta.url),
  );
  const { problems, parts } = await declared((cloud) => {
    new MapReduceFlow("counts", { cloud, format: "jsonl", mapper: counts, combiner: counts, reducer: counts });
    new LargeObjectTransfer("move", { cloud, prefix: "videos/", when: ["upload"] });
  });
  expect(problems).toEqual([]);
  expect(parts.filter(({ kind }) => kind === "workflow")).toHaveLength(2);
});
