import { output } from "@pulumi/pulumi";
import type { Scope } from "../../../parts/cloud.ts";
import type { Built } from "../../../parts/part.ts";
import type { SchedulePlan, TimingPlan } from "../../../parts/plan.ts";
import { parseCron } from "../../../shared/cron.ts";
import type { Site } from "./shared.ts";

/** Times are CronJobs of the functions they start: there is nothing to make for themselves. */
export const schedule = (_site: Site, { name }: Scope, _plan: SchedulePlan): Built => ({
  id: output(name),
  address: {},
  resources: {},
});

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/**
 * What a CronJob calls its time; the cluster's own zone is nobody's to know.
 *
 * @see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/#schedule-syntax
 */
export function cronSchedule(timing: TimingPlan): { readonly schedule: string; readonly timeZone: string } {
  if ("every" in timing) return { schedule: cronOf(timing.every), timeZone: "Etc/UTC" };
  const { minute, hour, dayOfMonth, month, dayOfWeek } = parseCron(timing.cron, timing.timeZone);
  const timeZone = timing.timeZone === "UTC" ? "Etc/UTC" : timing.timeZone;
  return { schedule: `${minute} ${hour} ${dayOfMonth} ${month} ${dayOfWeek}`, timeZone };
}

/** The check has let intervals through that divide an hour or a day. */
function cronOf(every: number): string {
  if (every < HOUR) return every === MINUTE ? "* * * * *" : `*/${every / MINUTE} * * * *`;
  if (every < DAY) return every === HOUR ? "0 * * * *" : `0 */${every / HOUR} * * *`;
  return "0 0 * * *";
}
