import type { Duration } from "../shared/duration.ts";
import type { FunctionPart, Part, PartNames, Queue } from "./part.ts";
import type { AlarmPlan, MonitorPlan } from "./plan.ts";
import type { Units } from "./units.ts";

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

/** The time a number has to stay above its bound. */
const ALARM_PERIOD = 300;

export const monitorPlan = (names: PartNames, { alarms, notify = [] }: MonitorSpec, units: Units): MonitorPlan => ({
  kind: "monitor",
  ...names,
  alarms: alarms.map(({ part, metric, above, period }, index) => ({
    part: part.name,
    metric,
    above,
    period: units.seconds(`alarms[${index}].period`, period, ALARM_PERIOD),
  })),
  notify: notify.map(({ kind, name }) => ({ kind, name })),
});
