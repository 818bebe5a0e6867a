/** What a resource is given, as far as it is known: secrets without their wrapping, unknown values left out. */
export type Inputs = Readonly<Record<string, unknown>>;

/** A value that the real provider or service would refuse. */
export interface Refusal {
  /** `lifecycleRules[0].id` */
  readonly field: string;
  readonly given: unknown;
  /** In words: `one of nodejs20, nodejs18`. */
  readonly allowed: string;
}

/**
 * All that is wrong with a resource's inputs.
 *
 * @param given everything that was given, known or not
 */
export type Check = (inputs: Inputs, given: Inputs) => readonly Refusal[];

/** What is known of one resource type of a provider. */
export interface ResourceType {
  /** Fields that must be given. */
  readonly required?: readonly string[];
  /** Fields whose change makes another resource, as `ForceNew` does in the provider's schema. `a.b` looks inside. */
  readonly replaces: readonly string[];
  readonly check?: Check;
  /** The id it gets; two resources of one type cannot have the same. */
  readonly id: (inputs: Inputs, made: number) => string;
  /** What the service answers beside what it was given. */
  readonly outputs?: (inputs: Inputs, made: number) => Inputs;
}

/** A cloud's provider: the types it knows, by token, and the functions that programs call. Anything else is refused. */
export interface Service {
  readonly types: Readonly<Record<string, ResourceType>>;
  readonly invokes: Readonly<Record<string, (args: Inputs) => Inputs>>;
  /** What holds for every type. */
  readonly check?: (type: string, ...args: Parameters<Check>) => readonly Refusal[];
  /** Whether a replaced resource goes before its successor comes, where both would have one id. */
  readonly deletesFirst?: boolean;
}

const list = (values: readonly unknown[]): string => values.join(", ");

/** Rules of one resource's inputs; a field that is not given, or not known yet, breaks none of them. */
export class Rules {
  readonly refusals: Refusal[] = [];
  readonly #inputs: Inputs;
  readonly #given: Inputs;

  constructor(inputs: Inputs, given = inputs) {
    this.#inputs = inputs;
    this.#given = given;
  }

  /** Whether the field is given, be it known or not. */
  has(field: string): boolean {
    return at(this.#given, field) !== undefined;
  }

  /** The value of a field: `a.b`. */
  value(field: string): unknown {
    return at(this.#inputs, field);
  }

  refuse(field: string, given: unknown, allowed: string): this {
    this.refusals.push({ field, given, allowed });
    return this;
  }

  /** @param holds not asked where the field is not given */
  must(field: string, allowed: string, holds: (value: never) => boolean): this {
    const given = this.value(field);
    return given === undefined || holds(given as never) ? this : this.refuse(field, given, allowed);
  }

  oneOf(field: string, values: readonly unknown[]): this {
    return this.must(field, `one of ${list(values)}`, (given: unknown) => values.includes(given));
  }

  range(field: string, least: number, most: number, unit = ""): this {
    return this.must(
      field,
      `a whole number from ${least} to ${most}${unit && ` ${unit}`}`,
      (given: unknown) => Number.isInteger(given) && (given as number) >= least && (given as number) <= most,
    );
  }

  matches(field: string, pattern: RegExp, allowed = String(pattern)): this {
    return this.must(field, allowed, (given: unknown) => typeof given === "string" && pattern.test(given));
  }

  /** The field is the text of JSON, and what is in it holds too. */
  json(field: string, check: (rules: Rules, value: Inputs) => void = () => {}): this {
    const text = this.value(field);
    if (text === undefined) return this;
    const value = parsed(text);
    if (value === undefined) return this.refuse(field, text, "the text of a JSON object");
    return this.inside(field, value, check);
  }

  /** Rules of every element of a field that is a list. */
  each(field: string, check: (rules: Rules, value: Inputs) => void): this {
    const given = this.value(field);
    if (given === undefined) return this;
    if (!Array.isArray(given)) return this.refuse(field, given, "a list");
    for (const [index, value] of given.entries()) this.inside(`${field}[${index}]`, value as Inputs, check);
    return this;
  }

  /** Only these names, upper and lower case included. */
  names(field: string, names: readonly string[]): this {
    const value = field === "" ? this.#inputs : this.value(field);
    if (value === undefined) return this;
    if (typeof value !== "object" || value === null) return this.refuse(field, value, "an object");
    const wrong = Object.keys(value).filter((name) => !names.includes(name));
    for (const name of wrong) this.refuse(field ? `${field}.${name}` : name, name, `the names ${list(names)}`);
    return this;
  }

  inside(field: string, value: Inputs, check: (rules: Rules, value: Inputs) => void): this {
    const inner = new Rules(value);
    check(inner, value);
    for (const refusal of inner.refusals) {
      this.refusals.push({ ...refusal, field: [field, refusal.field].filter(Boolean).join(".") });
    }
    return this;
  }
}

/** A type's check, written as rules. */
export const rules =
  (check: (rules: Rules, inputs: Inputs) => void): Check =>
  (inputs, given) => {
    const all = new Rules(inputs, given);
    check(all, inputs);
    return all.refusals;
  };

/** The value of a field, by a path such as `metadata.name`. */
export const at = (inputs: Inputs, field: string): unknown =>
  field.split(".").reduce<unknown>((value, name) => (value as Inputs | undefined)?.[name], inputs);

/** The id is the value of a field. */
export const named =
  (...fields: readonly string[]) =>
  (inputs: Inputs): string =>
    fields.map((field) => String(at(inputs, field))).join(":");

/** The id is the service's own, as `vpc-7`. */
export const numbered =
  (prefix: string) =>
  (_: Inputs, made: number): string =>
    `${prefix}-${made}`;

function parsed(text: unknown): Inputs | undefined {
  try {
    const value: unknown = JSON.parse(text as string);
    return typeof value === "object" && value !== null ? (value as Inputs) : undefined;
  } catch {
    return undefined;
  }
}
