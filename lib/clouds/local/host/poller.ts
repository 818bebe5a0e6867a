import type { Clock } from "../../../runtime/clock.ts";
import { sleep } from "../../../runtime/clock.ts";
import type { QueueReceived } from "../../../runtime/events.ts";
import type { Message } from "../../../runtime/ports.ts";
import { toMilliseconds } from "../../../shared/duration.ts";
import type { Agenda } from "./agenda.ts";
import type { Faults } from "./faults.ts";
import type { Functions } from "./functions.ts";
import type { Ending } from "./instance.ts";
import type { Journal } from "./journal.ts";

/** What is asked of queues; each as a part of the transaction it is called in. */
export interface PolledQueues {
  /** When the queue has something to receive. */
  nextVisible(queue: string): number | undefined;
  receiveNow(queue: string, limit: number): readonly Message[];
  /** @throws `conflict` if the message was delivered again since, or is gone. */
  acknowledgeNow(queue: string, receipt: string): void;
  /** @throws `conflict` if the message was delivered again since, or is gone. */
  extendNow(queue: string, receipt: string, seconds: number): void;
}

export interface PollerOptions {
  readonly journal: Journal;
  readonly clock: Clock;
  readonly agenda: Pick<Agenda, "wake">;
  readonly functions: Pick<Functions, "deliver">;
  readonly queues: PolledQueues;
  readonly faults: Faults;
  readonly onError?: (error: unknown) => void;
}

export interface PollerSettings {
  /** Most messages in one invocation. */
  readonly batch: number;
  /** Seconds a batch may wait to fill. */
  readonly window: number;
  /** The queue's, in seconds. */
  readonly visibility: number;
  /** Batches in work at once. */
  readonly most: number;
}

interface Held {
  readonly message: Message;
  /** Ends the extensions that keep it hidden. */
  readonly release: () => void;
}

/** Before the next try after the journal refused a write or nothing came of an invocation, in milliseconds. */
const PAUSE = 1000;

/** Takes messages out of one queue for one function, in batches, and acknowledges those that succeeded. */
export class Poller {
  readonly #name: string;
  readonly #queue: string;
  readonly #options: PollerOptions;
  readonly #work = new Set<Promise<void>>();
  #settings: PollerSettings = { batch: 1, window: 0, visibility: 0, most: 1 };
  #gathered: Held[] = [];
  #gatheredBy = 0;
  #pausedUntil = 0;
  #isClosing = false;

  constructor(name: string, queue: string, options: PollerOptions) {
    this.#name = name;
    this.#queue = queue;
    this.#options = options;
  }

  define(settings: PollerSettings): void {
    this.#settings = settings;
  }

  next(): number | undefined {
    if (this.#isClosing || this.#work.size >= this.#settings.most) return undefined;
    const visible = this.#options.queues.nextVisible(this.#queue) ?? Number.POSITIVE_INFINITY;
    const next = Math.min(visible, this.#gathered.length > 0 ? this.#gatheredBy : Number.POSITIVE_INFINITY);
    return next === Number.POSITIVE_INFINITY ? undefined : Math.max(next, this.#pausedUntil);
  }

  run(now: number): void {
    if (now < this.#pausedUntil) return;
    try {
      while (!this.#isClosing && this.#work.size < this.#settings.most && this.#gather(now)) this.#begin();
    } catch (error) {
      // A full disk: what was not received stays where it is.
      this.#pausedUntil = now + PAUSE;
      this.#options.onError?.(error);
    }
  }

  /** Takes no more, and gives back what no invocation has begun with; resolves when the batches in work are over. */
  async close(): Promise<void> {
    this.#isClosing = true;
    for (const held of this.#gathered.splice(0)) this.#giveBack(held);
    await Promise.all(this.#work);
  }

  /** Whether there is a batch to begin with: a full one, or one that has waited long enough. */
  #gather(now: number): boolean {
    const { batch, window } = this.#settings;
    const room = batch - this.#gathered.length;
    const messages = room > 0 ? this.#options.queues.receiveNow(this.#queue, room) : [];
    if (this.#gathered.length === 0) this.#gatheredBy = now + window * 1000;
    this.#gathered.push(...messages.map((message) => this.#hold(message)));
    return this.#gathered.length > 0 && (this.#gathered.length >= batch || now >= this.#gatheredBy);
  }

  /** Keeps a message hidden for as long as it is ours. */
  #hold(message: Message): Held {
    const { clock } = this.#options;
    const { visibility } = this.#settings;
    let cancel = () => {};
    const extend = () => {
      cancel = clock.at(clock.now() + (visibility * 1000) / 2, () => {
        if (this.#tryOn(() => this.#options.queues.extendNow(this.#queue, message.receipt, visibility))) extend();
      });
    };
    if (visibility > 0) extend();
    return { message, release: () => cancel() };
  }

  #begin(): void {
    const batch = this.#gathered.splice(0, this.#settings.batch);
    const work = this.#deliver(batch)
      .catch((error: unknown) => this.#pause(batch, error))
      .finally(() => {
        this.#work.delete(work);
        this.#options.agenda.wake();
      });
    this.#work.add(work);
  }

  /** Nothing came of the invocation, its function is gone for one: the messages go back, and are tried a little later. */
  #pause(batch: readonly Held[], error: unknown): void {
    this.#pausedUntil = this.#options.clock.now() + PAUSE;
    for (const held of batch) this.#giveBack(held);
    this.#options.onError?.(error);
  }

  async #deliver(batch: readonly Held[]): Promise<void> {
    const { faults, clock, functions } = this.#options;
    const events = batch.map(({ message }) => toEvent(this.#queue, message));
    const fault = faults.strike("queue.received", this.#name);
    if (fault?.delay !== undefined) await sleep(clock, toMilliseconds(fault.delay));
    const ending = await functions.deliver(this.#name, events);
    this.#settle(batch, ending);
    for (let copy = 0; copy < (fault?.duplicate ?? 0); copy += 1) await functions.deliver(this.#name, events);
  }

  /** What failed stays hidden until its visibility ends; then it is received again, or is a dead letter. */
  #settle(batch: readonly Held[], ending: Ending): void {
    const { queues, journal } = this.#options;
    const isAllFailed = "error" in ending;
    const failed = new Set(isAllFailed ? [] : ending.failures.map(({ id }) => id));
    const isInterrupted = isAllFailed && ending.error.kind === "interrupted";
    for (const held of batch) held.release();
    if (isInterrupted) for (const held of batch) this.#giveBack(held);
    if (isAllFailed) return;
    this.#tryOn(() =>
      journal.transaction(() => {
        for (const { message } of batch) {
          if (!failed.has(message.id)) this.#tryOn(() => queues.acknowledgeNow(this.#queue, message.receipt));
        }
      }),
    );
  }

  #giveBack({ message, release }: Held): void {
    release();
    this.#tryOn(() => this.#options.queues.extendNow(this.#queue, message.receipt, 0));
  }

  /** A message that has gone to somebody else, or that the journal would not let go of, is received again: no more. */
  #tryOn(work: () => void): boolean {
    try {
      work();
      return true;
    } catch {
      return false;
    }
  }
}

const toEvent = (queue: string, { id, body, attributes, receives, time }: Message): QueueReceived => ({
  type: "queue.received",
  id,
  queue,
  body,
  attributes,
  receives,
  time,
});
