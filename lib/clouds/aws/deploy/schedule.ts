import { output } from "@pulumi/pulumi";
import type { Scope } from "../../../parts/cloud.ts";
import type { Built } from "../../../parts/part.ts";
import type { SchedulePlan, TimingPlan } from "../../../parts/plan.ts";
import { parseCron } from "../../../shared/cron.ts";
import type { Site } from "./shared.ts";

/** Times are schedules of the functions they start: there is nothing to make for themselves. */
export const schedule = (_site: Site, { name }: Scope, _plan: SchedulePlan): Built => ({
  id: output(name),
  address: {},
  resources: {},
});

/**
 * What the Scheduler calls a timing. Two where days of the month and of the week are both given: the service takes one of
 * them, and either is meant.
 *
 * @see https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
 */
export function scheduleExpressions(timing: TimingPlan): readonly string[] {
  if ("every" in timing) {
    const minutes = timing.every / 60;
    return [`rate(${minutes} ${minutes === 1 ? "minute" : "minutes"})`];
  }
  const { minute, hour, dayOfMonth, month, dayOfWeek } = parseCron(timing.cron, timing.timeZone);
  const [minutes, hours, months] = [spelled(minute, 0, 59), spelled(hour, 0, 23), spelled(month, 1, 12)];
  const at = (days: string, weekdays: string) => `cron(${minutes} ${hours} ${days} ${months} ${weekdays} *)`;
  const byDay = at(spelled(dayOfMonth, 1, 31), "?");
  // Its weeks begin with Sunday as 1.
  const byWeekday = at("?", spelled(dayOfWeek, 0, 6, 1));
  if (dayOfWeek === "*") return [byDay];
  return dayOfMonth === "*" ? [byWeekday] : [byDay, byWeekday];
}

/** A field with its steps spelled out: the service counts steps from a first value, not over a range. */
function spelled(field: string, first: number, last: number, shift = 0): string {
  if (field === "*") return "*";
  return field
    .split(",")
    .map((item) => {
      const [range = "", step] = item.split("/");
      const [from = first, to = from] = range === "*" ? [first, last] : range.split("-").map(Number);
      if (step === undefined) return from === to ? String(from + shift) : `${from + shift}-${to + shift}`;
      const count = Math.floor((to - from) / Number(step)) + 1;
      return Array.from({ length: count }, (_, index) => from + index * Number(step) + shift).join(",");
    })
    .join(",");
}
