import { gunzipSync } from "node:zlib";
import { MillraceError } from "../../../runtime/errors.ts";
import { shortHash } from "../../../shared/name.ts";
import type { KubernetesApi, ObjectMeta } from "./api.ts";
import { flowIn, flowLabels, flowNote, selector } from "./labels.ts";

/** Of a Workflow what we ask about. https://argo-workflows.readthedocs.io/en/latest/fields/#workflow */
export interface ArgoWorkflow {
  readonly metadata: ObjectMeta;
  readonly spec?: { readonly shutdown?: string };
  readonly status?: {
    /** Empty until the controller has seen it. */
    readonly phase?: "" | "Pending" | "Running" | "Succeeded" | "Failed" | "Error";
    readonly message?: string;
    readonly startedAt?: string;
    readonly finishedAt?: string;
    readonly nodes?: Readonly<Record<string, ArgoNode>>;
    /** The nodes in base64 and packed, where they are many. */
    readonly compressedNodes?: string;
    readonly outputs?: ArgoParameters;
  };
}

/** https://argo-workflows.readthedocs.io/en/latest/fields/#nodestatus */
export interface ArgoNode {
  readonly id: string;
  /** As the step is called in its template. */
  readonly displayName: string;
  readonly type: string;
  readonly templateName?: string;
  /** The node of the template it is a step of. */
  readonly boundaryID?: string;
  readonly phase?: "Pending" | "Running" | "Succeeded" | "Skipped" | "Failed" | "Error" | "Omitted";
  readonly message?: string;
  readonly startedAt?: string;
  readonly finishedAt?: string;
  readonly inputs?: ArgoParameters;
  readonly outputs?: ArgoParameters;
}

interface ArgoParameters {
  readonly parameters?: readonly { readonly name: string; readonly value?: string }[];
}

/** What is said of Workflows while they are followed. */
export type WorkflowNews =
  | { readonly type: "all"; readonly workflows: readonly ArgoWorkflow[] }
  | { readonly type: "changed"; readonly workflow: ArgoWorkflow };

/** The run that a Workflow was made for. */
export interface FlowRef {
  /** The WorkflowTemplate's name. */
  readonly template: string;
  readonly run: string;
  readonly round: number;
}

/** Workflows in one answer: each may have a MB. */
const PAGE = 20;
/** Seconds of one watch; then the next one begins where it ended. */
const WATCH_SECONDS = 240;

/** The Workflows of one WorkflowTemplate. For its keeper: nobody else may make them. */
export class ArgoWorkflows {
  readonly #api: KubernetesApi;
  readonly #path: string;
  readonly #template: string;
  readonly #labels: Readonly<Record<string, string>>;

  /** @param labels of every Workflow, besides those it is found by */
  constructor(
    api: KubernetesApi,
    { namespace, template, labels }: { namespace: string; template: string; labels: Readonly<Record<string, string>> },
  ) {
    this.#api = api;
    this.#path = `/apis/argoproj.io/v1alpha1/namespaces/${namespace}/workflows`;
    this.#template = template;
    this.#labels = labels;
  }

  /** Makes the run's Workflow; one that is there already is the same start told twice. @param input in base64 */
  async create(ref: FlowRef, input: string): Promise<void> {
    const parameters = [
      { name: "run", value: ref.run },
      { name: "input", value: input },
    ];
    const body = {
      apiVersion: "argoproj.io/v1alpha1",
      kind: "Workflow",
      metadata: {
        name: workflowName(ref),
        labels: { ...this.#labels, ...flowLabels(ref.template) },
        annotations: flowNote(ref),
      },
      spec: { workflowTemplateRef: { name: this.#template }, arguments: { parameters } },
    };
    try {
      await this.#api.ask({ verb: "create", path: this.#path, body });
    } catch (error) {
      if (!(error instanceof MillraceError && error.kind === "conflict")) throw error;
    }
  }

  find(ref: FlowRef): Promise<ArgoWorkflow | undefined> {
    return this.#api.find<ArgoWorkflow>({ verb: "get", path: `${this.#path}/${workflowName(ref)}` });
  }

  /** Ends its pods, and then itself. https://argo-workflows.readthedocs.io/en/latest/walk-through/suspending/ */
  async end(ref: FlowRef): Promise<void> {
    const path = `${this.#path}/${workflowName(ref)}`;
    await this.#api.find({ verb: "patch", path, body: { spec: { shutdown: "Terminate" } } });
  }

  /** All there are, and then each that changes; until the signal aborts, or the server has forgotten where to go on. */
  async *follow(signal: AbortSignal): AsyncGenerator<WorkflowNews, void> {
    const { workflows, version } = await this.#list();
    yield { type: "all", workflows };
    let resourceVersion = version;
    while (!signal.aborted) {
      const query = { ...this.#selected(), resourceVersion, timeoutSeconds: String(WATCH_SECONDS) };
      for await (const event of this.#api.watch<ArgoWorkflow>({ path: this.#path, query, signal })) {
        // What it was to go on from is too old: everything is listed again.
        if (event.type === "ERROR") return;
        resourceVersion = event.object.metadata.resourceVersion ?? resourceVersion;
        if (event.type === "ADDED" || event.type === "MODIFIED") yield { type: "changed", workflow: event.object };
      }
    }
  }

  async #list(): Promise<{ readonly workflows: readonly ArgoWorkflow[]; readonly version: string }> {
    const workflows: ArgoWorkflow[] = [];
    let next: string | undefined;
    for (;;) {
      const query = { ...this.#selected(), limit: String(PAGE), ...(next !== undefined && { continue: next }) };
      const page = await this.#api.ask<WorkflowList>({ verb: "list", path: this.#path, query });
      workflows.push(...page.items);
      next = page.metadata.continue || undefined;
      if (next === undefined) return { workflows, version: page.metadata.resourceVersion };
    }
  }

  #selected() {
    return { labelSelector: selector(flowLabels(this.#template)) };
  }
}

interface WorkflowList {
  readonly metadata: { readonly resourceVersion: string; readonly continue?: string };
  readonly items: readonly ArgoWorkflow[];
}

/** The same at every start of the round; at most 63 characters, as the labels that Argo makes of it. */
export const workflowName = ({ template, run, round }: FlowRef): string => `${template}-${shortHash(run, 12)}-${round}`;

/** The run that a Workflow was made for; nothing if it is none of ours. */
export const refOf = ({ metadata }: ArgoWorkflow): FlowRef | undefined => flowIn(metadata.annotations);

/** Whether the controller is through with it. */
export const isEnded = ({ status }: ArgoWorkflow): boolean =>
  status?.phase === "Succeeded" || status?.phase === "Failed" || status?.phase === "Error";

/** What has become of it, step by step; nothing, where Argo keeps that in a database of its own. */
export function nodesOf({ status = {} }: ArgoWorkflow): readonly ArgoNode[] {
  const { nodes, compressedNodes } = status;
  if (nodes) return Object.values(nodes);
  if (!compressedNodes) return [];
  const text = gunzipSync(Buffer.from(compressedNodes, "base64")).toString();
  return Object.values(JSON.parse(text) as Readonly<Record<string, ArgoNode>>);
}

/** A parameter's value. */
export const parameterIn = (parameters: ArgoParameters | undefined, name: string): string | undefined =>
  parameters?.parameters?.find((one) => one.name === name)?.value;
