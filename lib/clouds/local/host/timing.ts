import { Cron } from "croner";
import type { TimingPlan } from "../../../parts/plan.ts";

/** The first time after that one; undefined if there is none. Milliseconds since 1970. */
export function nextTime(timing: TimingPlan, after: number): number | undefined {
  if ("every" in timing) return after + timing.every * 1000;
  return cronOf(timing).nextRun(new Date(after))?.getTime();
}

/** The latest time up to now, where there was one after `after`. */
export function latestTime(timing: TimingPlan, after: number, now: number): number {
  if ("every" in timing) {
    const interval = timing.every * 1000;
    return after + Math.floor((now - after) / interval) * interval;
  }
  // croner answers what lies before the whole second of its reference.
  const reference = new Date((Math.floor(now / 1000) + 1) * 1000);
  return cronOf(timing).previousRuns(1, reference)[0]!.getTime();
}

/** Without a function croner only computes: it sets no timer. */
const cronOf = ({ cron, timeZone }: Extract<TimingPlan, { readonly cron: string }>): Cron =>
  new Cron(cron, { timezone: timeZone });
