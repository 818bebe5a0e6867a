import type { ScheduleFired } from "../runtime/events.ts";
import type { PartNames } from "./part.ts";
import type { SchedulePlan, TimingPlan } from "./plan.ts";
import type { Source } from "./source.ts";
import type { Units } from "./units.ts";

/** Times at which functions start. */
export interface ScheduleSpec {
  /** `every("5 minutes")` or `cron("0 4 * * *")`. */
  readonly timing: Source<ScheduleFired>;
  /** @default it runs */
  readonly enabled?: boolean;
}

const OPTIONS = { timing: true, enabled: true } satisfies Readonly<Record<keyof ScheduleSpec, true>>;

export function schedulePlan(names: PartNames, spec: ScheduleSpec, units: Units): SchedulePlan {
  units.options(spec, OPTIONS);
  const { timing, enabled = true } = spec;
  if (!timing.timing) throw new Error(`${names.name}.timing: every("5 minutes") or cron("0 4 * * *") is wanted`);
  return { kind: "schedule", ...names, timing: timing.timing satisfies TimingPlan, enabled };
}
