import type { Clock } from "../../../runtime/clock.ts";
import type { Channel } from "./channel.ts";

/** The host's virtual time, inside a process: the host says what time it is and rings the alarms. */
export class HostedClock implements Clock {
  readonly #channel: Channel;
  readonly #alarms = new Map<number, () => void>();
  #now = 0;
  #count = 0;
  /** The last message that is to be answered, until it is. */
  #settle: number | undefined;
  #rest: number | undefined;

  constructor(channel: Channel) {
    this.#channel = channel;
    process.on("beforeExit", () => this.#tellRest());
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

  /** Forgets the alarms of an invocation that is over, and whom to tell. */
  clear(): void {
    this.#alarms.clear();
    this.#settle = undefined;
    this.#rest = undefined;
  }

  /**
   * Tells the host once the code waits for time, and for no answer of the host: then virtual time may go on. And once
   * it waits for nothing else, such as a file or a program.
   */
  settle(settle: number): void {
    this.#settle = settle;
    this.#rest = undefined;
    this.#look(settle);
  }

  #look(settle: number): void {
    setImmediate(() =>
      setImmediate(() => {
        if (settle !== this.#settle) return;
        if (this.#isWaiting) {
          this.#channel.send({ type: "settled", settle });
          this.#rest = settle;
          this.#lookForRest();
        } else setTimeout(() => this.#look(settle), 1).unref();
      }),
    );
  }

  get #isWaiting(): boolean {
    return this.#channel.isQuiet && this.#alarms.size > 0;
  }

  /** Without the wire to the host, Node would end a process where nothing goes on: it says so before it does. */
  #lookForRest(): void {
    process.channel?.unref();
  }

  /** https://nodejs.org/api/process.html#event-beforeexit */
  #tellRest(): void {
    process.channel?.ref();
    if (this.#rest === undefined) return;
    if (this.#isWaiting) this.#channel.send({ type: "resting", settle: this.#rest });
    else setTimeout(() => this.#lookForRest(), 1);
  }
}
