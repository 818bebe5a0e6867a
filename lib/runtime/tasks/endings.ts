import type { Clock } from "../clock.ts";
import { toErrorRecord } from "../errors.ts";
import type { Log } from "../handler.ts";
import type { Admission } from "./admission.ts";
import type { Background } from "./background.ts";
import { type Bodies, toJson } from "./bodies.ts";
import type { Changes } from "./changes.ts";
import type { TaskDefinition } from "./definition.ts";
import { type AttemptRef, attemptId } from "./ids.ts";
import type { Outbox } from "./outbox.ts";
import type { Outcome } from "./platform.ts";
import { isHeld, isWaiting, type TaskRow } from "./row.ts";
import { concluded, ended, type PackedBody, type Step, stopAsked } from "./steps.ts";
import type { TaskStore } from "./store.ts";
import { isFinal } from "./task.ts";

/** How long an outcome waits that could not be stored. */
const STORE_AGAIN = 1000;

/** What endings work with. */
interface EndingsWorld {
  readonly definitionOf: (task: string) => TaskDefinition;
  readonly store: TaskStore;
  readonly changes: Changes;
  readonly bodies: Bodies;
  readonly outbox: Outbox;
  readonly background: Background;
  readonly admission: () => Admission;
  readonly schedule: (time: number) => void;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
}

/** Brings attempts and runs to their ends: every finish, on every cloud, comes through here. */
export class Endings {
  readonly #world: EndingsWorld;
  /** Attempts whose outcome is on its way into the store, a large result on its way into the bucket. */
  readonly #storing = new Set<string>();
  /** Outcomes that could not be stored, a full disk for example; by attempt. */
  readonly #unstored = new Map<string, () => Promise<void>>();

  constructor(world: EndingsWorld) {
    this.#world = world;
  }

  /** Never rejects: an outcome that cannot be stored now is kept and stored later. */
  async finished(attempt: AttemptRef, outcome: Outcome): Promise<void> {
    const { log, clock, schedule } = this.#world;
    const key = keyOf(attempt);
    this.#storing.add(key);
    try {
      await this.#conclude(attempt, outcome);
      this.#unstored.delete(key);
    } catch (error) {
      const { message } = toErrorRecord(error);
      log.error(`${attempt.task} "${attemptId(attempt)}": its end could not be stored, trying again: ${message}`);
      this.#unstored.set(key, () => this.finished(attempt, outcome));
      schedule(clock.now() + STORE_AGAIN);
    } finally {
      this.#storing.delete(key);
    }
  }

  /** Whether the attempt's outcome is known here but not stored yet: the platform may have forgotten it already. */
  isUnstored(attempt: AttemptRef): boolean {
    const key = keyOf(attempt);
    return this.#storing.has(key) || this.#unstored.has(key);
  }

  async storeAgain(): Promise<void> {
    for (const store of [...this.#unstored.values()]) await store();
  }

  /** Asks a run to end, or ends it where it waits; nothing if there is no such run. */
  stop(task: string, id: string, by: string) {
    const definition = this.#world.definitionOf(task);
    return this.#end(task, id, (row) => stopAsked(row, definition, by, this.#world.clock.now()));
  }

  /** Gives up a run that has not started in time. */
  expire(task: string, id: string) {
    const { clock, definitionOf } = this.#world;
    return this.#end(task, id, (row) => {
      const now = clock.now();
      if (!isWaiting(row) || row.started !== undefined || (row.expires ?? Infinity) > now) return undefined;
      const error = { kind: "expired", message: `not started by ${new Date(row.expires!).toISOString()}` } as const;
      return ended(row, definitionOf(task), "expired", error, "platform", now);
    });
  }

  async #conclude(attempt: AttemptRef, outcome: Outcome): Promise<void> {
    const { clock, random, definitionOf, bodies, log } = this.#world;
    const { end, result } = await this.#pack(attempt, outcome);
    const definition = definitionOf(attempt.task);
    const taken = await this.#end(
      attempt.task,
      attempt.id,
      (row) => (isCurrent(row, attempt) ? concluded(row, definition, end, result, clock.now(), random) : undefined),
      result,
    );
    if (taken?.changed) return;
    const now = taken ? `attempt ${taken.row.attempt} is ${taken.row.status}` : "the run is gone";
    log.warn(`${attempt.task} "${attemptId(attempt)}": its end comes too late and is ignored: ${now}`);
    if (result?.info.claim !== undefined) await bodies.discard([result.info.claim], taken?.row);
  }

  /** The outcome with its result as text; one that is no JSON is an error of the handler. */
  async #pack(attempt: AttemptRef, outcome: Outcome): Promise<{ end: Outcome; result?: PackedBody }> {
    if ("error" in outcome || outcome.result === undefined) return { end: outcome };
    let text: string;
    try {
      text = toJson(outcome.result, "result");
    } catch (error) {
      return { end: { error: toErrorRecord(error) } };
    }
    return { end: outcome, result: await this.#world.bodies.pack(attempt, "result", text) };
  }

  async #end(task: string, id: string, decide: (row: TaskRow) => Step | undefined, result?: PackedBody) {
    const { changes, outbox, background, admission } = this.#world;
    const taken = await changes.change(task, id, async (row) => {
      const step = decide(row);
      return step && outbox.enclose(row, step, result);
    });
    if (taken?.changed) {
      const { row } = taken;
      if (isFinal(row.status)) background.run(outbox.send(row, ({ outcome }) => outcome === row.outcomes));
      if (!isHeld(row)) admission().request(task);
    }
    return taken;
  }
}

/** Whether a report of this attempt may change the row: only the attempt that holds the slot has a say. */
const isCurrent = (row: TaskRow, { attempt }: AttemptRef): boolean => isHeld(row) && row.attempt === attempt;

const keyOf = (attempt: AttemptRef): string => `${attempt.task}\0${attemptId(attempt)}`;
