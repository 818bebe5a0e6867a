import {
  type Block,
  type CallbackStep,
  type ChoiceStep,
  type FailStep,
  type FunctionStep,
  type Mapping,
  type MapStep,
  type Origin,
  type ParallelStep,
  type RepeatStep,
  type Step,
  type SucceedStep,
  stepsOf,
  type TaskStep,
  type Tries,
  type WaitStep,
} from "../../../shared/workflow/definition.ts";
import type { ANSWER_FILE as AnswerFile, FlowStep } from "../runtime/flow-step.ts";
import type { FlowTemplates } from "../runtime/flow-steps.ts";
import {
  answerOf,
  decoded,
  encoded,
  failure,
  given,
  holding,
  IS_NUMBER,
  isFailed,
  isOk,
  LOST,
  mapped,
  needsOf,
  object,
  originsIn,
  originsOfCondition,
  type Root,
  type Roots,
  referred,
  tag,
  text,
  toText,
  withValue,
} from "./flow-expressions.ts";
import type {
  ArgoArgument,
  ArgoContainer,
  ArgoOutput,
  ArgoStep,
  ArgoTemplate,
  ArgoWorkflowTemplate,
} from "./flow-templates.ts";

/** A pod of a function, a task's or a question's, as Kubernetes has it: the step and what it knows come as variables. */
export interface FlowPod {
  readonly spec: {
    readonly containers: readonly ArgoContainer[];
    readonly initContainers?: readonly object[];
    readonly volumes?: readonly object[];
    readonly securityContext?: object;
    readonly affinity?: object;
    readonly serviceAccountName: string;
    readonly [field: string]: unknown;
  };
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  /** Seconds that the pod may take; absent: as long as the run. */
  readonly timeout?: number;
}

/** What the steps of a workflow are done by, and what is its own. */
export interface FlowWorld {
  /** The WorkflowTemplate's. */
  readonly name: string;
  readonly namespace?: string;
  readonly labels: Readonly<Record<string, string>>;
  /** The ServiceAccount that tells Argo how a pod ended: `create` and `patch` of `workflowtaskresults`. */
  readonly executor: string;
  /** Longest time of a run, in seconds. */
  readonly timeout: number;
  /** Seconds that a run is kept after its end. */
  readonly kept: number;
  readonly pullSecrets?: readonly { readonly name: string }[];
  readonly function: (part: string) => FlowPod;
  /** Submits a run of a task and waits for its end. */
  readonly task: (part: string) => FlowPod;
  /** Asks, and waits for the answer. */
  readonly ask: (kind: "queue" | "function", part: string) => FlowPod;
  /** Says what a run failed with, and fails. */
  readonly failed: FlowPod;
}

/**
 * Of a step's output as JSON, in bytes: as base64 it goes into a variable of a pod, which Linux bounds at 128 KiB.
 * https://man7.org/linux/man-pages/man2/execve.2.html
 */
export const LARGEST_OUTPUT = 64 * 1024;
/** Of what a map comes to, in base64. */
const LARGEST_LIST = 4 * Math.ceil(LARGEST_OUTPUT / 3);
/** Where a pod writes its answer: `runtime/flow-step.ts` has it so, too. */
const ANSWER_FILE: typeof AnswerFile = "/tmp/millrace-answer";
/** Calls in one template: more are a tree of them, for Argo ends what is nested more than 100 deep. */
const CALLS = 10;
/** Seconds beyond a function's time in which its pod is placed and has its image and its code. */
const POD_MARGIN = 300;
/** Kinds that a retry can help. */
const RETRYABLE = ["failed", "timed-out", "interrupted", "unavailable", "conflict"];

/**
 * A definition as an Argo WorkflowTemplate, for Argo Workflows 3.7 and later. A run is a Workflow with the parameters
 * `run`, its id, and `input`, {@link encoded}.
 *
 * A block is a template of steps one after the other. Every template answers one parameter, `answer`: `{ status, output }`
 * or `{ status, error }`, encoded. A failure is such a value too, and what comes after it is left out: of steps that
 * failed Argo hands on nothing but that they did. So a branch or an item that fails lets those beside it come to their
 * ends. Only pods that go away without an answer are failures of Argo's; it tries them again as it does those that threw.
 *
 * Verified against Argo's own controller, of version 4 (August 2026): it validates and runs the suite of definitions, with
 * pods whose ends are played.
 *
 * @param definition one that is checked
 */
export function flowDefinition(definition: Block, world: FlowWorld): ArgoWorkflowTemplate {
  const { name, namespace, labels, executor, timeout, kept, pullSecrets } = world;
  return {
    apiVersion: "argoproj.io/v1alpha1",
    kind: "WorkflowTemplate",
    metadata: { name, ...(namespace !== undefined && { namespace }), labels },
    spec: {
      entrypoint: "run",
      arguments: { parameters: [{ name: "run" }, { name: "input" }] },
      activeDeadlineSeconds: Math.ceil(timeout),
      serviceAccountName: executor,
      automountServiceAccountToken: false,
      executor: { serviceAccountName: executor },
      ttlStrategy: { secondsAfterCompletion: kept },
      podGC: { strategy: "OnWorkflowSuccess" },
      ...(pullSecrets && { imagePullSecrets: pullSecrets }),
      templates: new FlowCompiler(definition, world).whole(definition),
    },
  };
}

/** A template, and what a call of it has to hand over. */
interface Callable {
  readonly template: string;
  /** What it knows besides the run's input and id. */
  readonly needs: readonly Origin[];
  /** More parameters, as the caller writes them. */
  readonly more?: (place: Place) => Readonly<Record<string, string>>;
  /** What the caller refers to in those. */
  readonly reads?: readonly Origin[];
}

/** What the steps of a template know. */
interface Place {
  /** In arguments and conditions. */
  readonly roots: Roots;
  /** In outputs: Argo knows no parameters of the workflow there. */
  readonly ends: Roots;
  /** As an argument: handed on as it is. */
  readonly passed: ReadonlyMap<Origin, string>;
}

/** A template of steps before it is one. */
interface Draft {
  readonly name: string;
  readonly needs: readonly Origin[];
  /** Parameters besides what it knows and where it is. */
  readonly more?: readonly string[];
  readonly groups: (place: Place) => readonly (readonly ArgoStep[])[];
  readonly answer: (place: Place) => string;
  /** Whether a loop ends with it: `"true"` or `"false"`. */
  readonly over?: (place: Place) => string;
  readonly parallelism?: number | undefined;
  readonly globalName?: string | undefined;
}

/** How a step calls a template. */
interface Calling {
  readonly when?: string | undefined;
  readonly withParam?: string;
  /** What the paths of the steps inside begin with. @default what those around do */
  readonly at?: string;
}

const AT = "{{inputs.parameters.at}}";

class FlowCompiler {
  readonly #world: FlowWorld;
  readonly #templates: ArgoTemplate[] = [];
  readonly #taken: Set<string>;
  /** Of the steps' templates. */
  readonly #names: ReadonlyMap<string, string>;

  constructor(definition: Block, world: FlowWorld) {
    this.#world = world;
    this.#names = namesIn(definition);
    this.#taken = new Set([...RESERVED, ...this.#names.values()]);
  }

  whole(definition: Block): readonly ArgoTemplate[] {
    const main = this.#block("main", definition, "answer");
    const answer = { name: "answer", value: tag(answerOf("main")) };
    const failed: ArgoStep = {
      ...{ name: "failed", template: "failed", when: tag(isFailed(answerOf("main"))) },
      arguments: { parameters: [answer] },
    };
    const start: ArgoStep = {
      ...{ name: "main", template: main.template },
      arguments: { parameters: [{ name: "at", value: "" }] },
    };
    return [{ name: "run", steps: [[start], [failed]] }, this.#failed(), ...this.#templates, WAIT, PAUSE];
  }

  #name(wanted: string): string {
    return freeName(wanted, this.#taken);
  }

  /** Steps one after the other, as long as all goes well. */
  #block(name: string, block: Block, globalName?: string): Callable {
    const last = block.steps.at(-1);
    const end = last?.type === "succeed" || last?.type === "fail" ? last : undefined;
    const steps = end ? block.steps.slice(0, -1) : block.steps;
    const called = steps.map((step) => ({ step, own: this.#names.get(step.name)!, callable: this.#step(step) }));
    const after = (place: Place, count: number) =>
      called.slice(0, count).reduce((known, { step, own }) => knowing(known, `step:${step.name}`, own), place);
    return this.#draft({
      name,
      needs: needsOf(block),
      groups: (place) =>
        called.map(({ own, callable }, index) => {
          const before = called[index - 1]?.own;
          const when = before === undefined ? undefined : tag(isOk(answerOf(before)));
          return [callOf(own, callable, after(place, index), { when })];
        }),
      answer: (place) => {
        const { ends } = after(place, called.length);
        const output = end ? ending(end, ends) : succeeded(mapped(block.output, ends));
        return called.reduceRight((rest, { own }) => `${isOk(answerOf(own))} ? (${rest}) : ${answerOf(own)}`, output);
      },
      globalName,
    });
  }

  #step(step: Step): Callable {
    switch (step.type) {
      case "function":
      case "task":
      case "callback":
        return this.#caught(step, this.#pod(step));
      case "parallel":
        return this.#caught(step, this.#tried(step, this.#parallel(step)));
      case "map":
        return this.#caught(step, this.#tried(step, this.#map(step)));
      case "repeat":
        return this.#caught(step, this.#tried(step, this.#repeat(step)));
      case "choice":
        return this.#choice(step);
      case "wait":
        return waiting(step);
      default:
        throw new Error(`step "${step.name}" is not the last of its block: the definition is not checked`);
    }
  }

  /** A step, and what is done when it fails. */
  #caught(step: Step & Tries, callable: Callable): Callable {
    if (!step.catch) return callable;
    const { kinds, block } = step.catch;
    const caught = this.#block(this.#name(`${step.name}-catch`), block);
    const origin = `error:${step.name}` as const;
    const answer = answerOf("try");
    const fits = kinds ? ` && ${decoded(answer)}.error.kind in [${kinds.map(text).join(", ")}]` : "";
    const isCaught = `${isFailed(answer)}${fits}`;
    return this.#draft({
      name: this.#name(`${step.name}-caught`),
      needs: merged(callable.needs, callable.reads, without(caught.needs, origin)),
      groups: (place) => [
        [callOf("try", callable, place)],
        [callOf("catch", caught, knowing(place, origin, "try"), { when: tag(isCaught), at: `${AT}${step.name}/` })],
      ],
      answer: () => `${isCaught} ? ${answerOf("catch")} : ${answer}`,
    });
  }

  /** A step of steps that is done again when it fails; pods are tried again by Argo. */
  #tried(step: Step & Tries, callable: Callable): Callable {
    const { name, attempts, backoff } = step;
    if (attempts === 1) return callable;
    const { first, factor, longest } = backoff;
    const seconds = `min(${first} * ${factor} ** (${COUNT} - 1), ${longest})`;
    const error = `${decoded(answerOf("body"))}.error.kind in [${RETRYABLE.map(text).join(", ")}]`;
    const turn = this.#draft({
      name: this.#name(`${name}-try`),
      needs: merged(callable.needs, callable.reads),
      more: TURN,
      groups: (place) => [
        [pauseOf(tag(`string(int(ceil(${seconds})))`))],
        [callOf("body", callable, place, { at: `${AT}~{{inputs.parameters.count}}~` })],
      ],
      answer: () => answerOf("body"),
      over: () => `${isFailed(answerOf("body"))} && ${error} && ${COUNT} + 1 < ${attempts} ? "false" : "true"`,
    });
    const more = () => ({ state: encoded(null), count: "0" });
    return { ...this.#loop(`${name}-tries`, turn, attempts), more };
  }

  /** Turns one after the other, until one says that it was the last: a tree of templates with a few calls each. */
  #loop(name: string, turn: Callable, atMost: number): Callable {
    let whole = turn;
    for (let size = 1; size < atMost; size *= CALLS) {
      const calls = Math.min(CALLS, Math.ceil(atMost / size));
      whole = this.#turns(this.#name(name), whole, { size, calls });
    }
    return whole;
  }

  #turns(name: string, { template, needs }: Callable, { size, calls }: { size: number; calls: number }): Callable {
    const own = Array.from({ length: calls }, (_, index) => `turn-${index}`);
    const lastOf = (output: string, otherwise: string) =>
      [...own.map((turn) => given(turn, output)).reverse(), text(otherwise)].join(" ?? ");
    return this.#draft({
      ...{ name, needs, more: TURN },
      groups: (place) =>
        own.map((turn, index) => {
          const before = own[index - 1];
          const state = before === undefined ? STATE : `{{steps.${before}.outputs.parameters.answer}}`;
          const more = () => ({ state, count: tag(`string(${COUNT} + ${index * size})`) });
          const when = before === undefined ? undefined : tag(`(${given(before, "over")} ?? "true") == "false"`);
          return [callOf(turn, { template, needs, more }, place, { when })];
        }),
      answer: () => lastOf("answer", LOST),
      over: () => lastOf("over", "true"),
    });
  }

  #parallel({ name, branches }: ParallelStep): Callable {
    const all = Object.entries(branches).map(([branch, block], index) => ({
      branch,
      own: `branch-${index}`,
      callable: this.#block(this.#name(`${name}-${branch}`), block),
    }));
    const output = object(all.map(({ branch, own }) => [branch, `${decoded(answerOf(own))}.output`]));
    return this.#draft({
      name: this.#names.get(name)!,
      needs: merged(...all.map(({ callable }) => callable.needs)),
      groups: (place) => [all.map(({ own, callable }) => callOf(own, callable, place, { at: `${AT}${name}/` }))],
      answer: () =>
        all.reduceRight((rest, { own }) => `${isOk(answerOf(own))} ? (${rest}) : ${answerOf(own)}`, succeeded(output)),
    });
  }

  #map(step: MapStep): Callable {
    const { name, items, concurrency, atMost } = step;
    const item = this.#block(this.#name(`${name}-item`), step.item);
    const origin = `item:${name}` as const;
    const list = decoded("inputs.parameters.items");
    const isList = `type(${list}) == "array" && len(${list}) <= ${atMost}`;
    // Indices alone: what an item is becomes a part of the names of all that is inside.
    const withParam = tag(`${isList} ? toJson(map(0..(len(${list}) - 1), string(#))) : "[]"`);
    const value = tag(toText(`${list}[int(item)]`));
    const template = this.#draft({
      name: this.#names.get(name)!,
      needs: without(item.needs, origin),
      more: ["items"],
      parallelism: concurrency,
      groups: (place) => {
        const passed = new Map([...place.passed, [origin, value]]);
        const at = `${AT}${name}[{{item}}]/`;
        return [[callOf("item", item, { ...place, passed }, { withParam, at })]];
      },
      answer: () => collected(step, list),
    });
    const more = ({ roots }: Place) => ({ items: tag(toText(referred(items, roots))) });
    return { ...template, more, reads: outside([items.$]) };
  }

  #repeat(step: RepeatStep): Callable {
    const { name, block, from, until, atMost, every } = step;
    const origin = `state:${name}` as const;
    const body = this.#block(this.#name(`${name}-round`), block);
    const around = without(merged(body.needs, outside(originsOfCondition(until))), origin);
    const answer = answerOf("body");
    const isLast = `${COUNT} + 1 >= ${atMost}`;
    const isDone = ({ ends }: Place) => holding(until, new Map([...ends, [origin, rootOf("body")]]));
    const late = failure("timed-out", `step ${name} was repeated ${atMost} times, and is not through`);
    const turn = this.#draft({
      name: this.#name(`${name}-turn`),
      needs: around,
      more: TURN,
      groups: (place) => {
        const passed = new Map([...place.passed, [origin, STATE]]);
        const at = `${AT}${name}[{{inputs.parameters.count}}]/`;
        return [...(every > 0 ? [[pauseOf(String(every))]] : []), [callOf("body", body, { ...place, passed }, { at })]];
      },
      answer: (place) => `!(${isOk(answer)}) || (${isDone(place)}) || !(${isLast}) ? ${answer} : ${late}`,
      over: (place) => `!(${isOk(answer)}) || (${isDone(place)}) || ${isLast} ? "true" : "false"`,
    });
    const state = (place: Place) => tag(succeeded(mapped(from, place.roots)));
    const { template, needs } = this.#loop(name, turn, atMost);
    return { template, needs, more: (place) => ({ state: state(place), count: "0" }), reads: outside(originsIn(from)) };
  }

  #choice({ name, options, otherwise }: ChoiceStep): Callable {
    const all = [...options.map(({ block }) => block), otherwise].map((block, index) => ({
      own: `option-${index}`,
      index,
      callable: this.#block(this.#name(`${name}-${index < options.length ? index + 1 : "otherwise"}`), block),
    }));
    const chosen = ({ roots }: Place) =>
      options.reduceRight(
        (rest, option, index) => `(${holding(option.if, roots)}) ? "${index}" : (${rest})`,
        `"${options.length}"`,
      );
    return {
      ...this.#draft({
        name: this.#names.get(name)!,
        needs: merged(...all.map(({ callable }) => callable.needs)),
        more: ["option"],
        groups: (place) => [
          all.map(({ own, index, callable }) =>
            callOf(own, callable, place, { when: `{{inputs.parameters.option}} == ${index}`, at: `${AT}${name}/` }),
          ),
        ],
        answer: () => `${all.map(({ own }) => given(own, "answer")).join(" ?? ")} ?? ${text(LOST)}`,
      }),
      more: (place) => ({ option: tag(chosen(place)) }),
      reads: outside(options.flatMap((option) => originsOfCondition(option.if))),
    };
  }

  /** A function, a task or a question: one pod for each attempt. */
  #pod(step: FunctionStep | TaskStep | CallbackStep): Callable {
    const { name, attempts, backoff } = step;
    const mapping: Mapping = step.type === "task" ? { id: step.id, input: step.input } : step.input;
    const origins = originsIn(mapping);
    const needs = outside(origins);
    const own = this.#names.get(name)!;
    const pod = this.#podOf(step);
    const timeout = Math.min(step.timeout ?? Infinity, pod.timeout ?? Infinity);
    const call: FlowStep = {
      ...{ step: name, attempts, most: LARGEST_OUTPUT, mapping, known: origins },
      ...(timeout < Infinity && { timeout }),
    };
    const variables = [
      { name: "MILLRACE_STEP", value: encoded(call) },
      { name: "MILLRACE_RUN", value: "{{workflow.parameters.run}}" },
      { name: "MILLRACE_AT", value: AT },
      { name: "MILLRACE_RETRIES", value: attempts > 1 ? "{{retries}}" : "0" },
      ...origins.map((origin, index) => ({ name: `MILLRACE_KNOWN_${index}`, value: OUTSIDE[origin] ?? input(origin) })),
    ];
    this.#templates.push({
      name: own,
      inputs: { parameters: [...needs.map(parameterOf), "at"].map((name) => ({ name })) },
      ...podFields(pod, variables),
      ...(attempts > 1 && {
        retryStrategy: {
          limit: attempts - 1,
          // Pods that were evicted, too: a function that ran out of attempts answers that, and does not fail.
          retryPolicy: "Always",
          backoff: {
            duration: `${Math.ceil(backoff.first)}s`,
            factor: Math.max(1, Math.round(backoff.factor)),
            cap: `${Math.ceil(backoff.longest)}s`,
          },
        },
      }),
      outputs: { parameters: [{ name: "answer", valueFrom: { path: ANSWER_FILE, default: LOST } }] },
    });
    return { template: own, needs };
  }

  #podOf(step: FunctionStep | TaskStep | CallbackStep): FlowPod {
    switch (step.type) {
      case "function":
        return this.#world.function(step.function);
      case "task":
        return this.#world.task(step.task);
      case "callback":
        return this.#world.ask(step.ask.kind, step.ask.name);
    }
  }

  #failed(): ArgoTemplate {
    const variables = [{ name: "MILLRACE_ANSWER", value: "{{inputs.parameters.answer}}" }];
    return {
      name: "failed",
      inputs: { parameters: [{ name: "answer" }] },
      ...podFields(this.#world.failed, variables),
    };
  }

  #draft({ name, needs, more = [], groups, answer, over, parallelism, globalName }: Draft): Callable {
    const parameters = needs.map((origin) => [origin, input(origin)] as const);
    const inputs = new Map<Origin, Root>(
      needs.map((origin) => [origin, { text: `inputs.parameters['${parameterOf(origin)}']`, ...fieldOf(origin) }]),
    );
    const place: Place = {
      roots: new Map([...inputs, ["input", { text: "workflow.parameters.input" }], ["run", RUN_IN_ARGUMENTS]]),
      ends: new Map([...inputs, ["input", { text: text(OUTSIDE.input!) }], ["run", RUN_IN_OUTPUTS]]),
      passed: new Map(parameters),
    };
    const steps = groups(place);
    const output = (name: string, expression: string): ArgoOutput => ({ name, valueFrom: { expression } });
    this.#templates.push({
      name,
      inputs: { parameters: [...needs.map(parameterOf), "at", ...more].map((name) => ({ name })) },
      steps: steps.length > 0 ? steps : [[NOTHING]],
      ...(parallelism !== undefined && { parallelism }),
      outputs: {
        parameters: [
          { ...output("answer", answer(place)), ...(globalName !== undefined && { globalName }) },
          ...(over ? [output("over", over(place))] : []),
        ],
      },
    });
    return { template: name, needs };
  }
}

/** Templates of our own. */
const RESERVED = ["run", "main", "wait", "pause", "failed"] as const;

/** A name of Argo's, which knows no `_`. */
function freeName(wanted: string, taken: Set<string>): string {
  const plain = wanted.replaceAll("_", "-");
  let name = plain;
  for (let count = 2; taken.has(name); count += 1) name = `${plain}-${count}`;
  taken.add(name);
  return name;
}

/** By the steps' names, those of their templates. */
function namesIn(definition: Block): ReadonlyMap<string, string> {
  const taken = new Set<string>(RESERVED);
  return new Map(stepsOf(definition).map(({ name }) => [name, freeName(name, taken)]));
}

/** By the names of their templates: the steps of a workflow, for who reads what Argo says of a run. */
export function stepTemplates(definition: Block): FlowTemplates {
  const names = namesIn(definition);
  return Object.fromEntries(stepsOf(definition).map(({ name, type }) => [names.get(name)!, [name, type]]));
}

/** What a turn of a loop is told: what the last one came to, and how many there were. */
const TURN = ["state", "count"];
const STATE = "{{inputs.parameters.state}}";
const COUNT = "int(inputs.parameters.count)";

/** As simple tags: the run's parameters are known everywhere but in the expressions of outputs. */
const OUTSIDE: Readonly<Partial<Record<Origin, string>>> = {
  input: "{{workflow.parameters.input}}",
  run: "{{workflow.parameters.run}}",
};
const RUN_IN_ARGUMENTS: Root = { text: "workflow.parameters.run", isPlain: true };
const RUN_IN_OUTPUTS: Root = { text: text(OUTSIDE.run!), isPlain: true };

const parameterOf = (origin: Origin): string => origin.replace(":", "-");
const input = (origin: Origin): string => `{{inputs.parameters.${parameterOf(origin)}}}`;

/** Answers are handed on whole; an item is handed on by itself. */
const fieldOf = (origin: Origin): Pick<Root, "field"> =>
  origin.startsWith("item:") ? {} : { field: origin.startsWith("error:") ? "error" : "output" };

const rootOf = (own: string, field: "output" | "error" = "output"): Root => ({ text: answerOf(own), field });

/** A place that knows what a step of its template has answered. */
function knowing({ roots, ends, passed }: Place, origin: Origin, own: string): Place {
  const root = rootOf(own, fieldOf(origin).field);
  return {
    roots: new Map([...roots, [origin, root]]),
    ends: new Map([...ends, [origin, root]]),
    passed: new Map([...passed, [origin, tag(answerOf(own))]]),
  };
}

const outside = (origins: readonly Origin[]): readonly Origin[] =>
  merged(origins).filter((origin) => origin !== "input" && origin !== "run");
const without = (origins: readonly Origin[], own: Origin): readonly Origin[] => origins.filter((one) => one !== own);
const merged = (...lists: readonly (readonly Origin[] | undefined)[]): readonly Origin[] =>
  [...new Set(lists.flatMap((list) => list ?? []))].sort();

/** A call of a template by a step. */
function callOf(name: string, { template, needs, more }: Callable, place: Place, calling: Calling = {}): ArgoStep {
  const { when, withParam, at = AT } = calling;
  const parameters: readonly ArgoArgument[] = [
    ...needs.map((origin) => ({ name: parameterOf(origin), value: place.passed.get(origin)! })),
    { name: "at", value: at },
    ...Object.entries(more?.(place) ?? {}).map(([name, value]) => ({ name, value })),
  ];
  return {
    ...{ name, template },
    arguments: { parameters },
    ...(when !== undefined && { when }),
    ...(withParam !== undefined && { withParam }),
    // Who failed without an answer is told of by what comes after it.
    continueOn: { failed: true, error: true },
  };
}

const succeeded = (output: string): string =>
  toText(
    object([
      ["status", text("succeeded")],
      ["output", output],
    ]),
  );

function ending(step: SucceedStep | FailStep, roots: Roots): string {
  if (step.type === "succeed")
    return toText(
      object([
        ["status", text("ended")],
        ["output", mapped(step.output, roots)],
      ]),
    );
  const message = withValue(
    mapped(step.message, roots),
    (value) => `type(${value}) == "string" ? ${value} : toJson(${value})`,
  );
  const error = object([
    ["kind", text(step.kind)],
    ["message", message],
  ]);
  return toText(
    object([
      ["status", text("failed")],
      ["error", error],
    ]),
  );
}

/** What a map comes to: Argo hands on the answers of its items as a list, in their order. */
function collected({ name, atMost, tolerated, collects }: MapStep, list: string): string {
  const answers = `map(fromJSON(${given("item", "answer")} ?? "[]"), ${decoded("#")})`;
  const isFailed = '#.status != "succeeded"';
  const failures = `count(${answers}, ${isFailed})`;
  const counts = object([
    ["succeeded", `len(${list}) - ${failures}`],
    ["failed", failures],
  ]);
  const outputs = succeeded(collects ? `map(${answers}, #.output)` : counts);
  const tooLarge = failure(
    "refused",
    `what map ${name} comes to is larger than a workflow carries: answer keys of objects`,
  );
  const cases = [
    [`type(${list}) != "array"`, failure("bad-input", `the items of map ${name} are no list`)],
    [`len(${list}) > ${atMost}`, failure("refused", `map ${name} takes at most ${atMost} items`)],
    [`len(${answers}) != len(${list})`, text(LOST)],
    [`${failures} > ${tolerated}`, toText(`find(${answers}, ${isFailed})`)],
  ] as const;
  return cases.reduceRight(
    (rest, [condition, answer]) => `${condition} ? ${answer} : (${rest})`,
    withValue(outputs, (value) => `len(${value}) > ${LARGEST_LIST} ? ${tooLarge} : ${value}`),
  );
}

/** Templates that every workflow has. */
const PAUSE: ArgoTemplate = {
  name: "pause",
  inputs: { parameters: [{ name: "seconds" }] },
  suspend: { duration: "{{inputs.parameters.seconds}}" },
};

const WAIT: ArgoTemplate = {
  name: "wait",
  inputs: { parameters: [{ name: "at" }, { name: "seconds" }] },
  steps: [[pause("{{inputs.parameters.seconds}} > 0", "{{inputs.parameters.seconds}}")]],
  outputs: {
    parameters: [
      {
        name: "answer",
        valueFrom: {
          expression: `int(inputs.parameters.seconds) < 0 ? ${failure("bad-input", "a step waits for seconds, 0 or more")} : ${text(encoded({ status: "succeeded", output: {} }))}`,
        },
      },
    ],
  },
};

function pause(when: string, seconds: string): ArgoStep {
  return { name: "pause", template: "pause", when, arguments: { parameters: [{ name: "seconds", value: seconds }] } };
}

/** Between two turns. */
const pauseOf = (seconds: string): ArgoStep => pause("{{inputs.parameters.count}} > 0", seconds);

/** Argo wants a step in every template of steps. */
const NOTHING: ArgoStep = { ...pause("false", "0"), name: "nothing" };

function waiting({ seconds }: WaitStep): Callable {
  const more = ({ roots }: Place) => {
    if (typeof seconds === "number") return { seconds: String(seconds) };
    const whole = (value: string) => `${IS_NUMBER} && ${value} >= 0 ? string(int(ceil(${value}))) : "-1"`;
    return { seconds: tag(withValue(referred(seconds, roots), whole)) };
  };
  return { template: "wait", needs: [], more, reads: typeof seconds === "number" ? [] : outside([seconds.$]) };
}

/** A pod as a template. What Argo has no field for is put in by a patch. */
function podFields(pod: FlowPod, variables: readonly ArgoArgument[]): Omit<ArgoTemplate, "name"> {
  const { containers, initContainers, volumes, securityContext, affinity, serviceAccountName } = pod.spec;
  const [main] = containers;
  const { name: _, env, ...container } = main!;
  const { enableServiceLinks, terminationGracePeriodSeconds } = pod.spec;
  return {
    metadata: { labels: pod.labels, ...(pod.annotations && { annotations: pod.annotations }) },
    serviceAccountName,
    automountServiceAccountToken: false,
    ...(securityContext && { securityContext }),
    ...(affinity && { affinity }),
    ...(volumes && { volumes }),
    ...(initContainers && { initContainers }),
    container: { ...container, env: [...env, ...variables] },
    podSpecPatch: JSON.stringify({ enableServiceLinks, terminationGracePeriodSeconds }),
    ...(pod.timeout !== undefined && { activeDeadlineSeconds: Math.ceil(pod.timeout) + POD_MARGIN }),
  };
}
