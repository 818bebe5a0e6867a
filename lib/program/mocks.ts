import type { runtime } from "@pulumi/pulumi";

/**
 * Mocks for reading a program's plan: components are themselves, every raw resource is a stub whose outputs are its
 * inputs, and is told of once.
 */
export function stubMocks(warn: (warning: string) => void): runtime.Mocks {
  return {
    newResource({ type, name, inputs, custom, id }) {
      const isRaw = custom !== false && !type.startsWith("pulumi:providers:");
      if (isRaw) warn(`${type} "${name}": a stub here; its outputs are its inputs`);
      return { id: id || `${name}-id`, state: inputs };
    },
    call({ token, inputs }) {
      warn(`${token}: a stub here; it answers its arguments`);
      return inputs;
    },
  };
}

/** What the mocks know of one resource type. */
export interface MockedType {
  readonly id: (name: string, inputs: Inputs) => string;
  /** Outputs that are no inputs. */
  readonly outputs: (name: string, inputs: Inputs) => Readonly<Record<string, unknown>>;
}
type Inputs = Readonly<Record<string, unknown>>;

/** By type token: `aws:s3/bucket:Bucket`. One table per cloud; spread them into one another. */
export type MockTable = Readonly<Record<string, MockedType>>;

/** A raw resource a program registered. */
export interface RegisteredResource {
  readonly type: string;
  readonly name: string;
  readonly inputs: Inputs;
}

/**
 * Mocks for tests of clouds: the outputs in the table, and an error for everything else, because the `undefined` that
 * Pulumi's own mocks give would go unseen into a policy or a name.
 *
 * An output that is not in the table is a marked text; the first resource that takes it in fails the test with its
 * name. The outputs a type has must be known before it answers: give every test resource `watch` as a transformation
 * (`transformations: [mocks.watch]` on the component).
 *
 * @param answers what the provider's functions answer, by token: `aws:index/getRegion:getRegion`
 */
export function typedMocks(table: MockTable, answers: Readonly<Record<string, Inputs>> = {}) {
  const declared = new Map<string, readonly string[]>();
  const resources: RegisteredResource[] = [];
  const mocks: runtime.Mocks = {
    newResource({ type, name, inputs, custom, id }) {
      refuseUnknown(`${type} "${name}"`, inputs);
      if (custom === false) return { id: "", state: inputs };
      resources.push({ type, name, inputs });
      const known = table[type];
      if (!known) throw new Error(`mocks: there is no ${type} in the table (resource "${name}")`);
      const outputs = { ...inputs, ...known.outputs(name, inputs) };
      const unknown = (declared.get(`${type} ${name}`) ?? []).filter((output) => !(output in outputs));
      const marked = unknown.map((output) => [output, `${MARK}${type}.${output}${MARK}`]);
      return { id: id || known.id(name, inputs), state: { ...outputs, ...Object.fromEntries(marked) } };
    },
    call({ token }) {
      const answer = answers[token];
      if (!answer) throw new Error(`mocks: nothing answers ${token}`);
      return answer;
    },
  };
  const watch = ({ type, name, props }: { type: string; name: string; props: object }): undefined => {
    declared.set(`${type} ${name}`, Object.keys(props));
  };
  return { mocks, watch, resources: resources as readonly RegisteredResource[] };
}

/** A character no provider's value has. */
const MARK = "\u{E000}";

function refuseUnknown(taker: string, inputs: Inputs): void {
  const [, output] = new RegExp(`${MARK}([^${MARK}]+)${MARK}`).exec(JSON.stringify(inputs) ?? "") ?? [];
  if (output) throw new Error(`mocks: ${taker} takes in ${output}, which is not in the table`);
}
