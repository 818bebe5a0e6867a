import type {
  Block,
  Condition,
  Mapping,
  Origin,
  Reference,
  Step,
  Tries,
} from "../../../lib/shared/workflow/definition.ts";
import type { FunctionName } from "../../workflows/definitions.ts";

/** What definitions at random read. */
export const INPUT = {
  items: [{ value: 1 }, { value: 2 }, { value: 3 }],
  one: [{ value: 9 }],
  none: [],
  value: 7,
  text: "$Input.x",
};

/** https://en.wikipedia.org/wiki/Xorshift */
function randomOf(seed: number): (most: number) => number {
  let state = seed * 2_654_435_761 + 1;
  return (most) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return Math.abs(state) % most;
  };
}

/** Makes a definition of a number: the same one of the same number. */
export class Generator {
  readonly #random: (most: number) => number;
  readonly #error: { readonly kind: string; readonly message: string };
  #names = 0;
  /** Of what is done at once, one part alone: nobody can say which of two fails first. */
  #mayFail = true;

  constructor(seed: number) {
    this.#random = randomOf(seed);
    this.#error = this.#one([
      { kind: "refused", message: "never" },
      { kind: "failed", message: "not now" },
    ]);
  }

  block(known: readonly Origin[], depth: number): Block {
    const steps: Step[] = [];
    const seen = [...known];
    for (let count = 1 + this.#random(3); count > 0; count -= 1) {
      const step = this.#step(seen, depth);
      steps.push(step);
      if (step.type !== "wait") seen.push(`step:${step.name}`);
    }
    return { steps, output: { value: this.#reference(seen), rest: this.#mapping(seen, 2) } };
  }

  #step(known: readonly Origin[], depth: number): Step {
    this.#names += 1;
    const name = `s${this.#names}`;
    const inside = (more: readonly Origin[] = []) => this.block([...known, ...more], depth - 1);
    const leaf = this.#random(10) < (depth > 0 ? 5 : 10);
    if (leaf) return this.#leaf(name, known, depth);
    // A repeat that is not through fails.
    switch (this.#random(this.#mayFail ? 4 : 3)) {
      case 0: {
        const branches = { left: inside(), "right-side": this.#safely(inside) };
        return { type: "parallel", name, branches, ...this.#tries(name, known, depth) };
      }
      case 1:
        return this.#map(name, known, depth);
      case 2: {
        const options = [{ if: this.#condition(known, 2), block: inside() }];
        return { type: "choice", name, options, otherwise: inside() };
      }
      default:
        return {
          type: "repeat",
          name,
          from: this.#mapping(known, 1),
          block: inside([`state:${name}`]),
          until: this.#condition([...known, `state:${name}`], 1),
          atMost: 1 + this.#random(2),
          every: this.#random(2) * 400,
          ...this.#tries(name, known, depth),
        };
    }
  }

  #map(name: string, known: readonly Origin[], depth: number): Step {
    const tolerated = this.#random(3) === 0 ? 3 : 0;
    const list = this.#one(["items", "one", "none"]);
    const item = () => this.block([...known, `item:${name}`], depth - 1);
    return {
      type: "map",
      name,
      items: { $: "input", at: [list] },
      item: tolerated > 0 || list === "one" ? item() : this.#safely(item),
      atMost: 40,
      tolerated,
      collects: this.#random(3) > 0,
      ...this.#tries(name, known, depth),
    };
  }

  #safely<Made>(make: () => Made): Made {
    const before = this.#mayFail;
    this.#mayFail = false;
    const made = make();
    this.#mayFail = before;
    return made;
  }

  #leaf(name: string, known: readonly Origin[], depth: number): Step {
    const kind = this.#random(12);
    if (kind === 0) return { type: "wait", name, seconds: this.#random(700) };
    const tries = this.#tries(name, known, depth);
    const call = (part: FunctionName, input: Mapping): Step => ({
      type: "function",
      name,
      function: part,
      input,
      ...tries,
    });
    if (kind === 1 && this.#mayFail) return call("fails", { ...this.#error });
    if (kind === 2 && this.#mayFail) return call("flaky", { until: 1 + this.#random(3) });
    return call("echo", this.#mapping(known, 2));
  }

  #tries(name: string, known: readonly Origin[], depth: number): Tries {
    const catches = depth > 0 && this.#random(3) === 0;
    const kinds = this.#random(3) === 0 ? { kinds: ["refused"] } : {};
    return {
      attempts: 1 + this.#random(3),
      backoff: { first: 1, factor: 2, longest: 10 },
      ...(catches && { catch: { ...kinds, block: this.block([...known, `error:${name}`], depth - 1) } }),
    };
  }

  #condition(known: readonly Origin[], depth: number): Condition {
    const left = this.#reference(known);
    switch (depth > 0 ? this.#random(5) : this.#random(2)) {
      case 0:
        return { op: "equals", left, right: this.#one(["x", 'a "quoted" one', 7, 1, true]) };
      case 1:
        return { op: this.#one(["above", "below"]), left, right: 2 };
      case 2:
        return { op: "not", of: this.#condition(known, depth - 1) };
      default:
        return {
          op: this.#one(["and", "or"]),
          of: [this.#condition(known, depth - 1), this.#condition(known, depth - 1)],
        };
    }
  }

  #mapping(known: readonly Origin[], depth: number): Mapping {
    switch (this.#random(depth > 0 ? 6 : 3)) {
      case 0:
        return this.#one<Mapping>([null, 1, "$Input.s1", "", true, {}, []]);
      case 1:
      case 2:
        return this.#reference(known);
      case 3:
        return [this.#mapping(known, depth - 1), this.#mapping(known, depth - 1)];
      default:
        return { value: this.#mapping(known, depth - 1), "odd name": this.#mapping(known, depth - 1) };
    }
  }

  #reference(known: readonly Origin[]): Reference {
    const $ = this.#one(known);
    const at = this.#one<readonly string[]>([[], ["value"], ["rest", "value"], ["nothing", "here"]]);
    return at.length === 0 ? { $ } : { $, at };
  }

  #one<Value>(values: readonly Value[]): Value {
    return values[this.#random(values.length)]!;
  }
}
