import { setImmediate as nextTurn } from "node:timers/promises";
import type { Clock } from "../../../runtime/clock.ts";
import { type Duration, toMilliseconds } from "../../../shared/duration.ts";

interface Alarm {
  readonly time: number;
  /** Alarms of one time ring in the order they were set. */
  readonly order: number;
  readonly callback: () => void;
}

/** Turns of the event loop after each alarm: enough for an agenda that is woken again and again. */
const SETTLING_TURNS = 12;

/** 2026-01-01T00:00:00Z. */
const DEFAULT_START = 1_767_225_600_000;

/** Time that stands still until it is moved: a day passes in a moment, and always in the same order. */
export class VirtualClock implements Clock {
  readonly #alarms = new Set<Alarm>();
  readonly #listeners = new Set<(now: number) => void>();
  readonly #holds = new Set<Promise<unknown>>();
  #now: number;
  #count = 0;
  #moving: Promise<void> = Promise.resolve();

  /** @param start milliseconds since 1970 or ISO 8601. @default 2026-01-01T00:00:00Z */
  constructor(start: number | string = DEFAULT_START) {
    this.#now = typeof start === "string" ? Date.parse(start) : start;
    if (!Number.isFinite(this.#now)) {
      throw new Error(`VirtualClock: start is milliseconds since 1970 or ISO 8601, got "${start}"`);
    }
  }

  now(): number {
    return this.#now;
  }

  /** How many alarms are set. */
  get waiting(): number {
    return this.#alarms.size;
  }

  /**
   * An alarm that is due already rings at the next turn of the event loop, as with the machine's time; and as there, time
   * is always a whole number.
   */
  at(time: number, callback: () => void): () => void {
    this.#count += 1;
    const alarm: Alarm = { time: Math.ceil(time), order: this.#count, callback };
    this.#alarms.add(alarm);
    if (time <= this.#now) setImmediate(() => this.#ring(alarm));
    return () => void this.#alarms.delete(alarm);
  }

  /**
   * Moves time on: all that is due on the way happens, in order and at its own time, and handlers that run finish
   * or wait for time before it goes on. `"0 seconds"` lets what is under way come to rest.
   */
  advance(duration: Duration): Promise<void> {
    return this.advanceTo(() => this.#now + toMilliseconds(duration));
  }

  /**
   * Moves time to there. A second move waits for the first.
   *
   * @param time milliseconds since 1970, ISO 8601, or what gives it once it is this move's turn
   */
  advanceTo(time: number | string | (() => number)): Promise<void> {
    const move = this.#moving.then(() => {
      const target = typeof time === "function" ? time() : typeof time === "string" ? Date.parse(time) : time;
      if (!(target >= this.#now)) {
        throw new Error(
          `VirtualClock: time only goes forward: it is ${new Date(this.#now).toISOString()}, asked for ${time}`,
        );
      }
      return this.#moveTo(target);
    });
    this.#moving = move.catch(() => {});
    return move;
  }

  /** Calls back whenever time has moved; the answer takes the call back. */
  onMove(listener: (now: number) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Time does not move on before this has ended: work that an alarm set going elsewhere. */
  hold(work: Promise<unknown>): void {
    const held = work.catch(() => {}).finally(() => this.#holds.delete(held));
    this.#holds.add(held);
  }

  async #moveTo(target: number): Promise<void> {
    await this.#settle();
    for (let alarm = this.#first(target); alarm; alarm = this.#first(target)) {
      this.#set(Math.max(alarm.time, this.#now));
      this.#ring(alarm);
      await this.#settle();
    }
    this.#set(target);
    await this.#settle();
  }

  #first(target: number): Alarm | undefined {
    let first: Alarm | undefined;
    for (const alarm of this.#alarms) {
      const isBefore = !first || alarm.time < first.time || (alarm.time === first.time && alarm.order < first.order);
      if (alarm.time <= target && isBefore) first = alarm;
    }
    return first;
  }

  #ring(alarm: Alarm): void {
    if (this.#alarms.delete(alarm)) alarm.callback();
  }

  #set(now: number): void {
    if (now === this.#now) return;
    this.#now = now;
    for (const listener of this.#listeners) listener(now);
  }

  async #settle(): Promise<void> {
    do {
      await Promise.all(this.#holds);
      for (let turn = 0; turn < SETTLING_TURNS; turn += 1) await nextTurn();
    } while (this.#holds.size > 0);
  }
}
