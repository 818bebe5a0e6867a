import type { AlarmPlan, DestinationPlan, MonitorPlan, PartPlan } from "../../../parts/plan.ts";
import type { Clock } from "../../../runtime/clock.ts";
import type { QueueStats } from "../../../runtime/system.ts";
import type { Task } from "../../../runtime/tasks/task.ts";
import type { WorkflowRun } from "../../../runtime/workflows/run.ts";
import type { Duty } from "./agenda.ts";

/** An alarm went on or off, as destinations and live views are told. */
export interface AlarmChange {
  readonly monitor: string;
  readonly part: string;
  readonly metric: AlarmPlan["metric"];
  readonly state: "alarm" | "ok";
  /** What was measured. */
  readonly value: number;
  readonly above: number;
  /** ISO 8601. */
  readonly time: string;
}

export interface MonitorsOptions {
  readonly clock: Clock;
  /** Has `run` called at `next`. */
  readonly wake: () => void;
  readonly stats: (queue: string) => QueueStats;
  /** Records that wait for a function. */
  readonly lag: (name: string) => number;
  /** Sends to a destination of the monitor. */
  readonly notify: (destination: DestinationPlan, change: AlarmChange) => void;
  readonly onChange: (change: AlarmChange) => void;
}

/** A look every tenth of an alarm's period is enough, but no more and no less often than this, in milliseconds. */
const SHORTEST_PAUSE = 1000;
const LONGEST_PAUSE = 60_000;

interface Watch {
  readonly monitor: MonitorPlan;
  readonly alarm: AlarmPlan;
  /** Since when the value has been above its bound, as far as anybody looked. */
  since: number | undefined;
  isOn: boolean;
}

/** What happened to a part at a time: one failure, or one run's seconds. */
interface Sample {
  readonly key: string;
  readonly time: number;
  readonly value: number;
}

/**
 * Watches parts for their alarms. What happened before this process began is not counted: an alarm tells of what
 * goes on now, the journal of what was.
 */
export class Monitors implements Duty {
  readonly #options: MonitorsOptions;
  readonly #failures = new Samples();
  readonly #durations = new Samples();
  #watches: Watch[] = [];
  #next: number | undefined;
  #givenUp = 0;

  constructor(options: MonitorsOptions) {
    this.#options = options;
  }

  /** Takes these monitors in place of those before; an alarm that stays keeps its state. */
  define(parts: readonly PartPlan[]): void {
    const known = new Map(this.#watches.map((watch) => [keyOf(watch), watch]));
    const monitors = parts.filter((part) => part.kind === "monitor");
    this.#watches = monitors.flatMap((monitor) =>
      monitor.alarms.map((alarm) => {
        const before = known.get(keyOf({ monitor, alarm }));
        return { monitor, alarm, since: before?.since, isOn: before?.isOn ?? false };
      }),
    );
    this.#next = this.#watches.length === 0 ? undefined : this.#options.clock.now();
  }

  /** A run has ended; told again for the same end, it counts once. */
  ended({ task, id, status, started, ended }: Task): void {
    // What no alarm asks about would never be forgotten.
    const hasFailed = (status === "failed" || status === "expired") && this.#isWatched(task, "failures");
    const hasLasted = started !== undefined && ended !== undefined && this.#isWatched(task, "duration");
    if (!hasFailed && !hasLasted) return;
    const time = this.#options.clock.now();
    const key = `${id}\0${ended}`;
    if (hasFailed) this.#failures.add(task, { key, time, value: 1 });
    if (hasLasted) this.#durations.add(task, { key, time, value: (Date.parse(ended) - Date.parse(started)) / 1000 });
    this.#lookAt(time);
  }

  /** A run of a workflow has ended; told again for the same end, it counts once. */
  workflowEnded({ workflow, id, status, started, ended }: WorkflowRun): void {
    if (ended === undefined) return;
    const time = this.#options.clock.now();
    const key = `${id}\0${ended}`;
    const hasFailed = status === "failed" && this.#isWatched(workflow, "failures");
    const hasLasted = this.#isWatched(workflow, "duration");
    if (hasFailed) this.#failures.add(workflow, { key, time, value: 1 });
    if (hasLasted)
      this.#durations.add(workflow, { key, time, value: (Date.parse(ended) - Date.parse(started)) / 1000 });
    if (hasFailed || hasLasted) this.#lookAt(time);
  }

  /** A queue got a message, or a function records of its streams. */
  sent(part: string): void {
    if (this.#next === undefined && this.#isWatched(part)) this.#lookAt(this.#options.clock.now());
  }

  /** A function has given up on an event. */
  gaveUp(name: string): void {
    if (!this.#isWatched(name, "failures")) return;
    const time = this.#options.clock.now();
    this.#givenUp += 1;
    this.#failures.add(name, { key: String(this.#givenUp), time, value: 1 });
    this.#lookAt(time);
  }

  next(): number | undefined {
    return this.#next;
  }

  run(now: number): void {
    const next = Math.min(...this.#watches.map((watch) => this.#look(watch, now)));
    this.#next = next === Infinity ? undefined : next;
  }

  #lookAt(time: number): void {
    this.#next = time;
    this.#options.wake();
  }

  #isWatched(part: string, ...metrics: readonly AlarmPlan["metric"][]): boolean {
    return this.#watches.some(
      ({ alarm }) => alarm.part === part && (metrics.length === 0 || metrics.includes(alarm.metric)),
    );
  }

  /** Answers when to look again; what is empty need not be looked at until it gets something. */
  #look(watch: Watch, now: number): number {
    const { alarm } = watch;
    const value = this.#measure(alarm, now);
    const isAbove = value > alarm.above;
    watch.since = isAbove ? (watch.since ?? now) : undefined;
    // Failures and durations are counted over the period; what waits has to stay above its bound for so long.
    const isOn = isAbove && (isCounted(alarm) || now - watch.since! >= alarm.period * 1000);
    if (isOn !== watch.isOn) {
      this.#tell({ ...watch, isOn }, value, now);
      // Only now: what could not be told, on a full disk, is told at the next look.
      watch.isOn = isOn;
    }
    if (value === 0 && !isOn && this.#isEmpty(alarm)) return Infinity;
    return now + Math.min(LONGEST_PAUSE, Math.max(SHORTEST_PAUSE, alarm.period * 100));
  }

  /** Whether nothing can come to count without anybody being told: a delayed message gets ready by itself. */
  #isEmpty(alarm: AlarmPlan): boolean {
    return isCounted(alarm) || alarm.metric === "lag" || this.#options.stats(alarm.part).oldest === undefined;
  }

  #measure({ part, metric, period }: AlarmPlan, now: number): number {
    const from = now - period * 1000;
    switch (metric) {
      case "failures":
        return this.#failures.since(part, from).length;
      case "duration":
        return Math.max(0, ...this.#durations.since(part, from).map(({ value }) => value));
      case "messages":
        return this.#options.stats(part).ready;
      case "lag":
        return this.#options.lag(part);
      case "age": {
        const { oldest } = this.#options.stats(part);
        return oldest === undefined ? 0 : (now - Date.parse(oldest)) / 1000;
      }
    }
  }

  #tell({ monitor, alarm, isOn }: Watch, value: number, now: number): void {
    const { part, metric, above } = alarm;
    const time = new Date(now).toISOString();
    const change: AlarmChange = {
      monitor: monitor.name,
      part,
      metric,
      state: isOn ? "alarm" : "ok",
      value,
      above,
      time,
    };
    for (const destination of monitor.notify) this.#options.notify(destination, change);
    this.#options.onChange(change);
  }
}

const keyOf = ({ monitor, alarm }: Pick<Watch, "monitor" | "alarm">): string =>
  [monitor.name, alarm.part, alarm.metric, alarm.above, alarm.period].join("\0");

const isCounted = ({ metric }: AlarmPlan): boolean => metric === "failures" || metric === "duration";

/** What happened to each part of late, by what it happened to. */
class Samples {
  readonly #parts = new Map<string, Map<string, Sample>>();

  add(part: string, sample: Sample): void {
    const samples = this.#parts.get(part) ?? new Map<string, Sample>();
    if (!samples.has(sample.key)) samples.set(sample.key, sample);
    this.#parts.set(part, samples);
  }

  /** Later than that time; what is older is forgotten. */
  since(part: string, time: number): readonly Sample[] {
    const samples = this.#parts.get(part) ?? new Map<string, Sample>();
    for (const [key, sample] of samples) if (sample.time <= time) samples.delete(key);
    return [...samples.values()];
  }
}
