import type { Clock } from "../../../runtime/clock.ts";
import type { Channel } from "./channel.ts";

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

  /** Forgets the alarms of an invocation that is over. */
  clear(): void {
    this.#alarms.clear();
  }

  /** Tells the host once the code waits for time, and for no answer of the host: then virtual time may go on. */
  settle(settle: number): void {
    setImmediate(() =>
      setImmediate(() => {
        if (this.#channel.isQuiet && this.#alarms.size > 0) this.#channel.send({ type: "settled", settle });
        else setTimeout(() => this.settle(settle), 1).unref();
      }),
    );
  }
}
