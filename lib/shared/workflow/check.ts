import type { Problem } from "../problem.ts";
import {
  type Block,
  blocksOf,
  type Condition,
  isReference,
  type Mapping,
  type Reference,
  type Step,
  type Tries,
} from "./definition.ts";

/** What cannot work in a workflow on any cloud: names, references that lead nowhere, bounds. */
export function checkDefinition(workflow: string, definition: Block): readonly Problem[] {
  const names = new Set<string>();
  const known = new Set(["input", "run"]);
  return checkBlock(definition, { known, path: `${workflow}.steps`, names, isAlone: true });
}

interface Surroundings {
  readonly known: ReadonlySet<string>;
  readonly path: string;
  /** Of all steps so far, in the whole workflow. */
  readonly names: Set<string>;
  /** Nothing else is done beside it. */
  readonly isAlone: boolean;
}

function checkBlock(block: Block, { known: around, path, names, isAlone }: Surroundings): readonly Problem[] {
  const known = new Set(around);
  const problems: Problem[] = [];
  for (const [index, step] of block.steps.entries()) {
    const where = `${path}.${step.name}`;
    problems.push(...checkName(step.name, where, names));
    problems.push(...checkStep(step, where, known));
    for (const [name, inner] of blocksOf(step)) {
      const beside = (step.type === "map" || step.type === "parallel") && name !== "catch.block";
      const seen = seenBy(step, name, known);
      const inside = { known: seen, path: `${where}.${name}`, names, isAlone: isAlone && !beside };
      problems.push(...checkBlock(inner, inside));
    }
    if (step.type === "succeed" && !isAlone) {
      const message = "succeed ends the whole run, and cannot while others are at work: not inside map and parallel";
      problems.push({ path: where, message });
    }
    known.add(`step:${step.name}`);
    if ((step.type === "succeed" || step.type === "fail") && index < block.steps.length - 1) {
      problems.push({
        path: where,
        message: `nothing after ${step.type} is ever done: it is the last step of its block`,
      });
    }
  }
  return [...problems, ...checkMapping(block.output, `${path}.output`, known)];
}

/** What a block inside a step knows besides what is known around it. */
function seenBy(step: Step, block: string, known: ReadonlySet<string>): ReadonlySet<string> {
  if (block === "catch.block") return new Set([...known, `error:${step.name}`]);
  if (step.type === "map") return new Set([...known, `item:${step.name}`]);
  if (step.type === "repeat") return new Set([...known, `state:${step.name}`]);
  return known;
}

/** As every workflow service takes them. */
const NAME = /^[A-Za-z][A-Za-z0-9_-]{0,63}$/;

function checkName(name: string, path: string, names: Set<string>): readonly Problem[] {
  const problems: Problem[] = [];
  if (!NAME.test(name)) {
    problems.push({
      path,
      message: "a step's name is no such name",
      given: name,
      allowed: "a letter, then letters, digits, - and _, at most 64",
    });
  }
  if (names.has(name))
    problems.push({ path, message: "there is a step of this name already; names are unique in a workflow" });
  names.add(name);
  return problems;
}

function checkStep(step: Step, path: string, known: ReadonlySet<string>): readonly Problem[] {
  const inside = (name: string, mapping: Mapping) => checkMapping(mapping, `${path}.${name}`, known);
  const tries = "attempts" in step ? checkTries(step, path) : [];
  switch (step.type) {
    case "function":
    case "callback":
      return [...tries, ...inside("input", step.input)];
    case "task":
      return [...tries, ...inside("id", step.id), ...inside("input", step.input)];
    case "parallel":
      return [...tries, ...checkBranches(Object.keys(step.branches), path)];
    case "map":
      return [
        ...tries,
        ...inside("items", step.items),
        ...whole(`${path}.atMost`, step.atMost, 1, 1_000_000),
        ...whole(`${path}.tolerated`, step.tolerated, 0, 1_000_000),
        ...(step.concurrency === undefined ? [] : whole(`${path}.concurrency`, step.concurrency, 1, 100_000)),
      ];
    case "choice":
      if (step.options.length === 0) return [{ path, message: "name at least one condition" }];
      return step.options.flatMap((option, index) => checkCondition(option.if, `${path}.options[${index}].if`, known));
    case "repeat":
      return [
        ...tries,
        ...inside("from", step.from),
        ...checkCondition(step.until, `${path}.until`, new Set([...known, `state:${step.name}`])),
        ...whole(`${path}.atMost`, step.atMost, 1, 100_000),
        ...whole(`${path}.every`, step.every, 0, YEAR),
      ];
    case "wait":
      return isReference(step.seconds)
        ? inside("seconds", step.seconds)
        : whole(`${path}.seconds`, step.seconds, 0, YEAR);
    case "succeed":
      return inside("output", step.output);
    case "fail":
      return inside("message", step.message);
  }
}

function checkTries({ attempts, backoff, timeout }: Tries, path: string): readonly Problem[] {
  return [
    ...whole(`${path}.attempts`, attempts, 1, 100),
    ...(timeout === undefined ? [] : whole(`${path}.timeout`, timeout, 1, YEAR)),
    ...(backoff.factor >= 1 && backoff.factor <= 100
      ? []
      : [{ path: `${path}.backoff.factor`, message: "a wait only grows", given: backoff.factor, allowed: "1 to 100" }]),
  ];
}

const YEAR = 31_536_000;

const whole = (path: string, given: number, least: number, most: number): readonly Problem[] =>
  Number.isInteger(given) && given >= least && given <= most
    ? []
    : [{ path, message: "a whole number is wanted", given, allowed: `${least} to ${most}` }];

function checkBranches(names: readonly string[], path: string): readonly Problem[] {
  const wrong = names.filter((name) => !NAME.test(name));
  return [
    ...(names.length === 0 ? [{ path, message: "name at least one branch" }] : []),
    ...wrong.map((name) => ({
      path,
      message: "a branch's name is no such name",
      given: name,
      allowed: "a letter, then letters, digits, - and _, at most 64",
    })),
  ];
}

function checkCondition(condition: Condition, path: string, known: ReadonlySet<string>): readonly Problem[] {
  switch (condition.op) {
    case "not":
      return checkCondition(condition.of, path, known);
    case "and":
    case "or":
      return condition.of.length === 0
        ? [{ path, message: `"${condition.op}" of nothing is no condition` }]
        : condition.of.flatMap((part) => checkCondition(part, path, known));
    default:
      return checkReference(condition.left, path, known);
  }
}

function checkMapping(mapping: Mapping, path: string, known: ReadonlySet<string>): readonly Problem[] {
  if (isReference(mapping)) return checkReference(mapping, path, known);
  if (Array.isArray(mapping)) {
    return mapping.flatMap((value: Mapping, index) => checkMapping(value, `${path}[${index}]`, known));
  }
  if (typeof mapping !== "object" || mapping === null) return [];
  return Object.entries(mapping).flatMap(([field, value]) => [
    ...(/^\$|\.\$$/.test(field)
      ? [
          {
            path: `${path}.${field}`,
            message: "workflow services take a field that begins with $ or ends in .$ for something else",
          },
        ]
      : []),
    ...checkMapping(value, `${path}.${field}`, known),
  ]);
}

const FIELD = /^[A-Za-z_][A-Za-z0-9_]*$/;

function checkReference({ $, at = [] }: Reference, path: string, known: ReadonlySet<string>): readonly Problem[] {
  const wrong = at.find((field) => !FIELD.test(field));
  return [
    ...(known.has($)
      ? []
      : [
          {
            path,
            message:
              "it is not known here: a step sees the input, steps before it in its block, and what is around its block",
            given: $,
          },
        ]),
    ...(wrong === undefined
      ? []
      : [
          {
            path,
            message: "no such field can be referred to",
            given: wrong,
            allowed: "letters, digits and _, a letter or _ first",
          },
        ]),
  ];
}
