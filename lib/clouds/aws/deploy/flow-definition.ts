import type { ErrorKind } from "../../../runtime/errors.ts";
import type {
  Block,
  FailStep,
  FunctionStep,
  Mapping,
  MapStep,
  ParallelStep,
  RepeatStep,
  Step,
  Tries,
  WaitStep,
} from "../../../shared/workflow/definition.ts";
import { stepsOf } from "../../../shared/workflow/definition.ts";
import { callbackStates } from "./flow-callback.ts";
import { LATE, NOT_TAKEN, retriesOf } from "./flow-errors.ts";
import { mapStates } from "./flow-map.ts";
import { taskStates } from "./flow-task.ts";
import {
  type Around,
  catching,
  END,
  type FlowTargets,
  FlowWriter,
  isThere,
  type Next,
  placed,
  reached,
  type States,
  type Write,
} from "./flow-writer.ts";

/** Lambda ends a function by itself; this long after that nobody waits for its answer any more, in seconds. */
const MARGIN = 30;

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
  readonly #writer: FlowWriter;

  constructor(definition: Block, targets: FlowTargets) {
    this.#definition = definition;
    this.#writer = new FlowWriter(stepsOf(definition), targets);
  }

  machine(timeout: number): object {
    const states: States = {};
    const begin = this.#writer.label("Begin");
    const failure = this.#writer.failing(states, "Failed");
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
    return this.#writer.fill(`${owner}`, { output }, {}, around, next, write);
  }

  #step(step: Step, around: Around, next: string): string {
    switch (step.type) {
      case "function":
        return this.#function(step, this.#caught(step, around, next), next);
      case "task":
        return taskStates(this.#writer, step, this.#caught(step, around, next), next);
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
        return callbackStates(this.#writer, step, this.#caught(step, around, next), next);
      case "succeed":
        return this.#succeed(step.name, step.output, around);
      case "fail":
        return this.#fail(step, around);
    }
  }

  /** What a step is in, with its own `catch` as the next handler. */
  #caught(step: Step & Tries, around: Around, next: string): Around {
    const { catch: caught, name } = step;
    if (!caught) return around;
    const { states, failure } = around;
    const path = `$.errors.${this.#writer.data.key(name)}`;
    const { path: home, around: shape } = this.#writer.data.home(step);
    const inside = this.#writer.within(name, around);
    const first = this.#block(caught.block, inside, `${name}: caught output`, { label: next }, { path: home, shape });
    const { kinds } = caught;
    if (!kinds) return { ...around, failure: this.#writer.handler(states, path, first) };
    const other = this.#writer.pass(states, `${name}: other kind`, {
      InputPath: path,
      ResultPath: failure.path,
      Next: failure.label(),
    });
    const which = this.#writer.label(`${name}: kind`);
    states[which] = {
      Type: "Choice",
      Choices: kinds.map((kind) => ({ Variable: `${path}.kind`, StringEquals: kind, Next: first })),
      Default: other,
    };
    // What else goes wrong has names without end.
    const isAny = kinds.includes("unavailable");
    const names = isAny ? undefined : kinds.flatMap((kind) => [kind, ...(kind === "timed-out" ? LATE : [])]);
    return {
      ...around,
      failure: this.#writer.handler(states, path, which, names, isAny ? undefined : failure.catches),
    };
  }

  #function(step: FunctionStep, around: Around, next: string): string {
    const { name, timeout } = step;
    const { states, failure } = around;
    const { path } = this.#writer.data.home(step);
    const seconds = timeout ?? (this.#writer.targets.timeouts[step.function] ?? 900) + MARGIN;
    states[name] = {
      ...placed(name, around),
      ...this.#writer.invoke(
        this.#writer.targets.functions[step.function],
        this.#writer.call(step, around, this.#writer.input(step.input)),
      ),
      ResultSelector: { "Payload.$": "$.Payload" },
      ResultPath: path,
      TimeoutSeconds: seconds,
      Retry: [NOT_TAKEN, ...retriesOf(step)],
      ...catching(failure),
      Next: next,
    };
    return name;
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
      ...this.#writer.composite(step, around),
      Next: next,
    };
    return name;
  }

  #branch(block: Block, around: Around, name: string, branch: string): object {
    const owner = `${name}: ${branch}`.slice(0, 60);
    const states: States = {};
    const place = [...around.place, `${name}/`];
    const failure = this.#writer.failing(states, `${owner} failed`);
    const StartAt = this.#block(
      block,
      { ...around, states, place, failure, scope: "branch" },
      `${owner} output`,
      "end",
    );
    return { StartAt, States: reached(StartAt, states) };
  }

  #choice(step: Step & { readonly type: "choice" }, around: Around, next: string): string {
    const { name, options, otherwise } = step;
    const { path, around: shape } = this.#writer.data.home(step);
    const to = (block: Block, what: string) =>
      this.#block(block, this.#writer.within(name, around), `${name}: ${what}`, { label: next }, { path, shape });
    const rules = options.map(({ if: condition, block }, index) => ({
      ...this.#writer.rule(condition),
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

  #map(step: MapStep, around: Around, next: string): string {
    const block = (item: Block, inner: Around, owner: string, write: Write) =>
      this.#block(item, inner, owner, "end", write);
    return mapStates(this.#writer, block, step, around, next);
  }

  /** Rounds: the state is what the last one came to, beside the number of this one. */
  #repeat(step: RepeatStep, around: Around, next: string): string {
    const { name, until, atMost, every } = step;
    const { states } = around;
    const { path } = this.#writer.data.home(step);
    const round = `${path}.round`;
    const shape = (output: object) => ({ ...output, "round.$": `States.MathAdd(${round}, 1)` });
    const late = this.#writer.refused(
      around,
      `${name}: too often`,
      "timed-out",
      `what it waits for did not come in ${atMost} rounds`,
    );
    const again = this.#writer.label(`${name}: until`);
    const inner: Around = {
      ...around,
      place: [...around.place, `${name}[`, { number: round }, "]/"],
      numbered: [...around.numbered, { path: round }],
    };
    const first = this.#block(step.block, inner, `${name}: round output`, { label: again }, { path, shape });
    const pause = this.#writer.label(`${name}: pause`);
    if (every > 0) states[pause] = { Type: "Wait", Seconds: every, Next: first };
    states[again] = {
      Type: "Choice",
      Choices: [
        { ...this.#writer.rule(until), Next: next },
        { Variable: round, NumericGreaterThanEquals: atMost, Next: late },
      ],
      Default: every > 0 ? pause : first,
    };
    const begin: Write = { path, shape: (output) => ({ ...output, round: 0 }) };
    return this.#writer.fill(`${name}: from`, { output: step.from }, {}, around, { label: first }, begin);
  }

  /** What is tried again as a whole and has no retry of its own: a branch, in which `succeed` says so to the outside. */
  #wrapped(step: RepeatStep | MapStep, around: Around, next: string): string {
    const { name } = step;
    const { states } = around;
    const { path } = this.#writer.data.home(step);
    const { catch: _, ...once } = { ...step, attempts: 1 };
    const inside: States = {};
    const failure = this.#writer.failing(inside, `${name}: fail`);
    const done = this.#writer.pass(inside, `${name}: done`, { OutputPath: path, End: true });
    const inner: Around = {
      ...around,
      states: inside,
      failure,
      scope: around.scope === "branch" ? "branch" : "wrapped",
    };
    const StartAt = once.type === "map" ? this.#map(once, inner, done) : this.#repeat(once, inner, done);
    const kept = this.#writer.pass(states, `${name}: kept`, {
      InputPath: "$.wrapped.branch",
      ResultPath: path,
      Next: next,
    });
    const label = this.#writer.label(`${name}: tries`);
    const ended = this.#writer.label(`${name}: ended`);
    states[label] = {
      Type: "Parallel",
      Branches: [{ StartAt, States: reached(StartAt, inside) }],
      ResultSelector: { "branch.$": "$[0]" },
      ...this.#writer.composite(step, around),
      ResultPath: "$.wrapped",
      Next: ended,
    };
    const OutputPath = around.scope === "wrapped" ? "$.wrapped.branch" : "$.wrapped.branch.output";
    const over = this.#writer.pass(states, `${name}: over`, { OutputPath, End: true });
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
    const path = this.#writer.data.path(seconds) ?? "$.run";
    const asked = this.#writer.label(`${name}: time`);
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
      Default: this.#writer.refused(
        around,
        `${name}: no time`,
        "bad-input",
        "the time to wait is no number of seconds",
      ),
    };
    return asked;
  }

  #succeed(name: string, output: Mapping, around: Around): string {
    if (around.scope === "branch") throw new Error(`${name}: succeed ends no run from inside a branch or an item`);
    const said: Write = { path: "$.result", shape: (fields) => ({ ...fields, ended: true }), only: "$.result" };
    return this.#writer.fill(`${name}: succeed`, { output }, {}, around, "end", around.scope === "run" ? END : said);
  }

  /** A cause is a text: what else it is to be is said in JSON. */
  #fail({ name, kind, message }: FailStep, around: Around): string {
    if (typeof message === "string") return this.#writer.refused(around, `${name}: fail`, kind as ErrorKind, message);
    const path = this.#writer.data.path(message) ?? "$.run";
    const { states, failure } = around;
    const to = (what: string, text: object) =>
      this.#writer.pass(states, `${name}: ${what}`, {
        Parameters: { kind, ...text },
        ResultPath: failure.path,
        Next: failure.label(),
      });
    const label = this.#writer.label(`${name}: fail`);
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
}
