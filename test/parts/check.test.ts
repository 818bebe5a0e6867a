import fc from "fast-check";
import { expect, test } from "vitest";
import { SUPPORT } from "../../lib/clouds/support.ts";
import { checkParts, formatBounds, formatOption } from "../../lib/parts/check.ts";
import { DEFAULTS } from "../../lib/parts/defaults.ts";
import type { FunctionPlan, PartPlan, QueuePlan, SchedulePlan, TaskPlan, TimingPlan } from "../../lib/parts/plan.ts";
import type { OptionFact, Support } from "../../lib/parts/support.ts";
import { formatProblem } from "../../lib/shared/problem.ts";

const NAMES = { stem: "s", construct: "c", cloud: "x" } as const;

const aFunction = (changes: Partial<FunctionPlan> = {}): FunctionPlan => ({
  ...NAMES,
  kind: "function",
  name: "f",
  handler: { id: "tasks/dispatch" },
  code: {},
  links: {},
  settings: {},
  sources: [],
  timeout: 60,
  memory: 512 * 2 ** 20,
  disk: 512 * 2 ** 20,
  cpu: 0.5,
  attempts: 3,
  backoff: DEFAULTS.backoff,
  tools: [],
  install: [],
  environment: {},
  ...changes,
});

const aQueue = (changes: Partial<QueuePlan> = {}): QueuePlan => ({
  ...NAMES,
  kind: "queue",
  name: "q",
  visibility: 60,
  retention: 86_400,
  delay: 0,
  ...changes,
});

const aTask = (changes: Partial<TaskPlan> = {}): TaskPlan => ({
  ...NAMES,
  kind: "task",
  name: "t",
  worker: "t-work",
  dispatcher: "t-dispatch",
  timeout: 3600,
  grace: 30,
  attempts: 3,
  backoff: DEFAULTS.backoff,
  retention: 86_400,
  onSuccess: [],
  onFailure: [],
  ...changes,
});

const aSchedule = (timing: TimingPlan): SchedulePlan => ({
  ...NAMES,
  kind: "schedule",
  name: "s",
  timing,
  enabled: true,
});

const received = (changes: { batch?: number; window?: number } = {}) =>
  ({ type: "queue.received", queue: "q", batch: 1, window: 0, ...changes }) as const;

const { local, alicloud, aws, kubernetes } = SUPPORT;
const check = (parts: readonly PartPlan[], support: Support): readonly string[] =>
  checkParts(parts, support).map(formatProblem);

test("a bound is told in the units people write", () => {
  expect(check([aFunction({ timeout: 1800 })], aws)).toEqual([
    'f.timeout: outside what AWS allows: Lambda\'s timeout, 14 minutes where a stream starts it; make longer work a task (given "30 minutes"; allowed: 1 second to 15 minutes, whole)',
  ]);
  expect(check([aFunction({ memory: 64 * 2 ** 30, cpu: 16 })], alicloud)[0]).toContain(
    '(given "64 GB"; allowed: 128 MB to 32 GB, in steps of 64 MB)',
  );
});

test("values and steps are kept", () => {
  expect(check([aFunction({ disk: 2 ** 30 })], alicloud)[0]).toContain('given "1 GB"; allowed: 512 MB, 10 GB');
  expect(check([aFunction({ memory: 600 * 2 ** 20 })], alicloud)[0]).toContain('given "600 MB"');
  expect(check([aFunction({ cpu: 0.35 })], alicloud)).toEqual([]);
  expect(check([aFunction({ cpu: 0.333 })], alicloud)).toHaveLength(1);
  expect(check([aFunction({ attempts: 1.5 })], local)[0]).toContain("allowed: at least 1, whole");
});

test("every step of cpu is seen as one, though it is no exact binary number", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 320 }), (steps) => {
      const cpu = Number((steps * 0.05).toFixed(2));
      const memory = Math.ceil((cpu * 2 ** 30) / (64 * 2 ** 20)) * 64 * 2 ** 20;
      fc.pre(memory >= 128 * 2 ** 20 && memory <= 32 * 2 ** 30 && memory <= cpu * 4 * 2 ** 30);
      expect(check([aFunction({ cpu, memory })], alicloud)).toEqual([]);
    }),
  );
});

test("a number that is none is outside every bound", () => {
  expect(check([aQueue({ visibility: Number.NaN })], aws)).toHaveLength(1);
});

test("a number that is written as a text is asked for as a number", () => {
  expect(check([aFunction({ attempts: "3" as never })], local)).toEqual([
    'f.attempts: a number is wanted (given "3"; allowed: at least 1, whole)',
  ]);
});

test("a refused option is refused only when somebody asks for it", () => {
  expect(check([aFunction()], aws)).toEqual([]);
  expect(check([aFunction({ backoff: { first: 10, factor: 2, longest: 60 } })], aws)).toEqual([
    'f.backoff: AWS refuses this: Lambda retries at times of its own; make it a task, whose waits can be set (given {"first":10,"factor":2,"longest":60})',
  ]);
});

test("a refused part and a refused source are told with the reason", () => {
  const refused = { level: "refused", how: "nobody rings", source: "", verified: "" } as const;
  const support: Support = {
    ...local,
    parts: { ...local.parts, monitor: { ...local.parts.monitor, ...refused } },
    sources: { ...local.sources, "queue.received": refused },
  };
  expect(check([{ ...NAMES, kind: "monitor", name: "m", alarms: [], notify: [] }], support)).toEqual([
    "m: Local has no monitor: nobody rings",
  ]);
  expect(check([aQueue(), aFunction({ sources: [received()] })], support)).toEqual([
    "f.when: Local has no queue.received: nobody rings",
  ]);
});

test("a worker's time and tries are its task's", () => {
  const worker = aFunction({ timeout: 3600, attempts: 1, role: { task: "t", duty: "worker" } });
  expect(check([worker, aTask()], aws)).toEqual([]);
  expect(check([worker, aTask({ timeout: 90_000 })], aws)[0]).toMatch(/^t\.timeout: .*allowed: 1 second to 1 day/);
  expect(check([aFunction({ timeout: 3600, role: { task: "t", duty: "dispatcher" } })], aws)).toHaveLength(1);
});

test("an existing part is as it is", () => {
  expect(check([aQueue({ delay: 3600 })], aws)).toHaveLength(1);
  expect(check([aQueue({ delay: 3600, existing: "theirs" })], aws)).toEqual([]);
});

test("a function a queue starts has to end while its messages are hidden", () => {
  const slow = aFunction({ timeout: 90, sources: [received()] });
  expect(check([aQueue({ visibility: 60 }), slow], local)).toEqual([
    'f.timeout: longer than messages of q stay hidden: others would get them meanwhile (given "90 seconds"; allowed: at most its visibility, 1 minute)',
  ]);
  expect(check([aQueue({ visibility: 90 }), slow], local)).toEqual([]);
});

test("what a queue starts has bounds of its own", () => {
  const queue = aQueue({ visibility: 3600 });
  expect(check([queue, aFunction({ timeout: 301, sources: [received()] })], alicloud)).toEqual([
    'f.timeout: over a limit of Alibaba Cloud: functions behind an EventBridge trigger (given "301 seconds"; allowed: at most 5 minutes; hand longer work to a task)',
  ]);
  expect(check([queue, aFunction({ sources: [received({ batch: 10_001 })] })], alicloud)[0]).toMatch(
    /^f\.when\.batch: /,
  );
  expect(check([queue, aFunction({ sources: [received({ window: 16 })] })], alicloud)[0]).toMatch(/^f\.when\.window: /);
  expect(check([queue, aFunction({ sources: [received({ window: 16 })] })], aws)).toEqual([]);
});

test("parts that others name have to be on the same cloud", () => {
  expect(check([aQueue({ deadLetters: "gone" })], local)).toEqual([
    'q.deadLetters: must be on the same cloud, Local (given "gone")',
  ]);
  expect(check([aTask({ onFailure: [{ kind: "queue", name: "gone" }] })], local)[0]).toMatch(/^t\.onFailure: /);
  expect(checkParts([aQueue({ deadLetters: "d" })], local, () => aQueue({ name: "d" }))).toEqual([]);
});

test("memory goes with cpu where the cloud ties them", () => {
  expect(check([aFunction({ memory: 4 * 2 ** 30 })], alicloud)).toEqual([
    'f.memory: Alibaba Cloud ties memory to cpu: 1 to 4 GB of memory per CPU (given "4 GB"; allowed: 512 MB to 2 GB for a cpu of 0.5)',
  ]);
  expect(check([aFunction({ memory: 4 * 2 ** 30, cpu: 1 })], alicloud)).toEqual([]);
  expect(check([aFunction({ memory: 4 * 2 ** 30 })], aws)).toEqual([]);
});

test("plain environment variables have to fit", () => {
  const environment = { TEXT: "é".repeat(2050) };
  expect(check([aFunction({ environment })], aws)[0]).toMatch(/^f\.environment: over a limit of AWS/);
  expect(check([aFunction({ environment })], kubernetes)).toEqual([]);
});

test("a backoff grows", () => {
  expect(check([aTask({ backoff: { first: 60, factor: 0.5, longest: 30 } })], local)).toEqual([
    "t.backoff.factor: a wait grows from the first to the longest (given 0.5; allowed: at least 1)",
    't.backoff.longest: a wait grows from the first to the longest (given "30 seconds"; allowed: at least the first wait, 1 minute)',
  ]);
});

test("intervals that a cloud cannot keep are refused, with those it can", () => {
  expect(check([aSchedule({ every: 420 })], kubernetes)[0]).toMatch(
    /^s\.timing\.every: .*"7 minutes"; allowed: 1 minute, 2 minutes/,
  );
  expect(check([aSchedule({ every: 420 })], aws)).toEqual([]);
  expect(check([aSchedule({ every: 90 })], aws)[0]).toContain(
    'given "90 seconds"; allowed: at least 1 minute, in steps of 1 minute',
  );
  for (const support of Object.values(SUPPORT)) {
    expect(check([aSchedule({ cron: "0 4 * * *", timeZone: "Asia/Shanghai" })], support)).toEqual([]);
  }
});

test("all problems of all parts come at once", () => {
  const paths = checkParts(
    [aQueue({ delay: 901, retention: 1 }), aFunction({ timeout: 0, memory: 0 }), aTask({ attempts: 0 })],
    aws,
  ).map(({ path }) => path);
  expect(paths).toEqual(["q.retention", "q.delay", "f.timeout", "f.memory", "t.attempts"]);
});

test("a number passes exactly when it lies within its bounds", () => {
  fc.assert(
    fc.property(fc.integer({ min: -10, max: 1000 }), (delay) => {
      const { min = -Infinity, max = Infinity }: OptionFact = aws.parts.queue.options.delay;
      expect(check([aQueue({ delay })], aws)).toHaveLength(delay >= min && delay <= max ? 0 : 1);
    }),
  );
});

test("bounds in words", () => {
  expect(formatBounds("timeout", { min: 1, max: 900 })).toBe("1 second to 15 minutes");
  expect(formatBounds("memory", { max: 2 ** 30 })).toBe("at most 1 GB");
  expect(formatBounds("attempts", { min: 2 })).toBe("at least 2");
  expect(formatBounds("cpu", { step: 0.05 })).toBe("in steps of 0.05");
  expect(formatBounds("disk", { values: [2 ** 20, "any"] })).toBe("1 MB, any");
  expect(formatBounds("links", {})).toBe("");
  expect(formatOption("queueMessageBytes", 65_536)).toBe("64 KB");
  expect(formatOption("eventFunctionSeconds", 300)).toBe("5 minutes");
  expect(formatOption("queueBatch", 10)).toBe("10");
});
