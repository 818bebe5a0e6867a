import type { ScheduleFired } from "../runtime/events.ts";
import type { PartNames } from "./part.ts";
import type { SchedulePlan, TimingPlan } from "./plan.ts";
import type { Source } from "./source.ts";

/** Times at which functions start. */
export interface ScheduleSpec {
  /** `every("5 minutes")` or `cron("0 4 * * *")`. */
  readonly timing: Source<ScheduleFired>;
  /** @default it runs */
  readonly enabled?: boolean;
}

export function schedulePlan(names: PartNames, { timing, enabled = true }: ScheduleSpec): SchedulePlan {
  if (!timing.timing) throw new Error(`${names.name}.timing: every("5 minutes") or cron("0 4 * * *") is wanted`);
  return { kind: "schedule", ...names, timing: timing.timing satisfies TimingPlan, enabled };
}
