import type { Clock } from "../clock.ts";
import { toErrorRecord } from "../errors.ts";
import type { Background } from "./background.ts";
import type { Bodies } from "./bodies.ts";
import type { Changes } from "./changes.ts";
import type { TaskDefinition } from "./definition.ts";
import { type AttemptRef, attemptId } from "./ids.ts";
import type { Outcome, TaskPlatform } from "./platform.ts";
import type { TaskRow } from "./row.ts";
import type { TaskStore } from "./store.ts";

/** The longest a run is trusted to run before the platform is asked about it. */
const LONGEST_LEASE = 5 * 60_000;

/** A platform may end an attempt this long after its time and still be on time. */
export const LEASE_SLACK = 30_000;

/** Runs moved at once: more only make the others wait. */
const BATCH = 100;

/** Milliseconds a run of this task is trusted to run. */
export const leaseOf = ({ timeout, grace }: TaskDefinition): number =>
  Math.min((timeout + grace) * 1000 + LEASE_SLACK, LONGEST_LEASE);

/** What admission works with. */
interface AdmissionWorld {
  readonly definitions: ReadonlyMap<string, TaskDefinition>;
  readonly store: TaskStore;
  readonly platform: TaskPlatform;
  readonly changes: Changes;
  readonly bodies: Bodies;
  readonly background: Background;
  readonly clock: Clock;
  /** Told of an attempt that could not be started. */
  readonly finished: (attempt: AttemptRef, outcome: Outcome) => Promise<void>;
}

/** Gives free slots to waiting runs: the one way from waiting to running, for every submit and after every end. */
export class Admission {
  readonly #world: AdmissionWorld;
  /** Tasks whose admission is under way, and whether it was asked for again meanwhile. */
  readonly #asked = new Map<string, boolean>();
  /** Starts that the platform has not answered yet, by attempt. */
  readonly #starting = new Map<string, Promise<void>>();
  #isClosed = false;

  constructor(world: AdmissionWorld) {
    this.#world = world;
  }

  /** Looks soon whether a run of the task can start; requests of the same moment are one. */
  request(task: string): void {
    if (this.#isClosed) return;
    const isUnderWay = this.#asked.has(task);
    this.#asked.set(task, isUnderWay);
    if (!isUnderWay) this.#world.background.run(this.#admit(task));
  }

  /** Nothing starts from here on. */
  close(): void {
    this.#isClosed = true;
  }

  /** Resolves once the platform has answered the attempt's start; at once if none is under way here. */
  async startOf(attempt: AttemptRef): Promise<void> {
    await this.#starting.get(keyOf(attempt));
  }

  /** Whether this process is about to start the attempt, so that the platform cannot know it yet. */
  isStarting(attempt: AttemptRef): boolean {
    return this.#starting.has(keyOf(attempt));
  }

  async #admit(task: string): Promise<void> {
    const { definitions, store, clock, changes } = this.#world;
    try {
      await new Promise((resolve) => setImmediate(resolve));
      let isMore = true;
      while (isMore && !this.#isClosed) {
        const definition = definitions.get(task);
        if (!definition) return;
        this.#asked.set(task, false);
        const { concurrency } = definition;
        const rows = await store.claim(task, {
          ...(concurrency !== undefined && { concurrency }),
          limit: BATCH,
          now: clock.now(),
          lease: leaseOf(definition),
        });
        for (const row of rows) {
          this.#begin(row, definition);
          changes.announce(row);
        }
        isMore = rows.length === BATCH || this.#asked.get(task) === true;
      }
    } finally {
      // In one step with the last look at it: a request in between would be lost.
      this.#asked.delete(task);
    }
  }

  #begin(row: TaskRow, definition: TaskDefinition): void {
    const key = keyOf(row);
    const start = this.#start(row, definition).finally(() => this.#starting.delete(key));
    this.#starting.set(
      key,
      start.catch(() => {}),
    );
    this.#world.background.run(start);
  }

  async #start(row: TaskRow, { timeout }: TaskDefinition): Promise<void> {
    const { platform, bodies, clock, finished } = this.#world;
    const { task, id, attempt, tenant, payload: info } = row;
    try {
      const text = await bodies.read(row, "payload", info);
      await platform.start({
        task,
        id,
        attempt,
        attemptId: attemptId(row),
        payload: JSON.parse(text) as unknown,
        ...(info.claim !== undefined && { payloadReference: bodies.reference(info, info.claim) }),
        ...(tenant !== undefined && { tenant }),
        deadline: (row.attempts.at(-1)?.started ?? clock.now()) + timeout * 1000,
      });
    } catch (error) {
      const { kind, message, stack } = toErrorRecord(error);
      await finished(row, {
        error: {
          // Nothing ran: it costs no attempt that the platform does not answer.
          kind: kind === "unavailable" ? "interrupted" : kind,
          message: `could not start: ${message}`,
          ...(stack !== undefined && { stack }),
        },
      });
    }
  }
}

const keyOf = ({ task, id, attempt }: AttemptRef): string => `${task}\0${id}\0${attempt}`;
