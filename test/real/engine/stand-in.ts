/**
 * A cloud's provider for the real engine: `node stand-in.ts alicloud` prints the port it listens on. It keeps resources
 * in memory, refuses what the real provider refuses, and replaces where that one replaces. Whoever started it asks by
 * a message what there is (`{ ask: "resources" }`), or has a resource vanish (`{ lose: "<type> <id>" }`).
 */
import { isDeepStrictEqual } from "node:util";
import { main, type Provider } from "@pulumi/pulumi/provider/index.js";
import { unknownValue } from "@pulumi/pulumi/runtime/rpc.js";
import { at, type Inputs, type Refusal, type ResourceType, type Service } from "./service.ts";

/** A resource as the service has it. */
export interface Kept {
  readonly type: string;
  readonly id: string;
  readonly inputs: Inputs;
  readonly outputs: Inputs;
}

/** The provider of a service, and what it has made. */
export function standIn(service: Service): { readonly provider: Provider; readonly kept: Map<string, Kept> } {
  const kept = new Map<string, Kept>();
  let made = 0;
  const typeOf = (type: string): ResourceType => {
    const known = service.types[type];
    if (!known) throw new Error(`the stand-in knows no ${type}; write down what it replaces, refuses and answers`);
    return known;
  };
  const outputsOf = (type: string, inputs: Inputs, number: number): Inputs => ({
    ...inputs,
    ...typeOf(type).outputs?.(known(inputs), number),
  });
  const provider: Provider = {
    version: "99.0.0",

    async check(urn, _olds, news: Inputs) {
      const type = typeIn(urn);
      typeOf(type);
      const refusals = refusalsOf(service, type, news);
      return {
        inputs: news,
        failures: refusals.map(({ field, given, allowed }) => ({
          property: field,
          reason: `${type} refuses ${field} = ${JSON.stringify(given)}; allowed: ${allowed}`,
        })),
      };
    },

    async diff(id, urn, _olds, news: Inputs) {
      const type = typeIn(urn);
      const { inputs } = found(kept, type, id);
      const { replaces } = typeOf(type);
      const differs = (field: string) => !isDeepStrictEqual(at(plain(inputs), field), at(plain(news), field));
      const fields = [...new Set([...Object.keys(inputs), ...Object.keys(news)])];
      return {
        changes: fields.some(differs),
        replaces: replaces.filter(differs),
        deleteBeforeReplace: service.deletesFirst ?? false,
      };
    },

    async create(urn, inputs: Inputs) {
      const type = typeIn(urn);
      made += 1;
      const id = typeOf(type).id(known(inputs), made);
      const key = `${type} ${id}`;
      if (kept.has(key)) throw new Error(`${key} exists already`);
      const outputs = outputsOf(type, inputs, made);
      kept.set(key, { type, id, inputs, outputs });
      return { id, outs: outputs };
    },

    async read(id, urn) {
      const resource = kept.get(`${typeIn(urn)} ${id}`);
      return resource ? { id, props: resource.outputs, inputs: resource.inputs } : { id: "", props: {} };
    },

    async update(id, urn, _olds, news: Inputs) {
      const type = typeIn(urn);
      const { outputs: before } = found(kept, type, id);
      const outputs = { ...outputsOf(type, news, made), ...answered(typeOf(type), before, made) };
      kept.set(`${type} ${id}`, { type, id, inputs: news, outputs });
      return { outs: outputs };
    },

    async delete(id, urn) {
      const type = typeIn(urn);
      const { inputs } = found(kept, type, id);
      kept.delete(`${type} ${id}`);
      if (inputs.forceDestroy === true) emptied(kept, inputs.bucket);
    },

    async invoke(token, args: Inputs) {
      const answer = service.invokes[token];
      if (!answer) throw new Error(`the stand-in does not answer ${token}(${JSON.stringify(args)})`);
      return { outputs: answer(known(args)) };
    },
  };
  return { provider, kept };
}

/** What the service answered when it made the resource stays as it was. */
const answered = ({ outputs }: ResourceType, before: Inputs, made: number): Inputs =>
  Object.fromEntries(
    Object.keys(outputs?.(known(before), made) ?? {}).flatMap((field) =>
      before[field] === undefined ? [] : [[field, before[field]]],
    ),
  );

/** All that is wrong with what a resource is given. */
export function refusalsOf(service: Service, type: string, inputs: Inputs): readonly Refusal[] {
  const { required = [], check = () => [] } = service.types[type]!;
  const missing = required
    .filter((field) => at(inputs, field) === undefined)
    .map((field) => ({ field, given: null, allowed: "a value: it is required" }));
  const values = known(inputs);
  return [...missing, ...holes(inputs, ""), ...check(values, inputs), ...(service.check?.(type, values, inputs) ?? [])];
}

/** A bucket that is deleted by force takes its objects with it, those too that nobody deletes. */
function emptied(kept: Map<string, Kept>, bucket: unknown): void {
  for (const [key, { type, inputs }] of kept) {
    if (/:BucketObject(v2)?$/.test(type) && inputs.bucket === bucket) kept.delete(key);
  }
}

function found(kept: ReadonlyMap<string, Kept>, type: string, id: string): Kept {
  const resource = kept.get(`${type} ${id}`);
  if (!resource) throw new Error(`${type} ${id}: not found`);
  return resource;
}

/** `urn:pulumi:stack::project::parent$type::name` */
const typeIn = (urn: string): string => urn.split("::")[2]!.split("$").at(-1)!;

/** What an output that was no output, or nothing, leaves in a text. */
const HOLE = /\bundefined\b|\bNaN\b|\[object |Calling \[toString\]/;

/** Nothing real is called so: an `undefined` has come into a name, a policy or a list. */
function holes(value: unknown, field: string): readonly Refusal[] {
  if (value === null || (typeof value === "string" && HOLE.test(value))) {
    return [{ field, given: value, allowed: "a value that is known: something undefined came into it" }];
  }
  if (typeof value !== "object") return [];
  return Object.entries(value as object).flatMap(([name, inner]) => holes(inner, field ? `${field}.${name}` : name));
}

/** How the engine marks what is more than a plain value. https://pulumi-developer-docs.readthedocs.io/latest/developer-docs/providers/wire-format.html */
const SIGNATURE = "4dabf18193072939515e22adb298388d";
const SECRET = "1b47061264138c4ac30d75fd1eb44270";
const ASSET = "c44067f5952c0a294b673a41bacd8c17";

/** Secrets without their wrapping, and of files what is in them: where they lie is the same file still. */
function plain<Value>(value: Value): Value {
  if (Array.isArray(value)) return value.map(plain) as Value;
  if (typeof value !== "object" || value === null) return value;
  const marked = value as Inputs;
  if (marked[SIGNATURE] === SECRET) return plain(marked.value) as Value;
  if (marked[SIGNATURE] === ASSET) return { hash: marked.hash } as Value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, plain(inner)])) as Value;
}

/** And without what only an update will know. */
function known<Value>(value: Value): Value {
  const bare = plain(value);
  if (Array.isArray(bare)) return bare.filter((one) => one !== unknownValue).map(known) as Value;
  if (typeof bare !== "object" || bare === null) return bare;
  const fields = Object.entries(bare).filter(([, inner]) => inner !== unknownValue);
  return Object.fromEntries(fields.map(([name, inner]) => [name, known(inner)])) as Value;
}

/** What is asked of a stand-in by whoever started it. */
export type Question = { readonly ask: "resources" } | { readonly lose: string };

if (import.meta.main) {
  const [name] = process.argv.slice(2);
  const module = (await import(`./${name}.ts`)) as { readonly service: Service };
  const { provider, kept } = standIn(module.service);
  process.on("message", (question: Question) => {
    if ("lose" in question) kept.delete(question.lose);
    process.send?.([...kept.values()]);
  });
  process.once("disconnect", () => process.exit());
  await main(provider, []);
}
