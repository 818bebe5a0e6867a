import type { Clock } from "../../runtime/clock.ts";
import type { Log, Metrics, Run } from "../../runtime/handler.ts";
import { formatBytes } from "../../shared/size.ts";

interface Reported {
  readonly run: Pick<Run, "progress">;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly log: Pick<Log, "info">;
}

/** Between two lines of the log, in milliseconds: a cloud's functions are followed there. */
const LOG_EVERY = 30_000;

/** Says how far a worker is, at which rate, and how long it still takes. */
export class Progress {
  readonly #total: number;
  readonly #world: Reported;
  readonly #begun: number;
  /** Bytes that were there already say nothing of the rate. */
  #skipped = 0;
  #copied = 0;
  #logged: number;

  /** @param total bytes of the worker's share, about */
  constructor(total: number, world: Reported) {
    this.#total = total;
    this.#world = world;
    this.#begun = world.clock.now();
    this.#logged = this.#begun;
  }

  /** Bytes that were there already. */
  skip(bytes: number): void {
    this.#skipped += bytes;
  }

  /** Bytes that were copied. */
  add(bytes: number): void {
    this.#copied += bytes;
    const { run, metrics, log, clock } = this.#world;
    metrics.count("transfer.bytes", bytes);
    const done = this.#skipped + this.#copied;
    const text = this.#text(done);
    run.progress(this.#total === 0 ? 1 : Math.min(1, done / this.#total), text);
    if (clock.now() - this.#logged < LOG_EVERY) return;
    this.#logged = clock.now();
    log.info(`copying: ${text}`);
  }

  #text(done: number): string {
    const seconds = Math.max(0.001, (this.#world.clock.now() - this.#begun) / 1000);
    const rate = this.#copied / seconds;
    const left = Math.max(0, this.#total - done) / rate;
    return `${formatBytes(done)} of ${formatBytes(Math.max(done, Math.round(this.#total)))}, ${formatBytes(Math.round(rate))}/s, ${timeText(left)} left`;
  }
}

const timeText = (seconds: number): string => {
  const whole = Math.ceil(seconds);
  if (whole < 120) return `${whole} s`;
  return whole < 7200 ? `${Math.ceil(whole / 60)} min` : `${Math.ceil(whole / 3600)} h`;
};
