import {
  type Block,
  type CallbackStep,
  type ChoiceStep,
  type Condition,
  type FunctionStep,
  type Mapping,
  type MapStep,
  type Origin,
  type ParallelStep,
  type RepeatStep,
  type Step,
  stepsOf,
  type TaskStep,
  type Tries,
  type WaitStep,
} from "../../../shared/workflow/definition.ts";
import { CHUNK_ITEM, LARGEST_OUTPUT } from "../env.ts";
import { conditionOf, expressionOf, fieldOf, hasReferenceInList, type Roots, template } from "./flow-data.ts";
import { MOST_AT_ONCE, type WideMap } from "./flow-estimate.ts";
import { ScopeDraft } from "./flow-scope.ts";
import type { Constructor, FlowCatch, FlowDefinition, FlowRetry, FlowScope, FlowState } from "./flow-states.ts";
import { apart } from "./flow-wide.ts";

/** A function that a flow calls. */
export interface FlowFunction {
  readonly arn: string;
  /** Seconds. */
  readonly timeout: number;
}

/** What the states of a flow call, and what it is called itself. */
export interface FlowWorld {
  /** The flow's own name. */
  readonly name: string;
  readonly function: (part: string) => FlowFunction;
  /** Counts, lists and waits, which the language cannot: `handlers/flows/next.ts`. */
  readonly next: FlowFunction;
  /** Submits runs of a task and looks how they went: `handlers/flows/task.ts`. */
  readonly task: (part: string) => FlowFunction;
  /** Keeps a callback's token and asks: `handlers/flows/ask.ts`. */
  readonly ask: (kind: "queue" | "function", part: string) => FlowFunction;
  /** Maps whose items have executions of their own. @default none */
  readonly wide?: {
    readonly maps: ReadonlyMap<string, WideMap>;
    /** The name of the flow that does some items of a map. */
    readonly flow: (map: string) => string;
    /** Starts executions of those flows, and is told of their ends: `handlers/flows/batch.ts`. */
    readonly batches: FlowFunction;
  };
}

/**
 * A definition in Flow Definition Language. A state's input holds what later states read, by short names, and nothing
 * else: `s3` is what a step answered, `{ status, output }` or `{ status, error }`. A failure is such a value too, never
 * a failed state: what the language hands on of those is a code and a text, and no document says that both may be
 * computed. So a branch that fails lets the others come to their ends.
 *
 * Not confirmed by any document: that a field that is not there is `null` in an expression and compares without an
 * error, that `$Input` in the constructor of a catch is the state's input, and that the output of an asynchronous call
 * has the function's answer in `Body`, as that of a synchronous one.
 *
 * An execution gets `{ run, round, done, input }` from the client.
 *
 * @param definition one that is checked
 */
export function flowDefinition(definition: Block, world: FlowWorld): FlowDefinition {
  const flow = new FlowCompiler(definition, world);
  return { Type: "StateMachine", Name: world.name, SpecVersion: "v1", ...flow.whole(definition) };
}

/**
 * The flows of a definition's wide maps, by the maps' names. An execution gets `{ run, round, done, path, batch, chunk,
 * shape, items, known }` from the function that starts it: what its items read from around is in `known`, and each item has its number.
 *
 * @param definition one that is checked
 */
export function chunkDefinitions(definition: Block, world: FlowWorld): ReadonlyMap<string, FlowDefinition> {
  const flows = stepsOf(definition).flatMap((step): readonly (readonly [string, FlowDefinition])[] => {
    const wide = step.type === "map" ? world.wide?.maps.get(step.name) : undefined;
    if (step.type !== "map" || !wide) return [];
    const Name = world.wide!.flow(step.name);
    const flow = new FlowCompiler({ steps: [step], output: null }, { ...world, name: Name });
    return [[step.name, { Type: "StateMachine", Name, SpecVersion: "v1", ...flow.chunk(step, wide) }]];
  });
  return new Map(flows);
}

/** A function that takes longer is called asynchronously: nobody holds a connection open that long. Seconds. */
export const LONGEST_CALL = 300;
/** https://www.alibabacloud.com/help/en/serverless-workflow/latest/wait-wait */
export const LONGEST_WAIT = 300;
/** Waits up to this long are so many states of {@link LONGEST_WAIT}; longer ones are counted by a function. */
const LONGEST_UNROLLED = 3600;
/** What follows the ARN of a function that is called: the code that it has now. */
export const QUALIFIER = "/LATEST";
const ALWAYS_ANOTHER = 1000;
/** What functions answered before the run was retried: they answer it once more. */
const DONE: Constructor = { "done.$": "$Context.Execution.Input.done" };
/** How often the run was begun: 1, and one more for each retry. */
const ROUND: Constructor = { "round.$": "$Context.Execution.Input.round" };

/** Where a step is compiled. */
interface Place {
  readonly scope: ScopeDraft;
  readonly roots: Roots;
  /** The state that goes on with a failure, which lies in this field. */
  readonly fail: (field: string) => string;
  /** The maps and repeats around, as a template and what comes into it. */
  readonly path: { readonly text: string; readonly values: readonly string[] };
}

interface Call {
  readonly name: string;
  /** Takes the answer. */
  readonly field: string;
  readonly target: FlowFunction;
  readonly input: Constructor;
  readonly tries: Pick<Tries, "attempts" | "backoff" | "timeout">;
  /** Of the step, where it is not the service that tries again. */
  readonly attempt?: string | undefined;
  readonly mode?: FlowState["TaskMode"];
  readonly next: string;
  readonly failed: string;
}

/** Calls of our own functions: they do little, and fail only as the service does. */
const HELP_TRIES = { attempts: 4, backoff: { first: 1, factor: 2, longest: 30 } } as const;

class FlowCompiler {
  readonly #world: FlowWorld;
  readonly #stepNames: ReadonlySet<string>;
  readonly #names: Set<string>;
  readonly #owned = new Set<string>();
  #fields = 0;

  constructor(definition: Block, world: FlowWorld) {
    this.#world = world;
    this.#stepNames = new Set(stepsOf(definition).map(({ name }) => name));
    this.#names = new Set(this.#stepNames);
  }

  whole(definition: Block): FlowScope {
    const roots = new Map<Origin, string>([
      ["input", "$Context.Execution.Input.input"],
      ["run", "$Context.Execution.Input.run"],
    ]);
    const place = this.#outermost(roots, { text: "", values: [] });
    return place.scope.finish(this.#scopeBlock(definition, place, (output) => output));
  }

  /** Does the items that its execution is given, and has the batch told what they came to. */
  chunk(step: MapStep, { atOnce }: WideMap): FlowScope {
    const { item, shape } = apart(step);
    const roots = new Map<Origin, string>([
      ["input", "$Context.Execution.Input.known"],
      ["run", "$Context.Execution.Input.run"],
    ]);
    const map = "$Context.Execution.Input.path";
    const place = this.#outermost(roots, { text: "{}/", values: [map] });
    const field = this.#field("s");
    const told = place.scope.add({ state: { Type: "Pass", Name: this.#name("end"), End: true }, output: {} });
    const tell = (name: string, end: Constructor) => {
      const answer = this.#field("t");
      return this.#call(place, {
        name,
        field: answer,
        target: this.#world.wide!.batches,
        input: {
          input: {
            verb: "ended",
            "batch.$": "$Context.Execution.Input.batch",
            "chunk.$": "$Context.Execution.Input.chunk",
            ...end,
          },
        },
        tries: HELP_TRIES,
        next: told,
        failed: place.fail(answer),
      });
    };
    const inside = this.#inside(item, {
      ...place,
      roots: new Map(roots).set(`item:${step.name}`, `$Input.${CHUNK_ITEM}.item`),
      path: { text: "{}[{}]/", values: [map, `$Input.${CHUNK_ITEM}.index`] },
    });
    const each = place.scope.add({
      state: {
        Type: "Map",
        Name: this.#own(step.name),
        ItemsPath: `$Input.${field}.items`,
        Processor: inside.scope.finish(inside.start),
        MaxConcuccency: atOnce,
        Catch: caught(field, tell(`${step.name}-broken`, { "error.$": `$Input.${field}.error` })),
        Next: tell(`${step.name}-ended`, { "items.$": `$Input.${field}.items` }),
      },
      writes: { [field]: { "items.$": "$Output.Items" } },
    });
    const given = { [field]: { "items.$": "$Context.Execution.Input.items" } };
    const error = {
      kind: "conflict",
      message: `what is done for an item of "${step.name}" was deployed anew meanwhile`,
    };
    const start = this.#branch(
      place,
      `${step.name}-shape`,
      [[`$Context.Execution.Input.shape == "${shape}"`, this.#pass(place, `${step.name}-items`, given, each)]],
      tell(`${step.name}-changed`, { error }),
    );
    return place.scope.finish(start);
  }

  /** Where a failure is the execution's. */
  #outermost(roots: Roots, path: Place["path"]): Place {
    const scope = new ScopeDraft();
    const failed = this.#name("run-failed");
    scope.add({
      state: {
        Type: "Fail",
        Name: failed,
        Code: "Millrace.Failed",
        Detail: "the error is in this state's input",
        End: true,
      },
    });
    const fail = (field: string) =>
      scope.add({
        state: { Type: "Pass", Name: this.#name(`failed-${field}`), Next: failed },
        output: { "error.$": `$Input.${field}.error` },
      });
    return { scope, roots, fail, path };
  }

  /** The block of a scope: its output ends the scope. */
  #scopeBlock(block: Block, place: Place, toOutput: (output: Constructor) => Constructor): string {
    return this.#steps(block.steps, place, (inner) =>
      this.#given("output", block.output, inner, inner.fail, (output) =>
        place.scope.add({ state: { Type: "Pass", Name: this.#name("end"), End: true }, output: toOutput(output) }),
      ),
    );
  }

  /** A block whose output becomes a step's answer. */
  #block(block: Block, field: string, place: Place, next: string): string {
    return this.#steps(block.steps, place, (inner) => this.#set(field, block.output, inner, next));
  }

  /** Sets a field to what a step that succeeds would answer. */
  #set(field: string, output: Mapping, place: Place, next: string): string {
    return this.#given("output", output, place, place.fail, (given) =>
      this.#pass(place, `set-${field}`, { [field]: { status: "succeeded", ...given } }, next),
    );
  }

  /** Steps one after the other; compiled from the last one on, since a state names the one after it. */
  #steps(steps: readonly Step[], place: Place, end: (place: Place) => string): string {
    const roots = new Map(place.roots);
    const fields = steps.map(({ name }) => {
      const field = this.#field("s");
      roots.set(`step:${name}`, `$Input.${field}.output`);
      return field;
    });
    const inner = { ...place, roots };
    const last = steps.at(-1);
    // Nothing comes after these, not even the block's output.
    const isOver = last?.type === "succeed" || last?.type === "fail";
    return steps.reduceRight(
      (next: string, step, index) => this.#step(step, fields[index]!, inner, next),
      isOver ? "" : end(inner),
    );
  }

  #step(step: Step, field: string, place: Place, next: string): string {
    switch (step.type) {
      case "function":
        return this.#function(step, field, place, next);
      case "task":
        return this.#task(step, field, place, next);
      case "parallel":
        return this.#parallel(step, field, place, next);
      case "map":
        return this.#map(step, field, place, next);
      case "choice":
        return this.#choice(step, field, place, next);
      case "repeat":
        return this.#repeat(step, field, place, next);
      case "wait":
        return this.#wait(step.name, step.seconds, place, next);
      case "callback":
        return this.#callback(step, field, place, next);
      case "succeed":
        return this.#given("output", step.output, place, place.fail, (output) =>
          place.scope.add({ state: { Type: "Pass", Name: this.#own(step.name), End: true }, output }),
        );
      case "fail": {
        const error = { kind: step.kind, ...fieldOf("message", step.message, place.roots) };
        return place.scope.add({
          state: { Type: "Pass", Name: this.#own(step.name), Next: place.fail(field) },
          writes: { [field]: { status: "failed", error } },
        });
      }
    }
  }

  #function(step: FunctionStep, field: string, place: Place, next: string): string {
    const target = this.#world.function(step.function);
    const input = this.#inputOf(step, place);
    const call = (one: Pick<Call, "tries" | "failed" | "attempt" | "mode">) =>
      this.#call(place, { name: step.name, field, target, input: { ...input, ...DONE }, next, ...one });
    if (target.timeout <= LONGEST_CALL && (step.timeout ?? 0) <= LONGEST_CALL) {
      return call({ tries: step, failed: this.#caught(step, field, place, next) });
    }
    // What an asynchronous call throws, its own service tries again: here it answers, and the flow counts.
    return this.#again(step, field, place, next, (failed, attempt) =>
      call({ tries: { ...step, attempts: 1 }, failed, attempt, mode: "WaitForSystemCallback" }),
    );
  }

  /** Where the language cannot build it, the function fills it in itself. */
  #inputOf({ input }: FunctionStep, { roots }: Place): Constructor {
    if (!hasReferenceInList(input)) return fieldOf("input", input, roots);
    const { text, values } = template(input, roots);
    return { mapping: text, known: values };
  }

  #callback(step: CallbackStep, field: string, place: Place, next: string): string {
    const target = this.#world.ask(step.ask.kind, step.ask.name);
    return this.#again(step, field, place, next, (failed, attempt) =>
      this.#given("input", step.input, place, this.#into(field, place, failed), (input) =>
        this.#call(place, {
          name: step.name,
          field,
          target,
          input: {
            input: { "token.$": "$Context.Current.TaskToken", ...numberAt("attempt", attempt), ...ROUND, ...input },
          },
          tries: { ...HELP_TRIES, ...(step.timeout !== undefined && { timeout: step.timeout }) },
          mode: "WaitForCustomCallback",
          next,
          failed,
        }),
      ),
    );
  }

  /** Asks how the run goes, less and less often: that costs less than what would tell of its end. */
  #task(step: TaskStep, field: string, place: Place, next: string): string {
    const target = this.#world.task(step.task);
    const outcome = `$Input.${field}.output`;
    return this.#again(step, field, place, next, (failed, attempt) => {
      const waiting = this.#name(`${step.name}-wait`);
      const went = this.#branch(
        place,
        `${step.name}-went`,
        [
          [
            `${outcome}.state == "succeeded"`,
            this.#pass(
              place,
              `${step.name}-result`,
              { [field]: { status: "succeeded", "output.$": `${outcome}.result` } },
              next,
            ),
          ],
          [
            `${outcome}.state == "failed"`,
            this.#pass(
              place,
              `${step.name}-error`,
              { [field]: { status: "failed", "error.$": `${outcome}.error` } },
              failed,
            ),
          ],
        ],
        waiting,
      );
      const ask = (name: string, own: Constructor) =>
        this.#given("id", step.id, place, this.#into(field, place, failed), (id) =>
          this.#given("input", step.input, place, this.#into(field, place, failed), (input) =>
            this.#call(place, {
              name,
              field,
              target,
              input: { input: { ...own, ...id, ...("verb" in own && own.verb === "look" ? {} : input) } },
              tries: HELP_TRIES,
              next: went,
              failed,
            }),
          ),
        );
      const look = ask(`${step.name}-look`, { verb: "look", "looks.$": `${outcome}.looks` });
      place.scope.add({
        state: { Type: "Wait", Name: waiting, "Seconds.$": `${outcome}.seconds`, Next: look },
      });
      return ask(step.name, { verb: "submit", ...numberAt("attempt", attempt), ...ROUND });
    });
  }

  #parallel(step: ParallelStep, field: string, place: Place, next: string): string {
    const branches = Object.entries(step.branches);
    const at = (index: number) => `$Input.${field}.Branch${index}`;
    return this.#again(step, field, place, next, (failed) => {
      const outputs = branches.map(([name], index) => [`${name}.$`, `${at(index)}.output`]);
      const done = this.#pass(
        place,
        `${step.name}-outputs`,
        { [field]: { status: "succeeded", output: Object.fromEntries(outputs) as Constructor } },
        next,
      );
      const went = this.#branch(
        place,
        `${step.name}-went`,
        branches.map(([name], index) => [
          `${at(index)}.status == "failed"`,
          this.#pass(
            place,
            `${step.name}-${name}-failed`,
            { [field]: { status: "failed", "error.$": `${at(index)}.error` } },
            failed,
          ),
        ]),
        done,
      );
      const scopes = branches.map(([, block]) => this.#inside(block, within(step, place)));
      return place.scope.add({
        state: {
          Type: "Parallel",
          Name: this.#own(step.name),
          Branches: scopes.map(({ scope, start }) => scope.finish(start)),
          Catch: caught(field, failed),
          Next: went,
        },
        writes: {
          [field]: Object.fromEntries(branches.map((_, index) => [`Branch${index}.$`, `$Output.Branch${index}`])),
        },
        inside: scopes.flatMap(({ scope, start }) => scope.needs(start)),
      });
    });
  }

  /** A branch, or what is done for an item: it always succeeds, with the answer that a step would give. */
  #inside(block: Block, place: Place): { readonly scope: ScopeDraft; readonly start: string } {
    const scope = new ScopeDraft();
    const fail = (field: string) =>
      scope.add({
        state: { Type: "Pass", Name: this.#name(`failed-${field}`), End: true },
        output: { status: "failed", "error.$": `$Input.${field}.error` },
      });
    const start = this.#scopeBlock(block, { ...place, scope, fail }, (output) => ({ status: "succeeded", ...output }));
    return { scope, start };
  }

  /**
   * An item holds what its states read from around, since nothing shows another way in: a function makes the items, and
   * refuses too many of them. Another makes the list of what they came to.
   */
  #map(step: MapStep, field: string, place: Place, next: string): string {
    const wide = this.#world.wide?.maps.get(step.name);
    if (wide) return this.#wideMap(step, wide, field, place, next);
    const item = this.#field("i");
    const made = `$Input.${field}.output`;
    const path = {
      text: `${place.path.text}${step.name}[{}]/`,
      values: [...place.path.values, `$Input.${item}.index`],
    };
    return this.#again(step, field, place, next, (failed) => {
      const roots = new Map(place.roots).set(`item:${step.name}`, `$Input.${item}.item`);
      const { scope, start } = this.#inside(step.item, { ...place, roots, path });
      const around = scope.needs(start).filter((name) => name !== item);
      const { tolerated, collects, atMost, concurrency } = step;
      const collected = this.#help(place, `${step.name}-collect`, field, next, failed, {
        verb: "collect",
        "items.$": `$Input.${field}.Items`,
        tolerated,
        collects,
      });
      const map = place.scope.add({
        state: {
          Type: "Map",
          Name: this.#own(step.name),
          ItemsPath: `${made}.items`,
          Processor: scope.finish(start),
          ...(concurrency !== undefined && { MaxConcuccency: Math.min(concurrency, MOST_AT_ONCE) }),
          Catch: caught(field, failed),
          Next: collected,
        },
        writes: { [field]: { "Items.$": "$Output.Items" } },
      });
      const nothing = collects ? [] : { succeeded: 0, failed: 0 };
      const some = this.#branch(
        place,
        `${step.name}-some`,
        [[`${made}.count == 0`, this.#set(field, nothing, place, next)]],
        map,
      );
      return this.#help(place, `${step.name}-items`, field, some, failed, {
        verb: "items",
        "list.$": expressionOf(step.items, place.roots),
        atMost,
        as: item,
        around: Object.fromEntries(around.map((name) => [`${name}.$`, `$Input.${name}`])),
      });
    });
  }

  /**
   * A function has its items done by executions of their own, and answers as somebody outside does. Whatever ends the
   * wait otherwise, what still runs is stopped.
   */
  #wideMap(step: MapStep, wide: WideMap, field: string, place: Place, next: string): string {
    const { name, atMost, tolerated, collects } = step;
    const target = this.#world.wide!.batches;
    const batch = this.#field("b");
    const own = { "batch.$": `$Input.${batch}.id` };
    const { known: read, shape } = apart(step);
    const known = Object.entries(read).map(([slot, mapping]) => fieldOf(slot, mapping, place.roots));
    return this.#again(step, field, place, next, (failed) => {
      const stop = this.#call(place, {
        name: `${name}-stop`,
        field: this.#field("x"),
        target,
        input: { input: { verb: "stop", ...own } },
        tries: HELP_TRIES,
        next: failed,
        failed,
      });
      const begin = this.#call(place, {
        name,
        field,
        target,
        input: {
          input: {
            "token.$": "$Context.Current.TaskToken",
            verb: "begin",
            ...own,
            ...ROUND,
            flow: this.#world.wide!.flow(name),
            of: this.#world.name,
            "execution.$": "$Context.Execution.Name",
            "list.$": expressionOf(step.items, place.roots),
            known: Object.assign({}, ...known) as Constructor,
            ...{ shape, atMost, tolerated, collects, size: wide.size, chunks: wide.chunks },
          },
        },
        tries: { ...HELP_TRIES, ...(step.timeout !== undefined && { timeout: step.timeout }) },
        mode: "WaitForCustomCallback",
        next,
        failed: stop,
      });
      return this.#pass(place, `${name}-batch`, { [batch]: { "id.$": "uuid()" } }, begin);
    });
  }

  #choice(step: ChoiceStep, field: string, place: Place, next: string): string {
    const inside = within(step, place);
    const branches = step.options.map((option) => [option.if, this.#block(option.block, field, inside, next)] as const);
    const otherwise = this.#block(step.otherwise, field, inside, next);
    return this.#choose(place, this.#own(step.name), branches, otherwise, place.roots);
  }

  #repeat(step: RepeatStep, field: string, place: Place, next: string): string {
    const counter = this.#field("n");
    const round = `$Input.${counter}.output`;
    const path = { text: `${place.path.text}${step.name}[{}]/`, values: [...place.path.values, `${round}.round`] };
    const roots = new Map(place.roots).set(`state:${step.name}`, `$Input.${field}.output`);
    return this.#again(step, field, place, next, (failed) => {
      const into = this.#into(field, place, failed);
      const begin = this.#name(`${step.name}-round`);
      const error = {
        kind: "timed-out",
        message: `step "${step.name}" was repeated ${step.atMost} times, and is not through`,
      };
      const late = this.#pass(place, `${step.name}-late`, { [field]: { status: "failed", error } }, failed);
      const waited = this.#wait(`${step.name}-every`, step.every, place, begin);
      const more = this.#branch(place, `${step.name}-more`, [[`${round}.again == true`, waited]], late);
      const count = this.#help(place, `${step.name}-count`, counter, more, into(counter), {
        verb: "round",
        "round.$": `${round}.round`,
        atMost: step.atMost,
      });
      const until = this.#choose(place, this.#name(`${step.name}-until`), [[step.until, next]], count, roots);
      const inside = { ...place, roots, path, fail: into };
      place.scope.add({
        state: { Type: "Pass", Name: begin, Next: this.#block(step.block, field, inside, until) },
      });
      const first = this.#pass(place, `${step.name}-begin`, { [counter]: { output: { round: 0 } } }, begin);
      return this.#set(field, step.from, { ...place, fail: into }, first);
    });
  }

  #wait(name: string, seconds: WaitStep["seconds"], place: Place, next: string): string {
    if (typeof seconds === "number" && seconds <= LONGEST_UNROLLED) return this.#waits(name, seconds, place, next);
    const field = this.#field("w");
    const time = `$Input.${field}.output`;
    const left = this.#name(`${name}-left`);
    const wait = this.#own(name);
    const again = this.#help(place, `${name}-rest`, field, left, place.fail(field), {
      verb: "wait",
      "until.$": `${time}.until`,
    });
    place.scope.add({ state: { Type: "Wait", Name: wait, "Seconds.$": `${time}.seconds`, Next: again } });
    this.#branchAs(place, left, [[`${time}.wait == true`, wait]], next);
    return this.#help(place, `${name}-time`, field, left, place.fail(field), {
      verb: "wait",
      ...fieldOf("seconds", seconds, place.roots),
    });
  }

  #waits(name: string, seconds: number, place: Place, next: string): string {
    if (seconds <= 0) return next;
    const own = this.#own(name);
    const now = Math.min(seconds, LONGEST_WAIT);
    const then = this.#waits(name, seconds - now, place, next);
    return place.scope.add({ state: { Type: "Wait", Name: own, Seconds: now, Next: then } });
  }

  /** What is done when the attempts are used up: the step's own catch, or the failure of what is around it. */
  #caught(step: Step & Tries, field: string, place: Place, next: string): string {
    if (!step.catch) return place.fail(field);
    const roots = new Map(place.roots).set(`error:${step.name}`, `$Input.${field}.error`);
    const block = this.#block(step.catch.block, field, { ...within(step, place), roots }, next);
    const { kinds } = step.catch;
    if (!kinds) return block;
    const cases = kinds.map((kind) => [`$Input.${field}.error.kind == "${kind}"`, block] as const);
    return this.#branch(place, `${step.name}-kind`, cases, place.fail(field));
  }

  /**
   * What is tried again as a whole, counted by a function since the service itself tries single calls only.
   *
   * @param compile answers its first state; `failed` is where its failures go, which lie in `field` by then
   */
  #again(
    step: Step & Tries,
    field: string,
    place: Place,
    next: string,
    compile: (failed: string, attempt: string | undefined) => string,
  ): string {
    const givenUp = this.#caught(step, field, place, next);
    if (step.attempts === 1) return compile(givenUp, undefined);
    const counter = this.#field("a");
    const attempt = `$Input.${counter}.output`;
    const wait = this.#name(`${step.name}-backoff`);
    const begin = this.#name(`${step.name}-attempt`);
    const again = this.#branch(place, `${step.name}-again`, [[`${attempt}.again == true`, wait]], givenUp);
    const count = this.#help(place, `${step.name}-failed`, counter, again, givenUp, {
      verb: "again",
      "attempt.$": `${attempt}.attempt`,
      attempts: step.attempts,
      backoff: { ...step.backoff },
      "error.$": `$Input.${field}.error`,
    });
    const start = compile(count, `${attempt}.attempt`);
    place.scope.add({ state: { Type: "Wait", Name: wait, "Seconds.$": `${attempt}.seconds`, Next: begin } });
    place.scope.add({ state: { Type: "Pass", Name: begin, Next: start } });
    return this.#pass(place, `${step.name}-first`, { [counter]: { output: { attempt: 1 } } }, begin);
  }

  /** A field with a mapping's value; where the language cannot build it, a function does. */
  #given(
    name: string,
    mapping: Mapping,
    place: Place,
    fail: (field: string) => string,
    use: (given: Constructor) => string,
  ): string {
    if (!hasReferenceInList(mapping)) return use(fieldOf(name, mapping, place.roots));
    const field = this.#field("v");
    const next = use({ [`${name}.$`]: `$Input.${field}.output` });
    const { text, values } = template(mapping, place.roots);
    return this.#help(place, `value-${field}`, field, next, fail(field), { verb: "value", mapping: text, values });
  }

  /** A call of our own function that needs nothing but its input. */
  #help(place: Place, name: string, field: string, next: string, failed: string, input: Constructor): string {
    const target = this.#world.next;
    return this.#call(place, {
      name,
      field,
      target,
      input: { input },
      tries: HELP_TRIES,
      next,
      failed,
    });
  }

  #call(place: Place, { name: wanted, field, target, input, tries, attempt, mode, next, failed }: Call): string {
    const name = this.#own(wanted);
    const isOwn = mode === "WaitForCustomCallback";
    const isAsync = mode === "WaitForSystemCallback";
    const went = this.#branch(place, `${name}-ok`, [[`$Input.${field}.status == "succeeded"`, next]], failed);
    return place.scope.add({
      state: {
        Type: "Task",
        Name: name,
        Action: "FC:InvokeFunction",
        TaskMode: mode ?? "RequestComplete",
        Parameters: {
          resourceArn: `${target.arn}${QUALIFIER}`,
          invocationType: isAsync ? "Async" : "Sync",
          body: {
            millrace: "step",
            "run.$": "$Context.Execution.Input.run",
            ...this.#pathOf("step", name, place),
            ...(isAsync ? numberAt("attempt", attempt) : { "retries.$": "$Context.Current.RetryCount" }),
            // Who asks has nobody to answer: what fails there fails the call.
            attempts: isOwn ? ALWAYS_ANOTHER : tries.attempts,
            most: LARGEST_OUTPUT,
            ...input,
          },
        },
        ...(tries.timeout !== undefined && { Timeout: String(Math.ceil(tries.timeout)) }),
        // Whose time is over while it waits for an answer is not asked again.
        ...(tries.attempts > 1 && { Retry: [retry(tries, isOwn && tries.timeout !== undefined ? CALL_ERRORS : ALL)] }),
        Catch: caught(field, failed),
        Next: went,
      },
      // What a callback is answered with is the output itself; of a function, its body.
      writes: { [`${field}.$`]: isOwn ? "$Output" : "$Output.Body" },
    });
  }

  /** The step's path in the run, with the numbers of items and rounds around it. */
  #pathOf(name: string, step: string, { path }: Place): Constructor {
    if (path.values.length === 0) return { [name]: `${path.text}${step}` };
    return { [`${name}.$`]: `format("${path.text}${step}", ${path.values.join(", ")})` };
  }

  #choose(
    place: Place,
    name: string,
    branches: readonly (readonly [Condition, string])[],
    otherwise: string,
    roots: Roots,
  ): string {
    const field = this.#field("c");
    const texts: Record<string, string> = {};
    const aside = (text: string) => {
      const key = `t${Object.keys(texts).length}`;
      texts[key] = text;
      return `$Input.${field}.${key}`;
    };
    const cases = branches.map(([condition, next]) => [conditionOf(condition, roots, aside), next] as const);
    const choice = this.#branchAs(place, name, cases, otherwise);
    return Object.keys(texts).length === 0 ? choice : this.#pass(place, `${name}-texts`, { [field]: texts }, choice);
  }

  #branch(place: Place, name: string, cases: readonly (readonly [string, string])[], otherwise: string): string {
    return this.#branchAs(place, this.#name(name), cases, otherwise);
  }

  #branchAs(place: Place, name: string, cases: readonly (readonly [string, string])[], otherwise: string): string {
    const Branches = cases.map(([Condition, Next]) => ({ Condition, Next }));
    return place.scope.add({ state: { Type: "Choice", Name: name, Branches, Default: otherwise } });
  }

  #pass(place: Place, name: string, writes: Constructor, next: string): string {
    return place.scope.add({ state: { Type: "Pass", Name: this.#name(name), Next: next }, writes });
  }

  /** Where failures of what is inside go: into the field of the step around. */
  #into(field: string, place: Place, failed: string): (from: string) => string {
    return (from) =>
      from === field ? failed : this.#pass(place, `failed-${from}`, { [`${field}.$`]: `$Input.${from}` }, failed);
  }

  #field(prefix: string): string {
    this.#fields += 1;
    return `${prefix}${this.#fields}`;
  }

  /** The name of a step's first state: its own, so that the service's history and console say it. */
  #own(step: string): string {
    if (this.#owned.has(step) || !this.#stepNames.has(step)) return this.#name(step);
    this.#owned.add(step);
    return step;
  }

  /** A state's name that no step has, nor any other state. */
  #name(wanted: string): string {
    let name = wanted.slice(0, 120);
    for (let index = 2; this.#names.has(name); index += 1) name = `${wanted.slice(0, 120)}-${index}`;
    this.#names.add(name);
    return name;
  }
}

/** Inside a step: the paths of what is there begin with its name. */
const within = ({ name }: Step, place: Place): Place => ({
  ...place,
  path: { ...place.path, text: `${place.path.text}${name}/` },
});

const numberAt = (name: string, expression: string | undefined): Constructor =>
  expression === undefined ? { [name]: 1 } : { [`${name}.$`]: expression };

/** https://www.alibabacloud.com/help/en/serverless-workflow/latest/error-handling */
const retry = ({ attempts, backoff }: Pick<Tries, "attempts" | "backoff">, errors: readonly string[]): FlowRetry => ({
  Errors: errors,
  Description: "another attempt",
  MaxAttempts: attempts - 1,
  IntervalSeconds: Math.min(DAY, Math.max(1, Math.ceil(backoff.first))),
  BackoffRate: backoff.factor,
  MaxBackoffSeconds: Math.min(DAY, Math.max(1, Math.ceil(backoff.longest))),
});

const ALL: readonly string[] = ["FnF.ALL"];
/** What a call fails with, and no wait: `FC.` and the code. https://www.alibabacloud.com/help/en/functioncompute/error-codes */
const CALL_ERRORS: readonly string[] = [
  "FC.ResourceThrottled",
  "FC.ResourceExhausted",
  "FC.InternalServerError",
  "FC.HandledInvocationError",
  "FC.UnhandledInvocationError",
  "FC.Unknown",
];

const DAY = 86_400;

/** What the platform itself fails with. That its timeouts are named so is known of the language's older version. */
const caught = (field: string, next: string): readonly FlowCatch[] =>
  [
    { error: "FnF.TaskTimeout", kind: "timed-out", description: "it took too long" },
    { error: "FnF.ALL", kind: "unavailable", description: "it did not answer" },
  ].map(({ error, kind, description }) => ({
    Errors: [error],
    Description: description,
    OutputConstructor: {
      [field]: { status: "failed", error: { kind, "message.$": "$Context.Current.Error.Detail" } },
    },
    Next: next,
  }));
