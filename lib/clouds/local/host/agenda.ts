import type { Clock } from "../../../runtime/clock.ts";

/** Something that has work at certain times: a queue's deliveries, a schedule, a task's retries. */
export interface Duty {
  /** When it has work next, in milliseconds of the clock; now or earlier: at once; undefined: not until woken. */
  next(): number | undefined;
  /** Does what is due, or starts it; what takes long goes on by itself and wakes the agenda when it ends. */
  run(now: number): void;
}

/** Before a duty that failed is run again, in milliseconds: the disk may be full, and make room. */
const PAUSE = 1000;

/** Runs every duty when it is due: after a wake, and when its time comes. One that fails holds up no other. */
export class Agenda {
  readonly #clock: Clock;
  readonly #onError: (error: unknown) => void;
  readonly #duties: Duty[] = [];
  readonly #pausedUntil = new Map<Duty, number>();
  #cancel: (() => void) | undefined;
  #isWoken = false;
  #isStopped = false;

  /** @param onError is told what a duty throws. @default it is thrown on */
  constructor(clock: Clock, onError: (error: unknown) => void = rethrow) {
    this.#clock = clock;
    this.#onError = onError;
  }

  add(duty: Duty): void {
    this.#duties.push(duty);
    this.wake();
  }

  /** Something changed: look again, once, as soon as the current work is done. */
  wake(): void {
    if (this.#isWoken || this.#isStopped) return;
    this.#isWoken = true;
    setImmediate(() => {
      this.#isWoken = false;
      this.#turn();
    });
  }

  /** Whether nothing is due now: all that is left waits for its time, or to be woken. */
  get isQuiet(): boolean {
    const now = this.#clock.now();
    return !this.#isWoken && this.#duties.every((duty) => this.#nextOf(duty) > now);
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancel?.();
  }

  #turn(): void {
    if (this.#isStopped) return;
    this.#cancel?.();
    this.#cancel = undefined;
    const now = this.#clock.now();
    for (const duty of this.#duties) if (this.#nextOf(duty) <= now) this.#run(duty, now);
    const next = Math.min(...this.#duties.map((duty) => this.#nextOf(duty)));
    if (next <= now) this.wake();
    else if (next < Infinity) this.#cancel = this.#clock.at(next, () => this.wake());
  }
  #run(duty: Duty, now: number): void {
    try {
      this.#pausedUntil.delete(duty);
      duty.run(now);
    } catch (error) {
      this.#pausedUntil.set(duty, now + PAUSE);
      this.#onError(error);
    }
  }

  #nextOf(duty: Duty): number {
    return Math.max(duty.next() ?? Infinity, this.#pausedUntil.get(duty) ?? 0);
  }
}

function rethrow(error: unknown): never {
  throw error;
}
