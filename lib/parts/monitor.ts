import type { Duration } from "../shared/duration.ts";
import type { FunctionPart, Part, PartNames, Queue } from "./part.ts";
import type { AlarmPlan, MonitorPlan } from "./plan.ts";
import type { Units } from "./units.ts";

/** What a construct that makes alarms takes. */
export interface AlarmArgs {
  /**
   * Queues and functions that get the construct's alarms, beside whom the cloud itself tells; `"nobody"` makes no alarms.
   *
   * @default whom the cloud tells, by its own settings
   */
  readonly notify?: readonly (Queue | FunctionPart)[] | "nobody";
}

/** A construct's alarms, as its user wants them told. */
export const alarmsFor = ({ notify = [] }: AlarmArgs, alarms: readonly Alarm[]): MonitorSpec =>
  notify === "nobody" ? { alarms: [] } : { alarms, notify };

/** Alarms, and where they go. */
export interface MonitorSpec {
  readonly alarms: readonly Alarm[];
  /** Queues and functions that get every alarm. @default alarms are only shown */
  readonly notify?: readonly (Queue | FunctionPart)[];
}

/** One alarm: a part's number stayed above a bound. */
export interface Alarm {
  readonly part: Part;
  /** `failures` of a function or task, `messages` waiting in a queue, `age` of its oldest in seconds, `duration` of a run in seconds, `lag` of a function: records of its streams that wait for it. */
  readonly metric: AlarmPlan["metric"];
  readonly above: number;
  /** @default "5 minutes" */
  readonly period?: Duration;
}

/** The time a number has to stay above its bound. */
const ALARM_PERIOD = 300;

const OPTIONS = { alarms: true, notify: true } satisfies Readonly<Record<keyof MonitorSpec, true>>;
const ALARM_OPTIONS = { part: true, metric: true, above: true, period: true } satisfies Readonly<
  Record<keyof Alarm, true>
>;

export function monitorPlan(names: PartNames, spec: MonitorSpec, units: Units): MonitorPlan {
  units.options(spec, OPTIONS);
  const { alarms, notify = [] } = spec;
  for (const [index, alarm] of alarms.entries()) units.options(alarm, ALARM_OPTIONS, `alarms[${index}]`);
  return {
    kind: "monitor",
    ...names,
    alarms: alarms.map(({ part, metric, above, period }, index) => ({
      part: part.name,
      metric,
      above,
      period: units.seconds(`alarms[${index}].period`, period, ALARM_PERIOD),
    })),
    notify: notify.map(({ kind, name }) => ({ kind, name })),
  };
}
