import { type Constructor, expressionsIn, type FlowScope, type FlowState, fieldsIn } from "./flow-states.ts";

/** A state before it is known what the states after it need. */
export interface Draft {
  readonly state: Omit<FlowState, "OutputConstructor">;
  /** What it adds to what the states after it know. */
  readonly writes?: Constructor;
  /** What its end is, whatever is known: the output of the scope. */
  readonly output?: Constructor;
  /** Reads beside its own expressions: those of the scopes inside. */
  readonly inside?: readonly string[];
}

/** The states of one scope, and what each hands on: what a later one reads, and nothing else. */
export class ScopeDraft {
  readonly #drafts = new Map<string, Draft>();

  add(draft: Draft): string {
    this.#drafts.set(draft.state.Name, draft);
    return draft.state.Name;
  }

  /** What its states read that none of them has written: fields of the scope's input. */
  needs(start: string): readonly string[] {
    return [...(this.#live().get(start) ?? [])].sort();
  }

  /** Without the states that nothing leads to. */
  finish(start: string): FlowScope {
    const live = this.#live();
    const reached = this.#reached(start);
    // A state is made after those that it leads to, and reads better before them.
    const states = [...this.#drafts.values()]
      .reverse()
      .filter(({ state }) => reached.has(state.Name))
      .map((draft) => finished(draft, live));
    const first = states.findIndex(({ Name }) => Name === start);
    return { StartAt: start, States: [states[first]!, ...states.filter((_, index) => index !== first)] };
  }

  #reached(start: string): ReadonlySet<string> {
    const reached = new Set<string>();
    const open = [start];
    for (let name = open.pop(); name !== undefined; name = open.pop()) {
      if (reached.has(name)) continue;
      reached.add(name);
      open.push(...exitsOf(this.#drafts.get(name)!.state));
    }
    return reached;
  }

  /** By state, the fields that it or a state after it reads before they are written again. */
  #live(): ReadonlyMap<string, ReadonlySet<string>> {
    const live = new Map<string, ReadonlySet<string>>([...this.#drafts.keys()].map((name) => [name, new Set()]));
    for (let changed = true; changed; ) {
      changed = false;
      for (const [name, draft] of this.#drafts) {
        const now = new Set([...readsOf(draft), ...handedOn(draft, live)]);
        if (now.size === live.get(name)!.size) continue;
        live.set(name, now);
        changed = true;
      }
    }
    return live;
  }
}

const readsOf = ({ state, writes, output, inside = [] }: Draft): readonly string[] => {
  const { Branches = [], Catch = [], Processor: _, ItemsPath, ...plain } = state;
  const conditions = Branches.flatMap((branch) => ("Condition" in branch ? [branch.Condition] : []));
  const caught = Catch.flatMap(({ OutputConstructor }) => expressionsIn(OutputConstructor));
  const own = expressionsIn([plain, writes, output]);
  return [...fieldsIn([...own, ...conditions, ...caught, ...(ItemsPath ? [ItemsPath] : [])]), ...inside];
};

/** Where a state leads to. */
export const exitsOf = ({ Next, Default, Branches = [], Catch = [] }: FlowState): readonly string[] => [
  ...(Next ? [Next] : []),
  ...(Default ? [Default] : []),
  ...Branches.flatMap((branch) => ("Condition" in branch ? [branch.Next] : [])),
  ...Catch.map((rule) => rule.Next),
];

function handedOn({ state, writes = {} }: Draft, live: ReadonlyMap<string, ReadonlySet<string>>): readonly string[] {
  const written = new Set(Object.keys(writes).map((name) => name.replace(/\.\$$/, "")));
  const wanted = exitsOf(state).flatMap((name) => [...(live.get(name) ?? [])]);
  return [...new Set(wanted)].filter((name) => !written.has(name)).sort();
}

function finished(draft: Draft, live: ReadonlyMap<string, ReadonlySet<string>>): FlowState {
  const { state, writes = {}, output } = draft;
  // A choice hands on what it got; a failure hands on nothing.
  if (state.Type === "Choice" || state.Type === "Fail") return state;
  if (output) return { ...state, OutputConstructor: output };
  const kept = Object.fromEntries(handedOn(draft, live).map((name) => [`${name}.$`, `$Input.${name}`]));
  const { Catch, Next, End, ...rest } = state;
  return {
    ...rest,
    OutputConstructor: { ...kept, ...writes },
    ...(Catch && {
      Catch: Catch.map((rule) => ({ ...rule, OutputConstructor: { ...kept, ...rule.OutputConstructor } })),
    }),
    ...(Next !== undefined && { Next }),
    ...(End && { End }),
  };
}
