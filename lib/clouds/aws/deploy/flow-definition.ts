import type { ErrorKind } from "../../../runtime/errors.ts";
import type {
  Block,
  CallbackStep,
  Condition,
  FailStep,
  FunctionStep,
  Mapping,
  MapStep,
  ParallelStep,
  Reference,
  RepeatStep,
  Step,
  TaskStep,
  Tries,
  WaitStep,
} from "../../../shared/workflow/definition.ts";
import { stepsOf } from "../../../shared/workflow/definition.ts";
import { FlowData, fieldOf, type Hoisted, type Place, placeField, referencesIn, toPayload } from "./flow-data.ts";

/** What a workflow's steps speak with, by the parts' names. */
export interface FlowTargets {
  /** Names or ARNs. */
  readonly functions: Readonly<Record<string, string>>;
  /** Seconds that functions may take. */
  readonly timeouts: Readonly<Record<string, number>>;
  /** The functions that submit runs of tasks and look how they went, by the tasks' names. */
  readonly tasks: Readonly<Record<string, string>>;
  /** URLs. */
  readonly queues: Readonly<Record<string, string>>;
  /** The table with what callbacks wait for; needed by those. */
  readonly table: string;
  /** Its partition of this workflow's runs. */
  readonly partition: string;
}

/** A map over more items is a distributed one. https://docs.aws.amazon.com/step-functions/latest/dg/state-map-inline.html */
export const INLINE_ITEMS = 40;

/** A state's data are 256 KiB, answer and all that is around it. https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html */
const ANSWER_BYTES = 192 * 1024;

/** Lambda ends a function by itself; this long after that nobody waits for its answer any more, in seconds. */
const MARGIN = 30;

const LAMBDA = "arn:aws:states:::lambda:invoke";

type States = Record<string, object>;

/** Where a failure goes that somebody around takes: its record is written to `path`, and `label` is next. */
interface Handler {
  readonly path: string;
  label(): string;
  /** How a state hands on what it fails with; nothing where that fails what the state is in. */
  catches(): readonly object[];
}

/** What follows: another state, or the end of what the block is in. */
type Next = { readonly label: string } | "end";

/** What is around a step. */
interface Around {
  readonly states: States;
  readonly place: Place;
  readonly failure: Handler;
  /** Maps and repeats it is in. */
  readonly numbered: readonly { readonly path: string }[];
  /** What `succeed` does: it ends the run, or what was wrapped around it. */
  readonly scope: "run" | "wrapped" | "branch";
}

/**
 * A workflow in Amazon States Language, with JSONPath. Its input is the run's, its execution's name the run's id.
 *
 * Steps of a block are states side by side, branches and items are states of their own. A failure is a record
 * `{ kind, message }` in the state, on its way to the next `catch` around; it leaves a branch or an item as the error of a
 * `Fail`. A function answers whether it succeeded, and gets its input as a mapping with what that refers to, which it
 * fills in as every other cloud does; where the service itself fills in, a choice looks first whether all is there.
 *
 * @see https://states-language.net/spec.html
 */
export function flowDefinition(
  { definition, timeout }: { readonly definition: Block; readonly timeout: number },
  targets: FlowTargets,
): object {
  return new FlowCompiler(definition, targets).machine(timeout);
}

class FlowCompiler {
  readonly #definition: Block;
  readonly #targets: FlowTargets;
  readonly #data: FlowData;
  readonly #labels = new Set<string>();

  constructor(definition: Block, targets: FlowTargets) {
    this.#definition = definition;
    this.#targets = targets;
    const steps = stepsOf(definition);
    this.#data = new FlowData(steps);
    for (const { name } of steps) this.#labels.add(name);
  }

  machine(timeout: number): object {
    const states: States = {};
    const begin = this.#label("Begin");
    const failure = this.#failing(states, "Failed");
    const around: Around = { states, place: [], failure, numbered: [], scope: "run" };
    const first = this.#block(this.#definition, around, "Output", "end");
    const ordered: States = {
      [begin]: {
        Type: "Pass",
        Parameters: { "input.$": "$", "run.$": "$$.Execution.Name" },
        Next: first,
      },
      ...reached(first, states),
    };
    return { QueryLanguage: "JSONPath", TimeoutSeconds: timeout, StartAt: begin, States: ordered };
  }

  // Blocks, from their last state to their first.

  /** @param owner whose output it is, as a label @param write where to; the end of its branch or item otherwise */
  #block(block: Block, around: Around, owner: string, next: Next, write?: Write): string {
    const last = block.steps.at(-1);
    const isOpen = last?.type !== "succeed" && last?.type !== "fail";
    const end = isOpen ? this.#output(block.output, around, owner, next, write) : "";
    return block.steps.reduceRight((label, step) => this.#step(step, around, label), end);
  }

  #output(output: Mapping, around: Around, owner: string, next: Next, write: Write = END): string {
    return this.#fill(`${owner}`, { output }, {}, around, next, write);
  }

  #step(step: Step, around: Around, next: string): string {
    switch (step.type) {
      case "function":
        return this.#function(step, this.#caught(step, around, next), next);
      case "task":
        return this.#task(step, this.#caught(step, around, next), next);
      case "parallel":
        return this.#parallel(step, this.#caught(step, around, next), next);
      case "map":
        return step.attempts > 1 && step.tolerated > 0
          ? this.#wrapped(step, this.#caught(step, around, next), next)
          : this.#map(step, this.#caught(step, around, next), next);
      case "choice":
        return this.#choice(step, around, next);
      case "repeat":
        return step.attempts > 1
          ? this.#wrapped(step, this.#caught(step, around, next), next)
          : this.#repeat(step, this.#caught(step, around, next), next);
      case "wait":
        return this.#wait(step, around, next);
      case "callback":
        return this.#callback(step, this.#caught(step, around, next), next);
      case "succeed":
        return this.#succeed(step.name, step.output, around);
      case "fail":
        return this.#fail(step, around);
    }
  }

  // Failures.

  /** Where a branch, an item or the run fails. What its states fail with by themselves does so as it is: that can be redriven. */
  #failing(states: States, name: string): Handler {
    const label = this.#label(name);
    return {
      path: "$.error",
      label: () => {
        states[label] = { Type: "Fail", ErrorPath: "$.error.kind", CausePath: "$.error.message" };
        return label;
      },
      catches: () => [],
    };
  }

  /** @param names the service's, of what is taken @param others take the rest */
  #handler(
    states: States,
    path: string,
    label: string,
    names: readonly string[] = ["States.ALL"],
    others: () => readonly object[] = () => [],
  ): Handler {
    let made: string | undefined;
    return {
      path,
      label: () => label,
      catches: () => {
        made ??= this.#toRecord(states, path, label);
        return [{ ErrorEquals: names, ResultPath: "$.caught", Next: made }, ...others()];
      },
    };
  }

  /**
   * What the service says of an error, as one of ours: those of a `Fail` have our kinds. A function may have thrown one,
   * too: then its cause is JSON.
   *
   * @see https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
   */
  #toRecord(states: States, path: string, label: string): string {
    const name = this.#label(`${label}: caught`);
    const record = (what: string, Parameters: object, next = label, ResultPath = path): string => {
      const one = this.#label(`${label}: ${what}`);
      states[one] = { Type: "Pass", Parameters, ResultPath, Next: next };
      return one;
    };
    const error = "$.caught.Error";
    const cause = "$.caught.Cause";
    const ours = { Or: Object.keys(KINDS).map((kind) => ({ Variable: error, StringEquals: kind })) };
    const hasCause = { Variable: cause, IsPresent: true };
    const both = `States.Format('{}: {}', ${error}, ${cause})`;
    const late = record("late", { kind: "timed-out", "message.$": error });
    const lateWords = record("late, with words", { kind: "timed-out", "message.$": both });
    const said = record("said", { "kind.$": error, "message.$": "$.thrown.errorMessage" });
    const thrown = record("thrown", { "errorMessage.$": "$.thrown.error.errorMessage" }, said, "$.thrown");
    const parsed = record("parsed", { "error.$": `States.StringToJson(${cause})` }, thrown, "$.thrown");
    const own = record("own", { "kind.$": error, "message.$": cause });
    const words = record("away, with words", { kind: "unavailable", "message.$": both });
    const away = record("away", { kind: "unavailable", "message.$": error });
    const isLate = {
      Or: [
        ...LATE.map((StringEquals) => ({
          Variable: error,
          StringEquals,
        })),
        { And: [hasCause, { Variable: cause, StringMatches: "*Task timed out after*" }] },
      ],
    };
    states[name] = {
      Type: "Choice",
      Choices: [
        { And: [ours, { Variable: cause, StringMatches: '{"errorType":*' }], Next: parsed },
        { ...ours, Next: own },
        { And: [isLate, hasCause, { Not: { Variable: cause, StringEquals: "" } }], Next: lateWords },
        { ...isLate, Next: late },
        { And: [hasCause, { Not: { Variable: cause, StringEquals: "" } }], Next: words },
      ],
      Default: away,
    };
    return name;
  }

  /** What a step is in, with its own `catch` as the next handler. */
  #caught(step: Step & Tries, around: Around, next: string): Around {
    const { catch: caught, name } = step;
    if (!caught) return around;
    const { states, failure } = around;
    const path = `$.errors.${this.#data.key(name)}`;
    const { path: home, around: shape } = this.#data.home(step);
    const inside = this.#within(name, around);
    const first = this.#block(caught.block, inside, `${name}: caught output`, { label: next }, { path: home, shape });
    const { kinds } = caught;
    if (!kinds) return { ...around, failure: this.#handler(states, path, first) };
    const other = this.#pass(states, `${name}: other kind`, {
      InputPath: path,
      ResultPath: failure.path,
      Next: failure.label(),
    });
    const which = this.#label(`${name}: kind`);
    states[which] = {
      Type: "Choice",
      Choices: kinds.map((kind) => ({ Variable: `${path}.kind`, StringEquals: kind, Next: first })),
      Default: other,
    };
    // What else goes wrong has names without end.
    const isAny = kinds.includes("unavailable");
    const names = isAny ? undefined : kinds.flatMap((kind) => [kind, ...(kind === "timed-out" ? LATE : [])]);
    return { ...around, failure: this.#handler(states, path, which, names, isAny ? undefined : failure.catches) };
  }

  /** A state that fails what is around it. */
  #refused({ states, failure }: Around, name: string, kind: ErrorKind, message: string): string {
    return this.#pass(states, name, { Result: { kind, message }, ResultPath: failure.path, Next: failure.label() });
  }

  /** A cause is a text: what else it is to be is said in JSON. */
  #fail({ name, kind, message }: FailStep, around: Around): string {
    if (typeof message === "string") return this.#refused(around, `${name}: fail`, kind as ErrorKind, message);
    const path = this.#data.path(message) ?? "$.run";
    const { states, failure } = around;
    const to = (what: string, text: object) =>
      this.#pass(states, `${name}: ${what}`, {
        Parameters: { kind, ...text },
        ResultPath: failure.path,
        Next: failure.label(),
      });
    const label = this.#label(`${name}: fail`);
    const isPresent = isThere(path);
    states[label] = {
      Type: "Choice",
      Choices: [
        { And: [isPresent, { Variable: path, IsString: true }], Next: to("text", { "message.$": path }) },
        { ...isPresent, Next: to("value", { "message.$": `States.JsonToString(${path})` }) },
      ],
      Default: to("nothing", { message: "null" }),
    };
    return label;
  }

  #within(name: string, around: Around): Around {
    return { ...around, place: [...around.place, `${name}/`] };
  }

  // Steps.

  #function(step: FunctionStep, around: Around, next: string): string {
    const { name, timeout } = step;
    const { states, failure } = around;
    const { path } = this.#data.home(step);
    const seconds = timeout ?? (this.#targets.timeouts[step.function] ?? 900) + MARGIN;
    states[name] = {
      ...placed(name, around),
      ...this.#invoke(this.#targets.functions[step.function], this.#call(step, around, this.#input(step.input))),
      ResultSelector: { "Payload.$": "$.Payload" },
      ResultPath: path,
      TimeoutSeconds: seconds,
      Retry: [NOT_TAKEN, ...retriesOf(step)],
      ...catching(failure),
      Next: next,
    };
    return name;
  }

  /** https://docs.aws.amazon.com/step-functions/latest/dg/connect-lambda.html */
  #invoke(name: string | undefined, payload: object) {
    return {
      Type: "Task",
      Resource: LAMBDA,
      Parameters: { FunctionName: name, Payload: payload },
    };
  }

  /** As the function reads it: the input is in there already, or as a mapping with what it refers to. */
  #call({ name, attempts }: Step & Tries, { place }: Around, input: object): object {
    return {
      millrace: "step",
      "run.$": "$.run",
      ...Object.fromEntries([placeField("step", [...place, name])]),
      "attempt.$": "States.MathAdd($$.State.RetryCount, 1)",
      attempts,
      most: ANSWER_BYTES,
      ...input,
    };
  }

  /** @param more of what is known: paths, or expressions */
  #input(input: Mapping, more: object = {}): object {
    const origins = [...new Set(referencesIn(input).map((reference) => reference.$))];
    if (origins.length === 0) return { input };
    const known = origins
      .filter(($) => !OWN.includes($))
      .map(($) =>
        fieldOf(
          $,
          toPayload({ $ }, (reference) => this.#data.path(reference), []),
        ),
      );
    return { mapping: JSON.stringify(input), known: { ...Object.fromEntries(known), ...more } };
  }

  /**
   * A run is submitted and then looked at, less and less often: that needs nobody who would tell of its end, passes the
   * task's own admission, and holds no function meanwhile.
   */
  #task(step: TaskStep, around: Around, next: string): string {
    const { name, attempts } = step;
    const { states, failure } = around;
    const { path } = this.#data.home(step);
    const tries = `$.tries.${this.#data.key(name)}`;
    const broken = this.#pass(states, `${name}: failed`, {
      InputPath: `${path}.Payload.output.error`,
      ResultPath: failure.path,
      Next: failure.label(),
    });
    const went = this.#label(`${name}: went`);
    const pause = this.#label(`${name}: pause`);
    const look = this.#label(`${name}: look`);
    const ask = (input: Mapping, more: object) => ({
      ...placed(name, around),
      ...this.#invoke(
        this.#targets.tasks[step.task],
        this.#call({ ...step, attempts: 1 }, around, this.#input(input, more)),
      ),
      ResultSelector: { "Payload.$": "$.Payload" },
      ResultPath: path,
      Retry: [{ ErrorEquals: FINAL, MaxAttempts: 0 }, AGAIN],
      ...catching(failure),
      Next: went,
    });
    const state = `${path}.Payload.output.state`;
    states[look] = ask({ verb: "look", id: step.id, looks: LOOKS }, { "looks.$": `${path}.Payload.output.looks` });
    states[pause] = { Type: "Wait", SecondsPath: `${path}.Payload.output.seconds`, Next: look };
    states[name] = ask(
      { verb: "submit", id: step.id, input: step.input, attempt: attempts === 1 ? 1 : ATTEMPT },
      attempts === 1 ? {} : { "attempt.$": `${tries}.attempt` },
    );
    states[went] = {
      Type: "Choice",
      Choices: [
        { Variable: state, StringEquals: "succeeded", Next: next },
        {
          Variable: state,
          StringEquals: "failed",
          Next: attempts === 1 ? broken : this.#retried(step, around, { tries, broken }),
        },
      ],
      Default: pause,
    };
    if (attempts === 1) return name;
    return this.#pass(states, `${name}: tries`, {
      Result: { attempt: 1, delay: Math.max(1, Math.round(step.backoff.first)) },
      ResultPath: tries,
      Next: name,
    });
  }

  /** Between two attempts of a task's run: the time doubles, whatever its factor, since the language does not multiply. */
  #retried(
    { name, attempts, backoff }: TaskStep,
    { states }: Around,
    { tries, broken }: { readonly tries: string; readonly broken: string },
  ): string {
    const error = `${tries.replace("$.tries.", "$.steps.")}.Payload.output.error.kind`;
    const wait = this.#label(`${name}: backoff`);
    states[wait] = { Type: "Wait", SecondsPath: `${tries}.delay`, Next: name };
    const longest = this.#pass(states, `${name}: longest`, {
      Parameters: { "attempt.$": `${tries}.attempt`, delay: Math.max(1, Math.round(backoff.longest)) },
      ResultPath: tries,
      Next: wait,
    });
    const bounded = this.#label(`${name}: bound`);
    states[bounded] = {
      Type: "Choice",
      Choices: [{ Variable: `${tries}.delay`, NumericGreaterThan: backoff.longest, Next: longest }],
      Default: wait,
    };
    const again = this.#pass(states, `${name}: again`, {
      Parameters: {
        "attempt.$": `States.MathAdd(${tries}.attempt, 1)`,
        "delay.$": `States.MathAdd(${tries}.delay, ${tries}.delay)`,
      },
      ResultPath: tries,
      Next: bounded,
    });
    const helps = this.#label(`${name}: try again`);
    states[helps] = {
      Type: "Choice",
      Choices: [
        { Variable: `${tries}.attempt`, NumericGreaterThanEquals: attempts, Next: broken },
        { Or: FINAL.map((StringEquals) => ({ Variable: error, StringEquals })), Next: broken },
      ],
      Default: again,
    };
    return helps;
  }

  #parallel(step: ParallelStep, around: Around, next: string): string {
    const { name } = step;
    const branches = Object.entries(step.branches);
    around.states[name] = {
      ...placed(name, around),
      Type: "Parallel",
      Branches: branches.map(([branch, block]) => this.#branch(block, around, name, branch)),
      ResultSelector: {
        output: Object.fromEntries(branches.map(([branch], index) => [`${branch}.$`, `$[${index}]`])),
      },
      ...this.#composite(step, around),
      Next: next,
    };
    return name;
  }

  #branch(block: Block, around: Around, name: string, branch: string): object {
    const owner = `${name}: ${branch}`.slice(0, 60);
    const states: States = {};
    const place = [...around.place, `${name}/`];
    const failure = this.#failing(states, `${owner} failed`);
    const StartAt = this.#block(
      block,
      { ...around, states, place, failure, scope: "branch" },
      `${owner} output`,
      "end",
    );
    return { StartAt, States: reached(StartAt, states) };
  }

  /** How states with states in them are tried again, and where their failures go. */
  #composite(step: ParallelStep | MapStep | RepeatStep | CallbackStep, { failure }: Around) {
    const again = retriesOf(step);
    return {
      ResultPath: this.#data.home(step).path,
      ...(again.length > 0 && { Retry: again }),
      ...catching(failure),
    };
  }

  #choice(step: Step & { readonly type: "choice" }, around: Around, next: string): string {
    const { name, options, otherwise } = step;
    const { path, around: shape } = this.#data.home(step);
    const to = (block: Block, what: string) =>
      this.#block(block, this.#within(name, around), `${name}: ${what}`, { label: next }, { path, shape });
    const rules = options.map(({ if: condition, block }, index) => ({
      ...this.#rule(condition),
      Next: to(block, `output ${index + 1}`),
    }));
    around.states[name] = {
      ...placed(name, around),
      Type: "Choice",
      Choices: rules,
      Default: to(otherwise, "other output"),
    };
    return name;
  }

  /** What is not there, or of another type, does not fit. */
  #rule(condition: Condition): object {
    switch (condition.op) {
      case "not":
        return { Not: this.#rule(condition.of) };
      case "and":
        return { And: condition.of.map((part) => this.#rule(part)) };
      case "or":
        return { Or: condition.of.map((part) => this.#rule(part)) };
      default: {
        const Variable = this.#data.path(condition.left);
        if (Variable === undefined) return { Variable: "$.run", IsNull: true };
        const [type, compared] = comparison(condition);
        return {
          And: [
            { Variable, IsPresent: true },
            { Variable, [type]: true },
            { Variable, [compared]: condition.right },
          ],
        };
      }
    }
  }

  #map(step: MapStep, around: Around, next: string): string {
    const { name, atMost, collects, tolerated } = step;
    const { states } = around;
    const { path } = this.#data.home(step);
    const items = this.#data.path(step.items) ?? "$.run";
    const each = tolerated === 0 ? next : this.#tally(step, around, next);
    const begin = this.#label(`${name}: items`);
    const none = this.#pass(states, `${name}: none`, {
      Result: { output: collects ? [] : { succeeded: 0, failed: 0 } },
      ResultPath: path,
      Next: next,
    });
    const wrong = this.#refused(around, `${name}: no list`, "bad-input", "the items are no list");
    const many = this.#refused(
      around,
      `${name}: too many`,
      "refused",
      `the list has more than the ${atMost} items it may have`,
    );
    // The language knows no test for a list: an empty one, which has no first item, is told by its text.
    const isEmpty = this.#label(`${name}: is empty`);
    states[isEmpty] = {
      Type: "Choice",
      Choices: [{ Variable: "$.made.text", StringEquals: "[]", Next: none }],
      Default: wrong,
    };
    const text = this.#pass(states, `${name}: text`, {
      Parameters: { "text.$": `States.JsonToString(${items})` },
      ResultPath: "$.made",
      Next: isEmpty,
    });
    states[begin] = {
      Type: "Choice",
      Choices: [
        {
          And: [
            { Variable: items, IsPresent: true },
            { Variable: items, IsString: true },
          ],
          Next: wrong,
        },
        { Variable: `${items}[${atMost}]`, IsPresent: true, Next: many },
        { Variable: `${items}[0]`, IsPresent: true, Next: name },
        { Variable: items, IsPresent: true, Next: text },
      ],
      Default: wrong,
    };
    states[name] = {
      ...placed(name, around),
      Type: "Map",
      ItemsPath: items,
      ItemSelector: this.#itemSelector(step, around),
      // Without a bound the service does 40 at once inline, and 10,000 of a distributed map.
      ...(step.concurrency !== undefined && { MaxConcurrency: step.concurrency }),
      ItemProcessor: this.#item(step, around),
      ResultSelector: resultOf(step),
      ...this.#composite(step, around),
      Next: each,
    };
    return begin;
  }

  #item(step: MapStep, around: Around): object {
    const { name, atMost, collects, tolerated } = step;
    const states: States = {};
    const index = `$.items.${this.#data.key(name)}.index`;
    const place: Place = [...around.place, `${name}[`, { number: index }, "]/"];
    const failed = this.#label(`${name}: item failed`);
    if (tolerated > 0) {
      states[failed] = {
        Type: "Pass",
        Parameters: { ...(collects && { output: null }), fate: { "failed.$": "$.error" } },
        End: true,
      };
    } else {
      states[failed] = { Type: "Fail", ErrorPath: "$.error.kind", CausePath: "$.error.message" };
    }
    const failure = this.#handler(states, "$.error", failed);
    const inner: Around = {
      states,
      place,
      failure,
      numbered: [...around.numbered, { path: index }],
      scope: "branch",
    };
    const fate = { ok: true };
    const block = collects ? step.item : { ...step.item, output: {} };
    const write: Write =
      tolerated === 0 ? END : { path: "$.result", shape: (output) => ({ ...output, fate }), only: "$.result" };
    const StartAt = this.#block(block, inner, `${name}: item output`, "end", write);
    return {
      ProcessorConfig: atMost > INLINE_ITEMS ? { Mode: "DISTRIBUTED", ExecutionType: "STANDARD" } : { Mode: "INLINE" },
      StartAt,
      States: reached(StartAt, states),
    };
  }

  /** What an item knows of what is around it: what is read in it, and no more. */
  #itemSelector({ name, item }: MapStep, { numbered }: Around): object {
    const own = `$.items.${this.#data.key(name)}`;
    const inside = new Set(stepsOf(item).map((step) => step.name));
    const references = referencesIn(item).filter(({ $ }) => !inside.has($.slice($.indexOf(":") + 1)));
    const paths = references.flatMap(({ $ }) => this.#data.path({ $ }) ?? []);
    const selector: Selector = {};
    for (const path of new Set(["$.run", ...numbered.map((one) => one.path), ...paths])) put(selector, path, path);
    put(selector, `${own}.index`, "$$.Map.Item.Index");
    put(selector, `${own}.value`, "$$.Map.Item.Value");
    return selector;
  }

  /**
   * Counts items that failed. A path to many may lead to none, which implementations take differently: one made up item
   * of each kind comes first.
   */
  #tally(step: MapStep, around: Around, next: string): string {
    const { name, tolerated, collects } = step;
    const { states, failure } = around;
    const { path } = this.#data.home(step);
    const count = (list: string) => `States.MathAdd(States.ArrayLength($.tally.${list}), -1)`;
    const counts = collects
      ? next
      : this.#pass(states, `${name}: counts`, {
          Parameters: { output: { "succeeded.$": count("ok"), "failed.$": count("failed") } },
          ResultPath: path,
          Next: next,
        });
    const broken = this.#pass(states, `${name}: failed`, {
      InputPath: "$.tally.failed[1]",
      ResultPath: failure.path,
      Next: failure.label(),
    });
    const tolerable = this.#label(`${name}: tolerable`);
    states[tolerable] = {
      Type: "Choice",
      Choices: [{ Variable: `$.tally.failed[${tolerated + 1}]`, IsPresent: true, Next: broken }],
      Default: counts,
    };
    const parted = this.#pass(states, `${name}: parted`, {
      Parameters: { "failed.$": "$.tally[*][*].failed", "ok.$": "$.tally[*][*].ok" },
      ResultPath: "$.tally",
      Next: tolerable,
    });
    return this.#pass(states, `${name}: fates`, {
      Parameters: { a: [{ ok: true, failed: { kind: "failed", message: "" } }], "b.$": `${path}.fates` },
      ResultPath: "$.tally",
      Next: parted,
    });
  }

  /** Rounds: the state is what the last one came to, beside the number of this one. */
  #repeat(step: RepeatStep, around: Around, next: string): string {
    const { name, until, atMost, every } = step;
    const { states } = around;
    const { path } = this.#data.home(step);
    const round = `${path}.round`;
    const shape = (output: object) => ({ ...output, "round.$": `States.MathAdd(${round}, 1)` });
    const late = this.#refused(
      around,
      `${name}: too often`,
      "timed-out",
      `what it waits for did not come in ${atMost} rounds`,
    );
    const again = this.#label(`${name}: until`);
    const inner: Around = {
      ...around,
      place: [...around.place, `${name}[`, { number: round }, "]/"],
      numbered: [...around.numbered, { path: round }],
    };
    const first = this.#block(step.block, inner, `${name}: round output`, { label: again }, { path, shape });
    const pause = this.#label(`${name}: pause`);
    if (every > 0) states[pause] = { Type: "Wait", Seconds: every, Next: first };
    states[again] = {
      Type: "Choice",
      Choices: [
        { ...this.#rule(until), Next: next },
        { Variable: round, NumericGreaterThanEquals: atMost, Next: late },
      ],
      Default: every > 0 ? pause : first,
    };
    const begin: Write = { path, shape: (output) => ({ ...output, round: 0 }) };
    return this.#fill(`${name}: from`, { output: step.from }, {}, around, { label: first }, begin);
  }

  /** What is tried again as a whole and has no retry of its own: a branch, in which `succeed` says so to the outside. */
  #wrapped(step: RepeatStep | MapStep, around: Around, next: string): string {
    const { name } = step;
    const { states } = around;
    const { path } = this.#data.home(step);
    const { catch: _, ...once } = { ...step, attempts: 1 };
    const inside: States = {};
    const failure = this.#failing(inside, `${name}: fail`);
    const done = this.#pass(inside, `${name}: done`, { OutputPath: path, End: true });
    const inner: Around = {
      ...around,
      states: inside,
      failure,
      scope: around.scope === "branch" ? "branch" : "wrapped",
    };
    const StartAt = once.type === "map" ? this.#map(once, inner, done) : this.#repeat(once, inner, done);
    const kept = this.#pass(states, `${name}: kept`, { InputPath: "$.wrapped.branch", ResultPath: path, Next: next });
    const label = this.#label(`${name}: tries`);
    const ended = this.#label(`${name}: ended`);
    states[label] = {
      Type: "Parallel",
      Branches: [{ StartAt, States: reached(StartAt, inside) }],
      ResultSelector: { "branch.$": "$[0]" },
      ...this.#composite(step, around),
      ResultPath: "$.wrapped",
      Next: ended,
    };
    const OutputPath = around.scope === "wrapped" ? "$.wrapped.branch" : "$.wrapped.branch.output";
    const over = this.#pass(states, `${name}: over`, { OutputPath, End: true });
    states[ended] = {
      Type: "Choice",
      Choices: [{ Variable: "$.wrapped.branch.ended", IsPresent: true, Next: over }],
      Default: kept,
    };
    return label;
  }

  #wait({ name, seconds }: WaitStep, around: Around, next: string): string {
    const { states } = around;
    if (typeof seconds === "number") {
      states[name] = { ...placed(name, around), Type: "Wait", Seconds: seconds, Next: next };
      return name;
    }
    const path = this.#data.path(seconds) ?? "$.run";
    const asked = this.#label(`${name}: time`);
    states[name] = { ...placed(name, around), Type: "Wait", SecondsPath: path, Next: next };
    states[asked] = {
      Type: "Choice",
      Choices: [
        {
          And: [
            { Variable: path, IsPresent: true },
            { Variable: path, IsNumeric: true },
            { Variable: path, NumericGreaterThanEquals: 0 },
          ],
          Next: name,
        },
      ],
      Default: this.#refused(around, `${name}: no time`, "bad-input", "the time to wait is no number of seconds"),
    };
    return asked;
  }

  /**
   * One branch waits, the other asks. What is waited for lies in a row of the table, under the callback's address: a token,
   * unless the answer is there already.
   *
   * @see https://docs.aws.amazon.com/step-functions/latest/dg/supported-services-awssdk.html
   */
  #callback(step: CallbackStep, around: Around, next: string): string {
    const { name, input } = step;
    const address = placeField("callback", ["", { number: "$.run" }, "/", ...around.place, name]);
    const asked = `$.asks.${this.#data.key(name)}`;
    around.states[name] = {
      ...placed(name, around),
      Type: "Parallel",
      Branches: [this.#answered(step, asked), this.#asked(step, around, asked)],
      ResultSelector: { "output.$": "$[0]" },
      ...this.#composite(step, around),
      Next: next,
    };
    const write: Write = { path: asked, shape: (fields) => fields };
    return this.#fill(`${name}: question`, { input }, Object.fromEntries([address]), around, { label: name }, write);
  }

  #answered({ name, timeout }: CallbackStep, asked: string): object {
    const states: States = {};
    const failure = this.#failing(states, `${name}: fail`);
    const row = {
      TableName: this.#targets.table,
      Key: { pk: { S: this.#targets.partition }, sk: { "S.$": `${asked}.callback` } },
    };
    const output = this.#pass(states, `${name}: output`, { OutputPath: "$.answer.said.output", End: true });
    const wrong = this.#pass(states, `${name}: refused`, {
      InputPath: "$.answer.said.error",
      ResultPath: failure.path,
      Next: failure.label(),
    });
    const which = this.#label(`${name}: answered`);
    states[which] = {
      Type: "Choice",
      Choices: [{ Variable: "$.answer.said.status", StringEquals: "succeeded", Next: output }],
      Default: wrong,
    };
    const read = this.#pass(states, `${name}: read`, {
      Parameters: { "said.$": "States.StringToJson($.answer.text)" },
      ResultPath: "$.answer",
      Next: which,
    });
    // Whoever asks again under this address asks anew.
    const forgotten = this.#label(`${name}: forget`);
    states[forgotten] = {
      Type: "Task",
      Resource: "arn:aws:states:::dynamodb:deleteItem",
      Parameters: row,
      ResultPath: null,
      Retry: [AGAIN],
      Next: read,
    };
    const early = this.#label(`${name}: early`);
    states[early] = {
      Type: "Task",
      Resource: "arn:aws:states:::dynamodb:getItem",
      Parameters: { ...row, ConsistentRead: true },
      ResultSelector: { "text.$": "$.Item.answer.S" },
      ResultPath: "$.answer",
      Retry: [AGAIN],
      Next: forgotten,
    };
    const waits = this.#label(`${name}: answer`);
    states[waits] = {
      Type: "Task",
      Resource: "arn:aws:states:::aws-sdk:dynamodb:updateItem.waitForTaskToken",
      Parameters: {
        ...row,
        UpdateExpression: "SET #token = :token REMOVE #answer, #told",
        ConditionExpression: "attribute_not_exists(#answer) OR #told = :yes",
        ExpressionAttributeNames: { "#token": "token", "#answer": "answer", "#told": "told" },
        ExpressionAttributeValues: { ":token": { "S.$": "$$.Task.Token" }, ":yes": { BOOL: true } },
      },
      ResultSelector: { "text.$": "$.Answer" },
      ResultPath: "$.answer",
      ...(timeout !== undefined && { TimeoutSeconds: timeout }),
      Catch: [{ ErrorEquals: ANSWERED, ResultPath: null, Next: early }],
      Next: read,
    };
    return { StartAt: waits, States: reached(waits, states) };
  }

  #asked({ name, ask }: CallbackStep, { place }: Around, asked: string): object {
    const label = this.#label(`${name}: ask`);
    const call = {
      millrace: "step",
      "run.$": "$.run",
      ...Object.fromEntries([placeField("step", [...place, name])]),
      attempt: 1,
      attempts: 1,
      "input.$": asked,
    };
    if (ask.kind === "queue") {
      const Parameters = { QueueUrl: this.#targets.queues[ask.name], "MessageBody.$": asked };
      const state = {
        Type: "Task",
        Resource: "arn:aws:states:::sqs:sendMessage",
        Parameters,
        Retry: [AGAIN],
        End: true,
      };
      return { StartAt: label, States: { [label]: state } };
    }
    const state = { ...this.#invoke(this.#targets.functions[ask.name], call), Retry: [AGAIN], End: true };
    return { StartAt: label, States: { [label]: state } };
  }

  #succeed(name: string, output: Mapping, around: Around): string {
    if (around.scope === "branch") throw new Error(`${name}: succeed ends no run from inside a branch or an item`);
    const said: Write = { path: "$.result", shape: (fields) => ({ ...fields, ended: true }), only: "$.result" };
    return this.#fill(`${name}: succeed`, { output }, {}, around, "end", around.scope === "run" ? END : said);
  }

  // Data.

  /**
   * A state that writes a mapping's fields somewhere. What may not be there is looked for first: a path that leads nowhere
   * fails the run, and here it is to be `null`.
   */
  #fill(
    name: string,
    fields: Readonly<Record<string, Mapping>>,
    raw: object,
    around: Around,
    next: Next,
    write: Write,
  ): string {
    const unsure = distinct(referencesIn(Object.values(fields))).filter(
      (reference) => !this.#data.isSure(reference) && this.#data.path(reference) !== undefined,
    );
    const pathOf = (reference: Reference) => this.#data.path(reference);
    if (unsure.length === 0) return this.#filled(name, fields, raw, around, next, write, pathOf);
    const direct = this.#filled(`${name}: filled`, fields, raw, around, next, write, pathOf);
    const refs = new Map(unsure.map((reference, index) => [pathOf(reference)!, `$.refs.r${index}`]));
    const patched = this.#filled(`${name}: patched`, fields, raw, around, next, write, (reference) => {
      const path = pathOf(reference);
      return path === undefined ? undefined : (refs.get(path) ?? path);
    });
    const { states } = around;
    const chain = [...refs].reduceRight((after, [path, ref]) => {
      const copied = this.#pass(states, `${name}: copy`, { InputPath: path, ResultPath: ref, Next: after });
      const is = this.#label(`${name}: is there`);
      states[is] = { Type: "Choice", Choices: [{ ...isThere(path), Next: copied }], Default: after };
      return is;
    }, patched);
    const missing = this.#pass(states, `${name}: missing`, {
      Result: Object.fromEntries(unsure.map((_, index) => [`r${index}`, null])),
      ResultPath: "$.refs",
      Next: chain,
    });
    const label = this.#label(name);
    const all = [...refs.keys()].map(isThere);
    states[label] = {
      Type: "Choice",
      Choices: [{ ...(all.length === 1 ? all[0] : { And: all }), Next: direct }],
      Default: missing,
    };
    return label;
  }

  #filled(
    name: string,
    fields: Readonly<Record<string, Mapping>>,
    raw: object,
    { states }: Around,
    next: Next,
    { path, shape, only }: Write,
    pathOf: (reference: Reference) => string | undefined,
  ): string {
    const hoist: Hoisted[] = [];
    const entries = Object.entries(fields).map(([field, mapping]) => fieldOf(field, toPayload(mapping, pathOf, hoist)));
    const last = this.#label(name);
    states[last] = {
      Type: "Pass",
      Parameters: shape({ ...Object.fromEntries(entries), ...raw }),
      ResultPath: path,
      ...(only !== undefined && { OutputPath: only }),
      ...(next === "end" ? { End: true } : { Next: next.label }),
    };
    return hoist.reduceRight((after, { path, payload }) => {
      const Parameters = Object.fromEntries([fieldOf("value", payload)]);
      return this.#pass(states, `${name}: part`, { Parameters, ResultPath: path, Next: after });
    }, last);
  }

  #pass(states: States, name: string, fields: object): string {
    const label = this.#label(name);
    states[label] = { Type: "Pass", ...fields };
    return label;
  }

  /** A name that no other state has, of at most 80 characters; those of steps are taken. */
  #label(name: string): string {
    let label = name.slice(0, LABEL);
    for (let number = 2; this.#labels.has(label); number += 1) label = `${name.slice(0, LABEL - 5)} ${number}`;
    this.#labels.add(label);
    return label;
  }
}

/** What only a task's function is told: no reference of a user's is called so. */
const OWN: readonly string[] = ["looks", "attempt"];
const LOOKS = { $: "looks" } as unknown as Reference;
const ATTEMPT = { $: "attempt" } as unknown as Reference;

/** Where a mapping's fields go. */
interface Write {
  /** `ResultPath`. */
  readonly path: string;
  /** What stands there, made of the fields. */
  readonly shape: (fields: object) => object;
  /** `OutputPath`: what of the state goes on. @default all */
  readonly only?: string;
}

/** The end of a branch, an item or the run: its output is all that is left. */
const END: Write = { path: "$.result", shape: (fields) => fields, only: "$.result.output" };

/** https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html */
const LABEL = 80;

/** Whether another attempt can help. */
const KINDS: Readonly<Record<ErrorKind, boolean>> = {
  "bad-input": false,
  failed: true,
  "timed-out": true,
  stopped: false,
  expired: false,
  interrupted: true,
  "not-found": false,
  conflict: true,
  refused: false,
  unavailable: true,
};

/** No other attempt changes these. */
export const FINAL: readonly string[] = Object.entries(KINDS).flatMap(([kind, helps]) => (helps ? [] : [kind]));

/**
 * Lambda did not take the call. These count in the attempt's number too: a function that was throttled before may answer
 * its failure some attempts too early.
 *
 * @see https://docs.aws.amazon.com/step-functions/latest/dg/sfn-best-practices.html#bp-lambda-serviceexception
 */
const NOT_TAKEN = {
  ErrorEquals: [
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
  ],
  IntervalSeconds: 1,
  MaxAttempts: 6,
  BackoffRate: 2,
  JitterStrategy: "FULL",
};

/** What the service says of what took too long. */
const LATE = ["States.Timeout", "States.HeartbeatTimeout", "Sandbox.Timedout"];

/** What may be done twice. */
const AGAIN = {
  ErrorEquals: ["States.ALL"],
  IntervalSeconds: 1,
  MaxAttempts: 4,
  BackoffRate: 2,
  JitterStrategy: "FULL",
};

/** The condition that there is no answer yet does not hold. */
const ANSWERED = ["DynamoDb.ConditionalCheckFailedException", "DynamoDB.ConditionalCheckFailedException"];

/** https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html#error-handling-retrying-after-an-error */
function retriesOf({ attempts, backoff: { first, factor, longest } }: Tries): readonly object[] {
  if (attempts === 1) return [];
  const interval = Math.max(1, Math.round(first));
  return [
    { ErrorEquals: FINAL, MaxAttempts: 0 },
    {
      ErrorEquals: ["States.ALL"],
      IntervalSeconds: interval,
      MaxAttempts: attempts - 1,
      BackoffRate: Math.max(1, factor),
      ...(longest > interval && { MaxDelaySeconds: Math.round(longest) }),
      ...(longest <= interval && { BackoffRate: 1 }),
      JitterStrategy: "FULL",
    },
  ];
}

/** Its path, for whoever reads a run's history: where the numbers of items and rounds lie is in brackets. */
const placed = (name: string, { place }: Around): object => ({
  Comment: [...place.map((piece) => (typeof piece === "string" ? piece : piece.number.slice("$.".length))), name].join(
    "",
  ),
});

const catching = (failure: Handler): object => {
  const Catch = failure.catches();
  return Catch.length === 0 ? {} : { Catch };
};

/** A text and a list have a length for some implementations of JSONPath. */
const isThere = (path: string): object => {
  const is = { Variable: path, IsPresent: true };
  if (!path.endsWith(".length")) return is;
  return { And: [is, { Not: { Variable: `${path.slice(0, -".length".length)}[0]`, IsPresent: true } }] };
};

const comparison = (
  condition: Exclude<Condition, { readonly op: "not" | "and" | "or" }>,
): readonly [string, string] => {
  if (condition.op === "above") return ["IsNumeric", "NumericGreaterThan"];
  if (condition.op === "below") return ["IsNumeric", "NumericLessThan"];
  switch (typeof condition.right) {
    case "string":
      return ["IsString", "StringEquals"];
    case "boolean":
      return ["IsBoolean", "BooleanEquals"];
    default:
      return ["IsNumeric", "NumericEquals"];
  }
};

/** What of a map's results is kept. */
function resultOf({ collects, tolerated }: MapStep): object {
  if (tolerated > 0) return { ...(collects && { "output.$": "$[*].output" }), "fates.$": "$[*].fate" };
  return collects ? { "output.$": "$" } : { output: { "succeeded.$": "States.ArrayLength($)", failed: 0 } };
}

interface Selector {
  [field: string]: Selector | string;
}

/** Puts a path where it stands itself; what is around one that is there already has it. */
function put(selector: Selector, path: string, value: string): void {
  const fields = path.slice("$.".length).split(".");
  const last = fields.pop()!;
  let at = selector;
  for (const field of fields) {
    if (`${field}.$` in at) return;
    at[field] ??= {};
    at = at[field] as Selector;
  }
  delete at[last];
  at[`${last}.$`] = value;
}

const distinct = (references: readonly Reference[]): readonly Reference[] => [
  ...new Map(references.map((reference) => [JSON.stringify(reference), reference])).values(),
];

/** The states that are ever come to, in the order they are: what nothing fails with is caught by nobody. */
function reached(start: string, states: States): States {
  const found = new Map<string, object>();
  const go = (label: string): void => {
    if (found.has(label)) return;
    found.set(label, states[label]!);
    for (const next of transitionsOf(states[label]!)) go(next);
  };
  go(start);
  return Object.fromEntries(found);
}

/** What of a state names others. */
interface Transitions {
  readonly Next?: string;
  readonly Default?: string;
  readonly Choices?: readonly { readonly Next: string }[];
  readonly Catch?: readonly { readonly Next: string }[];
}

const transitionsOf = ({ Next, Default, Choices = [], Catch = [] }: Transitions): readonly string[] =>
  [...Choices.map((choice) => choice.Next), Default, Next, ...Catch.map((one) => one.Next)].filter(
    (label) => label !== undefined,
  );
