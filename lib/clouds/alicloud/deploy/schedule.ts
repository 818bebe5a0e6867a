import { output } from "@pulumi/pulumi";
import type { Scope } from "../../../parts/cloud.ts";
import type { Built } from "../../../parts/part.ts";
import type { SchedulePlan, TimingPlan } from "../../../parts/plan.ts";
import { parseCron } from "../../../shared/cron.ts";
import type { Site } from "./shared.ts";

/** Times are triggers of the functions they start: there is nothing to make for themselves. */
export const schedule = (_site: Site, { name }: Scope, _plan: SchedulePlan): Built => ({
  id: output(name),
  address: {},
  resources: {},
});

/**
 * What a timer trigger calls its time: six fields, seconds first.
 *
 * @see https://www.alibabacloud.com/help/en/functioncompute/fc/user-guide/time-triggers
 */
export function cronExpression(timing: TimingPlan): string {
  if ("every" in timing) return `@every ${timing.every / 60}m`;
  const { minute, hour, dayOfMonth, month, dayOfWeek } = parseCron(timing.cron, timing.timeZone);
  const fields = `0 ${minute} ${hour} ${dayOfMonth} ${month} ${dayOfWeek}`;
  return timing.timeZone === "UTC" ? fields : `CRON_TZ=${timing.timeZone} ${fields}`;
}
