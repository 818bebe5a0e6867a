import type { Output, Resource } from "@pulumi/pulumi";
import type { Cloud } from "./cloud.ts";
import type {
  BucketPlan,
  FunctionPlan,
  MonitorPlan,
  PartPlan,
  QueuePlan,
  SchedulePlan,
  SecretPlan,
  StreamPlan,
  TablePlan,
  TaskPlan,
  VolumePlan,
  WorkflowPlan,
} from "./plan.ts";

declare const call: unique symbol;

/** Names of a part about to be declared. */
export interface PartNames {
  readonly name: string;
  readonly stem: string;
  readonly construct: string;
  readonly cloud: string;
}

/** What a cloud gives back for a part it built. */
export interface Built {
  /** The cloud's own identifier: an ARN on AWS, a name elsewhere. */
  readonly id: Output<string>;
  /** What a linked function or a client needs to reach it. */
  readonly address: Readonly<Record<string, Output<string>>>;
  /** The cloud's raw resources by a stable name: the way to whatever Millrace does not cover. */
  readonly resources: Readonly<Record<string, Resource>>;
}

/** A declared part; the cloud's side is there once its construct is built. */
export class Part<Plan extends PartPlan = PartPlan> {
  readonly kind: Plan["kind"];
  readonly plan: Plan;
  readonly #cloud: Cloud;
  #built: Built | undefined;

  constructor(plan: Plan, cloud: Cloud) {
    this.kind = plan.kind;
    this.plan = plan;
    this.#cloud = cloud;
  }

  /** Unique in the stack. */
  get name(): string {
    return this.plan.name;
  }
  /** What it is built on. */
  get cloud(): Cloud {
    return this.#cloud;
  }
  /** The cloud's own identifier. */
  get id(): Output<string> {
    return this.built.id;
  }
  /** What a client needs to reach it. */
  get address(): Built["address"] {
    return this.built.address;
  }
  /** The cloud's raw resources. */
  get resources(): Built["resources"] {
    return this.built.resources;
  }
  get isBuilt(): boolean {
    return this.#built !== undefined;
  }

  /** @internal called once, by the part's construct */
  set built(built: Built) {
    this.#built = built;
  }
  get built(): Built {
    if (!this.#built)
      throw new Error(`${this.name}: its outputs are there once the construct is built, at the end of its constructor`);
    return this.#built;
  }
}

export type Bucket = Part<BucketPlan>;
export type Queue = Part<QueuePlan>;
/** A function by what it is called with and what it answers. */
export type FunctionPart<Payload = never, Result = unknown> = Part<FunctionPlan> & {
  readonly [call]?: (payload: Payload) => Result;
};
export type TaskPart = Part<TaskPlan>;
export type Schedule = Part<SchedulePlan>;
export type Secret = Part<SecretPlan>;
export type Volume = Part<VolumePlan>;
export type Table = Part<TablePlan>;
export type Monitor = Part<MonitorPlan>;
export type Workflow = Part<WorkflowPlan>;
export type Stream = Part<StreamPlan>;
