import type { FunctionPlan, PartPlan, QueuePlan, SchedulePlan } from "../../../parts/plan.ts";
import type { Clock } from "../../../runtime/clock.ts";
import type { BucketCreated, ScheduleFired } from "../../../runtime/events.ts";
import { toMilliseconds } from "../../../shared/duration.ts";
import type { Agenda, Duty } from "./agenda.ts";
import type { FaultPoint, Faults } from "./faults.ts";
import type { Functions } from "./functions.ts";
import type { Journal } from "./journal.ts";
import { type PolledQueues, Poller } from "./poller.ts";
import { latestTime, nextTime } from "./timing.ts";

/** Before the next try after the journal refused a write, in milliseconds. */
const PAUSE = 1000;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS schedules (
    name TEXT PRIMARY KEY,
    timing TEXT NOT NULL,
    last INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
`;

export interface TriggersOptions {
  readonly journal: Journal;
  readonly clock: Clock;
  readonly agenda: Pick<Agenda, "wake">;
  readonly functions: Pick<Functions, "enqueue" | "deliver">;
  readonly queues: PolledQueues;
  readonly faults: Faults;
  /** Batches of one function in work at once. */
  readonly most: number;
  /** Told of what has to be tried again. */
  readonly onError?: (error: unknown) => void;
}

interface Timer {
  readonly plan: SchedulePlan;
  next: number | undefined;
}

/** Starts functions: for objects that appear, for messages that arrive, and when schedules come round. */
export class Triggers {
  /** Looks after queues and schedules: for the agenda. */
  readonly duty: Duty;
  readonly #options: TriggersOptions;
  readonly #pollers = new Map<string, Poller>();
  readonly #timers = new Map<string, Timer>();
  #functions: readonly FunctionPlan[] = [];
  #isClosing = false;

  constructor(options: TriggersOptions) {
    this.#options = options;
    options.journal.define(SCHEMA);
    this.duty = { next: () => this.#next(), run: (now) => this.#run(now) };
  }

  /** Takes the sources of these parts in place of those before; batches in work finish. */
  define(parts: readonly PartPlan[]): void {
    this.#functions = parts.filter((part) => part.kind === "function");
    this.#definePollers(parts.filter((part) => part.kind === "queue"));
    this.#timers.clear();
    for (const part of parts) if (part.kind === "schedule" && part.enabled) this.#defineSchedule(part);
    this.#options.agenda.wake();
  }

  /** An object appeared; what this journals is a part of the transaction it is called in. */
  created(event: BucketCreated): void {
    for (const { name, sources } of this.#functions) {
      const isWanted = sources.some(
        (source) =>
          source.type === "bucket.created" &&
          source.bucket === event.bucket &&
          event.key.startsWith(source.prefix) &&
          event.key.endsWith(source.suffix),
      );
      if (isWanted) this.#enqueue(name, event);
    }
  }

  /** Takes no more messages; resolves when the batches in work are over. End the processes at the same time. */
  async close(): Promise<void> {
    this.#isClosing = true;
    await Promise.all([...this.#pollers.values()].map((poller) => poller.close()));
  }

  #enqueue(name: string, event: BucketCreated | ScheduleFired): void {
    const fault = this.#options.faults.strike(event.type satisfies FaultPoint, name);
    const delay = fault?.delay === undefined ? 0 : toMilliseconds(fault.delay);
    for (let copy = 0; copy <= (fault?.duplicate ?? 0); copy += 1) {
      this.#options.functions.enqueue(name, event, { delay });
    }
  }

  #definePollers(queues: readonly QueuePlan[]): void {
    const wanted = new Set<string>();
    for (const { name, sources, concurrency = Number.POSITIVE_INFINITY } of this.#functions) {
      for (const source of sources) {
        if (source.type !== "queue.received") continue;
        const key = `${source.queue} ${name}`;
        const { visibility = 0 } = queues.find((queue) => queue.name === source.queue) ?? {};
        const poller = this.#pollers.get(key) ?? new Poller(name, source.queue, this.#options);
        poller.define({ ...source, visibility, most: Math.min(concurrency, this.#options.most) });
        this.#pollers.set(key, poller);
        wanted.add(key);
      }
    }
    for (const [key, poller] of this.#pollers) {
      if (wanted.has(key)) continue;
      this.#pollers.delete(key);
      void poller.close();
    }
  }

  /** A schedule counts from when it was first seen; one whose timing changed, from then. */
  #defineSchedule(plan: SchedulePlan): void {
    const { journal, clock } = this.#options;
    const timing = JSON.stringify(plan.timing);
    journal
      .sql(
        `INSERT INTO schedules (name, timing, last) VALUES (?, ?, ?)
         ON CONFLICT DO UPDATE SET timing = excluded.timing, last = excluded.last WHERE timing <> excluded.timing`,
      )
      .run(plan.name, timing, clock.now());
    this.#timers.set(plan.name, { plan, next: nextTime(plan.timing, this.#last(plan)) });
  }

  #last({ name }: SchedulePlan): number {
    return this.#options.journal.sql("SELECT last FROM schedules WHERE name = ?").get(name)!.last as number;
  }

  #next(): number | undefined {
    if (this.#isClosing) return undefined;
    const times = [
      ...[...this.#pollers.values()].map((poller) => poller.next()),
      ...[...this.#timers.values()].map(({ next }) => next),
    ];
    const next = Math.min(...times.map((time) => time ?? Number.POSITIVE_INFINITY));
    return next === Number.POSITIVE_INFINITY ? undefined : next;
  }

  #run(now: number): void {
    if (this.#isClosing) return;
    for (const timer of this.#timers.values()) if (timer.next !== undefined && timer.next <= now) this.#try(timer, now);
    for (const poller of this.#pollers.values()) poller.run(now);
  }

  /** What the journal will not take, on a full disk for one, is tried again: the schedule is late then, not lost. */
  #try(timer: Timer, now: number): void {
    try {
      this.#fire(timer, now);
    } catch (error) {
      timer.next = now + PAUSE;
      this.#options.onError?.(error);
    }
  }

  /** After a pause, once for the latest time that was missed: nobody wants a night's reports in one morning minute. */
  #fire(timer: Timer, now: number): void {
    const { plan } = timer;
    const { name, timing } = plan;
    const due = latestTime(timing, this.#last(plan), now);
    const time = new Date(due).toISOString();
    const event: ScheduleFired = { type: "schedule.fired", id: `${name}-${time}`, schedule: name, time };
    this.#options.journal.transaction(() => {
      for (const { name: target, sources } of this.#functions) {
        const isWanted = sources.some((source) => source.type === "schedule.fired" && source.schedule === name);
        if (isWanted) this.#enqueue(target, event);
      }
      this.#options.journal.sql("UPDATE schedules SET last = ? WHERE name = ?").run(due, name);
    });
    timer.next = nextTime(timing, due);
  }
}
