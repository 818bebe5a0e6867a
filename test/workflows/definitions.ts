import {
  block,
  both,
  either,
  type Flow,
  type Given,
  is,
  isAbove,
  isBelow,
  not,
  type Ref,
  reference,
} from "../../lib/parts/flow.ts";
import type { FunctionPart, Queue, TaskPart } from "../../lib/parts/part.ts";
import { type ErrorKind, MillraceError } from "../../lib/runtime/errors.ts";
import type { Answer } from "../../lib/runtime/workflows/run.ts";
import type { Block } from "../../lib/shared/workflow/definition.ts";

/** A small workflow and what it comes to, on every interpreter and wherever it is compiled to. */
export interface DefinitionCase {
  /** Unique: letters, digits and `-`. */
  readonly name: string;
  readonly definition: Block;
  readonly input: unknown;
  readonly expected: Expected;
  /** How often each function was called; a function that is not named may be called as often as it likes. */
  readonly calls?: Readonly<Partial<Record<FunctionName, number>>>;
  /** The function that is behind each task it uses: gets `{ id, input }`. */
  readonly tasks?: Readonly<Record<string, FunctionName>>;
  /** What somebody outside answers each step that asks, by the step's name. */
  readonly answers?: Readonly<Record<string, Answer>>;
}

export type Expected =
  | { readonly output: unknown }
  /** Without a message: every cloud says it in its own words. */
  | { readonly error: { readonly kind: ErrorKind; readonly message?: string } };

/** What a function of these workflows does: the same for the same input and attempt. Throws what it fails with. */
export type StepFunction = (input: never, attempt: number) => unknown;

/** The functions of all these workflows, by name. */
export const FUNCTIONS = {
  /** Answers what it is given. */
  echo: (input: unknown) => input,
  /** Answers nothing, which is `null`. */
  silent: () => undefined,
  double: ({ value }: { readonly value: number }) => ({ value: value * 2 }),
  sum: ({ values }: { readonly values: readonly ({ readonly value: number } | null)[] }) => ({
    value: values.reduce((total, one) => total + (one?.value ?? 0), 0),
  }),
  /** Items `{ index, value }` for `{ count }`, values from 1. */
  split: ({ count }: { readonly count: number }) => ({
    items: Array.from({ length: count }, (_, index) => ({ index, value: index + 1 })),
  }),
  /** Fails until its attempt has this number. */
  flaky: ({ until }: { readonly until: number }, attempt: number) => {
    if (attempt < until) throw new MillraceError("unavailable", `not before attempt ${until}`);
    return { attempt };
  },
  /** Fails as it is told, whatever the attempt; for `{ value }` only if that is in `when`. */
  fails: ({ kind, message, value, when }: FailureInput) => {
    if (when !== undefined && !when.includes(value ?? 0)) return { value };
    throw new MillraceError(kind, message);
  },
} as const satisfies Readonly<Record<string, StepFunction>>;

export type FunctionName = keyof typeof FUNCTIONS;

interface FailureInput {
  readonly kind: ErrorKind;
  readonly message: string;
  readonly value?: number;
  readonly when?: readonly number[];
}

interface Value {
  readonly value: number;
}
interface Item extends Value {
  readonly index: number;
}
interface Failure {
  readonly kind: string;
  readonly message: string;
}

const part = <Result>(name: FunctionName) => ({ kind: "function", name }) as unknown as FunctionPart<unknown, Result>;
const silent = part<null>("silent");
const double = part<Value>("double");
const sum = part<Value>("sum");
const split = part<{ readonly items: readonly Item[] }>("split");
const flaky = part<{ readonly attempt: number }>("flaky");
const fails = part<Value>("fails");
/** The task and the queue of cases that use them. */
export const TASK = "work";
export const QUEUE = "questions";
const work = { kind: "task", name: TASK } as unknown as TaskPart;
const questions = { kind: "queue", name: QUEUE } as unknown as Queue;

/** Answers what it is given, for steps that are told apart by name alone. */
const echoes = <T>(flow: Flow, name: string, input: Given<unknown>): Ref<T> =>
  flow.function(name, part<T>("echo"), input);

/** Fails for good: a second attempt is not made. */
const refuses = { kind: "refused", message: "never" } as const;

/** A block whose steps read the run's input. */
const withInput = <Input>(write: (flow: Flow, input: Ref<Input>) => unknown): Block =>
  block((flow) => write(flow, field()));
const field = <T>(...at: readonly string[]): Ref<T> => reference("input", at);

/** A list whose size shows when the run comes to it. */
export const largeList: Block = withInput<{ readonly count: number }>((flow, { count }) => ({
  items: flow.function("large", split, { count }).items,
}));

/** What services take for expressions in their own languages. */
const LITERALS = {
  path: "$.a",
  whole: "$",
  context: "$$.Execution.Id",
  intrinsic: "States.Format('{}', $.a)",
  template: "{{inputs.parameters.x}}",
  argo: "{{=1+1}}",
  jsonata: "{% $states.input.a %}",
  // biome-ignore lint/suspicious/noTemplateCurlyInString: it is meant as it stands
  shell: "${a} $(a)",
  quotes: `"double" 'single' \`back\``,
  backslash: "C:\\new\\u0041",
  lines: "one\ntwo\r\n\ttab",
  unicode: "ä漢字🎬\u2028",
  empty: "",
  emptyObject: {},
  emptyList: [],
  nothing: null,
  zero: 0,
  small: -1.5e-7,
  large: 9_007_199_254_740_991,
  no: false,
  text: "null",
  number: "007",
  list: [1, "$.a", [[]], [{}]],
  "odd field-name.x": { "with space": 1, ü: 2 },
} as const;

const sequences: readonly DefinitionCase[] = [
  {
    name: "one-step",
    definition: block((flow) => flow.function("one", double, { value: field<number>("value") })),
    input: { value: 21 },
    expected: { output: { value: 42 } },
    calls: { double: 1 },
  },
  {
    name: "each-step-on-the-one-before",
    definition: block((flow) => {
      const one = flow.function("one", double, { value: field<number>("value") });
      const two = flow.function("two", double, { value: one.value });
      const three = flow.function("three", double, two);
      return { first: one.value, all: [one, two, three], input: field() };
    }),
    input: { value: 1 },
    expected: { output: { first: 2, all: [{ value: 2 }, { value: 4 }, { value: 8 }], input: { value: 1 } } },
  },
  {
    name: "no-steps",
    definition: withInput<Value>((_flow, input) => ({ same: input.value, constant: true })),
    input: { value: 7 },
    expected: { output: { same: 7, constant: true } },
  },
  {
    name: "a-function-that-answers-nothing",
    definition: block((flow) => ({ answer: flow.function("nothing", silent, {}) })),
    input: {},
    expected: { output: { answer: null } },
  },
  {
    name: "literals-that-look-like-expressions",
    definition: block((flow) => echoes(flow, "literal", LITERALS)),
    input: { a: "wrong" },
    expected: { output: LITERALS },
  },
  {
    name: "a-text-from-the-input-that-looks-like-an-expression",
    definition: withInput((flow, input) => ({ echoed: echoes(flow, "text", { text: input }), input })),
    input: { text: "$.input", more: "{{inputs.parameters.x}} {% $states.input %} {$a}", quote: `"'\\` },
    expected: {
      output: {
        echoed: {
          text: { text: "$.input", more: "{{inputs.parameters.x}} {% $states.input %} {$a}", quote: `"'\\` },
        },
        input: { text: "$.input", more: "{{inputs.parameters.x}} {% $states.input %} {$a}", quote: `"'\\` },
      },
    },
  },
  {
    name: "references-to-what-is-not-there",
    definition: block((flow) => {
      const echoed = echoes<{ a: { b: number } }>(flow, "echoed", {
        deep: field("a", "b", "c"),
        text: field("text", "x"),
      });
      return { deep: echoed.a.b, none: field("none"), inList: field("list", "length"), whole: echoed };
    }),
    input: { text: "length", list: [1, 2] },
    expected: { output: { deep: null, none: null, inList: null, whole: { deep: null, text: null } } },
  },
  {
    name: "a-wait-comes-to-an-empty-object",
    definition: block((flow) => {
      const one = flow.function("before", double, { value: 2 });
      flow.wait("pause", "1 second");
      flow.wait("given", field<number>("seconds"));
      flow.wait("none", "0 seconds");
      return { one };
    }),
    input: { seconds: 1 },
    expected: { output: { one: { value: 4 } } },
  },
  {
    // Two of them nearly fill the 64 KiB that a state of CloudFlow has.
    name: "outputs-as-large-as-may-be",
    definition: withInput<object>((flow, input) => echoes(flow, "again", echoes(flow, "once", input))),
    input: { text: "x".repeat(32_000) },
    expected: { output: { text: "x".repeat(32_000) } },
  },
  {
    name: "succeed-ends-the-run",
    definition: block((flow) => {
      const one = flow.function("one", double, { value: 1 });
      flow.succeed("done", { early: one.value });
    }),
    input: {},
    expected: { output: { early: 2 } },
  },
  {
    name: "fail-fails-the-run",
    definition: block((flow) => {
      flow.function("one", double, { value: 1 });
      flow.fail("no", "bad-input", "this will not do");
    }),
    input: {},
    expected: { error: { kind: "bad-input", message: "this will not do" } },
    calls: { double: 1 },
  },
  {
    name: "fail-with-a-message-of-the-run",
    definition: block((flow) => void flow.fail("no", "refused", field<string>("reason"))),
    input: { reason: 'too "large"' },
    expected: { error: { kind: "refused", message: 'too "large"' } },
  },
];

const RETRIES = { backoff: { first: "1 second", longest: "1 second" } } as const;

const failures: readonly DefinitionCase[] = [
  {
    name: "retry-then-success",
    definition: block((flow) => flow.function("flaky", flaky, { until: 3 }, { attempts: 3, ...RETRIES })),
    input: {},
    expected: { output: { attempt: 3 } },
    calls: { flaky: 3 },
  },
  {
    name: "attempts-used-up",
    definition: block((flow) => {
      flow.function("flaky", flaky, { until: 9 }, { attempts: 2, ...RETRIES });
      flow.function("after", double, { value: 1 });
    }),
    input: {},
    expected: { error: { kind: "unavailable", message: "not before attempt 9" } },
    calls: { flaky: 2, double: 0 },
  },
  {
    name: "retry-then-catch",
    definition: block((flow) => {
      const result = flow.function(
        "flaky",
        flaky,
        { until: 9 },
        {
          attempts: 2,
          ...RETRIES,
          catch: (inner, error) => {
            const noted = echoes<Failure>(inner, "noted", { kind: error.kind, message: error.message });
            return { attempt: -1, noted };
          },
        },
      );
      return { result, again: flow.function("after", double, { value: result.attempt }) };
    }),
    input: {},
    expected: {
      output: {
        result: { attempt: -1, noted: { kind: "unavailable", message: "not before attempt 9" } },
        again: { value: -2 },
      },
    },
    calls: { flaky: 2, echo: 1, double: 1 },
  },
  {
    name: "what-no-retry-can-help-is-not-tried-again",
    definition: block((flow) =>
      flow.function("broken", fails, { kind: "bad-input", message: "no number" }, { attempts: 5 }),
    ),
    input: {},
    expected: { error: { kind: "bad-input", message: "no number" } },
    calls: { fails: 1 },
  },
  {
    name: "catch-of-the-kind",
    definition: block((flow) =>
      flow.function(
        "broken",
        fails,
        { kind: "not-found", message: "gone" },
        {
          catches: ["refused", "not-found"],
          catch: (_inner, error) => ({ value: 0, error }),
        },
      ),
    ),
    input: {},
    expected: { output: { value: 0, error: { kind: "not-found", message: "gone" } } },
  },
  {
    name: "catch-of-another-kind",
    definition: block((flow) =>
      flow.function(
        "broken",
        fails,
        { kind: "not-found", message: "gone" },
        {
          catches: ["refused"],
          catch: () => ({ value: 0 }),
        },
      ),
    ),
    input: {},
    expected: { error: { kind: "not-found", message: "gone" } },
  },
  {
    name: "a-catch-that-fails",
    definition: block((flow) =>
      flow.function("broken", fails, refuses, {
        catch: (inner, error) => inner.fail("worse", "failed", error.message),
      }),
    ),
    input: {},
    expected: { error: { kind: "failed", message: "never" } },
  },
  {
    name: "a-message-with-quotes-and-unicode",
    definition: block((flow) =>
      flow.function(
        "broken",
        fails,
        { kind: "refused", message: 'the key "ä/ß 漢字 🎬.mp4"\nis {{odd}} $.x' },
        {
          catch: (_inner, error) => ({ value: 0, message: error.message, kind: error.kind }),
        },
      ),
    ),
    input: {},
    expected: { output: { value: 0, kind: "refused", message: 'the key "ä/ß 漢字 🎬.mp4"\nis {{odd}} $.x' } },
  },
  {
    name: "catch-around-a-parallel",
    definition: block((flow) =>
      flow.parallel<{ readonly good: Value | null; readonly bad: unknown }>(
        "both",
        {
          good: (inner) => inner.function("good", double, { value: 1 }),
          bad: (inner) => inner.fail("bad", "bad-input", "one branch"),
        },
        { catch: (_inner, error) => ({ good: null, bad: error }) },
      ),
    ),
    input: {},
    expected: { output: { good: null, bad: { kind: "bad-input", message: "one branch" } } },
  },
  {
    name: "a-parallel-is-tried-again-as-a-whole",
    definition: block((flow) =>
      flow.parallel(
        "both",
        {
          one: (inner) => {
            const value = inner.function("one", double, { value: 1 });
            inner.function("fails", fails, { kind: "failed", message: "always" }, { attempts: 1 });
            return value;
          },
        },
        { attempts: 3, ...RETRIES },
      ),
    ),
    input: {},
    expected: { error: { kind: "failed", message: "always" } },
    calls: { double: 3, fails: 3 },
  },
  {
    name: "an-inner-catch-spares-the-outer-one",
    definition: block((flow) =>
      flow.parallel(
        "around",
        {
          one: (inner) => inner.function("broken", fails, refuses, { catch: () => ({ value: 5 }) }),
        },
        { catch: () => ({ one: { value: 99 } }) },
      ),
    ),
    input: {},
    expected: { output: { one: { value: 5 } } },
  },
];

const maps: readonly DefinitionCase[] = [
  {
    name: "map-in-order",
    definition: block((flow) => {
      const { items } = flow.function("split", split, { count: 5 });
      const doubled = flow.map("each", items, (inner, item) => inner.function("double", double, { value: item.value }));
      return flow.function("sum", sum, { values: doubled });
    }),
    input: {},
    expected: { output: { value: 30 } },
    calls: { double: 5, split: 1, sum: 1 },
  },
  {
    name: "map-outputs",
    definition: block((flow) =>
      flow.map("each", field<readonly Item[]>("items"), (_inner, item) => ({ i: item.index, whole: item }), {
        concurrency: 1,
      }),
    ),
    input: { items: [{ index: 1 }, { index: 0, deep: { a: [1] } }] },
    expected: {
      output: [
        { i: 1, whole: { index: 1 } },
        { i: 0, whole: { index: 0, deep: { a: [1] } } },
      ],
    },
  },
  {
    name: "map-of-nothing",
    definition: block((flow) => ({
      list: flow.map("each", field<readonly Item[]>("items"), (inner, item) =>
        inner.function("double", double, { value: item.value }),
      ),
      counts: flow.forEach("count", field<readonly Item[]>("items"), (inner, item) =>
        inner.function("double2", double, { value: item.value }),
      ),
    })),
    input: { items: [] },
    expected: { output: { list: [], counts: { succeeded: 0, failed: 0 } } },
    calls: { double: 0 },
  },
  {
    name: "one-item-fails-the-map",
    definition: block((flow) =>
      flow.map("each", field<readonly Item[]>("items"), (inner, item) =>
        inner.function("fails", fails, { kind: "bad-input", message: "two", value: item.value, when: [2] }),
      ),
    ),
    input: { items: [{ value: 1 }, { value: 2 }, { value: 3 }] },
    expected: { error: { kind: "bad-input", message: "two" } },
  },
  {
    name: "items-that-may-fail",
    definition: block((flow) =>
      flow.map(
        "each",
        field<readonly Item[]>("items"),
        (inner, item) =>
          inner.function("fails", fails, { kind: "bad-input", message: "even", value: item.value, when: [2, 4] }),
        { tolerated: 2 },
      ),
    ),
    input: { items: [{ value: 1 }, { value: 2 }, { value: 3 }, { value: 4 }] },
    expected: { output: [{ value: 1 }, null, { value: 3 }, null] },
    calls: { fails: 4 },
  },
  {
    name: "more-items-fail-than-may",
    definition: block((flow) =>
      flow.map(
        "each",
        field<readonly Item[]>("items"),
        (inner, item) =>
          inner.function("fails", fails, { kind: "bad-input", message: "even", value: item.value, when: [2, 4] }),
        { tolerated: 1, catch: (_inner, error) => [{ value: 0, error }] },
      ),
    ),
    input: { items: [{ value: 1 }, { value: 2 }, { value: 3 }, { value: 4 }] },
    expected: { output: [{ value: 0, error: { kind: "bad-input", message: "even" } }] },
  },
  {
    name: "for-each-counts",
    definition: block((flow) =>
      flow.forEach(
        "each",
        field<readonly Item[]>("items"),
        (inner, item) => {
          inner.function("fails", fails, { kind: "refused", message: "one", value: item.value, when: [1] });
        },
        { tolerated: 1 },
      ),
    ),
    input: { items: [{ value: 1 }, { value: 2 }, { value: 3 }] },
    expected: { output: { succeeded: 2, failed: 1 } },
  },
  {
    name: "map-too-long",
    definition: block((flow) =>
      flow.map("each", field<readonly Item[]>("items"), (inner, item) => inner.function("double", double, item), {
        atMost: 2,
        catch: (_inner, error) => [{ value: 0, kind: error.kind }],
      }),
    ),
    input: { items: [{ value: 1 }, { value: 2 }, { value: 3 }] },
    expected: { output: [{ value: 0, kind: "refused" }] },
    calls: { double: 0 },
  },
  {
    name: "items-that-are-no-list",
    definition: block((flow) =>
      flow.map("each", field<readonly Item[]>("items"), (inner, item) => inner.function("double", double, item)),
    ),
    input: { items: { value: 1 } },
    expected: { error: { kind: "bad-input" } },
    calls: { double: 0 },
  },
  {
    name: "items-that-are-not-there",
    definition: block((flow) =>
      flow.map("each", field<readonly Item[]>("items"), (inner, item) => inner.function("double", double, item)),
    ),
    input: {},
    expected: { error: { kind: "bad-input" } },
  },
  {
    name: "map-in-a-map",
    definition: block((flow) => {
      const factor = flow.function("factor", double, { value: 5 });
      return flow.map(
        "outer",
        field<readonly { readonly id: string; readonly parts: readonly Item[] }[]>("groups"),
        (inOuter, group) => {
          const parts = inOuter.map("inner", group.parts, (inInner, item) => {
            const { value } = inInner.function("double", double, { value: item.value });
            return { group: group.id, value, factor: factor.value, prefix: field<string>("prefix") };
          });
          return { id: group.id, parts };
        },
      );
    }),
    input: {
      prefix: "p",
      groups: [
        { id: "a", parts: [{ value: 1 }, { value: 2 }] },
        { id: "b", parts: [] },
        { id: "c", parts: [{ value: 3 }] },
      ],
    },
    expected: {
      output: [
        {
          id: "a",
          parts: [
            { group: "a", value: 2, factor: 10, prefix: "p" },
            { group: "a", value: 4, factor: 10, prefix: "p" },
          ],
        },
        { id: "b", parts: [] },
        { id: "c", parts: [{ group: "c", value: 6, factor: 10, prefix: "p" }] },
      ],
    },
    calls: { double: 4 },
  },
  {
    name: "a-branch-in-a-parallel-in-a-map",
    definition: block((flow) =>
      flow.map("each", field<readonly Item[]>("items"), (inner, item) =>
        inner.parallel("both", {
          size: (branch) =>
            branch.choice<{ readonly size: string; readonly value: number }>(
              "size",
              [
                {
                  if: isAbove(item.value, 10),
                  do: (large) => ({ size: "large", value: large.function("large", double, item).value }),
                },
              ],
              () => ({ size: "small", value: item.value }),
            ),
          same: (branch) => echoes<Item>(branch, "same", item),
        }),
      ),
    ),
    input: { items: [{ value: 5 }, { value: 50 }] },
    expected: {
      output: [
        { size: { size: "small", value: 5 }, same: { value: 5 } },
        { size: { size: "large", value: 100 }, same: { value: 50 } },
      ],
    },
    calls: { double: 1, echo: 2 },
  },
  {
    name: "retry-inside-an-item",
    definition: block((flow) =>
      flow.map("each", field<readonly { readonly until: number }[]>("items"), (inner, item) =>
        inner.function("flaky", flaky, { until: item.until }, { attempts: 3, ...RETRIES }),
      ),
    ),
    input: { items: [{ until: 1 }, { until: 3 }, { until: 2 }] },
    expected: { output: [{ attempt: 1 }, { attempt: 3 }, { attempt: 2 }] },
    calls: { flaky: 6 },
  },
  {
    name: "catch-inside-an-item",
    definition: block((flow) =>
      flow.map("each", field<readonly Item[]>("items"), (inner, item) =>
        inner.function(
          "fails",
          fails,
          { kind: "refused", message: "two", value: item.value, when: [2] },
          {
            catch: (_caught, error) => ({ value: item.index, why: error.message }),
          },
        ),
      ),
    ),
    input: {
      items: [
        { index: 0, value: 1 },
        { index: 1, value: 2 },
      ],
    },
    expected: { output: [{ value: 1 }, { value: 1, why: "two" }] },
  },
];

interface Order {
  readonly amount: number;
  readonly kind: string;
  readonly paid: boolean;
  readonly none: string;
}

/** What each condition says of `input`, one after the other. */
const CONDITIONS = {
  equalText: is(field<string>("kind"), "book"),
  otherText: is(field<string>("kind"), "Book"),
  equalNumber: is(field<number>("amount"), 10),
  numberIsNoText: is(field<string>("amount"), "10"),
  equalTrue: is(field<boolean>("paid"), true),
  notFalse: not(is(field<boolean>("paid"), false)),
  missing: is(field<string>("none"), ""),
  notMissing: not(is(field<string>("none"), "")),
  above: isAbove(field<number>("amount"), 9),
  aboveItself: isAbove(field<number>("amount"), 10),
  below: isBelow(field<number>("amount"), 10.5),
  belowItself: isBelow(field<number>("amount"), 10),
  textIsAboveNothing: isAbove(field<number>("kind"), -1),
  textIsBelowNothing: isBelow(field<number>("kind"), 1e9),
  all: both(is(field<string>("kind"), "book"), isAbove(field<number>("amount"), 1)),
  notAll: both(is(field<string>("kind"), "book"), isAbove(field<number>("amount"), 11)),
  any: either(is(field<string>("kind"), "film"), isBelow(field<number>("amount"), 11)),
  notAny: either(is(field<string>("kind"), "film"), isBelow(field<number>("amount"), 1)),
  nested: not(
    both(
      either(is(field<boolean>("paid"), false), isAbove(field<number>("amount"), 5)),
      not(is(field<string>("kind"), "film")),
    ),
  ),
  looksLikeAnExpression: is(field<string>("odd"), '$.kind\'s "{{x}}"'),
} as const;

const HOLDING = [
  "equalText",
  "equalNumber",
  "equalTrue",
  "notFalse",
  "notMissing",
  "above",
  "below",
  "all",
  "any",
  "looksLikeAnExpression",
];

const choices: readonly DefinitionCase[] = [
  {
    name: "conditions",
    definition: block((flow) =>
      Object.fromEntries(
        Object.entries(CONDITIONS).map(([name, condition]) => [
          name,
          flow.choice<{ readonly holds: boolean }>(name, [{ if: condition, do: () => ({ holds: true }) }], () => ({
            holds: false,
          })).holds,
        ]),
      ),
    ),
    input: { amount: 10, kind: "book", paid: true, odd: '$.kind\'s "{{x}}"' },
    expected: { output: Object.fromEntries(Object.keys(CONDITIONS).map((name) => [name, HOLDING.includes(name)])) },
  },
  {
    name: "the-first-that-holds",
    definition: withInput<Order>((flow, input) =>
      flow.choice<{ readonly which: string }>(
        "which",
        [
          { if: isAbove(input.amount, 100), do: () => ({ which: "first" }) },
          {
            if: isAbove(input.amount, 5),
            do: (inner) => echoes<{ readonly which: string }>(inner, "second", { which: "second" }),
          },
          { if: isAbove(input.amount, 1), do: () => ({ which: "third" }) },
        ],
        () => ({ which: "none" }),
      ),
    ),
    input: { amount: 10 },
    expected: { output: { which: "second" } },
    calls: { echo: 1 },
  },
  {
    name: "otherwise",
    definition: withInput<Order>((flow, input) => {
      const { which } = flow.choice("which", [{ if: is(input.kind, "film"), do: () => ({ which: "film" }) }], () => ({
        which: "other",
      }));
      return { which };
    }),
    input: {},
    expected: { output: { which: "other" } },
  },
  {
    name: "succeed-in-a-choice",
    definition: withInput<Order>((flow, input) => {
      flow.choice(
        "paid",
        [{ if: is(input.paid, true), do: (inner) => inner.succeed("done", { paid: "already" }) }],
        () => ({}),
      );
      flow.function("pay", double, { value: 1 });
      return { paid: "now" };
    }),
    input: { paid: true },
    expected: { output: { paid: "already" } },
    calls: { double: 0 },
  },
  {
    name: "succeed-in-a-catch",
    definition: block((flow) => {
      flow.function("broken", fails, refuses, {
        catch: (inner, error) => inner.succeed("done", { message: error.message }),
      });
      flow.function("after", double, { value: 1 });
      return {};
    }),
    input: {},
    expected: { output: { message: "never" } },
    calls: { double: 0 },
  },
  {
    name: "fail-in-a-choice",
    definition: withInput<Order>((flow, input) => {
      flow.choice(
        "paid",
        [{ if: not(is(input.paid, true)), do: (inner) => inner.fail("unpaid", "refused", "pay first") }],
        () => ({}),
      );
      flow.function("ship", double, { value: 1 });
    }),
    input: { paid: false },
    expected: { error: { kind: "refused", message: "pay first" } },
    calls: { double: 0 },
  },
];

const repeats: readonly DefinitionCase[] = [
  {
    name: "repeat-until",
    definition: block((flow) =>
      flow.repeat<Value>(
        "grow",
        { from: { value: field<number>("value") }, until: (state) => isAbove(state.value, 20), atMost: 10 },
        (inner, state) => inner.function("double", double, { value: state.value }),
      ),
    ),
    input: { value: 3 },
    expected: { output: { value: 24 } },
    calls: { double: 3 },
  },
  {
    name: "a-round-is-always-done",
    definition: block((flow) =>
      flow.repeat<Value>(
        "once",
        { from: { value: 100 }, until: (state) => isAbove(state.value, 20), atMost: 1 },
        (inner, state) => inner.function("double", double, { value: state.value }),
      ),
    ),
    input: {},
    expected: { output: { value: 200 } },
    calls: { double: 1 },
  },
  {
    name: "repeated-too-often",
    definition: block((flow) =>
      flow.repeat<Value>(
        "grow",
        { from: { value: 0 }, until: (state) => isAbove(state.value, 0), atMost: 4 },
        (inner, state) => inner.function("double", double, { value: state.value }),
      ),
    ),
    input: {},
    expected: { error: { kind: "timed-out" } },
    calls: { double: 4 },
  },
  {
    name: "repeat-with-a-wait",
    definition: block((flow) => {
      const before = flow.function("before", double, { value: 1 });
      const state = flow.repeat<{ readonly value: number; readonly list: readonly number[] }>(
        "poll",
        { from: { value: 1, list: [] }, until: (round) => not(isBelow(round.value, 4)), atMost: 5, every: "1 second" },
        (inner, round) => {
          const { value } = inner.function("double", double, { value: round.value });
          return { value, list: [before.value, round.value] };
        },
      );
      return { state };
    }),
    input: {},
    expected: { output: { state: { value: 4, list: [2, 2] } } },
    calls: { double: 3 },
  },
  {
    name: "a-round-that-fails",
    definition: block((flow) =>
      flow.repeat<Value>(
        "grow",
        {
          from: { value: 1 },
          until: (state) => isAbove(state.value, 8),
          atMost: 9,
          catch: (_inner, error) => ({ value: -1, error }),
        },
        (inner, state) => {
          const { value } = inner.function("double", double, { value: state.value });
          return inner.function("fails", fails, { kind: "not-found", message: "four", value, when: [4] });
        },
      ),
    ),
    input: {},
    expected: { output: { value: -1, error: { kind: "not-found", message: "four" } } },
    calls: { double: 2 },
  },
];

/** Parallels in parallels, to this depth, with a step at the bottom. */
function nested(flow: Flow, depth: number): Ref<unknown> {
  if (depth === 0) return flow.function("bottom", double, { value: field<number>("value") });
  return flow.parallel(`level${depth}`, { in: (inner) => nested(inner, depth - 1) });
}

const rest: readonly DefinitionCase[] = [
  {
    name: "branches-at-once",
    definition: block((flow) => {
      const before = flow.function("before", double, { value: field<number>("value") });
      const { left, right } = flow.parallel("both", {
        left: (inner) => {
          const one = inner.function("one", double, { value: before.value });
          return inner.function("two", double, one);
        },
        right: () => ({ value: before.value, constant: "right" }),
      });
      return flow.function("sum", sum, { values: [left, right] });
    }),
    input: { value: 1 },
    expected: { output: { value: 10 } },
  },
  {
    name: "deep",
    definition: block((flow) => ({ deep: nested(flow, 5) })),
    input: { value: 4 },
    expected: { output: { deep: { in: { in: { in: { in: { in: { value: 8 } } } } } } } },
    calls: { double: 1 },
  },
  {
    name: "everything-around-is-known-in-a-catch",
    definition: block((flow) => {
      const first = flow.function("first", double, { value: 2 });
      return flow.map("each", field<readonly Item[]>("items"), (inner, item) => {
        const second = inner.function("second", double, item);
        return inner.function("broken", fails, refuses, {
          catch: (caught, error) =>
            echoes<Value>(caught, "all", { value: item.value, first, second, error, input: field("name") }),
        });
      });
    }),
    input: { name: "n", items: [{ value: 1 }] },
    expected: {
      output: [
        {
          value: 1,
          first: { value: 4 },
          second: { value: 2 },
          error: { kind: "refused", message: "never" },
          input: "n",
        },
      ],
    },
  },
  {
    name: "a-task",
    definition: block((flow) => {
      const made = flow.task<Value>("make", work, { id: field<string>("name"), input: { value: 5 } });
      return { made };
    }),
    input: { name: "work-1" },
    tasks: { [TASK]: "echo" },
    expected: { output: { made: { id: "work-1", input: { value: 5 } } } },
    calls: { echo: 1 },
  },
  {
    name: "an-answer-from-outside",
    definition: block((flow) => {
      const { ok } = flow.callback<{ readonly ok: boolean }>("approve", questions, { what: field("name") });
      return { ok };
    }),
    input: { name: "x" },
    answers: { approve: { output: { ok: true } } },
    expected: { output: { ok: true } },
  },
  {
    name: "a-refusal-from-outside",
    definition: block((flow) =>
      flow.callback<{ readonly ok: boolean }>(
        "approve",
        questions,
        {},
        {
          catch: (_inner, error) => ({ ok: false, why: error.message }),
        },
      ),
    ),
    input: {},
    answers: { approve: { error: { kind: "refused", message: "not today" } } },
    expected: { output: { ok: false, why: "not today" } },
  },
];

export const DEFINITIONS: readonly DefinitionCase[] = [
  ...sequences,
  ...failures,
  ...maps,
  ...choices,
  ...repeats,
  ...rest,
];

const numbered = (count: number): readonly Item[] =>
  Array.from({ length: count }, (_, index) => ({ index, value: index + 1 }));

/** Maps that are wider than some services carry at once; each takes its time. */
export const WIDE_DEFINITIONS: readonly DefinitionCase[] = [
  {
    name: "a-thousand-items-in-order",
    definition: block((flow) => {
      const { items } = flow.function("split", split, { count: 1000 });
      const factor = echoes<{ readonly text: string }>(flow, "around", { text: "x" });
      const each = flow.map(
        "each",
        items,
        (inner, item) => {
          const { value } = inner.function("double", double, { value: item.value });
          return { value, text: factor.text };
        },
        { atMost: 1000 },
      );
      return { total: flow.function("sum", sum, { values: each }), each };
    }),
    input: {},
    expected: {
      output: {
        total: { value: 1_001_000 },
        each: numbered(1000).map(({ value }) => ({ value: value * 2, text: "x" })),
      },
    },
    calls: { double: 1000, split: 1, sum: 1 },
  },
  {
    name: "one-of-a-thousand-fails",
    definition: block((flow) =>
      flow.forEach(
        "each",
        field<readonly Item[]>("items"),
        (inner, item) =>
          void inner.function("fails", fails, { kind: "bad-input", message: "this", value: item.value, when: [700] }),
        { atMost: 1000 },
      ),
    ),
    input: { items: numbered(1000) },
    expected: { error: { kind: "bad-input", message: "this" } },
  },
  {
    name: "some-of-a-thousand-may-fail",
    definition: block((flow) =>
      flow.forEach(
        "each",
        field<readonly Item[]>("items"),
        (inner, item) =>
          void inner.function("fails", fails, {
            kind: "refused",
            message: "no",
            value: item.value,
            when: [3, 300, 900],
          }),
        { atMost: 1000, tolerated: 3, concurrency: 60 },
      ),
    ),
    input: { items: numbered(1000) },
    expected: { output: { succeeded: 997, failed: 3 } },
    calls: { fails: 1000 },
  },
  {
    name: "ten-thousand-items",
    definition: block((flow) =>
      flow.forEach("each", field<readonly object[]>("items"), (inner, item) => void echoes(inner, "one", item), {
        atMost: 10_000,
      }),
    ),
    input: { items: Array.from({ length: 10_000 }, () => ({})) },
    expected: { output: { succeeded: 10_000, failed: 0 } },
    calls: { echo: 10_000 },
  },
];
