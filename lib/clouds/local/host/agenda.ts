import type { Clock } from "../../../runtime/clock.ts";

/** Something that has work at certain times: a queue's deliveries, a schedule, a task's retries. */
export interface Duty {
  /** When it has work next, in milliseconds of the clock; now or earlier: at once; undefined: not until woken. */
  next(): number | undefined;
  /** Does what is due, or starts it; what takes long goes on by itself and wakes the agenda when it ends. */
  run(now: number): void;
}

/** Runs every duty when it is due: after a wake, and when its time comes. */
export class Agenda {
  readonly #clock: Clock;
  readonly #duties: Duty[] = [];
  #cancel: (() => void) | undefined;
  #isWoken = false;
  #isStopped = false;

  constructor(clock: Clock) {
    this.#clock = clock;
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
    return !this.#isWoken && this.#duties.every((duty) => (duty.next() ?? Infinity) > now);
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
    for (const duty of this.#duties) if ((duty.next() ?? Infinity) <= now) duty.run(now);
    const next = Math.min(...this.#duties.map((duty) => duty.next() ?? Infinity));
    if (next <= now) this.wake();
    else if (next < Infinity) this.#cancel = this.#clock.at(next, () => this.wake());
  }
}
