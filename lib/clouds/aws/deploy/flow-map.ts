import { type MapStep, stepsOf } from "../../../shared/workflow/definition.ts";
import { type Place, referencesIn } from "./flow-data.ts";
import { type Around, END, type FlowWriter, placed, reached, type States, type Write } from "./flow-writer.ts";

/** A map over more items is a distributed one. https://docs.aws.amazon.com/step-functions/latest/dg/state-map-inline.html */
export const INLINE_ITEMS = 40;

/** Writes the states of a block of steps. */
export type WriteBlock = (block: MapStep["item"], around: Around, owner: string, write: Write) => string;

/**
 * A list that is none, is too long or is empty is told first; then every item is a state of its own, and where some may
 * fail, they are counted at the end.
 */
export function mapStates(writer: FlowWriter, block: WriteBlock, step: MapStep, around: Around, next: string): string {
  const { name, atMost, collects, tolerated } = step;
  const { states } = around;
  const { path } = writer.data.home(step);
  const items = writer.data.path(step.items) ?? "$.run";
  const each = tolerated === 0 ? next : tally(writer, step, around, next);
  const begin = writer.label(`${name}: items`);
  const none = writer.pass(states, `${name}: none`, {
    Result: { output: collects ? [] : { succeeded: 0, failed: 0 } },
    ResultPath: path,
    Next: next,
  });
  const wrong = writer.refused(around, `${name}: no list`, "bad-input", "the items are no list");
  const many = writer.refused(
    around,
    `${name}: too many`,
    "refused",
    `the list has more than the ${atMost} items it may have`,
  );
  // The language knows no test for a list: an empty one, which has no first item, is told by its text.
  const isEmpty = writer.label(`${name}: is empty`);
  states[isEmpty] = {
    Type: "Choice",
    Choices: [{ Variable: "$.made.text", StringEquals: "[]", Next: none }],
    Default: wrong,
  };
  const text = writer.pass(states, `${name}: text`, {
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
    ItemSelector: itemSelector(writer, step, around),
    // Without a bound the service does 40 at once inline, and 10,000 of a distributed map.
    ...(step.concurrency !== undefined && { MaxConcurrency: step.concurrency }),
    ItemProcessor: itemStates(writer, block, step, around),
    ResultSelector: resultOf(step),
    ...writer.composite(step, around),
    Next: each,
  };
  return begin;
}

function itemStates(writer: FlowWriter, writeBlock: WriteBlock, step: MapStep, around: Around): object {
  const { name, atMost, collects, tolerated } = step;
  const states: States = {};
  const index = `$.items.${writer.data.key(name)}.index`;
  const place: Place = [...around.place, `${name}[`, { number: index }, "]/"];
  const failed = writer.label(`${name}: item failed`);
  if (tolerated > 0) {
    states[failed] = {
      Type: "Pass",
      Parameters: { ...(collects && { output: null }), fate: { "failed.$": "$.error" } },
      End: true,
    };
  } else {
    states[failed] = { Type: "Fail", ErrorPath: "$.error.kind", CausePath: "$.error.message" };
  }
  const failure = writer.handler(states, "$.error", failed);
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
  const StartAt = writeBlock(block, inner, `${name}: item output`, write);
  return {
    ProcessorConfig: atMost > INLINE_ITEMS ? { Mode: "DISTRIBUTED", ExecutionType: "STANDARD" } : { Mode: "INLINE" },
    StartAt,
    States: reached(StartAt, states),
  };
}

/** What an item knows of what is around it: what is read in it, and no more. */
function itemSelector(writer: FlowWriter, { name, item }: MapStep, { numbered }: Around): object {
  const own = `$.items.${writer.data.key(name)}`;
  const inside = new Set(stepsOf(item).map((step) => step.name));
  const references = referencesIn(item).filter(({ $ }) => !inside.has($.slice($.indexOf(":") + 1)));
  const paths = references.flatMap(({ $ }) => writer.data.path({ $ }) ?? []);
  const selector: Selector = {};
  for (const path of new Set(["$.run", ...numbered.map((one) => one.path), ...paths])) put(selector, path, path);
  put(selector, `${own}.index`, "$$.Map.Item.Index");
  put(selector, `${own}.value`, "$$.Map.Item.Value");
  return selector;
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

/**
 * Counts items that failed. A path to many may lead to none, which implementations take differently: one made up item
 * of each kind comes first.
 */
function tally(writer: FlowWriter, step: MapStep, around: Around, next: string): string {
  const { name, tolerated, collects } = step;
  const { states, failure } = around;
  const { path } = writer.data.home(step);
  const count = (list: string) => `States.MathAdd(States.ArrayLength($.tally.${list}), -1)`;
  const counts = collects
    ? next
    : writer.pass(states, `${name}: counts`, {
        Parameters: { output: { "succeeded.$": count("ok"), "failed.$": count("failed") } },
        ResultPath: path,
        Next: next,
      });
  const broken = writer.pass(states, `${name}: failed`, {
    InputPath: "$.tally.failed[1]",
    ResultPath: failure.path,
    Next: failure.label(),
  });
  const tolerable = writer.label(`${name}: tolerable`);
  states[tolerable] = {
    Type: "Choice",
    Choices: [{ Variable: `$.tally.failed[${tolerated + 1}]`, IsPresent: true, Next: broken }],
    Default: counts,
  };
  const parted = writer.pass(states, `${name}: parted`, {
    Parameters: { "failed.$": "$.tally[*][*].failed", "ok.$": "$.tally[*][*].ok" },
    ResultPath: "$.tally",
    Next: tolerable,
  });
  return writer.pass(states, `${name}: fates`, {
    Parameters: { a: [{ ok: true, failed: { kind: "failed", message: "" } }], "b.$": `${path}.fates` },
    ResultPath: "$.tally",
    Next: parted,
  });
}

/** What of a map's results is kept. */
function resultOf({ collects, tolerated }: MapStep): object {
  if (tolerated > 0) return { ...(collects && { "output.$": "$[*].output" }), "fates.$": "$[*].fate" };
  return collects ? { "output.$": "$" } : { output: { "succeeded.$": "States.ArrayLength($)", failed: 0 } };
}
