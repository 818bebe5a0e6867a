import { type Duration, toSeconds } from "../shared/duration.ts";
import type { PartNames } from "./construct.ts";
import type { FunctionPart, Part, Queue } from "./part.ts";
import type { AlarmPlan, MonitorPlan } from "./plan.ts";

/** Alarms, and where they go. */
export interface MonitorSpec {
  readonly alarms: readonly Alarm[];
  /** Queues and functions that get every alarm. @default alarms are only shown */
  readonly notify?: readonly (Queue | FunctionPart)[];
}

/** One alarm: a part's number stayed above a bound. */
export interface Alarm {
  readonly part: Part;
  /** `failures` of a function or task, `messages` waiting in a queue, `age` of its oldest in seconds, `duration` of a run in seconds. */
  readonly metric: AlarmPlan["metric"];
  readonly above: number;
  /** @default "5 minutes" */
  readonly period?: Duration;
}

export const monitorPlan = (names: PartNames, { alarms, notify = [] }: MonitorSpec): MonitorPlan => ({
  kind: "monitor",
  ...names,
  alarms: alarms.map(({ part, metric, above, period = "5 minutes" }) => ({
    part: part.name,
    metric,
    above,
    period: toSeconds(period),
  })),
  notify: notify.map(({ kind, name }) => ({ kind, name })),
});
