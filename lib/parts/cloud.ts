import * as pulumi from "@pulumi/pulumi";
import type { NameRule } from "../shared/name.ts";
import { physicalName } from "../shared/name.ts";
import type { Problem } from "../shared/problem.ts";
import { checkParts } from "./check.ts";
import type { Built, Part } from "./part.ts";
import type { CloudKind, CloudPlan, ConstructPlan, PartKind, PartPlan, Plan, PlanOf } from "./plan.ts";
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
  /** What a part of the same stack declares, built or not. */
  plan(name: string): PartPlan;
  /** A part of the same stack, built before this one. */
  part(name: string): Part;
}

/** The whole contract of a cloud: its support data, its own rules, and a way to build each part. */
export interface CloudDriver {
  readonly kind: CloudKind;
  readonly support: Support;
  /** What only this cloud refuses and no bound in `support` can say. */
  check?(parts: readonly Part[]): readonly Problem[];
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
  readonly #account: string;

  constructor(driver: CloudDriver, settings: CloudSettings = {}, opts?: pulumi.ComponentResourceOptions) {
    const name = settings.region ? `${driver.kind}-${settings.region}` : driver.kind;
    super(`millrace:clouds:${driver.kind}`, name, {}, opts);
    this.driver = driver;
    this.plan = { name, kind: driver.kind, ...(settings.region && { region: settings.region }) };
    this.#account = settings.account ?? name;
    evaluation()?.clouds.push(this);
  }

  /** What a stack exports as `millrace`, so that the CLI, clients and the console find the deployed system. */
  get output(): pulumi.Output<{ plan: Plan; addresses: Record<string, Record<string, string>> }> {
    // What was refused is not built: its problems are told, and that is enough.
    const built = [...this.parts].filter(([, part]) => part.isBuilt);
    const addresses = Object.fromEntries(
      built.map(([name, part]) => [name, pulumi.all({ ...part.address, kind: part.kind })]),
    );
    return pulumi.output({ plan: planOf([this]), addresses });
  }

  /** @internal the scope a part is built in */
  scope(part: Part, parent: pulumi.Resource): Scope {
    const owner = { account: this.#account, project: pulumi.getProject(), stack: pulumi.getStack() };
    const find = (name: string): Part => {
      const found = this.parts.get(name);
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
    };
  }

  /** @internal everything wrong with parts on this cloud */
  check(parts: readonly Part[]): readonly Problem[] {
    return [
      ...checkParts(
        parts.map(({ plan }) => plan),
        this.driver.support,
        (name) => this.parts.get(name)?.plan,
      ),
      ...(this.driver.check?.(parts) ?? []),
    ];
  }
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
