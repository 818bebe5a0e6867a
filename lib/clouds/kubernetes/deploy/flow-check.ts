import type { ArgoOutput, ArgoStep, ArgoTemplate, ArgoWorkflowTemplate } from "./flow-templates.ts";

/** What a WorkflowTemplate may have as JSON, in bytes: etcd takes 1.5 MiB a request, and a run's copy grows. */
const LARGEST_TEMPLATE = 512 * 1024;

/**
 * What in a compiled workflow leads nowhere, as sentences. The API server does not look at it, and Argo's controller
 * only when a run is there.
 */
export function checkFlow({ spec }: ArgoWorkflowTemplate): readonly string[] {
  const templates = new Map(spec.templates.map((template) => [template.name, template]));
  const globals = new Set(spec.arguments.parameters.map(({ name }) => name));
  const bytes = Buffer.byteLength(JSON.stringify(spec));
  return [
    ...(templates.has(spec.entrypoint) ? [] : [`the entrypoint "${spec.entrypoint}" is no template`]),
    ...(templates.size < spec.templates.length ? ["two templates have one name"] : []),
    ...(bytes > LARGEST_TEMPLATE ? [`the template has ${bytes} bytes, at most ${LARGEST_TEMPLATE} are let in`] : []),
    ...calledInCircles(spec.entrypoint, templates),
    ...spec.templates.flatMap((template) => [
      ...checkName("template", template.name),
      ...checkTemplate(template, templates, globals).map((problem) => `template "${template.name}": ${problem}`),
    ]),
  ];
}

type Templates = ReadonlyMap<string, ArgoTemplate>;

/** As Argo's own check has it. */
const NAME = /^[A-Za-z0-9][-A-Za-z0-9]*$/;

const checkName = (what: string, name: string): readonly string[] =>
  NAME.test(name) && name.length <= 128 ? [] : [`"${name}" is no name of a ${what}`];

/** Of templates in one another, which Argo bounds at 100. */
const DEEPEST = 90;

function calledInCircles(name: string, templates: Templates, around: readonly string[] = []): readonly string[] {
  if (around.includes(name)) return [`template "${name}" calls itself: ${[...around, name].join(" > ")}`];
  if (around.length > DEEPEST) return [`templates lie more than ${DEEPEST} deep in one another: ${around.join(" > ")}`];
  const called = new Set((templates.get(name)?.steps ?? []).flat().map(({ template }) => template));
  return [...called].flatMap((one) => calledInCircles(one, templates, [...around, name])).slice(0, 1);
}

function checkTemplate(template: ArgoTemplate, templates: Templates, globals: ReadonlySet<string>): readonly string[] {
  const { name: _, steps, inputs, outputs, ...rest } = template;
  const kinds = [steps, template.container, template.suspend].filter((kind) => kind !== undefined);
  const parameters = new Set(inputs?.parameters.map(({ name }) => name));
  const known = { parameters, globals, steps: new Map<string, ReadonlySet<string>>() };
  const problems = [
    ...(kinds.length === 1 ? [] : ["it is not one of steps, container and suspend"]),
    ...(steps?.length === 0 || steps?.some((group) => group.length === 0) ? ["a group of steps is empty"] : []),
    ...textsIn(rest).flatMap((text) => checkText(text, known, template.retryStrategy ? ["retries"] : [])),
  ];
  for (const group of steps ?? []) {
    for (const step of group) problems.push(...checkStep(step, templates, known));
    for (const step of group) {
      if (known.steps.has(step.name)) problems.push(`two steps are named "${step.name}"`);
      known.steps.set(step.name, new Set(templates.get(step.template)?.outputs?.parameters.map(({ name }) => name)));
    }
  }
  return [...problems, ...(outputs?.parameters ?? []).flatMap((output) => checkOutput(output, known))];
}

/** What can be referred to at one place. */
interface Known {
  readonly parameters: ReadonlySet<string>;
  readonly globals: ReadonlySet<string>;
  /** Steps of groups before, and their outputs. */
  readonly steps: Map<string, ReadonlySet<string>>;
}

function checkStep(step: ArgoStep, templates: Templates, known: Known): readonly string[] {
  const { name, template, arguments: given, ...rest } = step;
  const called = templates.get(template);
  const wanted = new Set(called?.inputs?.parameters.map((parameter) => parameter.name));
  const handed = (given?.parameters ?? []).map((parameter) => parameter.name);
  const item = step.withParam === undefined ? [] : ["item"];
  const problems = [
    ...checkName("step", name),
    ...(called ? [] : [`it calls "${template}", which is no template`]),
    ...handed.filter((parameter) => called && !wanted.has(parameter)).map((one) => `it hands over "${one}" to nobody`),
    ...[...wanted].filter((parameter) => !handed.includes(parameter)).map((one) => `it does not hand over "${one}"`),
    ...textsIn([rest, given]).flatMap((text) => checkText(text, known, item)),
  ];
  return problems.map((problem) => `step "${name}": ${problem}`);
}

function checkOutput({ name, valueFrom }: ArgoOutput, known: Known): readonly string[] {
  if (!("expression" in valueFrom)) return [];
  const { expression } = valueFrom;
  // What is put in as text is not the expression's: Argo knows no `workflow` there.
  const own = expression.replaceAll(/\{\{workflow\.parameters\.[\w-]+\}\}/g, "");
  const problems = [...checkText(expression, known, []), ...checkExpression(own, { ...known, globals: new Set() })];
  return problems.map((problem) => `output "${name}": ${problem}`);
}

/** Every text in a value, keys aside. */
const textsIn = (value: unknown): readonly string[] =>
  typeof value === "string"
    ? [value]
    : typeof value === "object" && value !== null
      ? Object.values(value).flatMap(textsIn)
      : [];

/** The tags of a text. */
function checkText(text: string, known: Known, more: readonly string[]): readonly string[] {
  const tags = [...text.matchAll(/\{\{(.*?)\}\}/gs)].map(([, inside]) => inside!);
  const left = text.replaceAll(/\{\{.*?\}\}/gs, "");
  return [
    ...(left.includes("{{") ? [`"${text}" opens a tag and does not close it`] : []),
    ...tags.flatMap((inside) =>
      inside.startsWith("=") ? checkExpression(inside.slice(1), known) : checkTag(inside, known, more),
    ),
  ];
}

function checkTag(tag: string, known: Known, more: readonly string[]): readonly string[] {
  if (more.includes(tag)) return [];
  const [, scope, name = ""] = /^(inputs|workflow)\.parameters\.([\w-]+)$/.exec(tag) ?? [];
  if ((scope === "inputs" && known.parameters.has(name)) || (scope === "workflow" && known.globals.has(name)))
    return [];
  const step = /^steps\.([\w-]+)\.outputs\.parameters\.(\w+)$/.exec(tag);
  if (step && known.steps.get(step[1]!)?.has(step[2]!)) return [];
  return [`{{${tag}}} is not known here`];
}

/** What an expression refers to; what stands between quotes is not part of it. */
function checkExpression(expression: string, { parameters, globals, steps }: Known): readonly string[] {
  const problems: string[] = [];
  const plain = expression.replaceAll(/"[^"]*"/g, '""');
  const referred = [...plain.matchAll(/(?<![.\w])(inputs|steps|workflow)\b((?:\??\.\w+|\['[^']*'\])*)/g)];
  for (const [whole, scope, rest = ""] of referred) {
    const path = [...rest.matchAll(/\.(\w+)|\['([^']*)'\]/g)].map(([, field, quoted]) => field ?? quoted!);
    const isKnown =
      scope === "steps"
        ? path.slice(1, 3).join(".") === "outputs.parameters" && steps.get(path[0]!)?.has(path[3]!)
        : path[0] === "parameters" && (scope === "inputs" ? parameters : globals).has(path[1]!);
    if (!isKnown) problems.push(`"${whole}" is not known here`);
  }
  return problems;
}
