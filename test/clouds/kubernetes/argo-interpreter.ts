import type {
  ArgoStep,
  ArgoTemplate,
  ArgoWorkflowTemplate,
} from "../../../lib/clouds/kubernetes/deploy/flow-templates.ts";
import { evaluate } from "./expressions.ts";

/** Does what Argo's controller does with what we compile to. That it does the same is not proven by it. */
export interface ArgoWorld {
  /** Runs a pod with these variables, and answers what it has written; throws where its process fails. */
  readonly pod: (template: ArgoTemplate, variables: Readonly<Record<string, string>>) => Promise<string | undefined>;
  readonly pause: (seconds: number) => void;
  /** Whether outputs of a step that was left out are there, and nil, as since Argo 4, or not at all. */
  readonly knowsSkipped: boolean;
  /** Sees every expression and what it came to. */
  readonly onExpression?: (expression: string, names: object, value: unknown) => void;
}

export interface ArgoRun {
  readonly phase: "Succeeded" | "Failed";
  /** Parameters with a global name. */
  readonly outputs: Readonly<Record<string, string>>;
  /** Nodes that were made. */
  readonly nodes: number;
}

/** Runs a Workflow made from the template, in memory. */
export async function runArgo(
  template: ArgoWorkflowTemplate,
  parameters: Readonly<Record<string, string>>,
  world: ArgoWorld,
): Promise<ArgoRun> {
  const run = new Run(template, parameters, world);
  const end = await run.template(template.spec.entrypoint, {});
  return { phase: end.status === "Succeeded" ? "Succeeded" : "Failed", outputs: run.outputs, nodes: run.nodes };
}

const TAG = /\{\{(.*?)\}\}/gs;

interface Node {
  readonly status: "Succeeded" | "Failed" | "Skipped";
  readonly outputs?: { readonly parameters: Readonly<Record<string, string | null>> };
}

class Run {
  readonly #templates: ReadonlyMap<string, ArgoTemplate>;
  readonly #parameters: Readonly<Record<string, string>>;
  readonly #world: ArgoWorld;
  readonly outputs: Record<string, string> = {};
  nodes = 0;

  constructor({ spec }: ArgoWorkflowTemplate, parameters: Readonly<Record<string, string>>, world: ArgoWorld) {
    this.#templates = new Map(spec.templates.map((template) => [template.name, template]));
    this.#parameters = parameters;
    this.#world = world;
  }

  async template(name: string, given: Readonly<Record<string, string>>): Promise<Node> {
    const template = this.#templates.get(name)!;
    this.nodes += 1;
    for (const input of template.inputs?.parameters ?? []) {
      if (!(input.name in given)) throw new Error(`inputs.parameters.${input.name} was not supplied`);
    }
    if (template.container) return this.#container(template, given);
    if (template.suspend) {
      const seconds = this.#filled(template.suspend.duration, { inputs: { parameters: given } });
      if (!/^\d+$/.test(seconds)) throw new Error(`unable to parse ${seconds} as a duration`);
      this.#world.pause(Number(seconds));
      return { status: "Succeeded" };
    }
    return this.#steps(template, given);
  }

  async #container(template: ArgoTemplate, given: Readonly<Record<string, string>>): Promise<Node> {
    const tries = (template.retryStrategy?.limit ?? 0) + 1;
    for (let retry = 0; retry < tries; retry += 1) {
      this.nodes += 1;
      const names = {
        ...{ inputs: { parameters: given }, workflow: { parameters: this.#parameters } },
        ...(template.retryStrategy && { retries: String(retry) }),
      };
      const variables = (template.container!.env as readonly { name: string; value?: string }[]).map(
        ({ name, value = "" }) => [name, this.#filled(value, names)] as const,
      );
      try {
        const answer = await this.#world.pod(template, Object.fromEntries(variables));
        const [output] = template.outputs?.parameters ?? [];
        if (!output) return { status: "Succeeded" };
        const otherwise = "default" in output.valueFrom ? output.valueFrom.default : "";
        return { status: "Succeeded", outputs: { parameters: { [output.name]: answer ?? otherwise } } };
      } catch {
        // The next one, if there is one.
      }
    }
    return { status: "Failed" };
  }

  async #steps(template: ArgoTemplate, given: Readonly<Record<string, string>>): Promise<Node> {
    const steps: Record<string, Node> = {};
    const inputs = { parameters: given };
    const names = () => ({ inputs, workflow: { parameters: this.#parameters }, steps });
    for (const group of this.#early(template.steps!, given)) {
      const before = names();
      const nodes = await Promise.all(group.map((step) => this.#step(step, template, { ...before })));
      for (const [index, node] of nodes.entries()) {
        steps[group[index]!.name] = node;
        if (node.status === "Failed" && !group[index]!.continueOn) return { status: "Failed" };
      }
    }
    const parameters: Record<string, string> = {};
    for (const { name, valueFrom, globalName } of template.outputs?.parameters ?? []) {
      const { expression } = valueFrom as { readonly expression: string };
      const filled = expression.replaceAll(/\{\{workflow\.parameters\.(\w+)\}\}/g, (_, one) => this.#parameters[one]!);
      const value = this.#evaluate(filled, { inputs, steps });
      if (typeof value !== "string") throw new Error(`failed to evaluate ${expression}: ${JSON.stringify(value)}`);
      parameters[name] = value;
      if (globalName) this.outputs[globalName] = value;
    }
    return { status: "Succeeded", outputs: { parameters } };
  }

  /** What can be evaluated when the template is called is evaluated then: of steps there is but a name. */
  #early(steps: NonNullable<ArgoTemplate["steps"]>, given: Readonly<Record<string, string>>) {
    const names = { inputs: { parameters: given }, workflow: { parameters: this.#parameters }, steps: { name: "run" } };
    const early = (value: unknown): unknown => {
      if (Array.isArray(value)) return value.map(early);
      if (typeof value === "object" && value !== null) {
        return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, early(inner)]));
      }
      return typeof value === "string" ? value.replaceAll(TAG, (tag) => this.#tried(tag, names)) : value;
    };
    return early(steps) as NonNullable<ArgoTemplate["steps"]>;
  }

  #tried(tag: string, names: object): string {
    try {
      return this.#filled(tag, names);
    } catch {
      return tag;
    }
  }

  async #step(step: ArgoStep, around: ArgoTemplate, names: object): Promise<Node> {
    if (step.when !== undefined && !isTrue(this.#filled(step.when, names))) return this.#skipped(step);
    if (step.withParam === undefined) return this.#called(step, names);
    const items = JSON.parse(this.#filled(step.withParam, names)) as readonly string[];
    if (items.length === 0) return this.#skipped(step);
    const nodes: Node[] = [];
    const atOnce = around.parallelism ?? items.length;
    for (let at = 0; at < items.length; at += atOnce) {
      const some = items.slice(at, at + atOnce);
      nodes.push(...(await Promise.all(some.map((item) => this.#called(step, { ...names, item })))));
    }
    const answers = nodes.flatMap(({ status, outputs }) =>
      status === "Succeeded" ? (outputs?.parameters.answer ?? []) : [],
    );
    return { status: "Succeeded", outputs: { parameters: { answer: JSON.stringify(answers) } } };
  }

  #called(step: ArgoStep, names: object): Promise<Node> {
    const given = (step.arguments?.parameters ?? []).map(
      ({ name, value }) => [name, this.#filled(value, names)] as const,
    );
    return this.template(step.template, Object.fromEntries(given));
  }

  #skipped({ template }: ArgoStep): Node {
    this.nodes += 1;
    if (!this.#world.knowsSkipped) return { status: "Skipped" };
    const outputs = this.#templates.get(template)!.outputs?.parameters ?? [];
    return { status: "Skipped", outputs: { parameters: Object.fromEntries(outputs.map(({ name }) => [name, null])) } };
  }

  /** A text with its tags filled in. Argo looks for tags in the result again: there must be none. */
  #filled(text: string, names: object): string {
    const filled = text.replaceAll(TAG, (_, tag: string) => {
      if (!tag.startsWith("=")) return fieldOf(tag, names);
      const value = this.#evaluate(tag.slice(1), names);
      if (value === null || value === undefined) throw new Error(`failed to evaluate ${tag}`);
      return typeof value === "string" ? value : JSON.stringify(value);
    });
    if (filled.includes("{{")) throw new Error(`a value is taken for a tag: ${filled}`);
    return filled;
  }

  #evaluate(expression: string, names: object): unknown {
    const value = evaluate(expression, names as Readonly<Record<string, unknown>>);
    this.#world.onExpression?.(expression, names, value);
    return value;
  }
}

function fieldOf(tag: string, names: object): string {
  const value = tag
    .split(".")
    .reduce((of: unknown, field) => (of as Record<string, unknown> | undefined)?.[field], names);
  if (typeof value !== "string") throw new Error(`failed to resolve {{${tag}}}`);
  return value;
}

/** https://github.com/Knetic/govaluate, as far as our conditions go. */
function isTrue(when: string): boolean {
  if (when === "true" || when === "false") return when === "true";
  const [, left, sign, right] = /^(-?\d+) (==|>) (\d+)$/.exec(when) ?? [];
  if (left === undefined) throw new Error(`invalid 'when' expression "${when}"`);
  return sign === "==" ? Number(left) === Number(right) : Number(left) > Number(right);
}
