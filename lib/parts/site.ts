import * as pulumi from "@pulumi/pulumi";
import { type NameRule, physicalName } from "../shared/name.ts";
import type { Scope } from "./cloud.ts";

/** Changes the arguments or options of a raw resource just before it is made; nothing answered: as they are. */
export type Transform = (
  type: string,
  name: string,
  args: Readonly<Record<string, unknown>>,
  options: pulumi.CustomResourceOptions,
) => { readonly args?: Readonly<Record<string, unknown>>; readonly options?: pulumi.CustomResourceOptions } | undefined;

/** What every cloud may be told of where it makes its resources. */
export interface SiteSettings {
  /** The account's number, where the cloud has accounts. */
  readonly account?: string;
  readonly transform?: Transform;
}

/** A resource class of a provider; it knows its own type. */
export type ResourceClass<Args, Made> = (new (
  name: string,
  args: Args,
  options?: pulumi.CustomResourceOptions,
) => Made) & {
  readonly __pulumiType?: string;
};

/** Where a cloud makes its resources, and what all of them share, each made when first asked for. */
export abstract class BaseSite<Settings extends SiteSettings> {
  readonly settings: Settings;
  readonly #cloud: () => pulumi.ComponentResource;
  readonly #made = new Map<string, unknown>();

  /** @param cloud the parent of what is shared; asked for once it is there */
  constructor(settings: Settings, cloud: () => pulumi.ComponentResource) {
    this.settings = settings;
    this.#cloud = cloud;
  }

  /** The logical names of what is shared begin so. */
  abstract get name(): string;

  /** Who makes resources of that type. */
  protected abstract providerOf(type: string): pulumi.ProviderResource;

  /** Options of a shared resource. */
  get shared(): pulumi.CustomResourceOptions {
    return { parent: this.#cloud() };
  }

  /** Makes a raw resource: with its provider, and as the user's transform has it. */
  make<Args extends object, Made extends pulumi.Resource>(
    type: ResourceClass<Args, Made>,
    name: string,
    args: Args,
    options: pulumi.CustomResourceOptions,
  ): Made {
    const changed = this.transformed(type.__pulumiType ?? "", name, args, options);
    return new type(name, changed.args, changed.options);
  }

  /** What a resource of that type is made of, as the user's transform has it. */
  protected transformed<Args extends object>(
    type: string,
    name: string,
    args: Args,
    options: pulumi.CustomResourceOptions,
  ): { readonly args: Args; readonly options: pulumi.CustomResourceOptions } {
    const all = { provider: this.providerOf(type), ...options };
    const changed = this.settings.transform?.(type, name, { ...args } as Readonly<Record<string, unknown>>, all);
    return { args: { ...args, ...changed?.args }, options: { ...all, ...changed?.options } };
  }

  /** A physical name of something shared. */
  physicalName(stem: string, rule: NameRule): string {
    const account = this.settings.account ?? this.name;
    return physicalName(stem, { account, ...this.#owner }, rule);
  }

  /**
   * A name that other accounts have theirs beside: hashed with this one's number, asked for or not.
   *
   * @param stem of what each region has: with the region in it
   */
  protected nameIn(account: pulumi.Output<string>, stem: string, rule: NameRule): pulumi.Output<string> {
    const owner = this.#owner;
    return account.apply((account) => physicalName(stem, { account, ...owner }, rule));
  }

  /** What every resource that can be is tagged with. */
  tags(part: string): Record<string, string> {
    const { project, stack } = this.#owner;
    return { "millrace:project": project, "millrace:stack": stack, "millrace:part": part };
  }

  /** What is made once, and then the same. */
  once<Value>(name: string, make: () => Value): Value {
    if (!this.#made.has(name)) this.#made.set(name, make());
    return this.#made.get(name) as Value;
  }

  get #owner() {
    return { project: pulumi.getProject(), stack: pulumi.getStack() };
  }
}

/** Options of a resource of a part: its data is kept when the stack is destroyed, unless that is allowed. */
export const dataOptions = (scope: Scope, removable: boolean): pulumi.CustomResourceOptions =>
  removable ? scope.options : { ...scope.options, retainOnDelete: true };
