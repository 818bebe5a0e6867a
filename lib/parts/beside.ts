import type { Scope } from "./cloud.ts";
import { DEFAULTS } from "./defaults.ts";
import type { FunctionPlan, PartPlan, SchedulePlan } from "./plan.ts";

type Own = Pick<FunctionPlan, "handler"> & Partial<Pick<FunctionPlan, "links" | "timeout" | "sources">>;

/** A function that a cloud makes beside a part of its own accord: `<part>-<id>`, and all that is not said as by default. */
export const functionBeside = (part: PartPlan, id: string, own: Own): FunctionPlan => ({
  kind: "function",
  ...namesBeside(part, id),
  code: {},
  links: {},
  settings: {},
  sources: [],
  timeout: DEFAULTS.functionTimeout,
  memory: DEFAULTS.functionMemory,
  disk: DEFAULTS.functionDisk,
  cpu: DEFAULTS.functionCpu,
  attempts: DEFAULTS.attempts,
  backoff: DEFAULTS.backoff,
  tools: [],
  install: [],
  environment: {},
  ...own,
});

/** A schedule of the same name as the function beside the part. @param every seconds */
export const scheduleBeside = (part: PartPlan, id: string, every: number): SchedulePlan => ({
  kind: "schedule",
  ...namesBeside(part, id),
  timing: { every },
  enabled: true,
});

/**
 * Where what is beside a part is built: its physical names derive from the part's.
 *
 * @param schedule starts it. @default none does
 */
export function scopeBeside(scope: Scope, part: PartPlan, id: string, schedule?: SchedulePlan): Scope {
  const { name } = namesBeside(part, id);
  return {
    ...scope,
    name,
    physicalName: (rule, other, suffix) =>
      other === undefined || other === name
        ? scope.physicalName(rule, part.name, suffix ? `${id}-${suffix}` : id)
        : scope.physicalName(rule, other, suffix),
    plan: (other) => (schedule && other === name ? schedule : scope.plan(other)),
  };
}

const namesBeside = ({ name, stem, construct, cloud }: PartPlan, id: string) => ({
  name: `${name}-${id}`,
  stem: `${stem}-${id}`,
  construct,
  cloud,
});
