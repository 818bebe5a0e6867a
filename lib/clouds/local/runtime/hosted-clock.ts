import type { Clock } from "../../../runtime/clock.ts";
import type { Channel } from "./channel.ts";

/** How long an invocation may wait for the host's answers, in milliseconds, before virtual time goes on without it. */
const LONGEST_SETTLING = 1000;

/** The host's virtual time, inside a process: the host says what time it is and rings the alarms. */
export class HostedClock implements Clock {
  readonly #channel: Channel;
  readonly #alarms = new Map<number, () => void>();
  #now = 0;
  #count = 0;

  constructor(channel: Channel) {
    this.#channel = channel;
  }

  now(): number {
    return this.#now;
  }

  at(time: number, callback: () => void): () => void {
    this.#count += 1;
    const alarm = this.#count;
    this.#alarms.set(alarm, callback);
    this.#channel.send({ type: "set-alarm", alarm, time });
    return () => {
      if (this.#alarms.delete(alarm)) this.#channel.send({ type: "clear-alarm", alarm });
    };
  }

  tell(now: number): void {
    this.#now = now;
  }

  ring(alarm: number, now: number, settle: number): void {
    this.#now = now;
    const callback = this.#alarms.get(alarm);
    this.#alarms.delete(alarm);
    callback?.();
    this.settle(settle);
  }

  /** Tells the host once the code waits for nothing of it any more: then its next alarm is set. */
  settle(settle: number, waited = 0): void {
    setImmediate(() =>
      setImmediate(() => {
        if (this.#channel.isQuiet || waited > LONGEST_SETTLING) this.#channel.send({ type: "settled", settle });
        else setTimeout(() => this.settle(settle, waited + 1), 1);
      }),
    );
  }
}
