import { describe, expect, test } from "vitest";
import { type AlarmChange, Monitors } from "../../../lib/clouds/local/host/monitors.ts";
import type { AlarmPlan, MonitorPlan } from "../../../lib/parts/plan.ts";
import type { Task, TaskStatus } from "../../../lib/runtime/index.ts";
import type { QueueStats } from "../../../lib/runtime/system.ts";

const MINUTE = 60_000;
const names = { stem: "", construct: "", cloud: "local" };
const monitor = (...alarms: readonly AlarmPlan[]): MonitorPlan => ({
  kind: "monitor",
  name: "watch",
  ...names,
  alarms,
  notify: [
    { kind: "queue", name: "pager" },
    { kind: "function", name: "page" },
  ],
});
const failures: AlarmPlan = { part: "work", metric: "failures", above: 1, period: 60 };
const EMPTY: QueueStats = { ready: 0, inFlight: 0, delayed: 0 };

/** Monitors over a clock and a queue that are moved by hand. */
function watching(...alarms: readonly AlarmPlan[]) {
  let now = 0;
  let stats = EMPTY;
  let looks = 0;
  let lag = 0;
  let isFull = false;
  const changes: string[] = [];
  const notified: string[] = [];
  const say = ({ part, metric, state, value, time }: AlarmChange) =>
    `${part} ${metric} ${state} ${value} at ${Date.parse(time) / 1000}`;
  const monitors = new Monitors({
    clock: { now: () => now, at: () => () => {} },
    wake: () => {},
    stats: () => {
      looks += 1;
      return stats;
    },
    lag: () => {
      looks += 1;
      return lag;
    },
    notify(destination, change) {
      if (isFull) throw new Error("the disk is full");
      notified.push(`${destination.kind} ${destination.name}: ${say(change)}`);
    },
    onChange: (change) => changes.push(say(change)),
  });
  monitors.define([monitor(...alarms)]);
  /** As the agenda does: calls `run` whenever it is due, until that time is over. */
  const pass = (milliseconds: number) => {
    const end = now + milliseconds;
    for (let next = monitors.next(); next !== undefined && next <= end; next = monitors.next()) {
      now = Math.max(now, next);
      monitors.run(now);
    }
    now = end;
  };
  pass(0);
  return {
    monitors,
    changes,
    notified,
    pass,
    looks: () => looks,
    setStats(given: Partial<QueueStats>) {
      stats = { ...EMPTY, ...given };
    },
    setLag(given: number) {
      lag = given;
    },
    fill(given: boolean) {
      isFull = given;
    },
    at: () => new Date(now).toISOString(),
  };
}

let ids = 0;
function ended(status: TaskStatus, seconds = 1, task = "work"): Task {
  ids += 1;
  const [started, end] = [0, seconds * 1000].map((time) => new Date(time).toISOString());
  return { task, id: `run-${ids}`, status, started, ended: end } as Task;
}

describe("failures of a task", () => {
  test("above the bound within the period: on once, told to every destination, off when they are over", () => {
    const { monitors, changes, notified, pass } = watching(failures);
    monitors.ended(ended("failed"));
    pass(1000);
    expect(changes).toEqual([]);
    monitors.ended(ended("expired"));
    monitors.ended(ended("failed"));
    pass(1000);
    expect(changes).toEqual(["work failures alarm 3 at 1"]);
    expect(notified).toEqual(["queue pager: work failures alarm 3 at 1", "function page: work failures alarm 3 at 1"]);
    pass(10 * MINUTE);
    expect(changes.slice(1)).toEqual([expect.stringMatching(/^work failures ok [01] at 6\d$/)]);
    expect(monitors.next()).toBeUndefined();
  });

  test("what could not be told is told at the next look", () => {
    const { monitors, changes, notified, pass, fill } = watching({ ...failures, above: 0 });
    monitors.ended(ended("failed"));
    fill(true);
    expect(() => pass(0)).toThrow("the disk is full");
    fill(false);
    pass(0);
    expect(changes).toEqual(["work failures alarm 1 at 0"]);
    expect(notified).toHaveLength(2);
  });

  test("told twice of the same end, it counts once", () => {
    const { monitors, changes, pass } = watching(failures);
    const once = ended("failed");
    monitors.ended(once);
    monitors.ended(once);
    pass(1000);
    expect(changes).toEqual([]);
  });

  test("spread over more than the period, of another part, or no failures: no alarm", () => {
    const { monitors, changes, pass } = watching(failures);
    for (let minute = 0; minute < 5; minute += 1) {
      monitors.ended(ended("failed"));
      monitors.ended(ended("succeeded"));
      monitors.ended(ended("stopped"));
      monitors.ended(ended("failed", 1, "other"));
      pass(2 * MINUTE);
    }
    expect(changes).toEqual([]);
  });

  test("of a function: events it has given up on", () => {
    const { monitors, changes, pass } = watching({ ...failures, part: "resize", above: 0 });
    monitors.gaveUp("other");
    monitors.gaveUp("resize");
    pass(0);
    expect(changes).toEqual(["resize failures alarm 1 at 0"]);
  });
});

test("the longest run within the period", () => {
  const { monitors, changes, pass } = watching({ part: "work", metric: "duration", above: 30, period: 60 });
  monitors.ended(ended("succeeded", 20));
  pass(1000);
  monitors.ended(ended("failed", 40));
  pass(1000);
  expect(changes).toEqual(["work duration alarm 40 at 1"]);
});

describe("messages of a queue", () => {
  const messages: AlarmPlan = { part: "jobs", metric: "messages", above: 2, period: 60 };

  test("above the bound for the whole period", () => {
    const { monitors, changes, pass, setStats } = watching(messages);
    setStats({ ready: 3 });
    monitors.sent("jobs");
    pass(59_000);
    expect(changes).toEqual([]);
    pass(10_000);
    expect(changes).toEqual([expect.stringMatching(/^jobs messages alarm 3 at 6\d$/)]);
    setStats({});
    pass(10_000);
    expect(changes.slice(1)).toEqual([expect.stringMatching(/^jobs messages ok 0 at \d+$/)]);
  });

  test("a short peak is none", () => {
    const { monitors, changes, pass, setStats } = watching(messages);
    for (let peak = 0; peak < 5; peak += 1) {
      setStats({ ready: 9 });
      monitors.sent("jobs");
      pass(MINUTE / 2);
      setStats({});
      pass(MINUTE / 2);
    }
    expect(changes).toEqual([]);
  });

  test.each(["inFlight", "delayed"] as const)("%s when they were sent, and ready later", (where) => {
    const { monitors, changes, pass, setStats, at } = watching(messages);
    setStats({ [where]: 3, oldest: at() });
    monitors.sent("jobs");
    pass(MINUTE);
    setStats({ ready: 3, oldest: at() });
    pass(3 * MINUTE);
    expect(changes).toEqual([expect.stringMatching(/^jobs messages alarm 3/)]);
  });

  test("an empty queue is not looked at until it gets a message", () => {
    const { monitors, pass, looks } = watching(messages);
    const before = looks();
    pass(100 * MINUTE);
    expect({ next: monitors.next(), looks: looks() }).toEqual({ next: undefined, looks: before });
  });
});

test("the age of a queue's oldest message, looked at in the very moment it was sent", () => {
  const { monitors, changes, pass, setStats, at } = watching({ part: "jobs", metric: "age", above: 120, period: 60 });
  setStats({ ready: 1, oldest: at() });
  monitors.sent("jobs");
  pass(100_000);
  expect(changes).toEqual([]);
  pass(2 * MINUTE);
  expect(changes).toHaveLength(1);
  expect(changes[0]).toMatch(/^jobs age alarm 1[89]\d at 1[89]\d$/);
});

test("an alarm that stays in the plan keeps its state; one that goes is forgotten", () => {
  const { monitors, changes, pass } = watching({ ...failures, above: 0 });
  monitors.ended(ended("failed"));
  pass(0);
  monitors.define([monitor({ ...failures, above: 0 })]);
  pass(0);
  expect(changes).toHaveLength(1);
  monitors.define([]);
  expect(monitors.next()).toBeUndefined();
});

test("runs that no alarm asks about are not kept, and nobody is woken for them", () => {
  const { monitors, pass } = watching(failures);
  pass(MINUTE);
  monitors.ended(ended("succeeded"));
  expect(monitors.next()).toBeUndefined();
});

describe("runs of a workflow", () => {
  test("those that failed are counted, once each; those that were stopped are not", () => {
    const { monitors, changes, pass, at } = watching({ ...failures, part: "flow" });
    const over = (id: string, status: "failed" | "stopped") =>
      monitors.workflowEnded({ workflow: "flow", id, status, started: at(), ended: at(), inputPreview: "null" });
    over("one", "failed");
    over("one", "failed");
    over("two", "stopped");
    pass(1000);
    expect(changes).toEqual([]);
    over("three", "failed");
    pass(1000);
    expect(changes).toEqual(["flow failures alarm 2 at 1"]);
  });
});

describe("records that wait for a function", () => {
  const lag: AlarmPlan = { part: "count", metric: "lag", above: 100, period: 60 };

  test("above the bound for the whole period, and over when they are read", () => {
    const { monitors, changes, pass, setLag } = watching(lag);
    setLag(101);
    monitors.sent("count");
    pass(59_000);
    expect(changes).toEqual([]);
    pass(10_000);
    expect(changes).toEqual([expect.stringMatching(/^count lag alarm 101 at 6\d$/)]);
    setLag(100);
    pass(10_000);
    expect(changes.slice(1)).toEqual([expect.stringMatching(/^count lag ok 100 at \d+$/)]);
  });

  test("a function that has read all is not looked at until there are records", () => {
    const { monitors, pass, looks } = watching(lag);
    const before = looks();
    pass(100 * MINUTE);
    expect({ next: monitors.next(), looks: looks() }).toEqual({ next: undefined, looks: before });
  });
});
