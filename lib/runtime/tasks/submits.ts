import type { Clock } from "../clock.ts";
import { MillraceError } from "../errors.ts";
import type { Bodies } from "./bodies.ts";
import type { Changes } from "./changes.ts";
import type { TaskDefinition } from "./definition.ts";
import { rerunId, splitRerun } from "./ids.ts";
import { submitRequest } from "./requests.ts";
import type { TaskRow } from "./row.ts";
import { answers, event, resubmitted, type SubmitRequest, submitted } from "./steps.ts";
import type { TaskStore } from "./store.ts";
import type { SubmitOptions } from "./task.ts";

/** What submits work with. */
interface SubmitsWorld {
  readonly store: TaskStore;
  readonly changes: Changes;
  readonly bodies: Bodies;
  readonly clock: Clock;
}

/** A run that was accepted, or the one that was there already. */
export interface Submitted {
  readonly row: TaskRow;
  readonly deduplicated: boolean;
}

/** Accepts runs, each id once. */
export class Submits {
  readonly #world: SubmitsWorld;
  #sequence = 0;

  constructor(world: SubmitsWorld) {
    this.#world = world;
  }

  /** @throws `refused` for a bad id or option; `conflict` if the id is another tenant's */
  async submit(definition: TaskDefinition, id: string, payload: string, options: SubmitOptions): Promise<Submitted> {
    const request = submitRequest(definition, id, options, this.#world.clock.now());
    if (options.again) return { row: await this.#again(request, payload), deduplicated: false };
    return this.#once(request, payload);
  }

  async #once(request: SubmitRequest, text: string): Promise<Submitted> {
    const { store, changes, bodies, clock } = this.#world;
    // An event delivered three times puts its large payload into the bucket once.
    const known = bodies.isLarge("payload", text) ? await store.get(request.task, request.id) : undefined;
    if (known && answers(known, request)) return this.#answer(known, request);
    const payload = await bodies.pack(request, "payload", text);
    const step = submitted(request, payload, this.#nextSequence(), clock.now());
    while (true) {
      const existing = await store.insert(step.row, step);
      if (!existing) {
        changes.announce(step.row);
        return { row: step.row, deduplicated: false };
      }
      if (answers(existing, request)) {
        await bodies.discard(step.row.claims, existing);
        return this.#answer(existing, request);
      }
      this.#checkTenant(existing, request);
      const again = resubmitted(existing, request, payload, this.#nextSequence(), clock.now());
      const stored = await store.update(existing, again.row, again);
      if (stored) {
        changes.announce(stored);
        return { row: stored, deduplicated: false };
      }
    }
  }

  async #answer(row: TaskRow, request: SubmitRequest): Promise<Submitted> {
    this.#checkTenant(row, request);
    const { store, clock } = this.#world;
    await store.appendEvent(row.task, row.id, event("deduplicated", request.by, clock.now()));
    return { row, deduplicated: true };
  }

  /** The first `<id>--r<n>` that is not known yet; the id itself if that is not. */
  async #again(request: SubmitRequest, text: string): Promise<TaskRow> {
    const { store, changes, bodies, clock } = this.#world;
    const { base, number } = splitRerun(request.id);
    const known = await store.get(request.task, base);
    if (known) this.#checkTenant(known, request);
    const payload = await bodies.pack(request, "payload", text);
    const first = known || number > 0 ? Math.max(known?.reruns ?? 0, number) + 1 : 0;
    for (let count = first; ; count += 1) {
      const id = count === 0 ? base : rerunId(base, count);
      const step = submitted({ ...request, id }, payload, this.#nextSequence(), clock.now());
      if (await store.insert(step.row, step)) continue;
      changes.announce(step.row);
      if (known) {
        await changes.change(request.task, base, (row) =>
          row.reruns < count ? { row: { ...row, reruns: count } } : undefined,
        );
      }
      return step.row;
    }
  }

  /** An id that two tenants share would swallow the second one's work and show it the first one's. */
  #checkTenant(row: TaskRow, { task, id, tenant }: SubmitRequest): void {
    if (row.tenant === tenant) return;
    throw new MillraceError(
      "conflict",
      `${task} "${id}" belongs to ${row.tenant === undefined ? "no tenant" : "another tenant"}; begin ids with the tenant`,
    );
  }

  /** Grows with every submit, also over restarts. */
  #nextSequence(): number {
    this.#sequence = Math.max(this.#sequence + 1, this.#world.clock.now() * 1000);
    return this.#sequence;
  }
}
