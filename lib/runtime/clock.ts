/** Time, as an argument: core code never asks the machine. */
export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  /** Calls back once, at that time or as soon after as can be; the answer takes the call back. */
  at(time: number, callback: () => void): () => void;
}

/** The longest delay a Node timer keeps; a longer one fires at once. https://nodejs.org/api/timers.html#settimeoutcallback-delay-args */
const LONGEST_TIMER = 2 ** 31 - 1;

/** The machine's own time. */
export const systemClock: Clock = {
  now: () => Date.now(),
  at(time, callback) {
    let timer: NodeJS.Timeout;
    const arm = () => {
      const delay = time - Date.now();
      timer = delay > LONGEST_TIMER ? setTimeout(arm, LONGEST_TIMER) : setTimeout(callback, Math.max(0, delay));
    };
    arm();
    return () => clearTimeout(timer);
  },
};

/** Resolves after that many milliseconds of the clock's time; rejects with the signal's reason if that aborts first. */
export function sleep(clock: Clock, milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const onAbort = () => {
      cancel();
      reject(signal?.reason);
    };
    const cancel = clock.at(clock.now() + milliseconds, () => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    });
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
