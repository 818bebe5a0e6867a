import { afterEach, describe, expect, it } from "vitest";
import { retryAll, stopAll } from "../../lib/runtime/tasks/bulk.ts";
import type { TaskDefinition } from "../../lib/runtime/tasks/definition.ts";
import type { Envelope } from "../../lib/runtime/tasks/envelope.ts";
import type { Task, TaskClient, TaskLogLine, TaskPage, TaskStatus } from "../../lib/runtime/tasks/task.ts";
import type { Work } from "./work.ts";

/** A `TaskClient` with the tasks of {@link CONFORMANCE_TASKS}, each doing the work of `work.ts`; fresh for every test. */
export interface TasksSubject {
  readonly client: TaskClient;
  /** The envelopes the queues `successes` and `failures` have got so far. */
  envelopes(queue: "successes" | "failures"): Promise<readonly Envelope[]>;
  /** Whether the client reads logs; else it refuses, and says where they are. @default it does */
  readonly readsLogs?: boolean;
  /** What workers, dispatchers and keepers have asked for so far that their roles do not allow. @default not looked at */
  readonly refused?: () => readonly string[];
  close(): Promise<void>;
}

const base = {
  timeout: 60,
  grace: 2,
  attempts: 3,
  backoff: { first: 0.05, factor: 1, longest: 0.05 },
  retention: 86_400,
  onSuccess: [{ kind: "queue", name: "successes" }],
  onFailure: [{ kind: "queue", name: "failures" }],
} as const satisfies Omit<TaskDefinition, "name">;

/** The tasks a subject must have. `single` runs one at a time. */
export const CONFORMANCE_TASKS: readonly TaskDefinition[] = [
  { ...base, name: "tasks-work" },
  { ...base, name: "tasks-single", concurrency: 1 },
];

/**
 * Everything a user may rely on, whatever cloud is behind the client.
 *
 * @param retry how often a test may be made again, where what plays the cloud does two writes of a moment as one. @default never
 */
export function testTasks(name: string, make: () => Promise<TasksSubject>, retry = 0): void {
  const subjects: TasksSubject[] = [];
  afterEach(async () => {
    for (const subject of subjects.splice(0)) {
      await subject.close();
      expect(subject.refused?.() ?? []).toEqual([]);
    }
  });
  const fresh = async () => {
    const subject = await make();
    subjects.push(subject);
    const { client } = subject;
    return {
      ...subject,
      submit: (id: string, payload: Work, options = {}) => client.submit("tasks-work", payload, { id, ...options }),
      finish: (id: string) => client.wait("tasks-work", id),
      /** The run once it is in that state. */
      until: (id: string, status: TaskStatus, task = "tasks-work") =>
        eventually(async () => {
          const run = await client.get(task, id);
          return run?.status === status ? run : undefined;
        }),
    };
  };

  describe(`tasks of ${name}`, { retry }, () => {
    it("a run goes from submit to its result, with its whole story", async () => {
      const { client, submit, finish } = await fresh();
      const payload = { do: "succeed", result: { text: "中🎬" } } as const;
      const run = await submit("a", payload, { tenant: "red", tags: { size: "big" }, priority: 2 });
      expect(run).toMatchObject({ task: "tasks-work", id: "a", tenant: "red", tags: { size: "big" }, priority: 2 });
      expect(["queued", "running", "succeeded"]).toContain(run.status);
      const end = await finish("a");
      expect(end).toMatchObject({ status: "succeeded", progress: 1, attempts: [{ number: 1 }] });
      for (const time of [end.submitted, end.due, end.started, end.ended]) expect(time).toMatch(/^\d{4}-.*Z$/);
      const audit = await client.audit("tasks-work", "a");
      expect(audit).toMatchObject({ payload, result: { text: "中🎬" }, task: { id: "a" } });
      expect(audit?.events.map(({ type }) => type)).toEqual(["submitted", "started", "succeeded"]);
      expect(await client.get("tasks-work", "a")).toEqual(end);
    });

    it("the same id is one run, however often it is submitted", async () => {
      const { client, submit, finish } = await fresh();
      const runs = await Promise.all(Array.from({ length: 5 }, () => submit("a", { do: "wait" })));
      expect(runs.filter(({ deduplicated }) => deduplicated)).toHaveLength(4);
      await client.stop("tasks-work", "a");
      expect((await finish("a")).attempts.length).toBeLessThan(2);
      expect(await submit("a", { do: "succeed" })).toMatchObject({ status: "stopped", deduplicated: true });
      expect((await client.audit("tasks-work", "a"))?.events.filter(({ type }) => type === "deduplicated").length).toBe(
        5,
      );
    });

    it("a failed run does not block its id; again makes a new one", async () => {
      const { client, submit, finish } = await fresh();
      await submit("a", { do: "fail", kind: "bad-input" });
      expect(await finish("a")).toMatchObject({ status: "failed", error: { kind: "bad-input" }, attempts: [{}] });
      expect((await submit("a", { do: "succeed", result: 2 })).deduplicated).toBeUndefined();
      const second = await finish("a");
      expect(second).toMatchObject({ status: "succeeded", attempts: [{ number: 1 }, { number: 2 }] });
      const again = await submit("a", { do: "succeed", result: 3 }, { again: true });
      expect(again.id).toBe("a--r1");
      await finish("a--r1");
      expect((await client.audit("tasks-work", "a"))?.result).toBe(2);
    });

    it("an event that is told again gets the run it started, even if that failed; another event runs it again", async () => {
      const { client, submit, finish } = await fresh();
      await submit("a", { do: "fail", kind: "bad-input" }, { event: "upload-1" });
      await finish("a");
      const told = await submit("a", { do: "fail", kind: "bad-input" }, { event: "upload-1" });
      expect(told).toMatchObject({ status: "failed", deduplicated: true });
      expect((await submit("a", { do: "succeed" }, { event: "upload-2" })).deduplicated).toBeUndefined();
      expect(await finish("a")).toMatchObject({ status: "succeeded", attempts: [{}, {}] });
      expect((await client.list("tasks-work")).tasks).toHaveLength(1);
    });

    it("what can help is tried again, and what cannot is not", async () => {
      const { submit, finish } = await fresh();
      await submit("recovers", { do: "fail", kind: "failed", times: 2 });
      await submit("never", { do: "fail", kind: "unavailable" });
      await submit("refused", { do: "fail", kind: "refused" });
      expect(await finish("recovers")).toMatchObject({ status: "succeeded", attempts: [{}, {}, { number: 3 }] });
      expect(await finish("never")).toMatchObject({ status: "failed", attempts: [{}, {}, { number: 3 }] });
      expect((await finish("refused")).attempts).toHaveLength(1);
    });

    it("a running run is stopped, a waiting one too, and one that is over is answered", async () => {
      const { client, submit, until } = await fresh();
      await client.submit("tasks-single", { do: "wait" }, { id: "running" });
      await until("running", "running", "tasks-single");
      await client.submit("tasks-single", { do: "wait" }, { id: "waiting" });
      expect(await client.stop("tasks-single", "waiting")).toMatchObject({ status: "stopped", attempts: [] });
      expect(["stopping", "stopped"]).toContain((await client.stop("tasks-single", "running")).status);
      const end = await client.wait("tasks-single", "running");
      expect(end).toMatchObject({ status: "stopped", error: { kind: "stopped" } });
      expect(await client.stop("tasks-single", "running")).toEqual(end);
      await submit("stubborn", { do: "wait", stubborn: true });
      await until("stubborn", "running");
      await client.stop("tasks-work", "stubborn");
      expect(await client.wait("tasks-work", "stubborn")).toMatchObject({ status: "stopped" });
    });

    it("retry runs again what failed or was stopped, and refuses all else by its state", async () => {
      const { client, submit, finish, until } = await fresh();
      await submit("a", { do: "fail", kind: "refused", times: 1 });
      await finish("a");
      expect(["queued", "running"]).toContain((await client.retry("tasks-work", "a")).status);
      expect(await finish("a")).toMatchObject({ status: "succeeded", attempts: [{ number: 1 }, { number: 2 }] });
      await expect(client.retry("tasks-work", "a")).rejects.toMatchObject({ kind: "conflict" });
      await expect(client.retry("tasks-work", "a")).rejects.toThrow("succeeded");
      await submit("b", { do: "wait" });
      await until("b", "running");
      await client.stop("tasks-work", "b");
      await finish("b");
      await client.retry("tasks-work", "b");
      await until("b", "running");
    });

    it("delay and expiry", async () => {
      const { client, submit, finish, until } = await fresh();
      const delayed = await submit("later", { do: "succeed" }, { delay: "1 second" });
      expect(delayed.status).toBe("queued");
      const { due, started } = await finish("later");
      expect(Date.parse(started!)).toBeGreaterThanOrEqual(Date.parse(due));
      await client.submit("tasks-single", { do: "wait" }, { id: "first" });
      await until("first", "running", "tasks-single");
      await client.submit("tasks-single", { do: "wait" }, { id: "second", expires: "0.5 seconds" });
      expect(await client.wait("tasks-single", "second")).toMatchObject({
        status: "expired",
        error: { kind: "expired" },
        attempts: [],
      });
    });

    it("never more than the cap at once, by priority", async () => {
      const { client, until } = await fresh();
      await client.submit("tasks-single", { do: "wait" }, { id: "first" });
      await until("first", "running", "tasks-single");
      const rest = [0, 5, 1].map((priority) => `p${priority}`);
      for (const id of rest) {
        await client.submit("tasks-single", { do: "succeed", milliseconds: 20 }, { id, priority: Number(id.slice(1)) });
      }
      await client.stop("tasks-single", "first");
      const ends = await Promise.all(rest.map((id) => client.wait("tasks-single", id)));
      const spans = ends.sort((a, b) => a.started!.localeCompare(b.started!));
      expect(spans.map(({ id }) => id)).toEqual(["p5", "p1", "p0"]);
      for (const [index, span] of spans.entries()) {
        const before = spans[index - 1];
        if (before) expect(Date.parse(span.started!)).toBeGreaterThanOrEqual(Date.parse(before.ended!));
      }
    });

    it("lists by status, tenant, tags, prefix and time, in pages", async () => {
      const { client, submit, finish } = await fresh();
      const started = new Date(Date.now() - 60_000).toISOString();
      for (let number = 0; number < 7; number += 1) {
        const tenant = number % 2 ? "red" : "blue";
        const payload: Work = number === 3 ? { do: "fail", kind: "refused" } : { do: "succeed" };
        await submit(`${tenant}-${number}`, payload, { tenant, tags: { number: String(number) } });
        await finish(`${tenant}-${number}`);
      }
      const ids = ({ tasks }: TaskPage) => tasks.map(({ id }) => id);
      const list = async (filter: Parameters<TaskClient["list"]>[1]) => ids(await client.list("tasks-work", filter));
      expect(await list({})).toEqual(["blue-6", "red-5", "blue-4", "red-3", "blue-2", "red-1", "blue-0"]);
      expect(await list({ order: "oldest", limit: 2 })).toEqual(["blue-0", "red-1"]);
      expect(await list({ status: "failed" })).toEqual(["red-3"]);
      expect(await list({ status: ["failed", "succeeded"], tenant: "red" })).toEqual(["red-5", "red-3", "red-1"]);
      expect(await list({ tags: { number: "4" } })).toEqual(["blue-4"]);
      expect(await list({ prefix: "blue-" })).toHaveLength(4);
      expect(await list({ after: started })).toHaveLength(7);
      expect(await list({ before: started })).toEqual([]);
      const first = await client.list("tasks-work", { limit: 4 });
      await submit("new", { do: "succeed" });
      const second = await client.list("tasks-work", { limit: 4, cursor: first.next! });
      expect([...ids(first), ...ids(second)]).toHaveLength(7);
      expect(second.next).toBeUndefined();
      await expect(client.list("tasks-work", { limit: 1001 })).rejects.toMatchObject({ kind: "refused" });
      await expect(client.list("tasks-work", { cursor: "nonsense" })).rejects.toMatchObject({ kind: "refused" });
    });

    it("logs are read, read on, and followed to the end of the run", async () => {
      const { client, submit, finish, until, readsLogs = true } = await fresh();
      await submit("a", { do: "log", lines: 30 });
      await finish("a");
      if (!readsLogs) {
        await expect(collect(client.logs("tasks-work", "a"))).rejects.toMatchObject({ kind: "refused" });
        return;
      }
      const lines = await collect(client.logs("tasks-work", "a"));
      expect(lines.map(({ message }) => message)).toEqual(Array.from({ length: 30 }, (_, n) => `line ${n + 1}`));
      expect(lines[4]).toMatchObject({ attempt: 1, level: "info", fields: { line: 5 } });
      expect(await collect(client.logs("tasks-work", "a", { after: lines[27]!.sequence }))).toEqual(lines.slice(28));
      expect(await collect(client.logs("tasks-work", "a", { follow: true }))).toEqual(lines);

      await submit("b", { do: "wait" });
      const followed = collect(client.logs("tasks-work", "b", { follow: true }));
      await until("b", "running");
      await client.stop("tasks-work", "b");
      expect((await followed).map(({ message }) => message)).toContain("waiting");

      await submit("c", { do: "wait" });
      const aborted = collect(client.logs("tasks-work", "c", { follow: true, signal: AbortSignal.timeout(300) }));
      await aborted.catch(() => {});
      await expect(collect(client.logs("tasks-work", "nobody"))).rejects.toMatchObject({ kind: "not-found" });
    });

    it("progress is seen by who waits, and waiting can be given up", async () => {
      const { client, submit } = await fresh();
      await submit("a", { do: "progress" });
      const seen: Task[] = [];
      const end = client.wait("tasks-work", "a", { onProgress: (task) => void seen.push(task) });
      await eventually(async () => seen.find(({ progress }) => progress === 0.5));
      expect(seen.at(-1)).toMatchObject({ status: "running", progress: 0.5, progressMessage: "half" });
      await expect(client.wait("tasks-work", "a", { signal: AbortSignal.timeout(100) })).rejects.toThrow();
      await client.stop("tasks-work", "a");
      expect((await end).status).toBe("stopped");
    });

    it("each outcome is told once to its destination", async () => {
      const { submit, finish, client, envelopes, until } = await fresh();
      await submit("good", { do: "succeed", result: "r" });
      await submit("bad", { do: "fail", kind: "bad-input" });
      await submit("long", { do: "wait" });
      await until("long", "running");
      await client.stop("tasks-work", "long");
      for (const id of ["good", "bad", "long"]) await finish(id);
      await eventually(async () => (await envelopes("failures")).length >= 2 || undefined);
      await eventually(async () => (await envelopes("successes")).length >= 1 || undefined);
      expect(await envelopes("successes")).toMatchObject([
        { requestContext: { requestId: "good--a1", condition: "" }, responsePayload: '"r"', task: { id: "good" } },
      ]);
      const failures = (await envelopes("failures")).toSorted((a, b) => a.task.id.localeCompare(b.task.id));
      expect(failures).toMatchObject([
        {
          requestContext: { requestId: "bad--a1", condition: "bad-input" },
          requestPayload: '{"do":"fail","kind":"bad-input"}',
          task: { task: "tasks-work", id: "bad", status: "failed" },
        },
        { requestContext: { condition: "stopped" }, task: { id: "long", status: "stopped" } },
      ]);
    });

    it("a large payload and result come back whole", async () => {
      const { client, submit, finish } = await fresh();
      const result = "中".repeat(400_000);
      await submit("a", { do: "succeed", result });
      const { payloadPreview, resultPreview } = await finish("a");
      expect([payloadPreview.length, resultPreview?.length]).toEqual([1024, 1024]);
      const audit = await client.audit("tasks-work", "a");
      expect(audit?.result).toBe(result);
      expect(audit?.payload).toEqual({ do: "succeed", result });
    });

    it("bulk verbs count first, and then do what they say", async () => {
      const { client, submit, finish, until } = await fresh();
      for (const id of ["x-1", "x-2", "y-1"]) await submit(id, { do: "wait" });
      for (const id of ["x-1", "x-2", "y-1"]) await until(id, "running");
      expect(await stopAll(client, "tasks-work", { prefix: "x-" }, { dryRun: true })).toEqual({
        matched: 2,
        changed: 0,
        failed: [],
      });
      const done: number[] = [];
      const stopped = await stopAll(
        client,
        "tasks-work",
        { prefix: "x-" },
        { onProgress: (step) => void done.push(step.done) },
      );
      expect(stopped).toEqual({ matched: 2, changed: 2, failed: [] });
      expect(done).toEqual([1, 2]);
      for (const id of ["x-1", "x-2"]) expect((await finish(id)).status).toBe("stopped");
      expect((await client.get("tasks-work", "y-1"))?.status).toBe("running");
      expect(await retryAll(client, "tasks-work", { status: ["stopped", "running"] })).toMatchObject({
        matched: 2,
        changed: 2,
      });
      for (const id of ["x-1", "x-2"]) await until(id, "running");
      expect(await retryAll(client, "tasks-work", { status: "succeeded" })).toMatchObject({ matched: 0 });
    });

    it("what is not there, and what no run can be called", async () => {
      const { client } = await fresh();
      await expect(client.submit("nothing", 1, { id: "a" })).rejects.toMatchObject({ kind: "not-found" });
      await expect(client.submit("nothing", 1, { id: "a" })).rejects.toThrow("tasks-work");
      expect(await client.get("tasks-work", "a")).toBeUndefined();
      expect(await client.audit("tasks-work", "a")).toBeUndefined();
      for (const verb of [client.stop, client.retry, client.wait]) {
        await expect(verb.call(client, "tasks-work", "a")).rejects.toMatchObject({ kind: "not-found" });
      }
      for (const id of ["", "x".repeat(201), "a\tb"]) {
        await expect(client.submit("tasks-work", 1, { id })).rejects.toMatchObject({ kind: "refused" });
      }
    });
  });
}

async function collect(lines: AsyncIterable<TaskLogLine>): Promise<TaskLogLine[]> {
  const all: TaskLogLine[] = [];
  for await (const line of lines) all.push(line);
  return all;
}

/** What the question answers, once it answers something. */
async function eventually<Answer>(question: () => Promise<Answer | undefined>): Promise<Answer> {
  for (let asked = 0; asked < 4000; asked += 1) {
    const answer = await question();
    if (answer !== undefined) return answer;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error("it did not come to that within 40 seconds");
}
