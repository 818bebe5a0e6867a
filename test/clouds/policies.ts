/** A policy as RAM and IAM write it. */
export interface PolicyDocument {
  readonly Statement: readonly {
    readonly Effect: string;
    readonly Action: readonly string[];
    readonly Resource: readonly string[];
    readonly Condition?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  }[];
}

/** What somebody asked a service to do. */
export interface Asked {
  /** `oss:GetObject` */
  readonly action: string;
  /** The ARN of what it is to be done with. */
  readonly resource: string;
}

/**
 * Whether a policy allows it: by a statement whose patterns fit, and if none denies it. A statement with conditions
 * allows nothing here: none of the calls that are looked at has any.
 *
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
 * https://www.alibabacloud.com/help/en/ram/policy-evaluation-process
 */
export function allows({ Statement }: PolicyDocument, { action, resource }: Asked): boolean {
  const fitting = Statement.filter(
    ({ Action, Resource }) =>
      Action.some((pattern) => fits(pattern, action, "i")) && Resource.some((pattern) => fits(pattern, resource)),
  );
  if (fitting.some(({ Effect }) => Effect !== "Allow")) return false;
  return fitting.some(({ Condition }) => Condition === undefined);
}

/** In a pattern `*` is any text, and `?` any one character. */
const fits = (pattern: string, text: string, flags = ""): boolean =>
  new RegExp(
    `^${pattern
      .replace(/[.+^${}()|[\]\\]/g, "\\$&")
      .replaceAll("*", ".*")
      .replaceAll("?", ".")}$`,
    `s${flags}`,
  ).test(text);

/** Who asked what: by the caller's name. */
export interface Call extends Asked {
  readonly caller: string;
  readonly isAllowed: boolean;
}

/** Decides by policies what callers may do, and remembers what they asked. Who has no policy may do nothing. */
export class Guard {
  readonly calls: Call[] = [];
  readonly #policies: Readonly<Record<string, PolicyDocument>>;

  constructor(policies: Readonly<Record<string, PolicyDocument>>) {
    this.#policies = policies;
  }

  allows(caller: string, asked: Asked): boolean {
    const policy = this.#policies[caller];
    const isAllowed = policy !== undefined && allows(policy, asked);
    this.calls.push({ ...asked, caller, isAllowed });
    return isAllowed;
  }

  /** What was asked without leave, each once. */
  get refused(): readonly string[] {
    const refused = this.calls.filter(({ isAllowed }) => !isAllowed);
    return [...new Set(refused.map(({ caller, action, resource }) => `${caller}: ${action} ${resource}`))];
  }

  /** What a caller made use of, sorted. */
  usedBy(caller: string): readonly string[] {
    const used = this.calls.filter((call) => call.caller === caller && call.isAllowed);
    return [...new Set(used.map(({ action }) => action))].sort();
  }
}
