import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import {
  ApiextensionsV1Api,
  CoreV1Api,
  KubernetesObjectApi,
  loadYaml,
  PatchStrategy,
  type V1CustomResourceDefinition,
} from "@kubernetes/client-node";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { checkFlow } from "../../lib/clouds/kubernetes/deploy/flow-check.ts";
import { flowDefinition } from "../../lib/clouds/kubernetes/deploy/flow-definition.ts";
import { encoded } from "../../lib/clouds/kubernetes/deploy/flow-expressions.ts";
import type { ArgoWorkflowTemplate } from "../../lib/clouds/kubernetes/deploy/flow-templates.ts";
import type { Block } from "../../lib/shared/workflow/definition.ts";
import { flowWorld } from "../clouds/kubernetes/flow-world.ts";
import { DEFINITIONS } from "../workflows/definitions.ts";
import { type KubernetesServer, startKubernetes } from "./servers/index.ts";

/** Argo's definitions are not of the project, and no registry has them: they lie beside it, or only our own check is made. */
const CRDS = join(dirname(fileURLToPath(import.meta.url)), "../../../shared/crds");
const FILES = ["argo_workflowtemplates.yaml.gz", "argo_workflows.yaml.gz"].map((file) => join(CRDS, file));
const isThere = FILES.every((file) => existsSync(file));

const NAMESPACE = "flows";

if (isThere) describe("compiled workflows, and an API server that knows Argo's kinds in full", withArgo);
else {
  test(`no Argo kinds in ${CRDS}: our own check takes all that is compiled`, () => {
    for (const { name, definition } of DEFINITIONS) expect(checkFlow(compiled(name, definition)), name).toEqual([]);
  });
}

function withArgo(): void {
  let server: KubernetesServer;
  beforeAll(async () => {
    server = await startKubernetes();
    for (const file of FILES) await define(server, gunzipSync(await readFile(file)).toString());
    await server
      .config()
      .makeApiClient(CoreV1Api)
      .createNamespace({ body: { metadata: { name: NAMESPACE } } });
  }, 120_000);
  afterAll(() => server?.stop());

  const apply = (object: object) =>
    KubernetesObjectApi.makeApiClient(server.config()).patch(
      object as never,
      ...[undefined, undefined, "test", true, PatchStrategy.ServerSideApply],
    );

  test.each(DEFINITIONS.map((one) => [one.name, one] as const))(
    "%s is one that it takes, as it is",
    async (name, one) => {
      const template = compiled(name, one.definition);
      const stored = (await apply(template)) as unknown as ArgoWorkflowTemplate;
      // Nothing was left out on the way: what the schema does not know would be.
      expect(stored.spec).toEqual(JSON.parse(JSON.stringify(template.spec)));
    },
  );

  test("a run of one is a Workflow with two parameters", async () => {
    const [one] = DEFINITIONS;
    const workflow = {
      apiVersion: "argoproj.io/v1alpha1",
      kind: "Workflow",
      metadata: { name: "a-run", namespace: NAMESPACE },
      spec: {
        workflowTemplateRef: { name: one!.name },
        arguments: {
          parameters: [
            { name: "run", value: "Run_1" },
            { name: "input", value: encoded(one!.input) },
          ],
        },
      },
    };
    await expect(apply(workflow)).resolves.toMatchObject({ metadata: { name: "a-run" } });
  });

  test.each<[string, (template: ArgoWorkflowTemplate) => object, RegExp]>([
    ["a field that there is not", ({ spec, ...rest }) => ({ ...rest, spec: { ...spec, entry: "run" } }), /entry/],
    [
      "a step that is no list",
      ({ spec, ...rest }) => ({ ...rest, spec: { ...spec, templates: [{ name: "run", steps: "first" }] } }),
      /steps/,
    ],
    [
      "a pod's field of another type",
      ({ spec, ...rest }) => ({
        ...rest,
        spec: { ...spec, templates: spec.templates.map((one) => ({ ...one, serviceAccountName: 7 })) },
      }),
      /serviceAccountName/,
    ],
    [
      "a name with capitals",
      (template) => ({ ...template, metadata: { ...template.metadata, name: "With_Case" } }),
      /With_Case/,
    ],
  ])("%s is refused", async (_, change, message) => {
    const template = compiled("refused", DEFINITIONS[0]!.definition);
    await expect(apply(change(template))).rejects.toThrow(message);
  });
}

function compiled(name: string, definition: Block): ArgoWorkflowTemplate {
  return flowDefinition(definition, flowWorld(name, NAMESPACE));
}

async function define({ config }: KubernetesServer, text: string): Promise<void> {
  // By the client's own reader: others drop some of the keys `x-kubernetes-…`.
  const definition = loadYaml<V1CustomResourceDefinition>(text);
  const objects = KubernetesObjectApi.makeApiClient(config());
  await objects.patch(definition, undefined, undefined, "test", true, PatchStrategy.ServerSideApply);
  const { name } = definition.metadata!;
  const client = config().makeApiClient(ApiextensionsV1Api);
  await vi.waitFor(async () => {
    const { status } = await client.readCustomResourceDefinition({ name: name! });
    expect(status?.conditions).toContainEqual(expect.objectContaining({ type: "Established", status: "True" }));
  }, 30_000);
}
