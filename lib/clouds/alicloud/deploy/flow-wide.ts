import { shortHash } from "../../../shared/name.ts";
import { type Block, isReference, type MapStep, type Reference, stepsOf } from "../../../shared/workflow/definition.ts";

/** What is done for an item of a map, as a definition of its own. */
export interface Apart {
  /** What it reads from around, by new names. */
  readonly known: Readonly<Record<string, Reference>>;
  /** The same block; what it reads from around is the input, by those names. */
  readonly item: Block;
  /** Another one for every other block: executions that begin after a deploy get the new one. */
  readonly shape: string;
}

/** Takes the block of a map's items out of what is around it. */
export function apart({ name, item }: Pick<MapStep, "name" | "item">): Apart {
  const inside = new Set([name, ...stepsOf(item).map((step) => step.name)]);
  const slots = new Map<string, { readonly slot: string; readonly reference: Reference }>();
  const moved = (reference: Reference): Reference => {
    const [, step] = reference.$.split(":");
    // The map's own output and error are not known inside it, only its item.
    if (reference.$ === "run" || (step !== undefined && inside.has(step))) return reference;
    const key = JSON.stringify(reference);
    const found = slots.get(key) ?? { slot: `k${slots.size}`, reference };
    slots.set(key, found);
    return { $: "input", at: [found.slot] };
  };
  const within = (value: unknown): unknown => {
    if (isReference(value)) return moved(value);
    if (Array.isArray(value)) return value.map(within);
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([field, one]) => [field, within(one)]));
  };
  const block = within(item) as Block;
  const known = Object.fromEntries([...slots.values()].map(({ slot, reference }) => [slot, reference]));
  return { item: block, known, shape: shortHash(JSON.stringify(block)) };
}
