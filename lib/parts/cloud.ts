import * as pulumi from "@pulumi/pulumi";
import type { LinkAddress } from "../runtime/deployment.ts";
import { keysLink } from "../shared/environment.ts";
import type { NameRule } from "../shared/name.ts";
import { physicalName } from "../shared/name.ts";
import { type Problem, refuse } from "../shared/problem.ts";
import { checkParts } from "./check.ts";
import type { Built, Part } from "./part.ts";
import type { CloudKind, CloudPlan, ConstructPlan, LinkPlan, PartKind, PartPlan, Plan, PlanOf } from "./plan.ts";
import { type BucketReach, checkReach } from "./reach.ts";
import type { Support } from "./support.ts";

/** Where a part is built: its names, its parent, and the parts it is linked to. */
export interface Scope {
  readonly name: string;
  /** `parent` and aliases for every raw resource of the part. */
  readonly options: pulumi.CustomResourceOptions;
  /**
   * The name to give the cloud, by the service's rule.
   *
   * @param part another part of the stack, built or not. @default this one
   * @param suffix for what is made beside the part. @default none
   */
  physicalName(rule: NameRule, part?: string, suffix?: string): string;
  /** What a part declares, built or not: one of this cloud, or one of another that a function here is linked to. */
  plan(name: string): PartPlan;
  /** The same part, built before this one. */
  part(name: string): Part;
  /**
   * What a link comes to in the function that has it.
   *
   * @param ownPort the module that speaks with a part of this cloud
   */
  link(plan: LinkPlan, ownPort: (part: PartPlan) => string): Linked;
}

/** A linked part: the module that speaks with it, and where it lies. */
export interface Linked {
  /** An absolute path. */
  readonly port: string;
  readonly address: pulumi.Output<LinkAddress>;
  /** Where requests go, as a URL, if it lies on another cloud: there may be no way to it. */
  readonly endpoint?: string;
}

/** The whole contract of a cloud: its support data, its own rules, and a way to build each part. */
export interface CloudDriver {
  readonly kind: CloudKind;
  readonly support: Support;
  /** What only this cloud refuses and no bound in `support` can say. */
  check?(parts: readonly Part[]): readonly Problem[];
  /** How functions of other clouds, regions and accounts reach a bucket of this one. @default they cannot */
  readonly buckets?: BucketReach;
  readonly build: { readonly [Kind in PartKind]: (scope: Scope, plan: PlanOf<Kind>) => Built };
}

/** Settings every cloud instance takes. */
export interface CloudSettings {
  readonly region?: string;
  /** The account physical names are hashed with. @default the cloud's name */
  readonly account?: string;
}

/**
 * One cloud, account and region in a program: what constructs are built on, and the owner of all they share.
 * Made by `local()`, `alicloud()`, `aws()` or `kubernetes()`.
 */
export class Cloud extends pulumi.ComponentResource {
  readonly driver: CloudDriver;
  readonly plan: CloudPlan;
  readonly constructs: ConstructPlan[] = [];
  readonly parts = new Map<string, Part>();
  /** As the settings name it. */
  readonly account: string | undefined;
  /** Parts of other clouds that functions here are linked to. */
  readonly #linked = new Map<string, Part>();

  constructor(driver: CloudDriver, settings: CloudSettings = {}, opts?: pulumi.ComponentResourceOptions) {
    const name = settings.region ? `${driver.kind}-${settings.region}` : driver.kind;
    super(`millrace:clouds:${driver.kind}`, name, {}, opts);
    this.driver = driver;
    this.plan = { name, kind: driver.kind, ...(settings.region && { region: settings.region }) };
    this.account = settings.account;
    const others = cloudsOfProgram();
    if (others.some(({ plan }) => plan.name === name)) refuse([twice(name)]);
    others.push(this);
  }

  /** All clouds of the program, as far as it has come. */
  get program(): readonly Cloud[] {
    const clouds = cloudsOfProgram();
    return clouds.includes(this) ? clouds : [this];
  }

  /** What a stack exports as `millrace`, so that the CLI, clients and the console find the deployed system. */
  get output(): pulumi.Output<ExportedStack> {
    return outputOf(this);
  }

  /** A part of this cloud, or one of another that a function here is linked to. */
  find(name: string): Part | undefined {
    return this.parts.get(name) ?? this.#linked.get(name);
  }

  /** @internal a function here is linked to these parts */
  link(parts: readonly Part[]): void {
    for (const part of parts) if (part.cloud !== this) this.#linked.set(part.name, part);
  }

  /** @internal the scope a part is built in */
  scope(part: Part, parent: pulumi.Resource): Scope {
    const account = this.account ?? this.plan.name;
    const owner = { account, project: pulumi.getProject(), stack: pulumi.getStack() };
    const find = (name: string): Part => {
      const found = this.find(name);
      if (!found) throw new Error(`${part.name}: there is no part "${name}" on ${this.plan.name}`);
      return found;
    };
    return {
      name: part.name,
      options: { parent },
      physicalName: (rule, name = part.name, suffix = "") =>
        physicalName(`${find(name).plan.stem}${suffix && `-${suffix}`}`, owner, rule),
      plan: (name) => find(name).plan,
      part: find,
      link: (plan, ownPort) => this.#reach(find(plan.part), plan, ownPort),
    };
  }

  #reach(part: Part, { keys }: LinkPlan, ownPort: (part: PartPlan) => string): Linked {
    const { name, kind, cloud } = part;
    const reach = cloud === this ? undefined : cloud.driver.buckets;
    const address = pulumi.all({ ...(reach?.address(part) ?? part.address) }).apply(
      (fields): LinkAddress => ({
        kind: kind as LinkAddress["kind"],
        part: name,
        ...fields,
        ...(keys !== undefined && { keys: keysLink(keys) }),
      }),
    );
    return { port: reach?.port ?? ownPort(part.plan), address, ...(reach && { endpoint: reach.endpoint }) };
  }

  /** @internal everything wrong with parts on this cloud */
  check(parts: readonly Part[]): readonly Problem[] {
    return [
      ...checkParts(
        parts.map(({ plan }) => plan),
        this.driver.support,
        (name) => this.parts.get(name)?.plan,
      ),
      ...checkReach(this, parts),
      ...(this.driver.check?.(parts) ?? []),
    ];
  }
}

/** What a stack exports as `millrace`. */
export interface ExportedStack {
  readonly plan: Plan;
  /** Where its parts lie, by their names. */
  readonly addresses: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

/**
 * What a stack on several clouds exports as `millrace`; of one cloud, its own `output` is the same.
 *
 * @example
 * const [hangzhou, virginia] = [alicloud({ region: "cn-hangzhou" }), aws({ region: "us-east-1" })];
 * export const millrace = outputOf(hangzhou, virginia);
 * @throws ProblemsError if two of them have parts of one name.
 */
export function outputOf(...clouds: readonly Cloud[]): pulumi.Output<ExportedStack> {
  const parts = clouds.flatMap((cloud) => [...cloud.parts.values()]);
  refuse(parts.filter((part, index) => parts.findIndex(({ name }) => name === part.name) < index).map(sameName));
  // What was refused is not built: its problems are told, and that is enough.
  const built = parts.filter(({ isBuilt }) => isBuilt);
  const addresses = Object.fromEntries(
    built.map(({ name, kind, address }) => [name, pulumi.all({ ...address, kind: pulumi.output<string>(kind) })]),
  );
  const plan = planOf(clouds);
  return pulumi.all(addresses).apply((found) => ({ plan, addresses: found }));
}

const sameName = ({ name, plan }: Part): Problem => ({
  path: name,
  message: "there is a part of this name on another cloud; names are unique in a stack",
  given: plan.cloud,
});

const twice = (name: string): Problem => ({
  path: name,
  message:
    "this cloud is there already: make it once and give it to every construct; of another account, in a stack of its own",
});

const CLOUDS = Symbol.for("millrace.clouds");

/** The clouds that were made in the program so far; its stack has them, since it may load another copy of this module. */
function cloudsOfProgram(): Cloud[] {
  const evaluated = evaluation();
  if (evaluated) return evaluated.clouds;
  const stack = pulumi.runtime.getStackResource() as (pulumi.Resource & { [CLOUDS]?: Cloud[] }) | undefined;
  if (!stack) return [];
  stack[CLOUDS] ??= [];
  return stack[CLOUDS];
}

/** The plan of everything declared on these clouds. */
export const planOf = (clouds: readonly Cloud[]): Plan => ({
  version: 1,
  project: pulumi.getProject(),
  stack: pulumi.getStack(),
  clouds: clouds.map(({ plan }) => plan),
  constructs: clouds.flatMap(({ constructs }) => constructs),
  parts: clouds.flatMap(({ parts }) => [...parts.values()].map(({ plan }) => plan)),
});

/**
 * Set by whoever evaluates a program to read its plan instead of deploying it (`lib/program/evaluate.ts`): clouds
 * announce themselves, and problems are gathered over all constructs rather than thrown at the first.
 * A global symbol, since the program may load another copy of this module.
 */
export interface Evaluation {
  readonly clouds: Cloud[];
  readonly problems: Problem[];
  /** Whether parts are built too; else they only get their names. */
  readonly builds: boolean;
}
const EVALUATION = Symbol.for("millrace.evaluation");

export const evaluation = (): Evaluation | undefined => (globalThis as { [EVALUATION]?: Evaluation })[EVALUATION];

/** From here on, programs of this process are evaluated. */
export function startEvaluation({ builds = true }: { readonly builds?: boolean } = {}): Evaluation {
  const started: Evaluation = { clouds: [], problems: [], builds };
  (globalThis as { [EVALUATION]?: Evaluation })[EVALUATION] = started;
  return started;
}

/** From here on, constructs throw what is wrong with them again. */
export function stopEvaluation(): void {
  delete (globalThis as { [EVALUATION]?: Evaluation })[EVALUATION];
}
