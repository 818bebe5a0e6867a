import type { Clock } from "../clock.ts";
import { toErrorRecord } from "../errors.ts";
import type { Log } from "../handler.ts";
import { type Admission, LEASE_SLACK, leaseOf } from "./admission.ts";
import type { Bodies } from "./bodies.ts";
import type { Changes } from "./changes.ts";
import type { TaskDefinition } from "./definition.ts";
import type { Endings } from "./endings.ts";
import { attemptId } from "./ids.ts";
import type { TaskLogs } from "./logs.ts";
import type { Outbox } from "./outbox.ts";
import type { AttemptState, TaskPlatform } from "./platform.ts";
import { isHeld, isWaiting, type TaskRow } from "./row.ts";
import { renewed } from "./steps.ts";
import type { TaskStore } from "./store.ts";

/** How long a platform that does not answer is left alone. */
const ASK_AGAIN = 30_000;

/** Rows looked at in one go. */
const PAGE = 100;

/** What the caretaker works with. */
interface CaretakerWorld {
  readonly definitionOf: (task: string) => TaskDefinition;
  readonly store: TaskStore;
  readonly platform: TaskPlatform;
  readonly changes: Changes;
  readonly bodies: Bodies;
  readonly outbox: Outbox;
  readonly endings: Endings;
  readonly admission: Admission;
  readonly logs: TaskLogs;
  readonly clock: Clock;
  readonly log: Log;
}

/** Looks after runs nobody reports on: overdue, lost by the platform, not yet told of, or to be forgotten. */
export class Caretaker {
  readonly #world: CaretakerWorld;

  constructor(world: CaretakerWorld) {
    this.#world = world;
  }

  /** Looks at all rows that are due, each once. */
  async lookAfter(now: number): Promise<void> {
    const seen = new Set<string>();
    while (true) {
      const rows = await this.#world.store.due(now, PAGE);
      // A row that is due again has just been tried in vain: it waits for the next time.
      const fresh = rows.filter((row) => !seen.has(keyOf(row)));
      for (const row of fresh) {
        seen.add(keyOf(row));
        await this.#attend(row, now);
      }
      if (fresh.length === 0) return;
    }
  }

  /** After a restart: asks about every run that held a slot, and sends again what is not confirmed. */
  async recover(): Promise<void> {
    let after: string | undefined;
    do {
      const page = await this.#world.store.unsettled({ ...(after !== undefined && { after }), limit: PAGE });
      for (const row of page.rows) {
        if (row.deliveries.length > 0) await this.#world.outbox.resend(row, () => true);
        if (isHeld(row)) await this.#ask(row);
      }
      after = page.next;
    } while (after !== undefined);
  }

  async #attend(row: TaskRow, now: number): Promise<void> {
    const { endings, outbox } = this.#world;
    if (isWaiting(row)) await endings.expire(row.task, row.id);
    else if (isHeld(row)) await this.#ask(row);
    else if (row.deliveries.length > 0) await outbox.resend(row, ({ at }) => at <= now);
    else await this.#forget(row);
  }

  /** Asks the platform what became of a run that has not been heard of. */
  async #ask(row: TaskRow): Promise<void> {
    const { platform, admission, endings, log } = this.#world;
    if (admission.isStarting(row) || endings.isUnstored(row)) return this.#renew(row, ASK_AGAIN);
    let state: AttemptState;
    try {
      state = await platform.inspect(row);
    } catch (error) {
      log.warn(`${row.task} "${attemptId(row)}": the platform does not answer: ${toErrorRecord(error).message}`);
      return this.#renew(row, ASK_AGAIN);
    }
    if (state === "running") return this.#keepRunning(row);
    if (state === "gone") {
      const error = { kind: "interrupted", message: "the platform no longer knows the attempt" } as const;
      return endings.finished(row, { error });
    }
    return endings.finished(row, state);
  }

  async #keepRunning(row: TaskRow): Promise<void> {
    const { definitionOf, endings, clock } = this.#world;
    const definition = definitionOf(row.task);
    const { timeout, grace } = definition;
    const began = row.attempts.at(-1)?.started ?? row.updated;
    const isOverdue = clock.now() > began + (timeout + grace) * 1000 + LEASE_SLACK;
    if (isOverdue || row.status === "stopping") await this.#stop(row);
    if (!isOverdue) return this.#renew(row, row.status === "stopping" ? ASK_AGAIN : leaseOf(definition));
    await endings.finished(row, {
      error: { kind: "timed-out", message: `still running ${timeout} s after its start; the platform did not end it` },
    });
  }

  /** Its grace is over: ends it now. */
  async #stop(row: TaskRow): Promise<void> {
    try {
      await this.#world.platform.stop(row, 0);
    } catch (error) {
      this.#world.log.warn(`${row.task} "${attemptId(row)}": could not be stopped: ${toErrorRecord(error).message}`);
    }
  }

  async #renew({ task, id, attempt }: TaskRow, lease: number): Promise<void> {
    const { changes, clock } = this.#world;
    await changes.change(task, id, (row) =>
      isHeld(row) && row.attempt === attempt ? renewed(row, clock.now(), lease) : undefined,
    );
  }

  /** Its retention is over. Objects go last: a crash in between leaves garbage, never a run without its payload. */
  async #forget(row: TaskRow): Promise<void> {
    const { store, logs, bodies } = this.#world;
    if (!(await store.remove(row))) return;
    await logs.remove(row.task, row.id);
    await bodies.discard(row.claims);
  }
}

const keyOf = ({ task, id }: TaskRow): string => `${task}\0${id}`;
