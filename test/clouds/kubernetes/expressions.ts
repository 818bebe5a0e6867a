/** Evaluates what our compiled workflows use of Argo's expressions. https://expr-lang.org/docs/language-definition */
export function evaluate(expression: string, names: Readonly<Record<string, unknown>>): unknown {
  const tokens = tokensOf(expression);
  const parser = new Parser(tokens);
  const program = parser.whole();
  return program({ names });
}

interface Scope {
  readonly names: Readonly<Record<string, unknown>>;
  /** `#` */
  readonly item?: unknown;
  /** `#acc` */
  readonly sum?: unknown;
}
type Program = (scope: Scope) => unknown;

const TOKEN =
  /\s*(?:("[^"\\]*"|'[^'\\]*')|(\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?!\.\d))|(#acc|#|[A-Za-z_]\w*)|(\?\?|\?\.|\*\*|\.\.|==|!=|>=|<=|&&|\|\||[-+*/<>!?:()[\]{},.]))/y;

type Token = { readonly kind: "text" | "number" | "name" | "sign" | "end"; readonly value: string };

function tokensOf(expression: string): readonly Token[] {
  const tokens: Token[] = [];
  TOKEN.lastIndex = 0;
  const length = expression.trimEnd().length;
  while (TOKEN.lastIndex < length) {
    const at = TOKEN.lastIndex;
    const found = TOKEN.exec(expression);
    if (!found) throw new Error(`no token of an expression: ${expression.slice(at, at + 40)}`);
    const [, text, number, name, sign] = found;
    if (text !== undefined) tokens.push({ kind: "text", value: text.slice(1, -1) });
    else if (number !== undefined) tokens.push({ kind: "number", value: number });
    else if (name !== undefined) tokens.push({ kind: name === "in" ? "sign" : "name", value: name });
    else tokens.push({ kind: "sign", value: sign! });
  }
  return [...tokens, { kind: "end", value: "" }];
}

/** https://github.com/expr-lang/expr/blob/master/parser/operator/operator.go */
const STRENGTH: Readonly<Record<string, number>> = {
  ...{ "||": 10, "&&": 15, "==": 20, "!=": 20, "<": 20, ">": 20, "<=": 20, ">=": 20, in: 20 },
  ...{ "..": 25, "+": 30, "-": 30, "*": 60, "/": 60, "**": 100, "??": 500 },
};

class Parser {
  readonly #tokens: readonly Token[];
  #at = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  whole(): Program {
    const program = this.#expression(0);
    if (this.#next.kind !== "end") throw new Error(`"${this.#next.value}" is one too many`);
    return program;
  }

  get #next(): Token {
    return this.#tokens[this.#at]!;
  }

  #take(sign?: string): Token {
    const token = this.#next;
    if (sign !== undefined && !(token.kind === "sign" && token.value === sign)) {
      throw new Error(`"${sign}" is wanted, got "${token.value}"`);
    }
    this.#at += 1;
    return token;
  }

  #is(sign: string): boolean {
    return this.#next.kind === "sign" && this.#next.value === sign;
  }

  #expression(least: number): Program {
    let left = this.#unary();
    while (this.#next.kind === "sign" && (STRENGTH[this.#next.value] ?? -1) >= Math.max(least, 1)) {
      const { value: sign } = this.#take();
      left = binary(sign, left, this.#expression(STRENGTH[sign]! + (sign === "**" ? 0 : 1)));
    }
    return least === 0 && this.#is("?") ? this.#choice(left) : left;
  }

  #choice(condition: Program): Program {
    this.#take("?");
    const then = this.#expression(0);
    this.#take(":");
    const otherwise = this.#expression(0);
    return (scope) => {
      const value = condition(scope);
      if (typeof value !== "boolean") throw new Error(`a condition came to ${JSON.stringify(value)}`);
      return value ? then(scope) : otherwise(scope);
    };
  }

  #unary(): Program {
    if (this.#is("!")) {
      this.#take();
      const of = this.#expression(50);
      return (scope) => !boolean(of(scope));
    }
    if (this.#is("-")) {
      this.#take();
      const of = this.#expression(90);
      return (scope) => -(of(scope) as number);
    }
    return this.#postfix(this.#primary());
  }

  #primary(): Program {
    if (this.#is("(")) return this.#enclosed("(", ")", () => this.#expression(0));
    if (this.#is("[")) {
      const values = this.#list("[", "]", () => this.#expression(0));
      return (scope) => values.map((value) => value(scope));
    }
    if (this.#is("{")) return this.#object();
    const { kind, value } = this.#take();
    if (kind === "text") return () => value;
    if (kind === "number") return () => Number(value);
    if (kind !== "name") throw new Error(`"${value}" is no value`);
    if (value === "#") return ({ item }) => item;
    if (value === "#acc") return ({ sum }) => sum;
    if (this.#is("("))
      return call(
        value,
        this.#list("(", ")", () => this.#expression(0)),
      );
    if (value === "true" || value === "false") return () => value === "true";
    if (value === "nil") return () => null;
    return ({ names }) => {
      if (!(value in names)) throw new Error(`unknown name ${value}`);
      return names[value];
    };
  }

  #postfix(of: Program): Program {
    let value = of;
    let isOptional = false;
    while (this.#is(".") || this.#is("?.") || this.#is("[")) {
      const before = value;
      if (this.#is("[")) {
        const key = this.#enclosed("[", "]", () => this.#expression(0));
        const spares = isOptional;
        value = (scope) => member(before(scope), key(scope) as string | number, spares);
        continue;
      }
      // A chain ends where it leads to nothing.
      isOptional = this.#take().value === "?." || isOptional;
      const { value: name } = this.#take();
      const spares = isOptional;
      value = (scope) => member(before(scope), name, spares);
    }
    return value;
  }

  #object(): Program {
    const fields = this.#list("{", "}", () => {
      const key = this.#is("(") ? this.#enclosed("(", ")", () => this.#expression(0)) : this.#key();
      this.#take(":");
      return [key, this.#expression(0)] as const;
    });
    return (scope) => Object.fromEntries(fields.map(([key, value]) => [key(scope) as string, value(scope)]));
  }

  #key(): Program {
    const { value } = this.#take();
    return () => value;
  }

  #enclosed<Of>(open: string, close: string, inside: () => Of): Of {
    this.#take(open);
    const found = inside();
    this.#take(close);
    return found;
  }

  #list<Of>(open: string, close: string, inside: () => Of): readonly Of[] {
    return this.#enclosed(open, close, () => {
      const found: Of[] = [];
      while (!this.#is(close)) {
        found.push(inside());
        if (!this.#is(close)) this.#take(",");
      }
      return found;
    });
  }
}

function member(of: unknown, key: string | number, isOptional: boolean): unknown {
  if (of === null || of === undefined) {
    if (isOptional) return null;
    throw new Error(`cannot fetch ${key} from nil`);
  }
  if (typeof of !== "object") throw new Error(`cannot fetch ${key} from ${typeof of}`);
  if (Array.isArray(of) && (typeof key !== "number" || key >= of.length)) throw new Error(`no ${key} in a list`);
  return (of as Readonly<Record<string, unknown>>)[key] ?? null;
}

function boolean(value: unknown): boolean {
  if (typeof value !== "boolean") throw new Error(`true or false is wanted, got ${JSON.stringify(value)}`);
  return value;
}

function number(value: unknown): number {
  if (typeof value !== "number") throw new Error(`a number is wanted, got ${JSON.stringify(value)}`);
  return value;
}

function binary(sign: string, left: Program, right: Program): Program {
  switch (sign) {
    case "||":
      return (scope) => boolean(left(scope)) || boolean(right(scope));
    case "&&":
      return (scope) => boolean(left(scope)) && boolean(right(scope));
    case "??":
      return (scope) => left(scope) ?? right(scope);
    case "==":
      return (scope) => left(scope) === right(scope);
    case "!=":
      return (scope) => left(scope) !== right(scope);
    case "in":
      return (scope) => (right(scope) as readonly unknown[]).includes(left(scope));
    case "..":
      return (scope) => range(number(left(scope)), number(right(scope)));
    default: {
      const calculate = CALCULATIONS[sign]!;
      return (scope) => calculate(number(left(scope)), number(right(scope)));
    }
  }
}

const range = (from: number, to: number) =>
  Array.from({ length: Math.max(0, to - from + 1) }, (_, index) => from + index);

const CALCULATIONS: Readonly<Record<string, (left: number, right: number) => unknown>> = {
  "<": (left, right) => left < right,
  ">": (left, right) => left > right,
  "<=": (left, right) => left <= right,
  ">=": (left, right) => left >= right,
  "+": (left, right) => left + right,
  "-": (left, right) => left - right,
  "*": (left, right) => left * right,
  "/": (left, right) => left / right,
  "**": (left, right) => left ** right,
};

/** Functions of a list, whose second argument is done for every item of it. */
const PREDICATES: Readonly<Record<string, (list: readonly unknown[], of: (item: unknown) => unknown) => unknown>> = {
  map: (list, of) => list.map((item) => of(item) ?? null),
  any: (list, of) => list.some((item) => boolean(of(item))),
  count: (list, of) => list.filter((item) => boolean(of(item))).length,
  find: (list, of) => list.find((item) => boolean(of(item))) ?? null,
};

const FUNCTIONS: Readonly<Record<string, (...given: never[]) => unknown>> = {
  fromJSON: (text: string) => JSON.parse(text) as unknown,
  toJson: (value: unknown) => JSON.stringify(value),
  fromBase64: (text: string) => Buffer.from(text, "base64").toString(),
  toBase64: (text: string) => Buffer.from(text).toString("base64"),
  len: (value: string | readonly unknown[]) => (typeof value === "string" ? [...value].length : listOf(value).length),
  int: (value: string | number) => {
    if (!/^-?\d+$/.test(String(value)) && typeof value === "string")
      throw new Error(`invalid operation: int(${value})`);
    return Math.trunc(Number(value));
  },
  string: (value: unknown) => String(value),
  ceil: (value: number) => Math.ceil(number(value)),
  min: (...values: number[]) => Math.min(...values.map(number)),
  get: (of: Readonly<Record<string, unknown>>, key: string) => (Object.hasOwn(of, key) ? (of[key] ?? null) : null),
  type: (value: unknown) => {
    if (value === null || value === undefined) return "nil";
    if (typeof value === "number") return "float";
    if (typeof value === "boolean") return "bool";
    return typeof value === "string" ? "string" : Array.isArray(value) ? "array" : "map";
  },
};

function listOf(value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw new Error(`a list is wanted, got ${JSON.stringify(value)}`);
  return value;
}

function call(name: string, given: readonly Program[]): Program {
  const [first, second, third] = given;
  if (name === "reduce") {
    return (scope) =>
      listOf(first!(scope)).reduce((sum: unknown, item) => second!({ ...scope, item, sum }), third!(scope));
  }
  const predicate = PREDICATES[name];
  if (predicate) return (scope) => predicate(listOf(first!(scope)), (item) => second!({ ...scope, item }));
  const plain = FUNCTIONS[name];
  if (!plain) throw new Error(`unknown name ${name}`);
  return (scope) => plain(...(given.map((one) => one(scope)) as never[]));
}
