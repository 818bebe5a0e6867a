import { EventEmitter, on } from "node:events";
import { Buckets } from "../../../lib/clouds/local/host/buckets.ts";
import type { LocalChange, LocalQueues, LocalView } from "../../../lib/clouds/local/host/inspect.ts";
import { Journal } from "../../../lib/clouds/local/host/journal.ts";
import { StreamPlaces } from "../../../lib/clouds/local/host/stream-places.ts";
import { Streams } from "../../../lib/clouds/local/host/streams.ts";
import { Workflows } from "../../../lib/clouds/local/host/workflows.ts";
import { block, is, reference } from "../../../lib/parts/flow.ts";
import type { FunctionPart } from "../../../lib/parts/part.ts";
import type {
  BucketPlan,
  PartPlan,
  Plan,
  QueuePlan,
  StreamPlan,
  TaskPlan,
  WorkflowPlan,
} from "../../../lib/parts/plan.ts";
import { systemClock } from "../../../lib/runtime/clock.ts";
import { type ErrorRecord, fromErrorRecord, MillraceError, toErrorRecord } from "../../../lib/runtime/errors.ts";
import type { PeekedMessage } from "../../../lib/runtime/system.ts";
import type { BulkFilter, BulkOptions, BulkTaskClient } from "../../../lib/runtime/tasks/bulk.ts";
import { isFinal, type Task, type TaskLogLine } from "../../../lib/runtime/tasks/task.ts";

/** A local cloud with real buckets and streams, and with tasks and queues in memory whose runs the test ends itself. */
export class TestView implements LocalView {
  readonly tasks: TestTasks;
  readonly buckets: LocalView["buckets"];
  readonly queues: LocalQueues;
  readonly streams: LocalView["streams"];
  /** How far groups have come in the streams. */
  readonly places: StreamPlaces;
  readonly workflows: Workflows;
  readonly #journal: Journal;
  readonly #emitter = new EventEmitter();

  constructor(folder: string) {
    this.#journal = new Journal(folder);
    const buckets = new Buckets({ journal: this.#journal, clock: systemClock, onCreated: () => {} });
    for (const part of PLAN.parts) if (part.kind === "bucket") buckets.define(part);
    this.buckets = {
      list: () => buckets.names(),
      reader: (name) => buckets.reader(name),
      writer: (name) => buckets.writer(name),
      remover: (name) => buckets.remover(name),
    };
    const streams = new Streams({ journal: this.#journal, clock: systemClock, onAppended: () => {} });
    for (const part of PLAN.parts) if (part.kind === "stream") streams.define(part);
    this.places = new StreamPlaces(this.#journal, streams);
    this.streams = {
      list: () => streams.list(),
      append: (name, records) => streams.append(name, records),
      read: (name, options) => streams.read(name, options),
      lag: (name) => this.places.lag(name),
    };
    this.tasks = new TestTasks((change) => this.emit(change));
    this.queues = memoryQueues();
    this.workflows = this.#workflows();
  }

  /** What the workflow's function does: answers what it is given, or fails as it says. */
  step: (payload: unknown) => unknown = (payload) => {
    const { fail } = payload as { readonly fail?: string };
    if (fail) throw new MillraceError("bad-input", fail);
    return payload;
  };

  /** Real ones, with a function of the test's. */
  #workflows(): Workflows {
    const nobody = async (): Promise<never> => {
      throw new MillraceError("not-found", "there is no such task");
    };
    const quiet = () => {};
    const workflows = new Workflows({
      journal: this.#journal,
      clock: systemClock,
      random: Math.random,
      functions: { step: async (_name, payload) => this.step(payload) },
      tasks: () => ({ get: nobody, submit: nobody, retry: nobody, wait: nobody, stop: nobody, audit: nobody }),
      ask: quiet,
      onChange: (run) => this.emit({ type: "workflow.changed", run }),
      log: { debug: quiet, info: quiet, warn: quiet, error: quiet },
    });
    workflows.define(PLAN);
    return workflows;
  }

  plan(): Plan {
    return PLAN;
  }
  onChange(listener: (change: LocalChange) => void): () => void {
    this.#emitter.on("change", listener);
    return () => this.#emitter.off("change", listener);
  }
  emit(change: LocalChange): void {
    this.#emitter.emit("change", change);
  }
  listeners(): number {
    return this.#emitter.listenerCount("change");
  }
  close(): void {
    this.workflows.suspend();
    this.#journal.close();
  }
}

const part = <Kind extends PartPlan["kind"]>(kind: Kind, construct: string, id: string) => ({
  kind,
  name: `${construct}-${id}`,
  stem: `${construct}-${id}`,
  construct,
  cloud: "local",
});

const bucket = (construct: string, id: string): BucketPlan => ({
  ...part("bucket", construct, id),
  versioned: false,
  removable: false,
});

const queue = (construct: string, id: string, deadLetters?: string): QueuePlan => ({
  ...part("queue", construct, id),
  visibility: 30,
  retention: 3600,
  delay: 0,
  ...(deadLetters && { attempts: 3, deadLetters }),
});

const stream = (construct: string, id: string): StreamPlan => ({
  ...part("stream", construct, id),
  partitions: 3,
  retention: 3600,
  removable: false,
});

const task = (construct: string, id: string): TaskPlan => ({
  ...part("task", construct, id),
  worker: `${construct}-${id}-work`,
  dispatcher: `${construct}-${id}-dispatch`,
  timeout: 60,
  grace: 5,
  attempts: 3,
  backoff: { first: 1, factor: 2, longest: 60 },
  retention: 86_400,
  onSuccess: [],
  onFailure: [],
});

/** Packs every item, then asks whether to bill: `{ items: [{ fail?: text }], ask?: true }`. */
const workflow = (construct: string, id: string): WorkflowPlan => ({
  ...part("workflow", construct, id),
  timeout: 3600,
  definition: block((flow) => {
    const input = reference<{ readonly items: readonly { readonly fail: string }[]; readonly ask: boolean }>("input");
    const work = { kind: "function", name: "orders-work" } as unknown as FunctionPart<unknown, unknown>;
    const packed = flow.map("each", input.items, (inner, item) =>
      inner.function("pack", work, item, { attempts: 2, backoff: { first: "0 seconds" } }),
    );
    flow.choice<unknown>(
      "approval",
      [{ if: is(input.ask, true), do: (inner) => inner.callback("approve", work, { items: input.items }) }],
      () => ({}),
    );
    return { packed };
  }),
});

export const PLAN: Plan = {
  version: 1,
  project: "shop",
  stack: "dev",
  clouds: [{ name: "local", kind: "local" }],
  constructs: [
    { name: "videos", type: "VideoTranscodePipeline", id: "videos", cloud: "local" },
    { name: "resize", type: "AsyncTask", id: "resize", cloud: "local" },
    { name: "orders", type: "Orders", id: "orders", cloud: "local" },
  ],
  parts: [
    bucket("videos", "uploads"),
    bucket("videos", "outputs"),
    queue("videos", "jobs", "videos-failures"),
    queue("videos", "failures"),
    task("videos", "transcode"),
    queue("resize", "failures"),
    task("resize", "task"),
    workflow("orders", "flow"),
    stream("orders", "events"),
  ],
};

interface Entry {
  task: Task;
  readonly payload: unknown;
  result?: unknown;
  readonly lines: TaskLogLine[];
}

/** Runs start at submit. A payload `{ "fail": text }` fails at once, `{ "run": "on" }` never ends by itself. */
class TestTasks implements BulkTaskClient {
  readonly #entries = new Map<string, Entry>();
  readonly #emit: (change: LocalChange) => void;
  readonly #changed = new EventEmitter().setMaxListeners(0);

  constructor(emit: (change: LocalChange) => void) {
    this.#emit = emit;
  }

  async submit(task: string, payload: unknown, options: Parameters<BulkTaskClient["submit"]>[2] = {}): Promise<Task> {
    this.#known(task);
    const { id = `run-${this.#entries.size + 1}`, tenant, tags = {}, priority = 0, lane = "default" } = options;
    const there = this.#entries.get(`${task}/${id}`);
    if (there && !options.again) return { ...there.task, deduplicated: true };
    const now = new Date().toISOString();
    this.#entries.set(`${task}/${id}`, {
      payload,
      lines: [],
      task: {
        task,
        id,
        status: "running",
        ...(tenant && { tenant }),
        lane,
        priority,
        tags,
        progress: 0,
        submitted: now,
        due: now,
        started: now,
        attempts: [{ number: 1, started: now }],
        payloadPreview: JSON.stringify(payload).slice(0, 1024),
      },
    });
    this.log(task, id, `by ${options.by ?? "client"}`);
    const { fail, run } = (payload ?? {}) as { fail?: string; run?: string };
    if (fail) this.end(task, id, { status: "failed", error: { kind: "bad-input", message: fail } });
    else if (run !== "on") this.end(task, id, { status: "succeeded", progress: 1 }, { done: true });
    else this.end(task, id, {});
    return this.#entry(task, id).task;
  }

  /** Changes a run, as the platform would. */
  end(task: string, id: string, change: Partial<Task>, result?: unknown): void {
    const entry = this.#entry(task, id);
    const isOver = isFinal(change.status ?? entry.task.status);
    entry.task = { ...entry.task, ...change, ...(isOver && { ended: new Date().toISOString() }) };
    if (result !== undefined) entry.result = result;
    this.#changed.emit("change");
    this.#emit({ type: "task.changed", task: entry.task });
  }

  /** How many wait for a run or follow its log. */
  watchers(): number {
    return this.#changed.listenerCount("change");
  }

  log(task: string, id: string, message: string): void {
    const { lines } = this.#entry(task, id);
    const line: TaskLogLine = {
      sequence: lines.length + 1,
      time: new Date().toISOString(),
      attempt: 1,
      level: "info",
      message,
    };
    lines.push(line);
    this.#changed.emit("change");
    this.#emit({ type: "task.logged", task, id, line });
  }

  async get(task: string, id: string): Promise<Task | undefined> {
    this.#known(task);
    return this.#entries.get(`${task}/${id}`)?.task;
  }

  async list(
    task: string,
    { status, prefix = "", tenant, tags = {}, limit = 100, cursor, order, after, before } = {} as Parameters<
      BulkTaskClient["list"]
    >[1] & {},
  ) {
    this.#known(task);
    const statuses = [status ?? []].flat();
    const found = [...this.#entries.values()]
      .map((entry) => entry.task)
      .filter((run) => run.task === task && run.id.startsWith(prefix))
      .filter((run) => statuses.length === 0 || statuses.includes(run.status))
      .filter((run) => tenant === undefined || run.tenant === tenant)
      .filter(
        (run) => (after === undefined || run.submitted >= after) && (before === undefined || run.submitted < before),
      )
      .filter((run) => Object.entries(tags).every(([name, value]) => run.tags[name] === value));
    if (order !== "oldest") found.reverse();
    const first = Number(cursor ?? 0);
    const rest = found.length > first + limit;
    return { tasks: found.slice(first, first + limit), ...(rest && { next: `${first + limit}` }) };
  }

  async stop(task: string, id: string): Promise<Task> {
    if (!isFinal(this.#entry(task, id).task.status)) this.end(task, id, { status: "stopped" });
    return this.#entry(task, id).task;
  }

  async retry(task: string, id: string): Promise<Task> {
    const { status } = this.#entry(task, id).task;
    if (status === "succeeded" || !isFinal(status)) {
      throw new MillraceError("conflict", `${id} is ${status}; only a failed, stopped or expired run is retried`);
    }
    this.end(task, id, { status: "queued" });
    return this.#entry(task, id).task;
  }

  async *logs(
    task: string,
    id: string,
    { after = 0, follow = false, signal }: { after?: number; follow?: boolean; signal?: AbortSignal } = {},
  ) {
    const entry = this.#entry(task, id);
    let sent = after;
    const changes = on(this.#changed, "change", signal ? { signal } : {});
    try {
      while (true) {
        for (const line of entry.lines.slice(sent)) {
          sent = line.sequence;
          yield line;
        }
        if (!follow || isFinal(entry.task.status)) return;
        await changes.next();
      }
    } finally {
      await changes.return?.();
    }
  }

  async audit(task: string, id: string) {
    const { task: run, payload, result } = this.#entry(task, id);
    const events = [{ time: run.submitted, type: "submitted", by: "client" } as const];
    return { task: run, payload, ...(result !== undefined && { result }), events };
  }

  async wait(
    task: string,
    id: string,
    { signal, onProgress }: { signal?: AbortSignal; onProgress?: (task: Task) => void } = {},
  ) {
    const changes = on(this.#changed, "change", signal ? { signal } : {});
    try {
      while (!isFinal(this.#entry(task, id).task.status)) {
        onProgress?.(this.#entry(task, id).task);
        await changes.next();
      }
    } finally {
      await changes.return?.();
    }
    return this.#entry(task, id).task;
  }

  stopAll(task: string, filter: BulkFilter, options?: BulkOptions) {
    return this.#bulk(
      task,
      filter,
      options,
      (run) => !isFinal(run.status),
      (id) => this.stop(task, id),
    );
  }

  retryAll(task: string, filter: BulkFilter, options?: BulkOptions) {
    const isRetried = ({ status }: Task) => isFinal(status) && status !== "succeeded";
    return this.#bulk(task, filter, options, isRetried, (id) => this.retry(task, id));
  }

  async #bulk(
    task: string,
    filter: BulkFilter,
    { dryRun = false, onProgress }: BulkOptions = {},
    isMeant: (task: Task) => boolean,
    act: (id: string) => Promise<Task>,
  ) {
    const runs = (await this.list(task, { ...filter, limit: 1000 })).tasks.filter(isMeant);
    const failed: { id: string; error: ErrorRecord }[] = [];
    for (const [index, { id }] of runs.entries()) {
      if (!dryRun) await act(id).catch((error: unknown) => failed.push({ id, error: toErrorRecord(error) }));
      onProgress?.({ matched: runs.length, done: index + 1 });
    }
    return { matched: runs.length, changed: dryRun ? 0 : runs.length - failed.length, failed };
  }

  #known(task: string): void {
    if (!PLAN.parts.some(({ kind, name }) => kind === "task" && name === task))
      throw new MillraceError("not-found", `no task ${task}`);
  }

  #entry(task: string, id: string): Entry {
    this.#known(task);
    const entry = this.#entries.get(`${task}/${id}`);
    if (!entry) throw fromErrorRecord({ kind: "not-found", message: `${task} has no run "${id}"` });
    return entry;
  }
}

function memoryQueues(): LocalQueues {
  const queues = new Map<string, PeekedMessage[]>(
    PLAN.parts.filter(({ kind }) => kind === "queue").map(({ name }) => [name, []]),
  );
  const known = (name: string) => {
    const messages = queues.get(name);
    if (!messages) throw new MillraceError("not-found", `no queue ${name}`);
    return messages;
  };
  return {
    stats(name) {
      const [first, ...rest] = known(name);
      return first
        ? { ready: rest.length + 1, inFlight: 0, delayed: 0, oldest: first.time }
        : { ready: 0, inFlight: 0, delayed: 0 };
    },
    peek: (name, limit) => known(name).slice(0, limit),
    sendNow(name, body, { attributes = {} } = {}) {
      const id = `message-${known(name).length + 1}`;
      known(name).push({ id, body, attributes, receives: 0, time: new Date().toISOString() });
      return id;
    },
    redrive(name, { to = "videos-jobs", limit = Infinity } = {}) {
      const moved = known(name).splice(0, limit);
      known(to).push(...moved);
      return moved.length;
    },
  };
}
