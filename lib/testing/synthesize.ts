import * as pulumi from "@pulumi/pulumi";
import { planOf, startEvaluation, stopEvaluation } from "../parts/cloud.ts";
import type { Plan } from "../parts/plan.ts";
import { stubMocks } from "../program/mocks.ts";
import type { Problem } from "../shared/problem.ts";

export interface SynthesizeOptions {
  /** @default "test" */
  readonly project?: string;
  /** @default "test" */
  readonly stack?: string;
  /** Config values by full key: `{ "millrace:cloud": "local" }`. @default none */
  readonly config?: Readonly<Record<string, string>>;
  /** What raw resources and calls answer. @default a resource's outputs are its inputs */
  readonly mocks?: pulumi.runtime.Mocks;
}

/** A resource the program registered, components too. */
export interface SynthesizedResource {
  readonly type: string;
  readonly name: string;
  readonly inputs: Readonly<Record<string, unknown>>;
}

/** All a program declares. */
export interface Synthesis {
  readonly plan: Plan;
  /** What the clouds refuse; empty in a stack that can be deployed. */
  readonly problems: readonly Problem[];
  /** In the order they were registered. */
  readonly resources: readonly SynthesizedResource[];
}

/**
 * Declares a stack in this process without deploying anything, and waits for every resource.
 *
 * Pulumi's mocks are process-wide: one synthesis at a time.
 *
 * @param program declares constructs; made inside it, so that they are registered under the mocks.
 * @throws what the program throws.
 * @example
 * const { plan, problems } = await synthesize(() => {
 *   new VideoTranscodePipeline("videos", { cloud: local(), formats: ["mp4"] });
 * });
 * expect(problems).toEqual([]);
 */
export async function synthesize(
  program: () => unknown,
  { project = "test", stack = "test", config = {}, mocks = stubMocks(() => {}) }: SynthesizeOptions = {},
): Promise<Synthesis> {
  const resources: SynthesizedResource[] = [];
  await pulumi.runtime.setMocks(recording(mocks, resources), project, stack, false);
  pulumi.runtime.setAllConfig({ ...config });
  const { clouds, problems } = startEvaluation();
  try {
    await program();
    // Resolves once every resource is registered.
    await pulumi.runtime.disconnect();
    return { plan: planOf(clouds), problems, resources };
  } finally {
    stopEvaluation();
  }
}

const recording = (mocks: pulumi.runtime.Mocks, resources: SynthesizedResource[]): pulumi.runtime.Mocks => ({
  newResource(args) {
    if (!args.type.startsWith("pulumi:")) resources.push({ type: args.type, name: args.name, inputs: args.inputs });
    return mocks.newResource(args);
  },
  call: (args) => mocks.call(args),
});
