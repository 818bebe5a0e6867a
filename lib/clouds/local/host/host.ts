import { setImmediate as nextTurn, setTimeout as pause } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import type { DestinationPlan, FunctionPlan, PartPlan, Plan, TaskPlan } from "../../../parts/plan.ts";
import type { Support } from "../../../parts/support.ts";
import { type Clock, systemClock } from "../../../runtime/clock.ts";
import { MillraceError, toErrorRecord } from "../../../runtime/errors.ts";
import type { Log } from "../../../runtime/handler.ts";
import type {
  NewRecord,
  SecretReader,
  TaskController,
  TaskSubmitter,
  WorkflowAnswerer,
  WorkflowController,
  WorkflowStarter,
} from "../../../runtime/ports.ts";
import type { ReadOptions } from "../../../runtime/streams.ts";
import type { TaskDefinition } from "../../../runtime/tasks/definition.ts";
import type { Envelope } from "../../../runtime/tasks/envelope.ts";
import { TaskService } from "../../../runtime/tasks/service.ts";
import { isFinal, type SubmitOptions, type Task } from "../../../runtime/tasks/task.ts";
import { isOver } from "../../../runtime/workflows/run.ts";
import type { LinkAddress } from "../runtime/channel.ts";
import { Agenda } from "./agenda.ts";
import { Buckets } from "./buckets.ts";
import { Calls } from "./calls.ts";
import { Consumers } from "./consumers.ts";
import { DropFolder } from "./drop-folder.ts";
import { Faults, seededRandom } from "./faults.ts";
import { Functions } from "./functions.ts";
import type { LocalBuckets, LocalChange, LocalStreams, LocalView } from "./inspect.ts";
import { Journal } from "./journal.ts";
import type { KafkaStreams, KafkaStreamsOptions } from "./kafka-streams.ts";
import { type AlarmChange, Monitors } from "./monitors.ts";
import { Permissions } from "./permissions.ts";
import { LocalPlatform, toLogLine } from "./platform.ts";
import { Processes } from "./processes.ts";
import { Queues } from "./queues.ts";
import { StreamPlaces } from "./stream-places.ts";
import { Streams } from "./streams.ts";
import { Tables } from "./tables.ts";
import { SqliteTaskLogs } from "./task-logs.ts";
import { SqliteTaskStore } from "./task-store.ts";
import { Triggers } from "./triggers.ts";
import { Volumes } from "./volumes.ts";
import { type Asked, Workflows } from "./workflows.ts";

/** Payloads and results too large for the task store lie here; no plan has a part of this name. */
const CLAIMS = ".claims";

/** What one thing's end sets going may take a turn of the event loop to show. */
const QUIET_LOOKS = 3;
/** Real milliseconds between two looks at what is under way. */
const LOOK_AGAIN = 2;

export interface LocalHostOptions {
  /** Where everything lies: `.millrace`. */
  readonly folder: string;
  /** Whose limits are enforced. */
  readonly limits: Support["limits"];
  /** Values of secret parts, by part name. */
  readonly secrets?: Readonly<Record<string, string>>;
  /** Paths of tools such as `ffmpeg`. */
  readonly tools?: Readonly<Record<string, string>>;
  /** @default the machine's */
  readonly clock?: Clock;
  /** Of everything random: order of delivery, jitter, faults. @default another one every time */
  readonly seed?: number;
  /** Invocations at once. @default the machine's cores, at least 2 */
  readonly concurrency?: number;
  /** Opens the real Kafka that all streams lie in. @default the journal keeps them */
  readonly kafka?: (options: KafkaStreamsOptions) => KafkaStreams;
  /** For what happens behind everybody's back. @default nobody hears it */
  readonly log?: Log;
}

/** A plan, and the bundle of each of its functions. */
export interface Deployment {
  readonly plan: Plan;
  /** Paths by function name. */
  readonly bundles: Readonly<Record<string, string>>;
}

/**
 * The laptop as a cloud: everything a plan declares, running, in one process with one journal. What is deployed later
 * takes the place of what was there; data and runs stay.
 */
export class LocalHost implements LocalView {
  readonly clock: Clock;
  readonly faults: Faults;
  readonly permissions = new Permissions();
  readonly queues: Queues;
  readonly tasks: TaskService;
  readonly workflows: Workflows;
  readonly functions: Functions;
  readonly buckets: LocalBuckets;
  readonly streams: LocalStreams;
  readonly #options: LocalHostOptions;
  readonly #journal: Journal;
  readonly #agenda: Agenda;
  readonly #objects: Buckets;
  readonly #tables: Tables;
  readonly #volumes: Volumes;
  readonly #logs: Streams;
  readonly #places: StreamPlaces;
  readonly #consumers: Consumers;
  readonly #kafka: KafkaStreams | undefined;
  readonly #triggers: Triggers;
  readonly #monitors: Monitors;
  readonly #most: number;
  readonly #listeners = new Set<(change: LocalChange) => void>();
  readonly #definitions = new Map<string, TaskDefinition>();
  readonly #aliases = new Map<string, string>();
  #plan: Plan | undefined;
  #secrets: Readonly<Record<string, string>>;
  #dropFolder: DropFolder | undefined;

  /** @throws MillraceError `refused` if another process works in the folder. */
  constructor(options: LocalHostOptions) {
    const { folder, limits, clock = systemClock, seed = Math.floor(Math.random() * 2 ** 32), tools = {} } = options;
    const random = seededRandom(seed);
    this.#options = options;
    this.#secrets = options.secrets ?? {};
    this.clock = clock;
    this.#journal = new Journal(folder);
    this.#agenda = new Agenda(clock, (error) => options.log?.error(toErrorRecord(error).message));
    this.faults = new Faults({ clock, seed });
    const shared = { journal: this.#journal, clock, random, agenda: this.#agenda, faults: this.faults };

    this.#objects = new Buckets({ ...shared, onCreated: (event) => this.#triggers.created(event) });
    this.queues = new Queues({
      ...shared,
      onSent: (queue) => {
        this.#monitors.sent(queue);
        this.#agenda.wake();
      },
      limits: messageLimits(limits),
    });
    this.#tables = new Tables(shared);
    this.#logs = new Streams({ ...shared, onAppended: (stream) => this.#appended(stream) });
    this.#places = new StreamPlaces(this.#journal, this.#logs);
    this.#volumes = new Volumes(folder);

    const processes = new Processes({ ...shared, ...(options.concurrency && { most: options.concurrency }) });
    this.#most = processes.most;
    this.functions = new Functions({
      ...shared,
      processes,
      permissions: this.permissions,
      calls: new Calls({
        permissions: this.permissions,
        buckets: this.#objects,
        claims: {
          claim: (...args) => (this.#kafka ?? this.#places).claim(...args),
          commit: (...args) => (this.#kafka ?? this.#places).commit(...args),
        },
        port: (part, kind) => this.#port(part, kind),
        faults: this.faults,
      }),
      limits: callLimits(limits),
      tools,
      volume: (part) => this.#volumes.define(this.#part(part, "volume")).path,
      send: (queue, body) => void this.queues.sendNow(queue, body),
      onGiveUp: (name) => this.#monitors.gaveUp(name),
      onLog: ({ function: name, attempt, lines }) => {
        for (const line of lines) {
          this.#tell({ type: "function.logged", function: name, line: toLogLine(line, attempt) });
        }
      },
    });
    this.#triggers = new Triggers({
      ...shared,
      functions: this.functions,
      queues: this.queues,
      most: this.#most,
      onError: (error) => options.log?.warn(toErrorRecord(error).message),
    });
    this.#consumers = new Consumers({
      ...shared,
      functions: this.functions,
      streams: this.#logs,
      places: this.#places,
      send: (queue, body) => void this.queues.sendNow(queue, body),
      batchBytes: limits.functionPayloadBytes?.value ?? Number.POSITIVE_INFINITY,
      most: this.#most,
      onConsumed: (batch) => this.#tell({ type: "records.consumed", ...batch }),
      onError: (error) => options.log?.warn(toErrorRecord(error).message),
    });
    this.#kafka = options.kafka?.({
      clock,
      random,
      functions: this.functions,
      send: (queue, body) => void this.queues.sendNow(queue, body),
      onConsumed: (batch) => this.#tell({ type: "records.consumed", ...batch }),
      log: this.#log,
    });
    this.#monitors = new Monitors({
      clock,
      wake: () => this.#agenda.wake(),
      stats: (queue) => this.queues.stats(queue),
      lag: (name) => this.#lagOf(name),
      notify: (destination, change) =>
        this.#send(destination, change, `${change.monitor} ${change.part} ${change.time}`),
      onChange: (change) => this.#tell({ type: "alarm.changed", ...change }),
    });
    this.tasks = this.#openTasks(random);
    this.workflows = this.#openWorkflows(random);
    this.buckets = {
      list: () => this.#objects.names(),
      reader: (name) => this.#objects.reader(name),
      writer: (name) => this.#objects.writer(name),
      remover: (name) => this.#objects.remover(name),
    };
    this.streams = this.#kafka?.view ?? {
      list: () => this.#logs.list(),
      append: (stream, records) => this.#logs.append(stream, records),
      read: (stream, options) => this.#logs.read(stream, options),
      lag: (stream) => this.#places.lag(stream),
    };
    this.#objects.onChange(({ bucket, key }) => this.#tellObject(bucket, key));
    this.tasks.onChange((task) => {
      if (isFinal(task.status)) this.#monitors.ended(task);
      this.#tell({ type: "task.changed", task });
    });
  }

  /** The first deployment starts the work; a later one replaces what is declared, and nothing else. */
  async deploy(
    { plan, bundles }: Deployment,
    secrets: Readonly<Record<string, string>> = this.#secrets,
  ): Promise<void> {
    const before = this.#plan;
    this.#secrets = secrets;
    this.#forget(plan);
    this.#plan = plan;
    this.#defineData(plan.parts);
    this.#defineTasks(plan);
    for (const part of plan.parts) if (part.kind === "function") this.functions.define(part, bundleOf(part, bundles));
    this.#triggers.define(plan.parts);
    this.#consumers.define(this.#kafka ? [] : plan.parts);
    await this.#kafka?.define(plan.parts);
    this.#monitors.define(plan.parts);
    if (before === undefined) await this.#begin();
    else if (!isDeepStrictEqual(before, plan)) {
      this.tasks.redefined();
      this.#tell({ type: "plan.changed", plan });
    }
    this.workflows.define(plan);
    await this.#dropFolder?.refresh();
    this.#agenda.wake();
  }

  plan(): Plan {
    if (!this.#plan) throw new MillraceError("unavailable", "nothing is deployed yet");
    return this.#plan;
  }

  /** Shows the buckets as folders from now on, and takes what is dropped there. */
  async openDropFolder(): Promise<string> {
    const log = this.#log;
    this.#dropFolder ??= await DropFolder.open({ buckets: this.#objects, journal: this.#journal, log });
    return this.#dropFolder.path;
  }

  onChange(listener: (change: LocalChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Resolves once nothing is left to do now: no invocation runs but those that wait for a clock that stands still, and
   * all that waits, waits for its time, which comes with `advance`. Records go in batches as they are, filled or not.
   */
  async idle(): Promise<void> {
    const relax = this.#consumers.hurry();
    try {
      await this.#quiet();
    } finally {
      relax();
    }
  }

  async #quiet(): Promise<void> {
    for (let quiet = 0; quiet < QUIET_LOOKS; ) {
      await this.tasks.settled();
      await nextTurn();
      // Asked again: one run's end, which starts the next one, may have come in with this turn.
      const isQuiet = this.tasks.isSettled && this.functions.isQuiet && this.workflows.isQuiet && this.#agenda.isQuiet;
      quiet = isQuiet ? quiet + 1 : 0;
      if (quiet === 0) await pause(LOOK_AGAIN);
    }
  }

  /** Ends all work; runs under way are begun again at the next start. */
  async close(): Promise<void> {
    this.#agenda.stop();
    this.workflows.suspend();
    await this.#dropFolder?.close();
    await this.tasks.close();
    await Promise.all([this.#triggers.close(), this.#consumers.close(), this.#kafka?.close(), this.functions.close()]);
    await this.tasks.settled();
    await this.workflows.settled();
    this.#journal.close();
  }

  /** What a killed predecessor left is looked at before anything new begins. */
  async #begin(): Promise<void> {
    const { duty } = this.functions;
    const data = [this.#objects, this.#tables, this.#logs];
    const work = [duty, this.#triggers.duty, this.#consumers, this.tasks, this.#monitors];
    for (const each of [...data, ...work]) this.#agenda.add(each);
    await this.tasks.recover();
  }

  #openTasks(random: () => number): TaskService {
    const { limits } = this.#options;
    this.#objects.define(claimsBucket());
    const platform = new LocalPlatform({
      functions: this.functions,
      planOf: (task) => this.#plan?.parts.find((part): part is TaskPlan => part.kind === "task" && part.name === task),
      listener: {
        progressed: (attempt, fraction, message) => void this.tasks.progressed(attempt, fraction, message),
        finished: (attempt, outcome) => void this.tasks.finished(attempt, outcome),
        logged: (attempt, lines) => {
          void this.tasks.logged(attempt, lines);
          for (const line of lines) this.#tell({ type: "task.logged", task: attempt.task, id: attempt.id, line });
        },
      },
    });
    return new TaskService({
      definitions: this.#definitions,
      aliases: this.#aliases,
      store: new SqliteTaskStore(this.#journal),
      logs: new SqliteTaskLogs(this.#journal),
      platform,
      deliver: (destination, envelope, key) => this.#send(destination, envelope, key),
      dispatch: (task, payload, options) => this.#dispatch(task, payload, options),
      claims: {
        ...this.#objects.reader(CLAIMS),
        ...this.#objects.writer(CLAIMS),
        ...this.#objects.remover(CLAIMS),
      },
      clock: this.clock,
      random,
      limits: taskLimits(limits),
      log: this.#log,
      wake: () => this.#agenda.wake(),
    });
  }

  #openWorkflows(random: () => number): Workflows {
    const { functionPayloadBytes } = this.#options.limits;
    return new Workflows({
      journal: this.#journal,
      clock: this.clock,
      random,
      functions: this.functions,
      tasks: () => this.tasks,
      ask: (to, question, key) => this.#send(to, question, key),
      onChange: (run) => {
        if (isOver(run.status)) this.#monitors.workflowEnded(run);
        this.#tell({ type: "workflow.changed", run });
      },
      ...(functionPayloadBytes && { inputBytes: functionPayloadBytes.value }),
      log: this.#log,
    });
  }

  get #log(): Log {
    const quiet = () => {};
    return this.#options.log ?? { debug: quiet, info: quiet, warn: quiet, error: quiet };
  }

  /** Names that are gone or changed their kind take their functions and streams with them. */
  #forget(plan: Plan): void {
    const kept = new Set(plan.parts.map(({ kind, name }) => `${kind} ${name}`));
    for (const { kind, name } of this.#plan?.parts ?? []) {
      if (kept.has(`${kind} ${name}`)) continue;
      if (kind === "function") this.functions.remove(name);
      if (kind === "stream") this.#logs.remove(name);
    }
  }

  #defineData(parts: readonly PartPlan[]): void {
    for (const part of parts) {
      if (part.kind === "bucket") this.#objects.define(part);
      if (part.kind === "queue") this.queues.define(part);
      if (part.kind === "table") this.#tables.define(part);
      if (part.kind === "stream" && !this.#kafka) this.#logs.define(part);
      if (part.kind === "volume") this.#volumes.define(part);
    }
  }

  #defineTasks({ parts, constructs }: Plan): void {
    const tasks = parts.filter((part) => part.kind === "task");
    this.#definitions.clear();
    this.#aliases.clear();
    for (const task of tasks) {
      // The laptop gives each task as many processes as it has: what waits, waits in the queue where it can be seen.
      this.#definitions.set(task.name, { ...task, concurrency: Math.min(task.concurrency ?? this.#most, this.#most) });
    }
    for (const { name } of constructs) {
      const own = tasks.filter(({ construct }) => construct === name);
      if (own.length === 1) this.#aliases.set(name, own[0]!.name);
    }
  }

  /** Once per key where it goes to a queue; a function may be called twice after a crash, with one event id. */
  #send({ kind, name }: DestinationPlan, payload: Envelope | AlarmChange | Asked, key: string): void {
    if (kind === "queue") {
      this.queues.sendNow(name, JSON.stringify(payload), { deduplication: key });
    } else {
      const time = new Date(this.clock.now()).toISOString();
      this.functions.enqueue(name, { type: "function.invoked", id: key, payload, time });
    }
  }

  async #dispatch(task: string, payload: unknown, options: SubmitOptions): Promise<Task> {
    const { dispatcher } = this.#part(task, "task");
    return (await this.functions.invoke(dispatcher, payload, { submit: options })) as Task;
  }

  /** A part's port with all its methods; permissions are checked before it is asked for. */
  #port(part: string, kind: LinkAddress["kind"]): object {
    switch (kind) {
      case "bucket":
        return { ...this.#objects.reader(part), ...this.#objects.writer(part), ...this.#objects.remover(part) };
      case "queue":
        return { ...this.queues.sender(part), ...this.queues.receiver(part) };
      case "table":
        return { ...this.#tables.reader(part), ...this.#tables.writer(part) };
      case "stream":
        return (
          this.#kafka?.port(part) ?? {
            send: async (records: readonly NewRecord[]) => void this.#logs.append(part, records),
            read: async (options: ReadOptions) => this.#logs.read(part, options),
          }
        );
      case "function":
        return this.functions.port(part);
      case "secret":
        return { value: async () => this.#secret(part) } satisfies SecretReader;
      case "task":
        return this.#taskPort(part);
      case "workflow":
        return this.#workflowPort(part);
      case "volume":
        return {};
    }
  }

  #appended(stream: string): void {
    for (const name of this.#consumers.appended(stream)) this.#monitors.sent(name);
  }

  #lagOf(name: string): number {
    if (this.#kafka) return this.#kafka.lagOf(name);
    const lags = this.#consumers.groupsOf(name).map(({ group, stream }) => this.#places.lagOf(group, stream));
    return lags.reduce((sum, lag) => sum + lag, 0);
  }

  #taskPort(task: string): TaskSubmitter & TaskController {
    return {
      submit: (id, payload, options) => this.tasks.submit(task, payload, { ...options, id }),
      get: (id) => this.tasks.get(task, id),
      list: (filter) => this.tasks.list(task, filter),
      audit: (id) => this.tasks.audit(task, id),
      stop: (id) => this.tasks.stop(task, id),
      retry: (id) => this.tasks.retry(task, id),
    };
  }

  #workflowPort(workflow: string): WorkflowStarter & WorkflowController & WorkflowAnswerer {
    const { workflows } = this;
    return {
      start: (id, input) => workflows.start(workflow, input, { id }),
      get: (id) => workflows.get(workflow, id),
      list: (filter) => workflows.list(workflow, filter),
      stop: (id) => workflows.stop(workflow, id),
      retry: (id) => workflows.retry(workflow, id),
      answer: (callback, answer) => workflows.answerOf(workflow, callback, answer),
    };
  }

  #secret(part: string): string {
    const value = this.#secrets[part];
    if (value === undefined) throw new MillraceError("not-found", `the secret ${part} has no value on this machine`);
    return value;
  }

  #part<Kind extends PartPlan["kind"]>(name: string, kind: Kind): Extract<PartPlan, { kind: Kind }> {
    const part = this.plan().parts.find((candidate) => candidate.kind === kind && candidate.name === name);
    if (!part) throw new MillraceError("not-found", `the plan has no ${kind} "${name}"`);
    return part as Extract<PartPlan, { kind: Kind }>;
  }

  #tell(change: LocalChange): void {
    for (const listener of this.#listeners) listener(change);
  }

  #tellObject(bucket: string, key: string): void {
    if (this.#listeners.size === 0) return;
    const object = this.#objects.head(bucket, key);
    if (object) this.#tell({ type: "object.created", bucket, object });
  }
}

const claimsBucket = () =>
  ({
    kind: "bucket",
    name: CLAIMS,
    stem: CLAIMS,
    construct: "",
    cloud: "local",
    versioned: false,
    removable: false,
  }) as const;

function bundleOf({ name }: FunctionPlan, bundles: Deployment["bundles"]): string {
  const file = bundles[name];
  if (file === undefined) throw new MillraceError("not-found", `function "${name}" has no bundle`);
  return file;
}

type Limits = Support["limits"];

const messageLimits = ({ queueMessageBytes, queueDelaySeconds }: Limits) => ({
  ...(queueMessageBytes && { messageBytes: queueMessageBytes.value }),
  ...(queueDelaySeconds && { delaySeconds: queueDelaySeconds.value }),
});

const callLimits = ({ functionPayloadBytes, eventPayloadBytes }: Limits) => ({
  ...(functionPayloadBytes && { functionPayloadBytes: functionPayloadBytes.value }),
  ...(eventPayloadBytes && { eventPayloadBytes: eventPayloadBytes.value }),
});

const taskLimits = ({ taskPayloadBytes, taskResultBytes }: Limits) => ({
  ...(taskPayloadBytes && { taskPayloadBytes: taskPayloadBytes.value }),
  ...(taskResultBytes && { taskResultBytes: taskResultBytes.value }),
});
